"""`holdfast status`: the live graph in a terminal."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, DataFolderPath, SystemName, data_folder
from holdfast.cli.output import print_json
from holdfast.engines.machine import MachineClock
from holdfast.errors import UnknownName
from holdfast.live import LiveGraph, Said, ask, picture
from holdfast.ports import Identity
from holdfast.runtime.environment import environment
from holdfast.runtime.identity import operator_here
from holdfast.system import System

Once = Annotated[bool, typer.Option("--once", help="Print it once, and end.")]
Every = Annotated[
    float,
    typer.Option("--every", min=0.2, max=3_600, metavar="SECONDS", help="Look so often."),
]
Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--ops",
        metavar="URL",
        help="Ask a process of another machine, at its operations port; repeat it.",
        show_default=False,
    ),
]


def command(
    system: SystemName,
    data: DataFolderPath = None,
    ops: Operations = None,
    every: Every = 2.0,
    once: Once = False,
    as_json: AsJson = False,
) -> None:
    """Show the live graph: rate, errors, latency and backlog of each edge, how each service does.

    All processes of the data folder are asked, and those that --ops names. Rates are of the time
    between two looks; what is left of an SLO's budget is since the processes were started. --json
    prints one look and ends.
    """
    declared = load(system).system
    folder = data_folder(data, declared.name)
    operator = operator_here(environment(declared), folder, declared.name) if ops else None
    watch = _Watch(declared, folder, ops or [], every, operator)
    try:
        uvloop.run(watch.once(as_json=as_json) if once or as_json else watch.refresh())
    except KeyboardInterrupt:
        return


class _Watch:
    """Looks at the processes of a system again and again."""

    def __init__(
        self,
        system: System,
        folder: Path,
        addresses: Sequence[str],
        every_s: float,
        operator: Identity | None,
    ) -> None:
        self._tls = operator.reaches("") if operator is not None else None
        self._system, self._folder, self._addresses = system, folder, addresses
        self._every_s, self._clock = every_s, MachineClock()
        self._before: list[Said] = []
        self._at = 0.0

    async def once(self, *, as_json: bool) -> None:
        """Print the live graph."""
        await self._begin()
        graph = await self._next()
        if as_json:
            print_json(graph)
            return
        from rich.console import Console  # only to draw

        from holdfast.live.table import drawn

        Console().print(drawn(graph))

    async def refresh(self) -> None:
        """Draw it in place, until somebody stops this."""
        from rich.live import Live  # only for a terminal

        from holdfast.live.table import drawn

        await self._begin()
        with Live(auto_refresh=False) as shown:
            while True:
                shown.update(drawn(await self._next()), refresh=True)

    async def _begin(self) -> None:
        """Look for the first time. Raises UnknownName: nobody answers."""
        self._before, self._at = await self._look(), self._clock.monotonic()
        if not any(said.status for said in self._before):
            name = self._system.name
            raise UnknownName(
                f"no process of {name} answers, of {self._folder}; `holdfast run {name}` starts "
                "it, --data names another folder, --ops a process of another machine"
            )

    async def _next(self) -> LiveGraph:
        await asyncio.sleep(self._every_s)
        now, at = await self._look(), self._clock.monotonic()
        graph = picture(self._system, self._before, now, at - self._at)
        self._before, self._at = now, at
        return graph

    async def _look(self) -> list[Said]:
        return await ask(self._folder, self._addresses, self._tls)
