"""`python -m tests.simulation.ablations`: prints what the simulator finds without each safeguard.

For each of them: the scenario, how many seeds it takes to find a violation (the median over
several findings), the invariant that broke, how many faults the shortest such run had, and how
many seeds find it in the same system when the faults do not aim at anything. All of it on databases
where statements are made at once.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from holdfast.consistency.safeguards import ALL_ON
from tests.ablations.off import off
from tests.simulation.scenario import Scenario

HERE = Path(__file__).parent / "scenarios"
ENOUGH = 7  # findings
SEEDS_MAX = 1_000
SEEDS_DRAWN = 100


def scenarios() -> list[Scenario]:
    """Return all scenarios."""
    found: list[Scenario] = []
    for path in sorted(HERE.glob("[a-z]*.py")):
        found += import_module(f"tests.simulation.scenarios.{path.stem}").SCENARIOS
    return found


def scenarios_for(safeguard: str) -> list[Scenario]:
    """Return those that aim at one safeguard."""
    return [scenario for scenario in scenarios() if safeguard in scenario.aims_at]


AIMED = tuple(sorted({name for scenario in scenarios() for name in scenario.aims_at}))


def row(safeguard: str) -> str:
    """Return the line of one safeguard, as Markdown."""
    best: tuple[float, str] | None = None
    for aimed in scenarios_for(safeguard):
        scenario = replace(aimed, joined=False)
        found = _findings(scenario, safeguard, SEEDS_MAX, ENOUGH)
        if not found:
            continue
        starts = (-1, *(seed for seed, _, _ in found[:-1]))
        gaps = [seed - before for before, (seed, _, _) in zip(starts, found, strict=True)]
        least = min(faults for _, _, faults in found)
        kind = "drawn" if scenario.faults is None else "aimed"
        drawn = _by_drawn_faults(replace(scenario, faults=None), safeguard)
        text = (
            f"| `{safeguard}` | {scenario.system.name}, {kind} | {median(gaps):g} | "
            f"`{found[0][1]}` | {least} | {drawn} of {SEEDS_DRAWN} |"
        )
        if best is None or median(gaps) < best[0]:
            best = median(gaps), text
    return best[1] if best else f"| `{safeguard}` | **not found** | | | | |"


def _by_drawn_faults(scenario: Scenario, safeguard: str) -> int:
    """Count the seeds that break something without the safeguard, and nothing with it."""
    found = [seed for seed, _, _ in _findings(scenario, safeguard, SEEDS_DRAWN, SEEDS_DRAWN)]
    return len(found) - len(list(scenario.broken(ALL_ON, found)))


def _findings(
    scenario: Scenario, safeguard: str, seeds: int, enough: int
) -> list[tuple[int, str, int]]:
    with off(safeguard) as safe:
        return [
            (seed, outcome.violations[0].invariant, len(outcome.faults))
            for seed, outcome in islice(scenario.broken(safe, range(seeds)), enough)
        ]


def main() -> None:
    """Print the table."""
    print("| without | scenario | seeds to find it | what broke | faults | by drawn faults |")
    print("|---|---|---|---|---|---|")
    wanted = sys.argv[1:] or AIMED
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for line in pool.map(row, wanted):
            print(line, flush=True)


if __name__ == "__main__":
    main()
