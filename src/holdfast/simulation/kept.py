"""Failing seeds that are kept: run first ever after, so that what was mended stays mended."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.errors import UnknownName
from holdfast.simulation.faults import AnyFault
from holdfast.simulation.run import Outcome, run
from holdfast.simulation.world import Setup
from holdfast.system import System

FOLDER = Path("tests/simulation/kept")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One run that failed once.

    Attributes:
        system: its name. seed, size, replicas, joined, faults: all that decides the run.
        broke: the invariant that it broke, and how.
        mended: what was wrong; "" as long as nobody knows.
    """

    system: str
    seed: str
    size: int
    replicas: dict[str, int]
    joined: tuple[str, ...] = ()
    faults: list[AnyFault]
    broke: str
    mended: str = ""


def keep(folder: Path, system: System, setup: Setup, outcome: Outcome) -> Path:
    """Write a failing run down; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(
        system=system.name,
        seed=outcome.seed,
        size=setup.size,
        replicas=dict(setup.replicas),
        joined=tuple(setup.joined),
        faults=outcome.faults,
        broke=str(outcome.violations[0])[:500],
    )
    path = folder / f"{system.name}-{outcome.seed}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    return path


def kept_runs(folder: Path, system: System) -> Iterator[tuple[Path, Kept]]:
    """Yield the kept runs of a system, by name. Raises UnknownName for a file that is none."""
    for path in sorted(folder.glob(f"{system.name}-*.json")):
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        except msgspec.DecodeError as exc:
            raise UnknownName(f"{path} is no kept run: {exc}") from exc
        if kept.system == system.name:
            yield path, kept


def run_kept(system: System, kept: Kept) -> Outcome:
    """Run one again."""
    setup = Setup(replicas=kept.replicas, joined=kept.joined, size=kept.size)
    return run(system, kept.seed, setup, kept.faults)
