"""Letters that wait for room: bounded, and the oldest first."""

import random

from hypothesis import given
from hypothesis import strategies as st

from holdfast.consistency.ready import READY_MAX, Ready
from tests.contracts.rows import letter


@given(st.lists(st.one_of(st.none(), st.integers(1, 30)), max_size=60))
def test_the_oldest_is_always_the_next(steps: list[int | None]) -> None:
    """In any order of coming and going; what comes again is the newer copy, once."""
    ready, model = Ready(), dict[int, int]()

    for turn, number in enumerate(steps):
        if number is not None:
            ready.add([letter(number, tries=turn)])
            model[number] = turn
        elif model:
            oldest = min(model)
            found = ready.pop()
            assert (found.id, found.tries) == (letter(oldest).id, model.pop(oldest))
        assert len(ready) == len(model)
    assert not ready.more


def test_what_has_no_room_is_left_in_the_table() -> None:
    """It is known that there is more; a copy of what is there needs no room."""
    ready, numbers = Ready(), list(range(1, READY_MAX + 1))
    random.Random(7).shuffle(numbers)
    ready.add(letter(number) for number in numbers)
    assert (len(ready), ready.more) == (READY_MAX, False)

    ready.add([letter(9, tries=3)])
    assert (len(ready), ready.more) == (READY_MAX, False)
    ready.add([letter(READY_MAX + 1), letter(8, tries=4)])
    assert (len(ready), ready.more) == (READY_MAX, True)

    found = [ready.pop() for _ in range(READY_MAX)]
    assert [row.id for row in found] == [letter(n).id for n in sorted(numbers)]
    assert [row.tries for row in found if row.tries] == [4, 3]
