"""Rate limits."""

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.resilience import MemoryLimits, take
from tests.virtual_loop import LoopClock


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=120),
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.floats(0, 1e6),
)
def test_a_bucket_gives_at_most_burst_and_rate_times_time(
    pauses: list[float], rate_per_s: float, burst: int, now: float
) -> None:
    """Over the time between any two tokens taken, and not only from the start."""
    bucket, given_at = None, list[float]()

    for pause in pauses:
        now += pause
        taken, bucket = take(bucket, now, rate_per_s, burst)
        if taken.allowed:
            given_at.append(now)
        assert 0 <= taken.remaining < burst
        assert 0.0 < taken.reset_s <= 1.0 / rate_per_s * (1 + 2e-3)

    for first, begun in enumerate(given_at):
        for last in range(first, len(given_at)):
            allowed = burst + rate_per_s * (given_at[last] - begun)
            assert last - first + 1 <= math.floor(allowed + 2e-3)


@given(st.floats(0.1, 1000), st.integers(1, 50), st.floats(0, 1e6))
def test_who_waits_as_told_is_let_in(rate_per_s: float, burst: int, now: float) -> None:
    """After a refusal `reset_s` is enough, whatever floats do."""
    bucket = None
    for _ in range(burst):
        taken, bucket = take(bucket, now, rate_per_s, burst)
        assert taken.allowed
    refused, bucket = take(bucket, now, rate_per_s, burst)
    assert not refused.allowed

    again, _ = take(bucket, now + refused.reset_s, rate_per_s, burst)

    assert again.allowed


def test_remaining_counts_down() -> None:
    """A burst of three leaves two, one, none, and then says when one is back."""
    bucket, outcomes = None, list[tuple[bool, int, float]]()
    for _ in range(4):
        taken, bucket = take(bucket, 1000.0, 2.0, 3)
        outcomes.append((taken.allowed, taken.remaining, taken.reset_s))

    assert outcomes == [
        (True, 2, pytest.approx(0.5)),
        (True, 1, pytest.approx(0.5)),
        (True, 0, pytest.approx(0.5)),
        (False, 0, pytest.approx(0.5)),
    ]


@pytest.mark.parametrize(("rate_per_s", "burst"), [(0.0, 5), (-1.0, 5), (1.0, 0)])
def test_a_limit_without_sense_is_refused(rate_per_s: float, burst: int) -> None:
    """A rate of zero would never refill; that is a refusal to be written elsewhere."""
    with pytest.raises(ValueError, match="rate_per_s must be > 0 and burst >= 1"):
        take(None, 1000.0, rate_per_s, burst)


async def test_keys_do_not_share_tokens(clock: LoopClock) -> None:
    """One caller who is over the limit does not shut out another."""
    limits = MemoryLimits(clock)

    ann = [(await limits.try_take("ann", 1.0, 2)).allowed for _ in range(3)]
    bob = (await limits.try_take("bob", 1.0, 2)).allowed
    await asyncio.sleep(1.0)
    ann_later = (await limits.try_take("ann", 1.0, 2)).allowed

    assert ann == [True, True, False]
    assert bob
    assert ann_later
    assert (limits.stats().allowed, limits.stats().refused) == (4, 1)


async def test_the_number_of_keys_is_bounded(clock: LoopClock) -> None:
    """The least recently used key goes, and a bucket that was not full is reported."""
    limits = MemoryLimits(clock, keys_max=2)
    await limits.try_take("old", 1.0, 1)
    await limits.try_take("used", 1.0, 1)
    await limits.try_take("old", 1.0, 1)  # refused, and used most recently now

    await limits.try_take("new", 1.0, 1)

    assert (limits.stats().keys, limits.stats().evicted) == (2, 1)
    assert not (await limits.try_take("old", 1.0, 1)).allowed
    assert (await limits.try_take("used", 1.0, 1)).allowed


async def test_forgetting_a_full_bucket_loses_nothing(clock: LoopClock) -> None:
    """An evicted key that had refilled is not counted as a loss."""
    limits = MemoryLimits(clock, keys_max=1)
    await limits.try_take("ann", 1.0, 1)
    await asyncio.sleep(1.0)

    await limits.try_take("bob", 1.0, 1)

    assert limits.stats().evicted == 0


def test_a_table_without_room_is_refused(clock: LoopClock) -> None:
    """At least one key must fit."""
    with pytest.raises(ValueError, match="keys_max must be >= 1"):
        MemoryLimits(clock, keys_max=0)


async def test_a_bucket_is_full_when_the_last_token_is_back(clock: LoopClock) -> None:
    """Forgotten in that moment it is no loss; a moment before, it is one."""
    for pause_s, lost in ((1.5, 0), (1.499, 1)):
        limits = MemoryLimits(clock, keys_max=1)
        for _ in range(3):
            await limits.try_take("ann", 2.0, 5)
        await asyncio.sleep(pause_s)

        await limits.try_take("bob", 2.0, 5)

        assert limits.stats().evicted == lost
