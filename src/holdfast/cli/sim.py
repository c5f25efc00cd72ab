"""`holdfast sim`: the whole system under faults, in virtual time."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.named import simulated
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import complain, print_json, print_rows
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.errors import UnknownName
from holdfast.simulation.campaign import Tally, campaign, shrink
from holdfast.simulation.crash_points import every_crash_point
from holdfast.simulation.kept import FOLDER, keep, kept_runs, run_kept
from holdfast.simulation.report import page
from holdfast.simulation.run import Outcome, drawn_setup, run
from holdfast.simulation.timeline import timeline
from holdfast.system import System

STOPPED = 130  # the exit code after Ctrl-C, as shells have it

Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Run so many seeds, on all cores.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Run one seed, and tell its story.")]
First = Annotated[int, typer.Option("--first", min=0, help="The first of the seeds.")]
Seconds = Annotated[
    int | None, typer.Option("--seconds", min=1, help="Begin no more seeds after so many seconds.")
]
Size = Annotated[int, typer.Option("--size", min=1, help="How much the workload is asked to do.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="With --seed: write a page.")
]
Every = Annotated[
    bool, typer.Option("--every-crash-point", help="Crash at every step of the path, one by one.")
]
Without = Annotated[
    str | None,
    typer.Option("--without", metavar="SAFEGUARD", help="Switch one off, to see it missed."),
]
KeptFolder = Annotated[
    Path, typer.Option("--kept", metavar="FOLDER", help="Where failing seeds are kept.")
]


def command(
    system: SystemName,
    seeds: Seeds = 100,
    seed: Seed = None,
    first: First = 0,
    seconds: Seconds = None,
    size: Size = 10,
    report: Report = None,
    every: Every = False,
    without: Without = None,
    kept: KeptFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Simulate a system: its production code in virtual time, under faults drawn from seeds.

    Failing seeds are shrunk, kept, and run first ever after. What never ran is listed: nothing was
    found out about it. Ctrl-C keeps the report. Exits 1 if anything was violated.
    """
    loaded = simulated(system)
    safe = _safe(without)
    if seed is not None:
        setup = replace(drawn_setup(loaded, seed, size), safe=safe)
        raise typer.Exit(_tell_story(loaded, run(loaded, seed, setup), report))
    tally, stopped = Tally(), True
    try:
        if every:
            _watch(tally, every_crash_point(simulated, system), "crash points", None)
        else:
            broken = _rerun(loaded, kept) if safe is ALL_ON else Tally()
            chosen = range(first, first + seeds)
            _watch(tally, _seeds(system, chosen, size, seconds, safe), "seeds", seeds)
            if safe is ALL_ON:
                for failed in tally.failed[:3]:
                    _keep(loaded, failed.seed, size, kept)
            tally.merge(broken)
        stopped = False
    except KeyboardInterrupt:
        complain("stopped; this is what was run until then")
    _tell(tally, as_json)
    raise typer.Exit(1 if tally.failed else STOPPED if stopped else 0)


def _safe(without: str | None) -> Safeguards:
    if without is None:
        return ALL_ON
    try:
        return ALL_ON.without(without)
    except ValueError as exc:
        known = ", ".join(field.name for field in fields(Safeguards))
        raise UnknownName(f"{exc}; there are {known}") from exc


def _tell_story(system: System, outcome: Outcome, report: Path | None) -> int:
    if report is not None:
        report.write_text(page(outcome, system.name), encoding="utf-8")
        print(f"the report is in {report}")
    print(timeline(outcome))
    return 1 if outcome.violations else 0


def _seeds(
    name: str, seeds: range, size: int, seconds: int | None, safe: Safeguards
) -> Iterator[Tally]:
    loop = asyncio.new_event_loop()  # for its clock
    give_up = None if seconds is None else loop.time() + seconds
    loop.close()

    def going_on() -> bool:
        return give_up is None or loop.time() < give_up

    yield from campaign(simulated, name, seeds, size=size, safe=safe, going_on=going_on)


def _rerun(system: System, folder: Path) -> Tally:
    """Run what failed once; it must not fail again."""
    tally = Tally()
    for path, kept in kept_runs(folder, system):
        outcome = run_kept(system, kept)
        tally.add(outcome)
        if outcome.violations:
            complain(f"{path} fails again: {outcome.violations[0]}")
    return tally


def _watch(total: Tally, tallies: Iterator[Tally], what: str, expected: int | None) -> None:
    """Add up what comes, with a bar on a terminal."""
    if not sys.stderr.isatty():
        for tally in tallies:
            total.merge(tally)
        return
    from rich.console import Console  # only for terminals
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(f"{what} [violations: {{task.fields[failed]}}]"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=expected, failed=0)
        for tally in tallies:
            total.merge(tally)
            progress.update(bar, completed=total.seeds, failed=len(total.failed))


def _tell(tally: Tally, as_json: bool) -> None:
    if as_json:
        print_json(_facts(tally))
        return
    print(f"runs\t{tally.seeds:,}")
    print(f"virtual time\t{tally.virtual_s / 3600:,.1f} h")
    print(f"callbacks\t{tally.callbacks:,}")
    print("\nfaults injected")
    _table(tally.injected + tally.misfortunes, ("fault", "times"))
    print("\ncrash points")
    points = [
        {"point": point, "passed": passed, "died_here": tally.reached[point] or "never reached"}
        for point, passed in sorted(tally.steps.items())
    ]
    print_rows(points, ("point", "passed", "died_here"), nothing="none")
    reached = sum(1 for point in tally.steps if tally.reached[point])
    print(f"\ncrash points reached\t{reached} of {len(tally.steps)}")
    for name in tally.never_ran:
        print(f"never ran\t{name}")
    print(f"violations\t{len(tally.failed)}")
    for failed in tally.failed[:10]:
        print(f"  seed {failed.seed}\t{failed.violations[0]}")


def _facts(tally: Tally) -> dict[str, object]:
    return {
        "seeds": tally.seeds,
        "virtual_s": round(tally.virtual_s, 3),
        "callbacks": tally.callbacks,
        "injected": dict(tally.injected + tally.misfortunes),
        "crash_points": {point: tally.reached[point] for point in sorted(tally.steps)},
        "never_ran": tally.never_ran,
        "violations": [
            {"seed": failed.seed, "violations": [str(v) for v in failed.violations]}
            for failed in tally.failed
        ],
    }


def _table(counts: Counter[str], titles: tuple[str, str]) -> None:
    rows = [dict(zip(titles, item, strict=True)) for item in sorted(counts.items())]
    print_rows(rows, titles, nothing="none")


def _keep(system: System, seed: str, size: int, folder: Path) -> Outcome:
    """Shrink a failing seed, and write it down."""
    setup = drawn_setup(system, seed, size)
    smallest = shrink(system, seed, setup, run(system, seed, setup))
    if smallest.violations:
        path = keep(folder, system, setup, smallest)
        complain(f"seed {seed} needs {len(smallest.faults)} faults to fail; it is kept in {path}")
    return smallest
