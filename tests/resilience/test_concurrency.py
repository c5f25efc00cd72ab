"""Limits that find themselves: goodput under any load, by tiers, and none where nothing waits."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from holdfast.contract.tier import Tier
from holdfast.resilience import ConcurrencyLimits, RoutePlaces
from holdfast.resilience.concurrency import (
    LAST_WINDOWS,
    SAMPLES_MIN,
    SPARSE_WINDOWS,
    WINDOW_S,
    Window,
    fills_up,
    narrowed,
    widened,
)

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
    assert not limits.enter(dear, 0.0), "who is refused last does not decide"
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


class Windows:
    """Limits whose windows are made one by one, each of a tenth of a second."""

    def __init__(self, places_max: int = 100) -> None:
        self.limits, self.now = ConcurrencyLimits(places_max, WAIT_S), 0.0
        self.routes = {tier: RoutePlaces(tier) for tier in Tier}

    def enter(self, tier: Tier, count: int = 1) -> int:
        """Ask so often for a place; return how many there were."""
        return sum(self.limits.enter(self.routes[tier], self.now) for _ in range(count))

    def window(self, waited_s: float, done: int, tier: Tier = Tier.NORMAL) -> None:
        """Let so many leave and come, each of whom waited for so long, until the next look."""
        for _ in range(done):
            self.limits.leave(self.routes[tier], waited_s + 0.05)
            self.enter(tier)
        self.now += WINDOW_S
        self.limits.waited(waited_s, self.now, done)

    def limit(self, tier: Tier) -> int:
        """Return how many may be inside."""
        return self.limits.stats()[tier.name.lower()].limit


def test_a_limit_falls_at_the_second_late_window() -> None:
    """To what was inside where that is no more than enough: 300 a second, 50 ms and 50 more."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    fallen = []
    for late in (True, False, True, True):
        seen.window(0.15 if late else 0.0, 30 if late else 20)
        fallen.append(seen.limit(Tier.NORMAL))

    assert fallen == [100, 100, 100, 20]


@pytest.mark.parametrize("waited_s", [0.25, 9.0])
def test_what_a_fall_has_changed_shows_after_as_long_as_is_waited(waited_s: float) -> None:
    """Those that are inside by then have waited already: no window of theirs is judged.

    But not for minutes after the process stood still.
    """
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    for _ in range(2):
        seen.window(waited_s, 150)
    fell_at, limits = seen.now, list[tuple[float, int]]()
    for _ in range(5):
        seen.enter(Tier.NORMAL)  # and more are wanted
        seen.window(0.0, 2_000)
        limits.append((round(seen.now - fell_at, 3), seen.limit(Tier.NORMAL)))

    assert limits[:2] == [(0.1, 20), (0.2, 20)]
    assert limits[2][1] > 20


def test_who_is_not_there_loses_no_places() -> None:
    """Only what is inside can make others wait."""
    for tier in (Tier.CRITICAL, Tier.NORMAL, Tier.BULK):
        limits = ConcurrencyLimits(1_000, WAIT_S)
        serve(limits, 5, {tier: 1.0})
        fallen = {name for name, at in limits.stats().items() if at.limit < 1_000}

        assert fallen == {tier.name.lower()}


def test_places_come_back_to_those_who_want_them() -> None:
    """Not to a more important tier of which nobody was refused; of two that want, it is first."""
    for wanted in ([Tier.BULK], [Tier.NORMAL], [Tier.NORMAL, Tier.BULK]):
        seen = Windows()
        seen.enter(Tier.NORMAL, 20)
        seen.enter(Tier.BULK, 10)
        for _ in range(2):
            seen.window(0.11, 20)  # 200 a second: enough are 20 of 30
        assert (seen.limit(Tier.NORMAL), seen.limit(Tier.BULK)) == (100, 0)
        for _ in range(12):
            seen.window(0.35, 15)
        before = {tier: seen.limit(tier) for tier in Tier}
        assert before[Tier.NORMAL] < 100
        for tier in wanted:
            while seen.enter(tier):
                pass
        seen.now += 1.0
        seen.limits.waited(0.0, seen.now, 1_000)
        after = {tier: seen.limit(tier) for tier in Tier}

        assert {tier for tier in Tier if after[tier] > before[tier]} == {wanted[0]}


