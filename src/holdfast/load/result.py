"""What a load has shown: pure functions from tallies to figures, and from figures to rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.load.tally import LoadTally, TierTally

LAG_S = 0.05
"""A generator whose requests leave later than this, one in a hundred, has not kept its schedule."""
STEADY = 0.8
ALL = "all"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of some sorted values are; nearest rank."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class TierResult:
    """The requests of one tier at one level, or of all tiers.

    Attributes:
        goodput: what was answered well, in the time until it was done with what it started, as a
            share of the capacity: 1.5 may be taken of 1 for a while, but it is not done.
        refused_429, refused_503: how many.
        late: whose clients had gone; `unsent`: those of them that had no connection.
        errors: {status or error: how many}.
        p50_ms, p99_ms: of what was answered well, from when it was due; None: there is none.
        refusal_p50_ms: of what was refused.
    """

    tier: str
    offered_per_s: float
    good_per_s: float
    goodput: float
    refused_429: int
    refused_503: int
    late: int
    unsent: int
    errors: Mapping[str, int]
    p50_ms: float | None
    p99_ms: float | None
    refusal_p50_ms: float | None


@dataclass(frozen=True, slots=True)
class LevelResult:
    """One level of load.

    Attributes:
        pace: as it was asked for; `per_s`: in requests a second.
        tiers: those that had requests, the most important first, then all.
        settled_s: from the last request until nothing was under way; None: it was not seen.
        lag_p99_ms: by how much the generator was behind its schedule.
        kept_up: whether that is little enough for the figures to be some.
        bad: the first answer that was neither good nor a refusal.
    """

    pace: str
    per_s: float
    seconds: float
    tiers: tuple[TierResult, ...]
    settled_s: float | None
    lag_p99_ms: float
    kept_up: bool
    bad: str = ""

    @property
    def whole(self) -> TierResult:
        """All tiers together."""
        return self.tiers[-1]


@dataclass(frozen=True, slots=True)
class CapacityRound:
    """One round of the closed loop.

    Attributes:
        connections: that asked at once.
        settled_s: from the last answer until nothing was under way; None: it was not seen.
        is_steady: whether its second half was about as good as its first.
    """

    connections: int
    good: int
    bad: int
    took_s: float
    settled_s: float | None
    is_steady: bool

    @property
    def per_s(self) -> float:
        """What is answered well each second, with what it starts."""
        return self.good / (self.took_s + (self.settled_s or 0.0))


@dataclass(frozen=True, slots=True)
class LoadReport:
    """All that a load has shown.

    Attributes:
        capacity_per_s: what is answered well each second when it is always asked.
    """

    system: str
    url: str
    patience_s: float
    connections_max: int
    capacity_per_s: float
    rounds: tuple[CapacityRound, ...]
    levels: tuple[LevelResult, ...]


def is_steady(halves: Sequence[int]) -> bool:
    """Whether the second half of a round was about as good as its first."""
    first, second = halves
    return first > 0 and STEADY <= second / first <= 1 / STEADY


def capacity_of(rounds: Sequence[CapacityRound]) -> float:
    """Return the rate of the best steady round; of the best one, if none is."""
    steady = [one for one in rounds if one.is_steady]
    return max(one.per_s for one in steady or rounds)


def level_result(
    pace: str,
    per_s: float,
    seconds: float,
    tally: LoadTally,
    *,
    capacity_per_s: float,
    settled_s: float | None,
) -> LevelResult:
    """Return the figures of a level from what became of its requests."""
    named = [(tier.name.lower(), one) for tier, one in tally.tiers.items() if one.offered]
    full = capacity_per_s * (seconds + (settled_s or 0.0))
    tiers = [_tier(name, one, seconds, full) for name, one in (*named, (ALL, tally.whole))]
    lag_s = percentile(sorted(tally.lags_s), 0.99)
    return LevelResult(
        pace,
        per_s,
        seconds,
        tuple(tiers),
        settled_s,
        lag_s * 1e3,
        kept_up=lag_s <= LAG_S,
        bad=tally.bad if tally.whole.errors else "",
    )


def _tier(name: str, tally: TierTally, seconds: float, full: float) -> TierResult:
    """Return the figures of a tier; `full` is what would have been answered at the capacity."""
    good_s, refused_s = sorted(tally.good_s), sorted(tally.refused_s)
    return TierResult(
        name,
        tally.offered / seconds,
        len(good_s) / seconds,
        len(good_s) / full,
        tally.refused[429],
        tally.refused[503],
        tally.late,
        tally.unsent,
        dict(tally.errors),
        _ms(good_s, 0.5),
        _ms(good_s, 0.99),
        _ms(refused_s, 0.5),
    )


def _ms(ordered: Sequence[float], share: float) -> float | None:
    return percentile(ordered, share) * 1e3 if ordered else None


COLUMNS = (
    *("rate", "tier", "offered", "good", "share", "429", "503", "late", "errors"),
    *("p50", "p99", "ref50", "quiet"),
)


def rows(levels: Sequence[LevelResult]) -> Iterator[dict[str, object]]:
    """Yield the rows of the table: for each level one for all, then one for each tier."""
    for level in levels:
        tiers = level.tiers[:-1]
        for one in (level.whole, *(tiers if len(tiers) > 1 else ())):
            cells = (
                *(level.pace, one.tier, _short(one.offered_per_s), _short(one.good_per_s)),
                *(f"{one.goodput:.0%}", one.refused_429, one.refused_503, one.late),
                *(sum(one.errors.values()), _short(one.p50_ms), _short(one.p99_ms)),
                *(_short(one.refusal_p50_ms), _short(level.settled_s if one.tier == ALL else None)),
            )
            yield dict(zip(COLUMNS, cells, strict=True))


def _short(number: float | None) -> str | None:
    if number is None:
        return None
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def notes(report: LoadReport) -> Iterator[str]:
    """Yield what a reader of the figures has to know of them."""
    if not any(one.is_steady for one in report.rounds):
        yield "no round of the capacity was steady: what else does the machine do? raise --seconds"
    for level in report.levels:
        if not level.kept_up:
            yield (
                f"at {level.pace} the generator was behind its own schedule (p99 "
                f"{level.lag_p99_ms:.0f} ms): these are no figures; give it a core of its own, or "
                "lower --rate"
            )
        if level.whole.unsent:
            yield (
                f"at {level.pace} {level.whole.unsent} requests waited in vain for one of "
                f"{report.connections_max} connections: --connections raises their number"
            )
        if level.bad:
            yield f"at {level.pace} the first error was: {level.bad}"


def missed(report: LoadReport, share: float) -> Iterator[str]:
    """Yield each level that did not answer `share` of what it was offered, or could be, well."""
    for level in report.levels:
        wanted = share * min(1.0, level.per_s / report.capacity_per_s)
        if not level.kept_up:
            yield f"at {level.pace} there are no figures to expect anything of"
        elif level.whole.goodput < wanted:
            yield f"at {level.pace} the share is {level.whole.goodput:.0%}, not {wanted:.0%}"
