"""Which letters a person must look at, to the try and to the millisecond."""

import pytest

from holdfast.consistency.attention import attention, failing_now
from holdfast.consistency.schedule import Schedule, id_before
from holdfast.contract.envelope import State
from holdfast.storage import WAITS
from tests.contracts.rows import letter

NOW = 1_000_000
FAILING = failing_now(NOW, Schedule(tries_max=3, undo_parks_ms=1_000))


def test_what_fails_for_long_is_reckoned_from_now() -> None:
    """By as many tries as others have, and by the age at which an undo parks its saga."""
    assert (FAILING.tries, FAILING.before) == (3, id_before(NOW - 1_000))


@pytest.mark.parametrize(
    ("state", "age", "tries", "error", "why"),
    [
        (State.DEAD, 0, 0, None, "dead"),
        (State.DEAD, 9_999, 9, f"{WAITS}x", "dead"),
        (State.DUE, 0, 0, f"{WAITS}x", "waits"),
        (State.DUE, 0, 3, "x", None),
        (State.DUE, 0, 4, "x", "fails"),
        (State.DUE, 0, 4, None, None),
        (State.DUE, 999, 1, "x", None),
        (State.DUE, 1_001, 1, "x", "fails"),
        (State.DUE, 1_001, 1, None, None),
        (State.DONE, 1_001, 9, "x", None),
        (State.REFUSED, 1_001, 9, "x", None),
        (State.HELD, 1_001, 9, "x", None),
    ],
)
def test_why_a_person_must_look(
    state: State, age: int, tries: int, error: str | None, why: str | None
) -> None:
    """Dead, waiting for a version, or failing for long; nobody need look at the others."""
    row = letter(NOW - age, state=state, tries=tries, error=error)

    assert attention(row, FAILING) == why
