"""The retry budget."""

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.resilience import BudgetPolicy, RetryBudget

STEPS = st.tuples(st.integers(0, 16), st.sampled_from(["call", "retry", "retries"]))


@settings(deadline=None)
@given(
    st.lists(STEPS, max_size=150),
    st.sampled_from([0.0, 0.1, 0.25, 1.0]),
    st.sampled_from([0.0, 0.2, 1.0]),
)
def test_retries_never_exceed_their_share_of_any_window(
    steps: list[tuple[int, str]], ratio: float, floor_per_s: float
) -> None:
    """In the time-to-live before any retry there are at most ratio * calls + floor retries."""
    policy = BudgetPolicy(ratio=ratio, floor_per_s=floor_per_s, ttl_s=10.0)
    budget = RetryBudget(policy)
    calls: list[float] = []
    retries: list[float] = []

    times = accumulate((step / 8 for step, _ in steps), initial=1000.0)
    for (_, what), now in zip(steps, times, strict=False):
        if what == "call":
            budget.deposit(now)
            calls.append(now)
            continue
        for _ in range(30 if what == "retries" else 1):
            if budget.try_withdraw(now):
                retries.append(now)

    for end in retries:  # buckets are a tenth wide, so the newest 90% are surely all there
        spent = sum(end - 9 < at <= end for at in retries)
        earned = ratio * sum(end - 10 < at <= end for at in calls)
        assert spent <= earned + floor_per_s * 10 + 1e-9


def test_a_tenth_of_the_calls_may_be_repeated() -> None:
    """With a ratio of 0.1 and no floor, 100 calls pay for 10 retries."""
    budget = RetryBudget(BudgetPolicy(ratio=0.1, floor_per_s=0.0))
    for _ in range(100):
        budget.deposit(1000.0)

    allowed = [budget.try_withdraw(1001.0) for _ in range(15)]

    assert allowed == [True] * 10 + [False] * 5
    stats = budget.stats(1001.0)
    assert (stats.calls, stats.retries, stats.refused, stats.left) == (100, 10, 5, 0.0)
    assert budget.stats(1020.0).left == 0.0


def test_a_quiet_edge_may_repeat_up_to_the_floor() -> None:
    """Without any traffic to pay for it, floor_per_s * ttl_s retries are allowed, then again."""
    budget = RetryBudget(BudgetPolicy(ratio=0.1, floor_per_s=0.2, ttl_s=10.0))

    assert [budget.try_withdraw(1000.0) for _ in range(3)] == [True, True, False]
    assert [budget.try_withdraw(1010.0) for _ in range(3)] == [True, True, False]


def test_what_was_earned_long_ago_pays_for_nothing() -> None:
    """A night of traffic is not saved up for a storm."""
    budget = RetryBudget(BudgetPolicy(ratio=0.1, floor_per_s=0.0, ttl_s=10.0))
    for _ in range(1000):
        budget.deposit(1000.0)

    assert not budget.try_withdraw(1010.0)


def test_a_retry_pays_in_full() -> None:
    """A thousand are a thousand: not one earns a part of the next."""
    budget = RetryBudget(BudgetPolicy(ratio=0.0, floor_per_s=100.0, ttl_s=10.0))

    assert sum(budget.try_withdraw(1000.0) for _ in range(1_100)) == 1_000
