"""How many parcels a process takes: few at first, more while all is well, fewer under load."""

from collections.abc import Callable

import pytest

from holdfast.contract.tier import Tier
from holdfast.resilience import AdaptivePrefetch, ConcurrencyLimits, RoutePlaces
from holdfast.resilience.prefetch import FIRST

WAIT_S = 0.5


class Process:
    """The places of a process, and what of its time has passed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.limits = ConcurrencyLimits(1_000, WAIT_S)
        self.prefetch = AdaptivePrefetch(self.limits, lambda: self.now)
        self.begun: list[float] = []

    def fill(self) -> int:
        """Begin parcels as a broker does that has many; return how many are under way."""
        while len(self.begun) < self.prefetch.allowed(len(self.begun)):
            self.begun.append(self.prefetch.enter())
        return len(self.begun)

    def end(self, count: int, *, waited_s: float = 0.0, takes_s: float = 0.05) -> None:
        """End some of them, each of which took so long and waited so long."""
        for _ in range(count):
            self.now += takes_s
            self.limits.waited(waited_s, self.now)
            self.prefetch.leave(self.begun.pop(0))

    def round(self, **times: float) -> int:
        """End all of them, and begin new ones."""
        self.end(len(self.begun), **times)
        return self.fill()


@pytest.fixture
def process() -> Process:
    """Return one with nothing to do."""
    return Process()


def test_it_begins_with_few_and_doubles_while_nobody_waits(process: Process) -> None:
    """Slow start: with each that ends there is room for one more."""
    assert [process.fill(), process.round(), process.round()] == [FIRST, 2 * FIRST, 4 * FIRST]


def test_what_is_not_wanted_is_not_asked_for(process: Process) -> None:
    """Who has less to do than it may does not learn how much it could."""
    for _ in range(100):
        assert process.prefetch.allowed(1) == FIRST
        process.begun.append(process.prefetch.enter())
        process.end(1)

    assert process.fill() == FIRST


def test_it_ends_somewhere(process: Process) -> None:
    """At what may be inside of anything."""
    process.fill()
    for _ in range(12):
        process.round(takes_s=0.0001)

    assert process.fill() == 1_000


def test_while_turns_wait_there_are_no_more(process: Process) -> None:
    """A quarter of the longest wait says that they wait for each other."""
    process.fill()

    assert process.round(waited_s=0.3 * WAIT_S, takes_s=0.2) <= 2 * FIRST
    widest = process.fill()
    assert process.round(waited_s=0.3 * WAIT_S, takes_s=0.2) <= widest


def test_when_turns_come_late_there_are_fewer_but_one_goes_on(process: Process) -> None:
    """Down to one, however slow: what is begun ends, and its end lets the next one in."""
    process.fill()
    for _ in range(4):
        process.round()
    wide = process.fill()

    seen = [process.round(waited_s=3 * WAIT_S, takes_s=1.0) for _ in range(8)]

    assert seen == sorted(seen, reverse=True)
    assert seen[0] < wide
    assert seen[-1] == 1


def test_when_all_is_well_again_it_widens(process: Process) -> None:
    """From one, doubling."""
    process.fill()
    for _ in range(12):
        process.round(waited_s=3 * WAIT_S, takes_s=1.0)
    assert process.fill() == 1

    for _ in range(60):
        process.round()

    assert process.fill() >= 64


@pytest.mark.parametrize("tier", list(Tier))
def test_requests_give_way_to_what_was_begun(process: Process, tier: Tier) -> None:
    """Letters fill the limit that is left; a request of a client finds no place then."""
    routes = RoutePlaces(tier)
    process.fill()
    for _ in range(12):
        process.round(waited_s=3 * WAIT_S, takes_s=1.0)
    enters: Callable[[], bool] = lambda: process.limits.enter(routes, process.now)  # noqa: E731

    assert process.fill() == 1
    if tier is Tier.CRITICAL:
        assert not enters()
    process.end(1, waited_s=3 * WAIT_S)
    assert process.prefetch.allowed(0) == 1
