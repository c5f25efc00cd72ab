"""`holdfast run`: a whole system in one process."""

import asyncio
import errno
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop

from holdfast.cli.greeting import greet
from holdfast.cli.named import Loaded, load
from holdfast.cli.options import DataFolderPath, Host, OpsPort, Port, SystemName, data_folder
from holdfast.cli.output import complain
from holdfast.communication.origin import LOOPBACK, PORT, Origin
from holdfast.contract.spiffe import ALL
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.errors import SettingError
from holdfast.observability import Logger
from holdfast.ports import AddressRefused
from holdfast.runtime.environment import environment
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import serve
from holdfast.runtime.settings import process_settings

if TYPE_CHECKING:
    from holdfast.runtime.local_authority import LocalAuthority
    from holdfast.runtime.servers import Servers


On = Annotated[
    str,
    typer.Option(
        "--on", metavar="postgres,nats,redis", help="Start these servers in the data folder."
    ),
]
Split = Annotated[
    bool, typer.Option("--split", help="Run each service, and the gateway, as its own process.")
]
Replicas = Annotated[
    list[str] | None,
    typer.Option("--replicas", metavar="SERVICE=N", help="Run so many of a service; splits."),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Without identities: processes and servers trust each other."),
]
Processes = Annotated[
    int,
    typer.Option("--processes", min=0, max=256, help="Run so many, which share the port."),
]


def command(
    system: SystemName,
    host: Host = LOOPBACK,
    port: Port = PORT,
    ops_port: OpsPort = None,
    data: DataFolderPath = None,
    on: On = "",
    split: Split = False,
    replicas: Replicas = None,
    processes: Processes = 0,
    insecure: Insecure = False,
) -> None:
    """Serve all services of a system in this process, or in several, until Ctrl-C.

    Logs go to stdout. SIGTERM and Ctrl-C drain for HOLDFAST_DRAIN_S seconds; a second one ends
    the process at once.
    """
    loaded = load(system)
    where = Where(host, port, ops_port, data)
    if on or split or replicas or processes:
        apart = SplitSystem(split, replicas or [], processes, insecure)
        _with_others(system, loaded, where, on, apart)
    else:
        serve_here(loaded, where)


@dataclass(frozen=True, slots=True)
class Where:
    """Where a process listens and keeps its data, and what it is.

    Attributes:
        services: those that it hosts; None: all.
        gateway: it is the gateway, too.
    """

    host: str
    port: int
    ops_port: int | None
    data: Path | None
    services: tuple[str, ...] | None = None
    gateway: bool = True


@dataclass(frozen=True, slots=True)
class SplitSystem:
    """Into how many processes a system is split, and whether they trust each other."""

    split: bool
    replicas: Sequence[str]
    processes: int
    insecure: bool


def _with_others(system: str, loaded: Loaded, where: Where, on: str, split: SplitSystem) -> None:
    """Serve with servers or processes beside, or say that this cannot be."""
    from holdfast.cli.on_servers import Split as Apart  # most runs have nothing beside
    from holdfast.cli.on_servers import counts, run_split
    from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
    from holdfast.runtime.servers import Servers, kinds_of

    kinds = kinds_of(on)
    folder = data_folder(where.data, loaded.system.name)
    apart = split.split or split.replicas or split.processes > 1
    authority = None
    if not split.insecure and (kinds or apart):
        authority = LocalAuthority(folder / IDENTITIES, loaded.system.name, MachineClock())
    servers = None
    if kinds:
        typed = loaded.typed(where.data)
        servers = Servers(
            folder / "servers", kinds, loaded.system, typed=typed, authority=authority
        )
    if split.processes and (split.split or split.replicas):
        raise SettingError(["--processes runs all services in each process: without --split"])
    if apart:
        address = (where.host, where.port, where.ops_port)
        wanted = Apart(system, *address, counts(split.replicas), split.processes, authority)
        place = Origin.of(where.host, where.port).place
        _run(run_split(loaded, servers, folder, wanted), str(folder), place)
    else:
        serve_here(loaded, where, servers, authority)


