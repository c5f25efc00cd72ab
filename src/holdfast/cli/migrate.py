"""`holdfast migrate`: revisions of the tables, written, checked and run."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from holdfast.cli.load import load
from holdfast.cli.options import DataFolderPath, SystemName, data_folder
from holdfast.cli.output import complain
from holdfast.errors import Invalid, UnknownName
from holdfast.migrations import History, upgrade
from holdfast.runtime.engines import database_url
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.servers import Servers, kinds_of
from holdfast.runtime.settings import environment
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


def command(
    system: SystemName,
    service: ServiceName = None,
    new: New = None,
    check: Check = False,
    on: On = "",
    data: DataFolderPath = None,
) -> None:
    """Bring databases to the newest revision, one process at a time.

    The databases are those that DATABASE_URL names, or the files of the data folder.
    """
    declared = load(system).system
    histories = _histories(declared, system, service)
    folder = data_folder(data, declared.name)
    if new is not None:
        if len(histories) != 1:
            raise Invalid("--new writes one service's revision: name it with --service")
        print(_write(histories[0], new))
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        problems = runner.run(_each(declared, histories, folder, on, check))
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)


def _histories(system: System, name: str, only: str | None) -> list[History]:
    names = [service.name for service in system.services]
    if only is not None and only not in names:
        raise UnknownName(f"there is no service {only!r} in {name}; there are {', '.join(names)}")
    return [History(name, s) for s in system.services if only in (None, s.name)]


def _write(history: History, message: str) -> str:
    from holdfast.migrations.written import write  # what it needs is Alembic's

    return f"{write(history, message)} is written; read it, then run `holdfast migrate`"


async def _each(
    system: System, histories: list[History], path: Path, on: str, check: bool
) -> list[str]:
    """Migrate or check each database; return the problems."""
    problems: list[str] = []
    names = [service.name for service in system.services]
    environ = environment()
    async with AsyncExitStack() as stack:
        if kinds := kinds_of(on):
            servers = Servers(path / "servers", kinds, system)
            stack.push_async_callback(servers.stop)
            await servers.start(new_tables=False)
            environ |= servers.environ
        folder = DataFolder(path)
        urls = {name: database_url(name, environ, alone=len(names) == 1) for name in names}
        if not (check or all(urls.values())):
            folder.take()  # whoever serves it has read what its tables are
            stack.callback(folder.give)
        for history in histories:
            name = history.service.name
            url = urls[name] or f"sqlite:///{folder.database(name)}"
            if check:
                from holdfast.migrations.written import problems_of  # what it needs is Alembic's

                problems += await problems_of(history, url)
            else:
                ran = await upgrade(history, url)
                print(f"{name}: {', '.join(ran) or 'nothing to do'}")
    return problems
