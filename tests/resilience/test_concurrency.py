"""Limits that find themselves: goodput under any load, by tiers, and none where nothing waits."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from holdfast.contract.tier import Tier
from holdfast.resilience import ConcurrencyLimits, RoutePlaces
from holdfast.resilience.concurrency import Window, fills_up, narrowed, widened

SERVE_S, REFUSE_S, DEADLINE_S, WAIT_S = 0.004, 0.000_04, 0.5, 0.1
NORMAL = {Tier.NORMAL: 1.0}
MIXED = {Tier.CRITICAL: 0.1, Tier.NORMAL: 0.7, Tier.BULK: 0.2}


@dataclass
class Seen:
    """What became of the requests of each tier, after the first seconds."""

    came: Counter[Tier] = field(default_factory=Counter[Tier])
    refused: Counter[Tier] = field(default_factory=Counter[Tier])
    good: Counter[Tier] = field(default_factory=Counter[Tier])
    took_s: list[float] = field(default_factory=list[float])

    def goodput(self, seconds: float) -> float:
        """Return what was answered in time, as a share of what can be."""
        return self.good.total() * SERVE_S / seconds


def serve(
    limits: ConcurrencyLimits,
    load: float,
    mix: Mapping[Tier, float] = NORMAL,
    *,
    seconds: float = 30.0,
    warm_s: float = 5.0,
) -> Seen:
    """Serve requests as a loop of one process does: it reads all that came, then serves that."""
    chance, seen = random.Random(7), Seen()
    routes = {tier: RoutePlaces(tier) for tier in mix}
    gap_s = SERVE_S / load
    now, comes = 0.0, chance.expovariate(1 / gap_s)
    while now < seconds:
        now, begun = max(now, comes), list[tuple[float, Tier]]()
        while comes <= now:
            came, (tier,) = comes, chance.choices(list(mix), list(mix.values()))
            comes += chance.expovariate(1 / gap_s)
            counts = came > warm_s
            seen.came[tier] += counts
            if limits.enter(routes[tier], now):
                begun.append((came, tier))
            else:
                now += REFUSE_S
                seen.refused[tier] += counts
        for came, tier in begun:
            limits.waited(now - came, now)
            now += SERVE_S
            limits.leave(routes[tier], now - came)
            if came > warm_s and now - came <= DEADLINE_S:
                seen.good[tier] += 1
                seen.took_s.append(now - came)
    seen.took_s.sort()
    return seen


@pytest.mark.parametrize(("load", "least"), [(0.8, 0.79), (2, 0.97), (5, 0.94), (10, 0.88)])
def test_goodput_stays_under_any_load(load: float, least: float) -> None:
    """What the bound (1 + r) - L * r allows, but for one or two hundredths."""
    seen = serve(ConcurrencyLimits(1_000, WAIT_S), load)

    assert seen.goodput(25.0) >= least
    assert seen.took_s[int(len(seen.took_s) * 0.99)] <= 0.3 * DEADLINE_S
    if load < 1:
        assert not seen.refused


def test_without_a_limit_that_falls_nothing_is_in_time() -> None:
    """So the one above can fail."""
    seen = serve(ConcurrencyLimits(1_000, wait_s=1e9), 2)

    assert seen.goodput(25.0) < 0.1


@pytest.mark.parametrize("load", [2, 5])
def test_tiers_are_strict(load: float) -> None:
    """Nothing of bulk is left before normal gives anything, and critical gives nothing."""
    seen = serve(ConcurrencyLimits(1_000, WAIT_S), load, MIXED)

    assert seen.refused[Tier.CRITICAL] == 0
    assert seen.good[Tier.CRITICAL] == seen.came[Tier.CRITICAL]
    assert seen.refused[Tier.BULK] >= 0.95 * seen.came[Tier.BULK]
    assert seen.good[Tier.NORMAL] > 0


def test_what_waits_for_others_is_not_too_much() -> None:
    """Three hundred that each wait for three seconds for somebody else: no turn comes late."""
    limits, route = ConcurrencyLimits(1_000, WAIT_S), RoutePlaces()
    now, inside = 0.0, list[float]()
    for _ in range(3_000):
        now += 0.01
        while inside and inside[0] + 3.0 <= now:
            limits.leave(route, now - inside.pop(0))
        assert limits.enter(route, now)
        limits.waited(0.0005, now)
        inside.append(now)

    assert limits.stats()["normal"].limit == 1_000


def test_a_hiccup_is_caught_up_with() -> None:
    """A process that stood still for two seconds is late with all that came, and serves it."""
    limits, route = ConcurrencyLimits(1_000, 1.0), RoutePlaces()
    now = 0.0
    for _ in range(500):
        now += 0.01
        assert limits.enter(route, now)
        limits.waited(0.001, now)
        limits.leave(route, 0.004)
    now += 2.0
    assert all(limits.enter(route, now) for _ in range(200))
    for number in range(200):  # they go on as fast as it can
        now += 0.000_4
        limits.waited(number * 0.000_4, now)
        limits.leave(route, number * 0.000_4)

    assert limits.stats()["normal"].limit == 1_000


def test_a_route_does_not_have_all_places_while_others_are_refused() -> None:
    """The dear one is refused beyond half of them, and the cheap one gets in."""
    limits, dear, cheap = ConcurrencyLimits(8, WAIT_S), RoutePlaces(), RoutePlaces()
    assert [limits.enter(dear, 0.0) for _ in range(9)] == [True] * 8 + [False]
    assert not limits.enter(cheap, 0.0)
    for number in range(12):  # a window ends
        limits.waited(0.0, 0.2 + number / 100)
    for _ in range(4):
        limits.leave(dear, 1.0)

    assert [limits.enter(dear, 0.4) for _ in range(2)] == [True, False]
    assert limits.enter(cheap, 0.4)


def test_all_tiers_together_have_no_more_places_than_one() -> None:
    """But for what is critical: it is let in as long as it has places of its own."""
    limits = ConcurrencyLimits(4, WAIT_S)
    routes = {tier: RoutePlaces(tier) for tier in Tier}
    assert all(limits.enter(routes[Tier.BULK], 0.0) for _ in range(4))

    assert not limits.enter(routes[Tier.NORMAL], 0.0)
    assert limits.enter(routes[Tier.CRITICAL], 0.0)
    assert {tier: at.inside for tier, at in limits.stats().items()} == {
        "critical": 1,
        "normal": 0,
        "bulk": 4,
    }


def test_a_limit_comes_back() -> None:
    """When turns come in time again and more is wanted, by a twentieth or one at a time."""
    limits = ConcurrencyLimits(1_000, WAIT_S)
    serve(limits, 5)
    fallen = limits.stats()["normal"].limit
    route, now = RoutePlaces(), 100.0
    for _ in range(4_000):
        now += 0.01
        for _ in range(fallen * 2):
            if limits.enter(route, now):
                limits.waited(0.001, now)
                limits.leave(route, 0.002)
            else:
                break
        while limits.enter(route, now):
            pass
        for _ in range(route.inside):
            limits.waited(0.001, now)
            limits.leave(route, 0.002)

    assert fallen < 60
    assert limits.stats()["normal"].limit == 1_000


def test_littles_law_says_how_far_a_limit_falls() -> None:
    """250 a second that work for 4 ms and may wait for 50 inside: 13.5; half may go at once."""
    seen = Window(done_per_s=250.0, works_s=0.004, waited_s=0.2, late=True)

    assert narrowed(20.0, seen, 0.1) == pytest.approx(13.5)
    assert narrowed(100.0, seen, 0.1) == 50.0
    assert narrowed(13.0, seen, 0.1) == 13.0
    assert widened(10.0, 1_000.0, busy=True) == 11.0
    assert widened(100.0, 1_000.0, busy=True) == 105.0
    assert widened(10.0, 1_000.0, busy=False) == 20.0
    assert widened(990.0, 1_000.0, busy=True) == 1_000.0
    assert fills_up(14, 14, seen, 0.1)
    assert not fills_up(14, 15, seen, 0.1)  # it is being caught up with
    assert not fills_up(13, 13, seen, 0.1)


def test_after_a_while_without_requests_all_is_forgotten() -> None:
    """What made a limit fall is over; whoever comes next is not refused for it."""
    limits, route = ConcurrencyLimits(1_000, WAIT_S), RoutePlaces()
    serve(limits, 5, seconds=8.0)
    assert limits.stats()["normal"].limit < 60

    assert limits.enter(route, 12.0)
    assert limits.stats()["normal"].limit == 1_000


def test_few_requests_that_wait_for_nothing_end_it_too() -> None:
    """One now and then, so that no window has enough of them to judge by."""
    limits, route, now = ConcurrencyLimits(1_000, WAIT_S), RoutePlaces(), 8.0
    serve(limits, 5, seconds=8.0)
    for _ in range(12):
        now += 0.2
        assert limits.enter(route, now)
        limits.waited(0.001, now)
        limits.leave(route, 0.005)

    assert limits.stats()["normal"].limit == 1_000


def test_many_at_the_moment_when_a_window_ends_are_of_the_next_one() -> None:
    """Where a clock stands still in between, nothing is divided by no time."""
    limits = ConcurrencyLimits(1_000, WAIT_S)
    for now, count in ((5.0, 1), (5.0, 1), (5.6, 1), (6.2, 1), (6.2, 128), (6.3, 12)):
        limits.waited(0.001, now, count)

    assert limits.stats()["normal"].limit == 1_000


def test_what_stood_still_looks_again_soon() -> None:
    """After ten minutes all have waited for that long; a few seconds later nobody does."""
    limits, places, now = ConcurrencyLimits(100, 1.0), RoutePlaces(), 0.0
    for _ in range(40):
        limits.waited(600.0, now)
        now += 0.01
    assert limits.enter(places, now)
    stood_s = limits.expected_s
    for _ in range(500):
        now += 0.01
        if limits.enter(places, now):
            limits.waited(0.0, now)
            limits.leave(places, 0.0)

    assert stood_s == 600.0
    assert limits.expected_s == 0.0
    assert limits.stats()["normal"].limit == 100
