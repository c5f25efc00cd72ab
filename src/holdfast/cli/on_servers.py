"""`holdfast run --on … --split`: real servers on this machine, and a process for each service."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cli.greeting import greet
from holdfast.cli.named import Loaded
from holdfast.contract.spiffe import GATEWAY
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.errors import SettingError
from holdfast.observability import Logger
from holdfast.runtime.environment import environment
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.process import Options, Process
from holdfast.runtime.servers import Servers
from holdfast.runtime.settings import process_settings
from holdfast.runtime.supervisor import Supervisor


def counts(given: Sequence[str]) -> dict[str, int]:
    """Read `orders=3`. Raises SettingError."""
    found: dict[str, int] = {}
    for one in given:
        name, _, count = one.partition("=")
        if not count.isdigit():
            raise SettingError([f"--replicas {one}: write it as SERVICE=N"])
        found[name] = int(count)
    return found


@dataclass(frozen=True, slots=True)
class Split:
    """How a system is run as several processes."""

    module: str
    host: str
    port: int
    ops_port: int | None
    replicas: Mapping[str, int]
    processes: int = 0
    authority: LocalAuthority | None = None


async def run_split(loaded: Loaded, servers: Servers | None, folder: Path, split: Split) -> None:
    """Run until a signal, also during the start; an operator's commands are taken here.

    A second signal ends all processes at once. In either case nothing is left running.

    Raises:
        SettingError: it cannot be run so.
        asyncio.CancelledError: a second signal came.
    """
    held = DataFolder(folder)
    held.take()
    apart = _Apart(loaded, servers, held, split)
    try:
        work = asyncio.create_task(apart.run())
        MachineSignals().on_stops(lambda: apart.break_off(work), apart.hurry)
        try:
            await work
        except asyncio.CancelledError:
            if apart.hurried:
                raise
    finally:
        held.give()


class _Apart:
    """A system in several processes, and the servers that were started for it."""

    def __init__(
        self, loaded: Loaded, servers: Servers | None, folder: DataFolder, split: Split
    ) -> None:
        self._loaded, self._servers = loaded, servers
        self._folder, self._split = folder, split
        self._supervisor: Supervisor | None = None
        self.hurried = False
        self._stops = False

    def break_off(self, work: "asyncio.Task[None]") -> None:
        """Stop the start or the serving, but not what ends it all after a failed start."""
        if not self._stops:
            work.cancel()

    def hurry(self) -> None:
        """Do not wait for what is being drained."""
        self.hurried = True
        if self._supervisor is not None:
            self._supervisor.hurry()

    async def run(self) -> None:
        """Start all of it, serve until this is cancelled, stop all of it."""
        environ = environment(self._loaded.system)
        authority = self._split.authority
        try:
            if authority is not None:
                authority.start()
            if self._servers is not None:
                await self._servers.start()
                environ |= self._servers.environ
            await self._serve(environ)
        finally:
            self._stops = True
            if authority is not None:
                authority.stop()
            if self._servers is not None:
                await self._servers.stop()

    async def _serve(self, environ: Mapping[str, str]) -> None:
        system, split, folder = self._loaded.system, self._split, self._folder
        settings = process_settings(environ)
        self._supervisor = supervisor = Supervisor(
            system,
            split.module,
            folder.path,
            host=split.host,
            port=split.port,
            ops_port=split.ops_port,
            replicas=split.replicas,
            environ=environ,
            drain_s=settings.drain_s,
            authority=split.authority,
            processes=split.processes,
        )
        logger = Logger(sys.stdout.buffer, MachineClock(), system.name, settings.log_level)
        options = Options(data=folder.path, environ=environ, settings=settings)
        commands = Process(system, options, logger, folder=folder)
        try:
            await supervisor.start()
            await commands.take_commands()
            greet(self._loaded, _facts(self._servers, supervisor, folder.path), supervisor.url)
            await asyncio.Event().wait()
        finally:
            self._stops = True
            await supervisor.stop()
            if commands.hosts:  # it was opened
                await commands.stop()


def _facts(servers: Servers | None, supervisor: Supervisor, folder: Path) -> dict[str, str]:
    members = sorted(supervisor.members.values(), key=lambda member: member.name != GATEWAY)
    facts = {GATEWAY: f"{supervisor.url}  {len(members)} processes"}
    facts |= {m.name: f"{m.origin}  process {m.pid}  operations {m.operations}" for m in members}
    facts |= servers.shown if servers else {}
    return {**facts, "data": str(folder)}
