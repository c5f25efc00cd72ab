"""Whether and when to try again."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import (
    BadAnswer,
    BulkheadFull,
    CallError,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    PoolFull,
    Unreachable,
)
from holdfast.resilience import DeadlinePassed, RetryPolicy, backoff_s, may_repeat, pause_s


@given(st.integers(1, 10_000), st.floats(0.001, 10), st.floats(1, 100), st.integers())
def test_a_pause_is_within_its_ceiling(
    failures: int, base_s: float, factor: float, seed: int
) -> None:
    """For any number of failures: 0 <= pause <= min(cap, base * 2**(failures - 1))."""
    policy = RetryPolicy(base_s=base_s, cap_s=base_s * factor)

    pause = backoff_s(failures, policy, random.Random(seed))

    assert 0.0 <= pause <= policy.cap_s
    if failures < 30:
        assert pause <= base_s * 2 ** (failures - 1)


def test_pauses_are_spread_over_the_whole_range() -> None:
    """Full jitter: clients that failed together come back evenly, not around one moment."""
    policy, rng = RetryPolicy(base_s=1.0, cap_s=8.0), random.Random(7)

    pauses = [backoff_s(3, policy, rng) for _ in range(4000)]

    per_quarter = [sum(q <= pause < q + 1 for pause in pauses) for q in range(4)]
    assert all(900 < count < 1100 for count in per_quarter)


def test_backoff_counts_failures_from_one() -> None:
    """Zero failures need no pause; asking for it is a bug of the caller."""
    with pytest.raises(ValueError, match="failures must be >= 1, got 0"):
        backoff_s(0, RetryPolicy(), random.Random(7))


@pytest.mark.parametrize(
    ("error", "always", "if_idempotent"),
    [
        (Unreachable("no route"), True, True),
        (BulkheadFull("full"), True, True),
        (Overloaded("later"), True, True),
        (CallError("503, nothing done"), True, True),
        (ConnectionLost("reset"), False, True),
        (DeadlineExceeded("late"), False, True),
        (BadAnswer("not JSON"), False, True),
        (CircuitOpen("open"), False, False),
        (DeadlinePassed("late"), False, False),
        (PoolFull("busy"), False, False),
        (NotFound("no such order"), False, False),
        (KeyError("a bug"), False, False),
    ],
)
def test_only_what_cannot_happen_twice_is_repeated(
    error: Exception, always: bool, if_idempotent: bool
) -> None:
    """Effect "none" may be repeated, "unknown" only if idempotent, a refusal or a bug never."""
    assert may_repeat(error, idempotent=False) is always
    assert may_repeat(error, idempotent=True) is if_idempotent


class _Later(Overloaded):
    def __init__(self, retry_after_s: float | None) -> None:
        super().__init__("later")
        self.retry_after_s = retry_after_s


def test_a_hint_is_waited_for_in_full() -> None:
    """Retry-After is a minimum; the jitter comes on top of it."""
    policy, rng = RetryPolicy(base_s=0.1, hint_max_s=10.0), random.Random(7)

    pauses = [pause_s(_Later(4.0), 1, policy, rng) for _ in range(100)]

    assert all(pause is not None and 4.0 <= pause <= 4.1 for pause in pauses)
    assert len(set(pauses)) > 50


def test_a_hint_beyond_the_limit_ends_the_call() -> None:
    """Who is told to come back in an hour does not hold the caller for it."""
    assert pause_s(_Later(3600.0), 1, RetryPolicy(hint_max_s=10.0), random.Random(7)) is None


def test_a_hint_without_a_value_is_none() -> None:
    """An error that knows no pause is treated like one that cannot have any."""
    pause = pause_s(_Later(None), 1, RetryPolicy(base_s=0.1), random.Random(7))

    assert pause is not None
    assert pause <= 0.1


def test_tries_have_a_maximum() -> None:
    """The last of `tries_max` failures is final."""
    policy, rng = RetryPolicy(tries_max=3), random.Random(7)

    assert pause_s(Unreachable("x"), 2, policy, rng) is not None
    assert pause_s(Unreachable("x"), 3, policy, rng) is None


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"tries_max": 0}, "use retry=None"),
        ({"base_s": 0.0}, "0 < base_s <= cap_s"),
        ({"base_s": 3.0, "cap_s": 2.0}, "0 < base_s <= cap_s"),
        ({"hint_max_s": -1.0}, "hint_max_s >= 0"),
    ],
)
def test_a_policy_without_sense_is_refused(wrong: dict[str, float], remedy: str) -> None:
    """The error says what must hold."""
    with pytest.raises(ValueError, match=remedy):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(("hint_s", "waits"), [(10.0, True), (10.001, False), (0.0, True)])
def test_a_hint_at_exactly_the_limit_is_waited_for(hint_s: float, waits: bool) -> None:
    """`Longer than this` gives up; just as long does not."""
    pause = pause_s(_Later(hint_s), 1, RetryPolicy(hint_max_s=10.0), random.Random(7))

    assert (pause is not None) is waits


class Top:
    """Chance that always draws the most."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0
        return b


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    """However many failures there were: no float is too small for it."""
    policy = RetryPolicy(base_s=0.25, cap_s=3.0)

    ceilings = [backoff_s(failures, policy, Top()) for failures in (1, 2, 3, 4, 5, 6, 5_000)]

    assert ceilings == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    slow = RetryPolicy(base_s=2.0**-70, cap_s=1.0)
    assert [backoff_s(failures, slow, Top()) for failures in (60, 61)] == [2.0**-11, 2.0**-10]
