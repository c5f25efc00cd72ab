"""Probes: when a container counts as started, ready, or to be restarted.

Values only: what has been seen, and what follows from it. `prober.py` asks.
"""

from dataclasses import dataclass, replace
from typing import Any

from tests.delivery.kubelet.manifests import Object


@dataclass(frozen=True, slots=True)
class Timing:
    """When a probe asks and what it takes, with the defaults of the API; in seconds."""

    delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    to_succeed: int = 1
    to_fail: int = 3

    @classmethod
    def of(cls, probe: Object) -> "Timing":
        """Read a probe's."""
        return cls(
            probe.get("initialDelaySeconds", 0),
            probe.get("periodSeconds", 10),
            probe.get("timeoutSeconds", 1),
            probe.get("successThreshold", 1),
            probe.get("failureThreshold", 3),
        )


@dataclass(frozen=True, slots=True)
class Streak:
    """What a probe has seen last.

    Attributes:
        count: how many times in a row it was so.
        holds: what follows: True, False, or None as long as neither threshold is reached.
    """

    well: bool = False
    count: int = 0
    holds: bool | None = None

    def seen(self, well: bool, timing: Timing) -> "Streak":
        """Return what is known after one more answer."""
        count = self.count + 1 if well == self.well and self.count else 1
        enough = timing.to_succeed if well else timing.to_fail
        return Streak(well, count, well if count >= enough else self.holds)


@dataclass(frozen=True, slots=True)
class Health:
    """How a container does. Without a probe it is started, and ready once it is started.

    Attributes:
        restart: why it has to be restarted, or "".
    """

    started: bool
    ready: bool
    restart: str = ""

    @classmethod
    def at_start(cls, container: Object) -> "Health":
        """Return how one does that was just started."""
        started = "startupProbe" not in container
        return cls(started, started and "readinessProbe" not in container)

    def after(self, kind: str, streak: Streak, container: Object) -> "Health":
        """Return how it does after an answer to its probe of a kind, such as `livenessProbe`."""
        match kind, streak.holds:
            case "startupProbe", True:
                return replace(self, started=True, ready="readinessProbe" not in container)
            case "readinessProbe", bool() as holds:
                return replace(self, ready=self.started and holds)
            case (("startupProbe" | "livenessProbe"), False):
                return replace(self, ready=False, restart=f"{kind} failed {streak.count} times")
            case _:
                return self


def probes_of(container: Object, *, started: bool) -> dict[str, dict[str, Any]]:
    """Return the probes that are asked now: the start-up probe alone until it has passed."""
    kinds = ("livenessProbe", "readinessProbe") if started else ("startupProbe",)
    return {kind: container[kind] for kind in kinds if kind in container}