def test_how_long_the_others_waited_is_what_the_next_will_wait() -> None:
    """Nothing before anything was seen, nor after a while in which nothing came."""
    seen = Windows()
    expected = [seen.limits.expected_s]
    seen.enter(Tier.NORMAL, 20)
    for waited_s in (0.0, 0.15, 0.05):
        seen.window(waited_s, 30)
        expected.append(seen.limits.expected_s)
    seen.now += 2.0
    seen.enter(Tier.NORMAL)

    assert expected == pytest.approx([0.0, 0.0, 0.15, 0.05])
    assert seen.limits.expected_s == 0.0


def test_each_refusal_counts_once() -> None:
    """For want of a place, or for another reason, in its tier."""
    seen = Windows(4)
    seen.enter(Tier.NORMAL, 7)
    seen.limits.refuse(seen.routes[Tier.BULK], seen.now)

    refused = {name: at.refused for name, at in seen.limits.stats().items()}
    assert refused == {"critical": 0, "normal": 3, "bulk": 1}


def test_a_flood_is_not_waited_for_a_second_window() -> None:
    """Twice what is enough is inside: 100 a second for 50 ms and 50 more are ten."""
    for inside, expected in ((20, 100), (21, 10)):
        seen = Windows()
        seen.enter(Tier.NORMAL, inside)
        seen.window(0.0, 10)
        seen.window(0.03, 10)  # in time, and others are waited for

        assert seen.limit(Tier.NORMAL) == expected


def test_a_limit_falls_before_anybody_is_late() -> None:
    """Where more are inside than is enough, for two windows, and it does not get less."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 15)
    fallen = []
    for _ in range(2):
        seen.window(0.03, 10)
        fallen.append(seen.limit(Tier.NORMAL))

    assert fallen == [100, 10]


def test_who_waits_a_quarter_of_the_longest_wait_waits_for_nobody() -> None:
    """One who waits longer does."""
    for waited_s in (0.025, 0.026):
        seen = Window(done_per_s=250.0, works_s=0.004, waited_s=waited_s, late=False)

        assert fills_up(100, 100, seen, 0.1) is (waited_s > 0.025)
    seen = Window(done_per_s=100.0, works_s=0.05, waited_s=0.2, late=False)

    assert [fills_up(inside, 0, seen, 0.1) for inside in (10, 11)] == [False, True]


@pytest.mark.parametrize(
    ("count", "waited_s", "over"),
    [
        (SAMPLES_MIN - 1, 0.02, True),
        (8, 0.025, True),
        (SAMPLES_MIN - 1, 0.09, False),
        (SAMPLES_MIN, 0.02, False),
    ],
)
def test_few_say_that_it_is_over_if_they_wait_for_nobody(
    count: int, waited_s: float, over: bool
) -> None:
    """In a window that was let run on for want of them; enough of them are judged as always."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    for _ in range(2):
        seen.window(0.15, 30)
    fallen = seen.limit(Tier.NORMAL)
    seen.now += WINDOW_S * SPARSE_WINDOWS
    seen.limits.waited(waited_s, seen.now, count)

    assert fallen == 20
    assert seen.limit(Tier.NORMAL) == 100 if over else seen.limit(Tier.NORMAL) <= fallen


def test_the_most_important_tier_waits_for_what_lesser_ones_have_lost() -> None:
    """Normal was sent away a moment ago: critical loses places only if that does not help."""
    for lesser in (True, False):
        seen = Windows()
        if lesser:
            seen.enter(Tier.NORMAL, 20)
            for _ in range(2):
                seen.window(0.15, 30)
            for _ in range(20):
                seen.limits.leave(seen.routes[Tier.NORMAL], 0.2)
        seen.enter(Tier.CRITICAL, 40)
        falls = 0
        while seen.limit(Tier.CRITICAL) == 100 and falls < 50:
            seen.window(0.15, 30, Tier.CRITICAL)
            falls += 1

        assert (falls > LAST_WINDOWS / 2) is lesser


