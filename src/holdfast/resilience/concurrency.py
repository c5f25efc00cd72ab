"""How many requests may be inside a process at once: a limit for each tier, which finds itself.

What waits inside for its turn is told here. While a tenth of it waits longer than it should, the
least important tier that is inside gets fewer places; afterwards the most important one that was
refused some gets more. So bulk gives way to normal, and normal to critical, until nothing is left
of it: a tier gets what those before it leave.

Source: how far a limit falls is L = X * T (J. Little, Operations Research 9, 1961): as many as are
done in the time that each of them may be inside. It rises by a part of itself.
"""

import math
from dataclasses import dataclass

from holdfast.contract.tier import Tier

WINDOW_S = 0.1
SAMPLES_MIN = 10  # that end a window; fewer say little of a tenth
SPARSE_WINDOWS = 10  # after so long it ends all the same
LATE_SHARE = 0.1
WINDOWS = 2  # in a row, before a limit falls; one is a hiccup, which is caught up with
FLOOD = 2.0  # times what is enough, where it is not waited for a second window
BUSY_SHARE = 0.25  # of the longest wait: who waits longer on the average waits for others
LAST_WINDOWS = 10  # before one falls whose lesser tiers have fallen already
SHOWS = 3.0  # times the longest wait, after which the next window begins at the latest
STEADY_S = 1.0  # over about so long the rate of what is done is told
_FALL = 0.5  # of a limit, at least this much is left
_RISE = 0.05


class RoutePlaces:
    """Requests of one route that are inside."""

    __slots__ = ("inside", "tier")

    def __init__(self, tier: Tier = Tier.NORMAL) -> None:
        self.tier, self.inside = tier, 0


