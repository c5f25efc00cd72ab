"""The sliding counts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.resilience.recent_counts import RecentCounts

EIGHTHS = st.integers(0, 40)  # steps of time in 1/8 s: exact in binary


@settings(deadline=None)
@given(
    st.lists(st.tuples(EIGHTHS, st.integers(0, 3), st.integers(0, 3))), st.sampled_from([0, 1000])
)
def test_sums_are_those_of_the_newest_buckets(
    events: list[tuple[int, int, int]], start: int
) -> None:
    """The ring agrees with a list of all events, of which the last ten buckets are added up."""
    recent = RecentCounts(10.0, buckets=10)
    now, seen = float(start), list[tuple[int, int, int]]()

    for step, good, bad in events:
        now += step / 8
        recent.add(now, good, bad)
        seen.append((int(now), good, bad))

        kept = [event for event in seen if event[0] > int(now) - 10]
        assert recent.good == sum(event[1] for event in kept)
        assert recent.bad == sum(event[2] for event in kept)


def test_idle_counts_are_empty_after_its_span() -> None:
    """Nothing has to be added for the old to be forgotten."""
    recent = RecentCounts(10.0)
    recent.add(1000.0, 3, 4)

    recent.roll(1009.5)
    assert (recent.good, recent.bad) == (3, 4)

    recent.roll(1010.0)
    assert (recent.good, recent.bad) == (0, 0)


@pytest.mark.parametrize("start", [0.0, 9.0, 10.0, 1000.0])
def test_each_bucket_is_forgotten_in_its_turn(start: float) -> None:
    """Ten events a second apart: all are there, and then one less with each second."""
    recent = RecentCounts(10.0)
    for second in range(10):
        recent.add(start + second, 1, 2)
        assert (recent.good, recent.bad) == (second + 1, 2 * second + 2)

    for second in range(1, 11):
        recent.roll(start + 9 + second - 0.01)
        assert (recent.good, recent.bad) == (11 - second, 22 - 2 * second)
        recent.roll(start + 9 + second)
        assert (recent.good, recent.bad) == (10 - second, 20 - 2 * second)


def test_what_is_cleared_does_not_come_back() -> None:
    """Nor is it taken away a second time when its bucket is forgotten."""
    recent = RecentCounts(10.0)
    recent.add(0.0, 1, 1)
    recent.clear()

    assert (recent.good, recent.bad) == (0, 0)
    recent.add(5.0, 2, 3)
    recent.roll(10.0)
    assert (recent.good, recent.bad) == (2, 3)


@pytest.mark.parametrize(("span_s", "buckets"), [(5.0, 10), (20.0, 10), (10.0, 4)])
def test_a_bucket_is_as_wide_as_its_share_of_the_span(span_s: float, buckets: int) -> None:
    """Half a second or two: what is added and what is rolled reckon alike."""
    recent = RecentCounts(span_s, buckets)
    recent.add(1000.0, 3, 4)

    recent.roll(1000.0 + span_s - 0.01)
    assert (recent.good, recent.bad) == (3, 4)
    recent.roll(1000.0 + span_s)
    assert (recent.good, recent.bad) == (0, 0)
