"""Several buckets at once: a token of each, or of none."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.ports import Taken
from holdfast.resilience import MemoryLimits
from holdfast.resilience.limiter import Bucket, Wanted, take


@dataclass
class Ticks:
    """A clock that is put forward."""

    at: float = 1_000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.at


RATES: dict[str, Wanted] = {  # powers of two: no sum is rounded, and equal is equal
    "address": ("address", 4.0, 3),
    "caller": ("caller", 0.5, 2),
    "other": ("other", 2.0, 1),
    "wide": ("wide", 64.0, 50),
}
PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 100.0])
STEPS = st.lists(
    st.tuples(PAUSES, st.lists(st.sampled_from(sorted(RATES)), min_size=1, max_size=4)),
    max_size=60,
)


class Model:
    """The same by single takes, of buckets that are put back unless all had a token."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.allowed = 0

    def take_all(self, wanted: list[Wanted], now: float) -> Taken | None:
        """See `MemoryLimits.take_all`."""
        after, last = dict(self.buckets), None
        for key, rate_per_s, burst in wanted:
            last, after[key] = take(after.get(key), now, rate_per_s, burst)
            if not last.allowed:
                return None
        self.buckets = after
        self.allowed += len(wanted)
        return last


@settings(max_examples=300)
@given(STEPS)
def test_it_is_single_takes_or_none(steps: list[tuple[float, list[str]]]) -> None:
    """The outcome, what is left and when more comes; also of a bucket that is named twice."""
    clock, model = Ticks(), Model()
    limits = MemoryLimits(clock)

    for pause_s, names in steps:
        clock.at += pause_s
        wanted = [RATES[name] for name in names]
        assert limits.take_all(wanted) == model.take_all(wanted, clock.at)

    assert limits.stats().allowed == model.allowed
    assert limits.stats().refused == 0  # who asks again one by one is refused, and counted


@given(STEPS, st.lists(st.booleans(), min_size=60, max_size=60))
async def test_both_ways_take_of_the_same_buckets(
    steps: list[tuple[float, list[str]]], alone: list[bool]
) -> None:
    """One after the other, in any order."""
    clock, model = Ticks(), Model()
    limits = MemoryLimits(clock)

    for (pause_s, names), one_by_one in zip(steps, alone, strict=False):
        clock.at += pause_s
        for wanted in [[RATES[n]] for n in names] if one_by_one else [[RATES[n] for n in names]]:
            expected = model.take_all(wanted, clock.at)
            if one_by_one:
                taken = await limits.try_take(*wanted[0])
                assert (taken if taken.allowed else None) == expected
            else:
                assert limits.take_all(wanted) == expected


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=80),
    st.floats(0.1, 1_000),
    st.integers(1, 20),
    st.floats(0, 1e6),
)
def test_it_gives_at_most_burst_and_rate_times_time(
    pauses: list[float], rate_per_s: float, burst: int, now: float
) -> None:
    """Over the time between any two tokens, also where another bucket refuses now and then."""
    clock, given_at = Ticks(now), list[float]()
    limits = MemoryLimits(clock)

    for pause_s in pauses:
        clock.at += pause_s
        taken = limits.take_all([("one", rate_per_s, burst), ("narrow", 1.0, 2)])
        if taken is not None:
            given_at.append(clock.at)
        taken = limits.take_all([("one", rate_per_s, burst)])
        if taken is not None:
            given_at.append(clock.at)
            assert 0 <= taken.remaining < burst
            assert 0.0 < taken.reset_s <= 1.0 / rate_per_s * (1 + 2e-3)

    for first, begun in enumerate(given_at):
        for last in range(first, len(given_at)):
            allowed = burst + rate_per_s * (given_at[last] - begun)
            assert last - first + 1 <= math.floor(allowed + 2e-3)


def test_nothing_is_taken_when_one_is_refused() -> None:
    """Whoever has used up one rate uses up no other by asking."""
    limits = MemoryLimits(Ticks())
    caller, address = RATES["caller"], RATES["address"]
    assert limits.take_all([caller])
    assert limits.take_all([caller])

    for _ in range(100):
        assert limits.take_all([address, caller]) is None

    left = limits.take_all([address])
    assert left is not None
    assert left.remaining == address[2] - 1


@pytest.mark.parametrize(("keys_max", "evicted"), [(1, 19), (2, 9), (3, 8)])
def test_the_number_of_keys_is_bounded(keys_max: int, evicted: int) -> None:
    """The least recently used one goes, also if it is one of those that are taken of."""
    limits = MemoryLimits(Ticks(), keys_max)

    for n in range(10):
        assert limits.take_all([(f"address:{n}", 1.0, 1), ("caller", 0.125, 100)]) is not None

    assert (limits.stats().keys, limits.stats().evicted) == (keys_max, evicted)


def test_a_key_that_was_used_is_kept() -> None:
    """Being taken of, or being refused, is use."""
    limits = MemoryLimits(Ticks(), 2)
    limits.take_all([("old", 1.0, 1)])
    limits.take_all([("used", 1.0, 1)])
    assert limits.take_all([("old", 1.0, 1)]) is None

    limits.take_all([("new", 1.0, 1)])

    assert limits.take_all([("old", 1.0, 1)]) is None
    assert limits.stats().evicted == 1