@dataclass(frozen=True, slots=True)
class TierStats:
    """How many places a tier has, how many of them are taken, and the refusals since the start."""

    limit: int
    inside: int
    refused: int


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in a while.

    Attributes:
        done_per_s: requests that left.
        works_s: how long each of them was inside on the average, but for its waiting.
        waited_s: how long somebody waited for a turn, on the average.
        late: whether a tenth of them waited too long.
    """

    done_per_s: float
    works_s: float
    waited_s: float
    late: bool

    def enough(self, wait_s: float) -> float:
        """Return how many may be inside so that each waits for `wait_s`, half of it before."""
        return self.done_per_s * (self.works_s + wait_s / 2)


def narrowed(inside: float, seen: Window, wait_s: float) -> float:
    """Return how many may be inside so that nobody waits longer than `wait_s`; so many were."""
    return min(inside, max(inside * _FALL, seen.enough(wait_s)))


def fills_up(inside: int, before: int, seen: Window, wait_s: float) -> bool:
    """Say whether who comes now will wait too long, before anybody has.

    Args:
        inside: how many are. before: how many were when the window began; what gets less is being
            caught up with.
    """
    busy = seen.waited_s > wait_s * BUSY_SHARE
    return busy and inside >= before and inside > seen.enough(wait_s)


def widened(limit: float, limit_max: float, *, busy: bool) -> float:
    """Return the next limit of a tier that is wanted more than it may be inside.

    Where nobody waits for long it doubles: what made it fall is over.
    """
    return min(limit_max, limit + max(1.0, limit * _RISE if busy else limit))


class _TierState:
    """What is known of a tier.

    Attributes:
        peak, wanted, crowds: of the present window: how many were inside, whether one was refused,
            and one of a route that has less than half of the places. crowded: of the one before.
    """

    __slots__ = ("crowded", "crowds", "inside", "limit", "peak", "refused", "wanted")

    def __init__(self) -> None:
        self.limit = 0.0
        self.inside = self.refused = self.peak = 0
        self.wanted = self.crowds = self.crowded = False


class ConcurrencyLimits:
    """The places of one process, by tiers.

    A route has at most half of its tier's places while others are refused there: one whose
    requests take long would have them all.

    Args:
        places_max: of each tier, and the limit that it begins with.
    Attributes:
        wait_s: how long a request should wait inside at most.
    """

    __slots__ = (
        "_bad_windows",
        "_before",
        "_begun_at",
        "_done_per_s",
        "_ended",
        "_expected_s",
        "_inside",
        "_inside_s",
        "_late",
        "_places_max",
        "_samples",
        "_tiers",
        "_until",
        "_waited_s",
        "wait_s",
    )

    def __init__(self, places_max: int, wait_s: float) -> None:
        self._places_max, self.wait_s = float(places_max), wait_s
        self._tiers = tuple(_TierState() for _ in Tier)
        self._inside = self._before = 0
        self._begun_at = self._until = -math.inf
        self._recover()
        self._forget()

    @property
    def expected_s(self) -> float:
        """How long one that comes now will wait; where nobody is inside, nobody waits."""
        return self._expected_s if self._inside else 0.0

    def enter(self, places: RoutePlaces, now: float) -> bool:
        """Take a place for a request of a route; say whether there was one."""
        if now >= self._until:
            self._look(now)
        if self.is_full(places):
            tier = self._tiers[places.tier]
            tier.refused += 1
            tier.wanted = True
            tier.crowds = tier.crowds or places.inside * 2 <= tier.limit
            return False
        self.take(places, now)
        return True

    def take(self, places: RoutePlaces, now: float) -> None:
        """Take a place, whether there is one or not."""
        if now >= self._until:
            self._look(now)
        tier = self._tiers[places.tier]
        self._inside += 1
        places.inside += 1
        tier.inside += 1
        if tier.inside > tier.peak:
            tier.peak = tier.inside

    def limit_of(self, places: RoutePlaces) -> int:
        """Return how many of a route's tier may be inside."""
        return int(self._tiers[places.tier].limit)

    def want(self, places: RoutePlaces) -> None:
        """Note that a route would have had one more, without refusing anything."""
        self._tiers[places.tier].wanted = True

    def refuse(self, places: RoutePlaces, now: float) -> None:
        """Count a request that is refused for another reason than want of a place.

        Time passes by those, too: who is refused for what was seen once would never see another.
        """
        if now >= self._until:
            self._look(now)
        self._tiers[places.tier].refused += 1

    def is_full(self, places: RoutePlaces) -> bool:
        """Say whether there is no place for a request of a route."""
        tier = self._tiers[places.tier]
        return (
            tier.inside >= tier.limit
            or (tier.crowded and places.inside * 2 > tier.limit)
            or (self._inside >= self._places_max and places.tier is not Tier.CRITICAL)
        )

    def turn_away(self, places: RoutePlaces, now: float) -> None:
        """Give a place back with which nothing was done, and count a request that is refused."""
        self.refuse(places, now)
        self._give_back(places)

    def _give_back(self, places: RoutePlaces) -> None:
        self._inside -= 1
        places.inside -= 1
        self._tiers[places.tier].inside -= 1

    def leave(self, places: RoutePlaces, inside_s: float) -> None:
        """Give a place back that was taken for so many seconds."""
        self._give_back(places)
        self._ended += 1
        self._inside_s += inside_s

    def waited(self, seconds: float, now: float, count: int = 1) -> None:
        """Note that somebody, or so many, waited so long for a turn inside."""
        self._samples += count
        self._waited_s += seconds * count
        if seconds > self.wait_s:
            self._late += count
        if now >= self._until:
            self._look(now)

    def stats(self) -> dict[str, TierStats]:
        """Return {tier: how it stands}."""
        return {
            tier.name.lower(): TierStats(int(state.limit), state.inside, state.refused)
            for tier, state in zip(Tier, self._tiers, strict=True)
        }

    def _look(self, now: float) -> None:
        """End a window: let limits fall or rise by what was seen in it."""
        seconds, samples = now - self._begun_at, self._samples
        idle = now - self._until > WINDOW_S * SPARSE_WINDOWS
        self._until = now + WINDOW_S
        if samples < SAMPLES_MIN and seconds < WINDOW_S * SPARSE_WINDOWS:
            return
        if idle or (samples < SAMPLES_MIN and self._waited_s <= samples * self._busy_s):
            self._recover()
        elif samples:
            self._decide(now, self._seen(seconds))
        self._begun_at, self._before = now, self._inside
        self._forget()

    @property
    def is_busy(self) -> bool:
        """Whether turns inside wait for others."""
        return self.expected_s > self._busy_s

    @property
    def _busy_s(self) -> float:
        """Whoever waits longer on the average waits for others."""
        return self.wait_s * BUSY_SHARE

    def _recover(self) -> None:
        """Forget what made limits fall: nothing has come for a while, or little, and in time."""
        self._bad_windows, self._done_per_s, self._expected_s = 0, 0.0, 0.0
        for tier in self._tiers:
            tier.limit = self._places_max

    def _seen(self, seconds: float) -> Window:
        waited_s = self._waited_s / self._samples
        inside_s = self._inside_s / self._ended if self._ended else 0.0
        late = self._late > self._samples * LATE_SHARE
        weight = 1.0 - math.exp(-seconds / STEADY_S) if self._done_per_s else 1.0
        self._done_per_s += weight * (self._ended / seconds - self._done_per_s)
        return Window(self._done_per_s, max(0.0, inside_s - waited_s), waited_s, late)

    def _decide(self, now: float, seen: Window) -> None:
        self._expected_s = seen.waited_s
        fills = fills_up(self._inside, self._before, seen, self.wait_s)
        floods = fills and self._inside > FLOOD * seen.enough(self.wait_s)
        self._bad_windows = self._bad_windows + 1 if seen.late or fills else 0
        if self._bad_windows >= WINDOWS or floods:
            self._narrow(seen)
            if not fills:  # what was changed shows after so long; what stood still says nothing
                self._until = now + max(WINDOW_S, min(seen.waited_s, SHOWS * self.wait_s))
        elif not self._bad_windows:
            self._widen(busy=seen.waited_s > self._busy_s)

    def _narrow(self, seen: Window) -> None:
        """Take places from the least important tiers that are inside.

        The most important of them loses none as long as others are inside, nor soon after they were
        sent away; and it keeps one.
        """
        there = [tier for tier in self._tiers if tier.peak and tier.limit]
        taken = [min(tier.limit, float(tier.peak)) for tier in there]
        over = sum(taken) - narrowed(sum(taken), seen, self.wait_s)
        for tier, places in reversed(list(zip(there[1:], taken[1:], strict=True))):
            tier.limit = max(0.0, places - over)
            over = max(0.0, over - places)
        if len(there) == 1 and (self._bad_windows >= LAST_WINDOWS or not self._lower(there[0])):
            there[0].limit = max(1.0, taken[0] - over)

    def _lower(self, tier: _TierState) -> bool:
        """Say whether a less important tier has lost places."""
        below = self._tiers[self._tiers.index(tier) + 1 :]
        return any(other.limit < self._places_max for other in below)

    def _widen(self, *, busy: bool) -> None:
        """Give places to the most important tier that was refused some."""
        for tier in self._tiers:
            if tier.wanted and tier.limit < self._places_max:
                tier.limit = widened(tier.limit, self._places_max, busy=busy)
                return

    def _forget(self) -> None:
        self._samples = self._late = self._ended = 0
        self._waited_s = self._inside_s = 0.0
        for tier in self._tiers:
            tier.peak, tier.crowded = tier.inside, tier.crowds
            tier.wanted = tier.crowds = False