def fallen() -> Windows:
    """Return limits of which normal has fallen to the 20 that are inside."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    for _ in range(2):
        seen.window(0.15, 30)
    assert seen.limit(Tier.NORMAL) == 20
    seen.now += WINDOW_S  # what has changed shows
    return seen


def test_what_the_least_important_give_is_not_taken_from_the_others() -> None:
    """Of 35 inside 20 are enough: bulk loses 15 places, and normal none that it has used."""
    seen = Windows()
    for tier, count in ((Tier.CRITICAL, 5), (Tier.NORMAL, 10), (Tier.BULK, 20)):
        seen.enter(tier, count)
    for _ in range(2):
        seen.window(0.15, 20)

    assert [seen.limit(tier) for tier in Tier] == [100, 10, 5]


@pytest.mark.parametrize(("waited_s", "expected"), [(0.025, 40), (0.026, 21)])
def test_a_limit_doubles_where_nobody_waits_for_others(waited_s: float, expected: int) -> None:
    """It rises by a twentieth, or by one, where somebody does."""
    seen = fallen()
    seen.enter(Tier.NORMAL)
    seen.window(waited_s, 50)

    assert seen.limit(Tier.NORMAL) == expected


def test_a_limit_does_not_rise_in_a_late_window() -> None:
    """Though more are wanted: it may be the first of two."""
    seen = fallen()
    seen.window(0.0, 50)
    seen.enter(Tier.NORMAL)
    seen.window(0.15, 50)

    assert seen.limit(Tier.NORMAL) == 20


def test_a_limit_falls_from_the_most_that_were_inside() -> None:
    """Not from those who happened to be left when the window ended."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 40)
    seen.window(0.15, 30)
    for _ in range(30):
        seen.limits.leave(seen.routes[Tier.NORMAL], 0.2)
    seen.enter(Tier.NORMAL)
    seen.now += WINDOW_S
    seen.limits.waited(0.15, seen.now, 30)

    assert seen.limit(Tier.NORMAL) == 30


def test_where_nobody_has_left_nothing_is_known_of_their_work() -> None:
    """It counts as none: what they were inside for they may have waited for."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    seen.window(0.15, 30)
    seen.now += WINDOW_S
    seen.limits.waited(0.15, seen.now, 30)

    assert seen.limit(Tier.NORMAL) == 13  # 271 a second by now, for half of the longest wait


def test_a_window_ends_with_whoever_comes_then() -> None:
    """To the moment; he is judged by it already."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    seen.window(0.15, 30)
    for _ in range(30):
        seen.limits.leave(seen.routes[Tier.NORMAL], 0.2)
        seen.enter(Tier.NORMAL)
    seen.limits.waited(0.15, seen.now + WINDOW_S / 2, 30)
    seen.now += WINDOW_S

    assert seen.enter(Tier.NORMAL) == 0
    assert seen.limit(Tier.NORMAL) == 20


@pytest.mark.parametrize(("then", "falls"), [(1.1, True), (1.2, False)])
def test_after_more_than_a_second_of_nothing_all_is_forgotten(then: float, falls: bool) -> None:
    """One that ends a second after it might have ended is judged, and counts as the first."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    for now in (0.05, then):
        for _ in range(30):
            seen.limits.leave(seen.routes[Tier.NORMAL], 0.2)
            seen.limits.enter(seen.routes[Tier.NORMAL], 0.05)
        seen.limits.waited(0.15, now, 150)
    seen.now = then
    seen.window(0.15, 60)

    assert (seen.limit(Tier.NORMAL) < 100) is falls


@pytest.mark.parametrize(("late", "falls"), [(2, False), (3, True)])
def test_a_window_is_late_if_more_than_a_tenth_of_it_is(late: int, falls: bool) -> None:
    """Of twenty two may be."""
    seen = Windows()
    seen.enter(Tier.NORMAL, 20)
    for _ in range(2):
        seen.limits.waited(0.15, seen.now + WINDOW_S / 2, late)
        seen.window(0.0, 20 - late)

    assert (seen.limit(Tier.NORMAL) < 100) is falls


def test_time_passes_by_refusals_too() -> None:
    """Where all are refused for another reason, what made a limit fall is over all the same."""
    seen = fallen()
    for _ in range(30):
        seen.now += WINDOW_S
        seen.limits.refuse(seen.routes[Tier.NORMAL], seen.now)

    assert seen.limit(Tier.NORMAL) == 100
