"""What a system declares for its simulation: who uses it, what must hold, and its third parties."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Function = Callable[..., Any]
HORIZON_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold.

    Attributes:
        check: gets the world; returns nothing, or raises AssertionError. Its docstring is told.
        always: it is checked all the time, not only when everything has settled.
    """

    name: str
    check: Function
    always: bool = False


@dataclass(slots=True)
class Simulated:
    """What the simulator needs to know of a system; see `docs/simulation.md`.

    Attributes:
        workload: uses the system over its HTTP interface; gets a client.
        horizon_s: virtual time in which it must be through.
        invariants: in the order in which they were declared.
        stand_ins: {External's name: makes a stand-in for it, which has an async `handle`}.
        environ: settings of the simulated processes.
    """

    workload: Function | None = None
    horizon_s: float = HORIZON_S
    invariants: list[Invariant] = field(default_factory=list[Invariant])
    stand_ins: dict[str, Function] = field(default_factory=dict[str, Function])
    environ: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
