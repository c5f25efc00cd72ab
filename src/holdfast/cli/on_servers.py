"""`holdfast run --on … --split`: real servers on this machine, and a process for each service."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cli.greeting import greet
from holdfast.cli.load import Loaded
from holdfast.engines.host import HostClock, HostSignals
from holdfast.errors import SettingError
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process
from holdfast.runtime.servers import Servers
from holdfast.runtime.settings import environment, process_settings
from holdfast.runtime.supervisor import GATEWAY, Supervisor


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


async def run_split(loaded: Loaded, servers: Servers | None, folder: Path, split: Split) -> None:
    """Run until a signal; an operator's commands are taken here. Raises SettingError."""
    stop = asyncio.Event()
    HostSignals().on_stop(stop.set)
    environ = environment()
    try:
        if servers is not None:
            await servers.start()
            environ |= servers.environ
        supervisor = Supervisor(
            loaded.system,
            split.module,
            folder,
            host=split.host,
            port=split.port,
            ops_port=split.ops_port,
            replicas=split.replicas,
            environ=environ,
            drain_s=process_settings(environ).drain_s,
            processes=split.processes,
        )
        settings = process_settings(environ)
        logger = Logger(sys.stdout.buffer, HostClock(), loaded.system.name, settings.log_level)
        options = Options(data=folder, environ=environ, settings=settings)
        commands = Process(loaded.system, options, logger)
        try:
            await supervisor.start()
            await commands.take_commands()
            greet(loaded, _facts(servers, supervisor, folder), supervisor.url)
            await stop.wait()
        finally:
            await supervisor.stop()
            await commands.stop()
    finally:
        if servers is not None:
            await servers.stop()


def _facts(servers: Servers | None, supervisor: Supervisor, folder: Path) -> dict[str, str]:
    members = sorted(supervisor.members.values(), key=lambda member: member.name != GATEWAY)
    facts = {GATEWAY: f"{supervisor.url}  {len(members)} processes"}
    facts |= {m.name: f"http://{m.host}:{m.port}  process {m.pid}" for m in members}
    facts |= servers.addresses if servers else {}
    return {**facts, "data": str(folder)}
