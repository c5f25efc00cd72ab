"""What became of requests, counted while they come back."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from holdfast.contract.tier import Tier

BUSY = frozenset([429, 503])
"""Statuses by which a system refuses what it cannot or will not take now."""


def _seconds() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class TierTally:
    """The requests of one tier.

    Attributes:
        good_s: how long each took that was answered well, from when it should have been sent.
        refused, refused_s: how many by status, and how long each took.
        late: their clients had gone; `unsent`: those among them that no connection was free for.
        errors: {status or what ended the connection: how many}.
    """

    offered: int = 0
    good_s: "array[float]" = field(default_factory=_seconds)
    refused: "Counter[int]" = field(default_factory=Counter[int])
    refused_s: "array[float]" = field(default_factory=_seconds)
    late: int = 0
    unsent: int = 0
    errors: "Counter[str]" = field(default_factory=Counter[str])

    def answered(self, status: int, *, good: bool, took_s: float) -> None:
        """Count an answer that came in time."""
        if good:
            self.good_s.append(took_s)
        elif status in BUSY:
            self.refused[status] += 1
            self.refused_s.append(took_s)
        else:
            self.errors[str(status)] += 1

    def lost(self, error: Exception) -> None:
        """Count a connection that ended, or could not be opened."""
        self.errors[type(error).__name__] += 1

    def add(self, other: "TierTally") -> None:
        """Add what became of others."""
        self.offered += other.offered
        self.good_s.extend(other.good_s)
        self.refused.update(other.refused)
        self.refused_s.extend(other.refused_s)
        self.late += other.late
        self.unsent += other.unsent
        self.errors.update(other.errors)


@dataclass(slots=True)
class LoadTally:
    """The requests of one stretch of time.

    Attributes:
        lags_s: by how much the generator itself was behind, for each request.
        bad: the first answer that was neither good nor a refusal, for people.
    """

    tiers: dict[Tier, TierTally] = field(
        default_factory=lambda: {tier: TierTally() for tier in Tier}
    )
    lags_s: "array[float]" = field(default_factory=_seconds)
    bad: str = ""

    @property
    def whole(self) -> TierTally:
        """All tiers together."""
        found = TierTally()
        for tally in self.tiers.values():
            found.add(tally)
        return found
