"""`holdfast load`: how a system does under more load than it can take."""

import asyncio
import math
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from holdfast.cli.named import offered
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import complain, print_json, print_rows
from holdfast.communication import Origin
from holdfast.engines.machine import MachineClock, MachineIds, MachineSignals
from holdfast.errors import CallError, Invalid, Unreachable
from holdfast.live import Said, ask
from holdfast.load import plot
from holdfast.load.course import Course, LoadPlan
from holdfast.load.offered import mix_of, offers_of, run_key
from holdfast.load.pace import USUAL, paces
from holdfast.load.quiet import Quiet, starts_work, work_of
from holdfast.load.result import COLUMNS, LevelResult, LoadReport, missed, notes, rows
from holdfast.load.started import started
from holdfast.runtime.environment import environment
from holdfast.runtime.identity import operator_here
from holdfast.system import System
from holdfast.testing import Client

STOPPED = 130  # the exit code after Ctrl-C, as shells have it
ANSWER_S = 5.0

Url = Annotated[
    str | None,
    typer.Option("--url", help="A gateway that runs already; without this one is started."),
]
Paces = Annotated[
    str,
    typer.Option(
        "--rate", metavar="RATES", help="Multiples of the capacity, and requests a second."
    ),
]
Seconds = Annotated[
    float, typer.Option("--seconds", min=0.1, max=86_400, help="How long each level lasts.")
]
Patience = Annotated[
    float | None,
    typer.Option(
        "--patience",
        min=0.01,
        max=3_600,
        metavar="SECONDS",
        help="How long a client waits; the gateway's deadline without this.",
    ),
]
Connections = Annotated[
    int, typer.Option("--connections", min=1, max=60_000, help="Open at most so many.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Write load.json, load.png and load.svg there."),
]
On = Annotated[
    str,
    typer.Option("--on", metavar="postgres,nats,redis", help="Start it on these servers."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="With --url: its data folder, if it is here."),
]
Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--ops",
        metavar="URL",
        help="With --url: the operations port of one of its processes; repeat it.",
        show_default=False,
    ),
]
Expect = Annotated[
    float | None,
    typer.Option(
        "--expect",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Exit 1 if a level answers less well than this share of what it could.",
    ),
]


def command(
    system: SystemName,
    url: Url = None,
    rate: Paces = USUAL,
    seconds: Seconds = 20.0,
    patience: Patience = None,
    connections: Connections = 2_000,
    on: On = "",
    data: Data = None,
    ops: Operations = None,
    out: Out = None,
    expect: Expect = None,
    as_json: AsJson = False,
) -> None:
    """Put load on a system: clients that come at their own rate, also when it is slow.

    What they ask is declared in `<package>.traffic`. First the capacity is found, then each rate of
    --rate is kept up for --seconds. Without --url the system is started, on a data folder that is
    removed at the end, and stopped.
    """
    declared = offered(system)
    plan = LoadPlan(
        paces(rate),
        seconds,
        declared.gateway.deadline_s if patience is None else patience,
        connections,
    )
    plan.check()
    if out is not None:
        plot.check()
    if url is None and (data or ops):
        raise Invalid("--data and --ops are about the system of --url, which is not given")
    if url is not None and on:
        raise Invalid("--on is for the system that is started here: without --url")
    running = _Load(declared, system, plan, on, url, data, ops or [], tells=not as_json)
    try:
        report = uvloop.run(running.report())
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("stopped")
        raise typer.Exit(STOPPED) from None
    _tell(report, out, as_json=as_json)
    failed = [] if expect is None else list(missed(report, expect))
    for line in failed:
        complain(line)
    raise typer.Exit(1 if failed else 0)


@dataclass(frozen=True, slots=True)
class _Load:
    """One run of the command."""

    system: System
    name: str
    plan: LoadPlan
    on: str
    url: str | None
    data: Path | None
    ops: Sequence[str]
    tells: bool

    async def report(self) -> LoadReport:
        """Measure; say on stderr what is done."""
        task = asyncio.current_task()
        assert task is not None
        MachineSignals().on_stop(partial(_cancel, task))
        async with self._target() as (url, folder):
            return await self._measured(url, folder)

    @asynccontextmanager
    async def _target(self) -> AsyncGenerator[tuple[str, Path | None], None]:
        """Yield the gateway's URL, and the data folder whose processes tell how they do."""
        if self.url is not None:
            await _answers(self.url)
            yield self.url.rstrip("/"), self.data
            return
        async with started(self.system, self.name, on=self.on) as one:
            yield one.url, one.data

    async def _measured(self, url: str, folder: Path | None) -> LoadReport:
        origin = Origin.parse(url)
        clock = MachineClock()
        offers = await offers_of(self.system, url)
        keys = run_key(clock, MachineIds())
        mix = mix_of(self.system, offers, host=origin.place, keys=keys)
        course = Course(origin, mix, self.plan, clock, await self._quiet(folder))
        least = f"all of it takes at least {math.ceil(self.plan.least_s)} s"
        self._say(f"looking for the capacity of {self.system.name} at {url}; {least}")
        capacity = await course.capacity_per_s()
        self._say(f"{capacity:.1f} good answers/s; now each rate for {self.plan.seconds:g} s")
        levels = list[LevelResult]()
        async for level in course.levels(capacity):
            self._say(f"{level.pace}: {level.whole.good_per_s:.1f} good answers/s")
            levels.append(level)
        return LoadReport(
            self.system.name,
            url,
            self.plan.patience_s,
            self.plan.connections_max,
            capacity,
            tuple(course.rounds),
            tuple(levels),
        )

    async def _quiet(self, folder: Path | None) -> Quiet | None:
        """Return what tells when nothing is under way; None where nobody does."""

        async def look() -> Sequence[Said]:
            return await ask(folder or Path("."), self.ops, tls)

        async def idle() -> Sequence[Said]:
            return []

        if not starts_work(self.system):
            return Quiet(idle, MachineClock(), work_of([]))
        if folder is None and not self.ops:
            complain("nobody tells when work is done: with --ops or --data it counts, too")
            return None
        tls = None
        if self.ops:
            environ = environment(self.system)
            operator = operator_here(environ, folder or Path("."), self.system.name)
            tls = operator.reaches("") if operator is not None else None
        return Quiet(look, MachineClock(), work_of(await look()))

    def _say(self, line: str) -> None:
        if self.tells:
            complain(line)


def _cancel(task: "asyncio.Task[object]") -> None:
    task.cancel()


async def _answers(url: str) -> None:
    """See whether anybody is there. Raises Invalid, Unreachable."""
    try:
        client = Client(url.rstrip("/"))
    except ValueError as exc:
        raise Invalid(f"--url: {exc}") from exc
    try:
        await client.get("/", timeout_s=ANSWER_S)
    except CallError as exc:
        raise Unreachable(f"nothing answers at {url}: {exc}") from exc
    finally:
        await client.close()


def _tell(report: LoadReport, out: Path | None, *, as_json: bool) -> None:
    written = list[Path]()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        facts = out / "load.json"
        facts.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        written = [facts, *plot.draw(report, out)]
    for line in notes(report):
        complain(line)
    for path in written:
        complain(f"{path} is written")
    if as_json:
        print_json(report)
        return
    print(f"capacity\t{report.capacity_per_s:.1f}/s")
    if not sys.stdout.isatty():
        print("\t".join(COLUMNS))
        print_rows(list(rows(report.levels)), COLUMNS, nothing="no level was measured")
        return
    from rich.console import Console  # only to draw

    from holdfast.load.table import drawn

    Console().print(drawn(report.levels))