def serve_here(
    loaded: Loaded,
    where: Where,
    servers: "Servers | None" = None,
    authority: "LocalAuthority | None" = None,
) -> None:
    """Serve until a signal; print addresses on stderr, logs on stdout. Raises typer.Exit.

    Args:
        servers: started before, and stopped after.
        authority: issues the identity of this process, which hosts everything.
    """
    system = loaded.system
    environ = environment(system, where.services)
    settings = process_settings(environ)
    options = Options(
        data=data_folder(where.data, system.name),
        typed=loaded.typed(where.data),
        host=where.host,
        port=where.port,
        ops_port=where.ops_port,
        services=where.services,
        gateway=where.gateway,
        environ=environ,
        settings=settings,
    )
    logger = Logger(
        sys.stdout.buffer,
        MachineClock(),
        system.name,
        settings.log_level,
        form=settings.log_form,
    )

    def show(process: Process) -> None:
        hosted = ", ".join(host.name for host in process.hosts) or "none"
        data = str(process.options.data)
        greet(loaded, {**process.addresses, "services": hosted, "data": data}, process.url)

    async def main() -> None:
        if servers is None:
            await serve(system, options, logger, _Signals(), show)
            return
        DataFolder(data_folder(where.data, system.name)).refuse_if_open()  # all of it, at once
        signals = _SignalsWithServers()
        try:
            await servers.start()
            told = dict[str, str]()
            if authority is not None:
                from holdfast.runtime.local_authority import variables_of

                authority.start()
                told = variables_of(authority, ALL)
            found = replace(options, environ=environ | servers.environ | told)
            await serve(system, found, logger, signals, show)
        finally:
            signals.let_be()
            if authority is not None:
                authority.stop()
            await servers.stop()

    try:
        _run(main(), str(options.data), Origin.of(options.host, options.port).place)
    finally:
        logger.close()


def _run(main: Coroutine[object, None, None], data: str, address: str) -> None:
    """Run to the end; what the machine refuses is one line, and exit 1."""
    try:
        uvloop.run(main)
    except asyncio.CancelledError as exc:
        complain("stopped at once; what was under way is finished after the next start")
        raise typer.Exit(1) from exc
    except (OSError, sqlite3.Error) as exc:
        complain(_refused(exc, data, address))
        raise typer.Exit(1) from exc
    except ExceptionGroup as group:
        complain(f"{group.message}: {'; '.join(map(str, group.exceptions))}")
        raise typer.Exit(1) from group


class _Signals:
    """The host's signals; after the first one Ctrl-C ends the process like any other program."""

    def on_stop(self, callback: Callable[[], None]) -> None:
        def stop() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            callback()

        MachineSignals().on_stop(stop)


class _SignalsWithServers:
    """The host's signals where servers are stopped in any case: a second one ends the drain.

    One that comes before the system takes part ends the start.
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._on_stop: Callable[[], None] = self._break_off
        MachineSignals().on_stops(lambda: self._on_stop(), self._break_off)

    def on_stop(self, callback: Callable[[], None]) -> None:
        self._on_stop = callback

    def let_be(self) -> None:
        """Break nothing off any more: what is left to do ends the servers."""
        self._task = None

    def _break_off(self) -> None:
        task, self._task = self._task, None  # once: what ends the servers is not broken off
        if task is not None:
            task.cancel()


def _refused(exc: Exception, data: str, usual: str) -> str:
    """Return one line that says what the machine refused, and what to change."""
    if not isinstance(exc, OSError):
        return f"the data folder {data} cannot be used: {exc}"
    if isinstance(exc.filename, str | Path) and exc.filename:
        return f"{exc.filename} cannot be used: {exc.strerror}"
    address = Origin.of(exc.host, exc.port).place if isinstance(exc, AddressRefused) else usual
    if exc.errno == errno.EADDRINUSE:
        return f"{address} is in use by another process; choose another port with --port"
    return f"cannot listen on {address}: {exc.strerror or exc}"
