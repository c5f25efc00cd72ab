"""The sliding counts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.resilience.tally import Tally

EIGHTHS = st.integers(0, 40)  # steps of time in 1/8 s: exact in binary


@settings(deadline=None)
@given(st.lists(st.tuples(EIGHTHS, st.integers(0, 3), st.integers(0, 3))))
def test_sums_are_those_of_the_newest_buckets(events: list[tuple[int, int, int]]) -> None:
    """The ring agrees with a list of all events, of which the last ten buckets are added up."""
    tally = Tally(10.0, buckets=10)
    now, seen = 1000.0, list[tuple[int, int, int]]()

    for step, good, bad in events:
        now += step / 8
        tally.add(now, good, bad)
        seen.append((int(now), good, bad))

        kept = [event for event in seen if event[0] > int(now) - 10]
        assert tally.good == sum(event[1] for event in kept)
        assert tally.bad == sum(event[2] for event in kept)


def test_an_idle_tally_is_empty_after_its_span() -> None:
    """Nothing has to be added for the old to be forgotten."""
    tally = Tally(10.0)
    tally.add(1000.0, 3, 4)

    tally.roll(1009.5)
    assert (tally.good, tally.bad) == (3, 4)

    tally.roll(1010.0)
    assert (tally.good, tally.bad) == (0, 0)
