"""The circuit breaker, against a model that keeps everything in lists."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import (
    BulkheadFull,
    CircuitOpen,
    Conflict,
    ConnectionLost,
    Overloaded,
    PoolFull,
    Unreachable,
)
from holdfast.resilience import BreakerPolicy, CircuitBreaker, DeadlinePassed, Health, health

POLICY = BreakerPolicy(
    window_s=10.0, calls_min=4, failure_ratio=0.5, open_s=5.0, jitter=0.0, probes=2
)


@dataclass
class Model:
    """What the breaker should do, written for clarity: nothing is ever thrown away."""

    state: str = "closed"
    since: float = 0.0
    probe_at: float = 0.0
    ended: list[tuple[float, bool]] = field(default_factory=list)
    out: list[int] = field(default_factory=list)
    good_probes: int = 0
    round: int = 0

    def move(self, state: str, now: float) -> None:
        self.state, self.since, self.ended, self.out = state, now, [], []
        self.good_probes, self.round = 0, self.round + 1

    def try_pass(self, now: float, ticket: int) -> bool:
        if self.state == "open" and now >= self.since + POLICY.open_s:
            self.move("half_open", now)
        if self.state == "open":
            return False
        if self.state == "half_open":
            if len(self.out) + self.good_probes >= POLICY.probes:
                if now < self.probe_at + POLICY.probe_life_s:
                    return False
                self.move("half_open", now)
            self.probe_at = now
        self.out.append(ticket)
        return True

    def settle(self, now: float, ticket: int, is_good: bool | None) -> None:
        if ticket not in self.out:
            return
        self.out.remove(ticket)
        if is_good is None:
            return
        if self.state == "half_open":
            self.good_probes += is_good
            if not is_good:
                self.move("open", now)
            elif self.good_probes == POLICY.probes:
                self.move("closed", now)
            return
        self.ended.append((now, is_good))
        lately = [good for at, good in self.ended if int(at) > int(now) - 10]
        share = lately.count(False) / len(lately)
        if not is_good and len(lately) >= POLICY.calls_min and share >= POLICY.failure_ratio:
            self.move("open", now)


ACTIONS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("wait"), st.just(8 * 31)),
    st.tuples(st.just("pass"), st.just(0)),
    st.tuples(st.sampled_from(["good", "bad", "bad", "drop"]), st.integers(0, 5)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(ACTIONS, max_size=80))
def test_the_breaker_does_what_the_model_does(actions: list[tuple[str, int]]) -> None:
    """For any order of passes, results in any order, cancellations and pauses."""
    breaker, model, now = CircuitBreaker(POLICY, random.Random(7)), Model(), 1000.0
    tickets: list[tuple[int, int]] = []  # [(number in the model, ticket of the breaker)]

    for number, (what, much) in enumerate(actions):
        if what == "wait":
            now += much / 8
        elif what == "pass":
            ticket = breaker.try_pass(now)
            assert (ticket is not None) == model.try_pass(now, number)
            if ticket is not None:
                tickets.append((number, ticket))
        elif tickets:
            number_then, ticket = tickets.pop(much % len(tickets))
            model.settle(now, number_then, {"good": True, "bad": False, "drop": None}[what])
            if what == "drop":
                breaker.dropped(ticket)
            else:
                (breaker.succeeded if what == "good" else breaker.failed)(ticket, now)
        assert breaker.state == model.state
        assert breaker.state != "half_open" or len(model.out) <= POLICY.probes


def opened(now: float = 1000.0, policy: BreakerPolicy = POLICY) -> CircuitBreaker:
    """Return a breaker that opened at `now`."""
    breaker = CircuitBreaker(policy, random.Random(7))
    for _ in range(policy.calls_min):
        breaker.failed(grant(breaker, now), now)
    assert breaker.state == "open"
    return breaker


def grant(breaker: CircuitBreaker, now: float) -> int:
    """Return a ticket that the breaker must give."""
    ticket = breaker.try_pass(now)
    assert ticket is not None
    return ticket


def test_a_few_failures_decide_nothing() -> None:
    """Below calls_min even a ratio of 100% leaves it closed."""
    breaker = CircuitBreaker(POLICY, random.Random(7))

    for _ in range(POLICY.calls_min - 1):
        breaker.failed(grant(breaker, 1000.0), 1000.0)

    assert breaker.state == "closed"
    assert breaker.stats().failures == 3


@pytest.mark.parametrize(
    ("good", "ratio", "state"),
    [(2, 0.5, "open"), (3, 0.5, "closed"), (0, 1.0, "open"), (1, 1.0, "closed"), (6, 0.25, "open")],
)
def test_it_opens_at_exactly_its_ratio(good: int, ratio: float, state: str) -> None:
    """`At least this share`: half of four calls is enough for a half, and two of five are not."""
    breaker = CircuitBreaker(replace(POLICY, calls_min=2, failure_ratio=ratio), random.Random(7))
    for _ in range(good):
        breaker.succeeded(grant(breaker, 1000.0), 1000.0)

    failures = [grant(breaker, 1000.0) for _ in range(2)]
    for ticket in failures:
        assert breaker.state == "closed"
        breaker.failed(ticket, 1000.0)

    assert breaker.state == state


def test_an_open_breaker_refuses_until_its_time_is_over() -> None:
    """Then it lets exactly `probes` calls through, and closes when they succeeded."""
    breaker = opened(1000.0)

    assert breaker.try_pass(1004.9) is None
    probes = [grant(breaker, 1005.0), grant(breaker, 1005.0)]
    assert breaker.try_pass(1005.0) is None
    assert breaker.stats().refused == 2
    for probe in probes:
        breaker.succeeded(probe, 1005.5)

    assert breaker.state == "closed"
    assert breaker.stats().failures == 0


def test_one_failed_probe_opens_it_again() -> None:
    """The rest begins anew, and what the other probe says no longer counts."""
    breaker = opened(1000.0)
    first, second = grant(breaker, 1005.0), grant(breaker, 1005.0)

    breaker.failed(first, 1006.0)
    breaker.succeeded(second, 1006.5)

    assert breaker.state == "open"
    assert breaker.stats().opened == 2
    assert breaker.try_pass(1010.9) is None
    assert breaker.try_pass(1011.0) is not None


def test_a_slow_call_from_before_does_not_close_or_open_it() -> None:
    """Results of an earlier epoch are ignored, good ones and bad ones."""
    breaker = CircuitBreaker(POLICY, random.Random(7))
    old = [grant(breaker, 1000.0) for _ in range(6)]
    for ticket in old[:4]:
        breaker.failed(ticket, 1001.0)
    grant(breaker, 1006.0)

    breaker.succeeded(old[4], 1006.0)
    breaker.succeeded(old[4], 1006.0)
    assert breaker.state == "half_open"
    breaker.failed(old[5], 1006.0)
    assert breaker.state == "half_open"


def test_a_cancelled_probe_gives_its_place_to_the_next() -> None:
    """Probes that are dropped one after another never use up the round."""
    breaker = opened(1000.0)

    for _ in range(10):
        breaker.dropped(grant(breaker, 1005.0))

    assert breaker.state == "half_open"
    assert breaker.try_pass(1005.0) is not None


def test_probes_that_nobody_settles_do_not_wedge_it() -> None:
    """After probe_life_s they are taken for lost, and their late results do not count."""
    breaker = opened(1000.0)
    lost = [grant(breaker, 1005.0), grant(breaker, 1006.0)]

    assert breaker.try_pass(1035.9) is None
    fresh = grant(breaker, 1036.0)
    for ticket in lost:
        breaker.succeeded(ticket, 1036.0)
    assert breaker.state == "half_open"

    breaker.succeeded(fresh, 1036.0)
    breaker.succeeded(grant(breaker, 1036.0), 1036.0)
    assert breaker.state == "closed"


def test_many_breakers_do_not_probe_at_the_same_moment() -> None:
    """The time they stay open is spread by the jitter, and stays within it."""
    policy = BreakerPolicy(calls_min=1, open_s=10.0, jitter=0.2)
    rng = random.Random(7)
    waits: list[float] = []

    for _ in range(50):
        breaker = CircuitBreaker(policy, rng)
        breaker.failed(grant(breaker, 1000.0), 1000.0)
        tenths = next(t for t in range(1, 200) if breaker.try_pass(1000.0 + t / 10) is not None)
        waits.append(tenths / 10)

    assert min(waits) >= 8.0
    assert max(waits) <= 12.1
    assert len(set(waits)) > 20


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Unreachable("no route"), "ill"),
        (ConnectionLost("reset"), "ill"),
        (TimeoutError(), "ill"),
        (ConnectionResetError(), "ill"),
        (Overloaded("later"), "well"),
        (PoolFull("later"), "well"),
        (Conflict("taken"), "well"),
        (ValueError("card declined"), "well"),
        (CircuitOpen("open"), "unknown"),
        (BulkheadFull("full"), "unknown"),
        (DeadlinePassed("late"), "unknown"),
        (KeyboardInterrupt(), "unknown"),
    ],
)
def test_what_an_error_says_about_the_other_side(error: BaseException, verdict: Health) -> None:
    """A business refusal is a sign of health; what was refused here is no sign at all."""
    assert health(error) == verdict


def test_a_ticket_from_before_frees_no_place() -> None:
    """A call that is cancelled long after the outage began was no probe."""
    breaker = CircuitBreaker(POLICY, random.Random(7))
    old = [grant(breaker, 1000.0) for _ in range(6)]
    for ticket in old[:4]:
        breaker.failed(ticket, 1000.0)
    for _ in range(POLICY.probes):
        grant(breaker, 1005.0)

    for ticket in old[4:]:
        breaker.dropped(ticket)

    assert breaker.try_pass(1005.0) is None


def test_a_dropped_probe_frees_one_place() -> None:
    """And no more: the others are still under way."""
    breaker = CircuitBreaker(replace(POLICY, probes=3), random.Random(7))
    for _ in range(POLICY.calls_min):
        breaker.failed(grant(breaker, 1000.0), 1000.0)
    first, _, _ = (grant(breaker, 1005.0) for _ in range(3))

    breaker.dropped(first)

    assert breaker.try_pass(1005.0) is not None
    assert breaker.try_pass(1005.0) is None
