"""`holdfast migrate`: revisions of the tables, written, checked and run."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from holdfast.cli.named import Loaded, load
from holdfast.cli.options import DataFolderPath, SystemName, data_folder
from holdfast.cli.output import complain
from holdfast.errors import Invalid, RightMissing, UnknownName, Unreachable
from holdfast.migrations import Revisions, upgrade
from holdfast.observability import Context, SpanKind, SpanSort, Tracing, current, semconv
from holdfast.runtime.audit import audit_of_command, commanded
from holdfast.runtime.engines import database_url, owner_url
from holdfast.runtime.environment import environment
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.known import KnownDatabases
from holdfast.runtime.servers import Servers, kinds_of
from holdfast.runtime.telemetry import traced_command
from holdfast.runtime.variables import owner_variable
from holdfast.system import System

ServiceName = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="Only this service's database.")
]
New = Annotated[
    str | None,
    typer.Option("--new", metavar="TEXT", help="Write a revision: what the tables have changed."),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Refuse revisions that would break the version that is running."),
]
On = Annotated[
    str, typer.Option("--on", metavar="postgres", help="Start this server in the data folder.")
]


Contract = Annotated[
    bool,
    typer.Option("--contract", help="With --new: drop what earlier revisions have retired."),
]
Baseline = Annotated[
    bool,
    typer.Option("--baseline", help="Note which revision tables that were simply made are at."),
]


def command(
    system: SystemName,
    service: ServiceName = None,
    new: New = None,
    contract: Contract = False,
    check: Check = False,
    baseline: Baseline = False,
    on: On = "",
    data: DataFolderPath = None,
) -> None:
    """Bring databases to the newest revision, one process at a time.

    The databases are those that DATABASE_URL names, or the files of the data folder.
    """
    loaded = load(system)
    databases = _revisions_of(loaded, service, data, on)
    if (new is not None) + check + baseline > 1 or (contract and new is None):
        raise Invalid("--new, --check and --baseline are one each; --contract goes with --new")
    if new is not None:
        if len(databases) != 1:
            raise Invalid("--new writes one service's revision: name it with --service")
        _write(databases[0], new, contract)
        return
    act = _check if check else _note if baseline else _migrate
    folder = data_folder(data, loaded.system.name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        problems = runner.run(_each(loaded.system, databases, folder, on, act))
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)


def _revisions_of(loaded: Loaded, only: str | None, data: Path | None, on: str) -> list[Revisions]:
    names = [service.name for service in loaded.system.services]
    if only is not None and only not in names:
        raise UnknownName(
            f"there is no service {only!r} in {loaded.name}; there are {', '.join(names)}"
        )
    typed = loaded.typed(data) + (f" --on {on}" if on else "")
    return [Revisions(typed, s) for s in loaded.system.services if only in (None, s.name)]


def _write(revisions: Revisions, message: str, contract: bool) -> None:
    from holdfast.migrations.written import write  # what it needs is Alembic's

    revision = write(revisions, message, contract=contract)
    print(f"{revision.path} is written; read it, then run `{revisions.command}`")
    for name in revision.retires:
        print(f"{name} stays for the version that is running; drop it a release later: --contract")
    for line in revision.left:
        complain(f"it does not do this, which is yours to write: {line}")


@dataclass(frozen=True, slots=True)
class _Database:
    """A service's database.

    Attributes:
        url: for who migrates it. role: who serves, if that is somebody else.
    """

    url: str = field(repr=False)
    role: str = ""


async def _check(revisions: Revisions, database: _Database, tracing: Tracing) -> list[str]:
    from holdfast.migrations.verdict import verdict  # what it needs is Alembic's

    found = await verdict(revisions, database.url)
    print(f"{revisions.service.name}: {found.done}: {_problems(len(found.problems))}")
    return list(found.problems)


def _problems(count: int) -> str:
    return f"{count or 'no'} problem{'s' * (count != 1)}"


async def _note(revisions: Revisions, database: _Database, tracing: Tracing) -> list[str]:
    from holdfast.migrations.baseline import baseline  # what it needs is Alembic's

    if revisions.managed:
        print(
            f"{revisions.service.name}: its tables are at {await baseline(revisions, database.url)}"
        )
    return []


async def _migrate(revisions: Revisions, database: _Database, tracing: Tracing) -> list[str]:
    service = revisions.service.name
    current.set(Context(service=service))
    with tracing.part(SpanSort(f"migrate {service}", SpanKind.INTERNAL)) as part:
        try:
            ran = await upgrade(revisions, database.url, role=database.role)
        except RightMissing as exc:
            return [f"{exc}; {owner_variable(service)} is for its URL"]
        part.say((semconv.MIGRATION, ", ".join(ran)))
    print(f"{revisions.service.name}: {', '.join(ran) or 'nothing to do'}")
    return []


Act = Callable[[Revisions, _Database, Tracing], Awaitable[list[str]]]


def _notice(event: str, **fields: object) -> None:
    complain(f"{event}: {', '.join(f'{name}={value}' for name, value in fields.items())}")


async def _each(
    system: System, databases: list[Revisions], path: Path, on: str, act: Act
) -> list[str]:
    """Do something to each database; return the problems."""
    problems: list[str] = []
    names = [service.name for service in system.services]
    environ = environment(system, owners=True)
    async with AsyncExitStack() as stack:
        if kinds := kinds_of(on):
            servers = Servers(path / "servers", kinds, system)
            stack.push_async_callback(servers.stop)
            await servers.start(new_tables=False)
            environ |= servers.environ
            environ |= {owner_variable(name): url for name, url in servers.owners.items()}
        tracing = await stack.enter_async_context(traced_command(system, environ, _notice))
        folder = DataFolder(path)
        alone = len(names) == 1
        urls = {name: database_url(name, environ, alone=alone) for name in names}
        owners = {name: owner_url(name, environ, alone=alone) for name in names}
        if act is not _check and not all(urls.values()):
            folder.take()  # whoever serves it has read what its tables are
            stack.callback(folder.give)
            KnownDatabases(folder.path).refuse_on_postgres(n for n, url in urls.items() if not url)
        audit = stack.enter_context(audit_of_command(system, environ, folder.path))
        for revisions in databases:
            name = revisions.service.name
            owner, role = owners[name]
            url = owner or urls[name] or f"sqlite:///{folder.database(name)}"
            if act is _check:
                problems += await _reached(name, act(revisions, _Database(url, role), tracing))
                continue
            with commanded(audit, "operator.migrate", None, on=f"database of {name}") as failed:
                failed += await _reached(name, act(revisions, _Database(url, role), tracing))
            problems += failed
    return problems


async def _reached(name: str, done: Awaitable[list[str]]) -> list[str]:
    """Return what was done to a database. Raises Unreachable: it is away."""
    try:
        return await done
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
        raise Unreachable(f"the database of {name} cannot be reached: {why}", edge=name) from exc
