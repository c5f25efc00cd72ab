"""Where the databases of a system are, whether it runs or not.

They are on the server that the environment names, on the Postgres of the data folder, or in files:
of the folder itself, or of a process that has a folder in it.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.engines.machine import MachineClock
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.errors import DataFolderBusy, UnknownName
from holdfast.runtime.engines import database_url, engines_of
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.known import SERVERS
from holdfast.runtime.servers import Servers, running_postgres
from holdfast.runtime.variables import DATABASE_URL
from holdfast.storage import Database
from holdfast.system import System

DatabaseOf = Callable[[str], Database]


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """One database of a service, not opened; or why there is none."""

    service: str
    database: Database | None
    trouble: str = ""


@asynccontextmanager
async def databases_of(
    system: System, path: Path, environ: Mapping[str, str], *, typed: str
) -> AsyncGenerator[list[ServiceDatabase]]:
    """Find the databases; close them at the end.

    A Postgres of the data folder that does not run is started for as long as this lasts.

    Raises:
        UnknownName: there is neither a data folder nor a server that the environment names.
        SettingError: a variable does not fit.
    """
    names, urls = [service.name for service in system.services], _urls(system, environ)
    folder = DataFolder(path)
    if not folder.path.is_dir() and not any(urls.values()):
        raise UnknownName(
            f"there is no data folder {path}, and no {DATABASE_URL}; `holdfast run {typed}` makes "
            "it, --data names another"
        )
    async with AsyncExitStack() as stack:
        told = dict(environ)
        if not all(urls.values()) and (path / SERVERS / "postgres" / "PG_VERSION").exists():
            told = await _of_folder(system, path, stack) | told
        engines = engines_of(system.name, names, told, folder.database, threads=1)
        found = [one for name in names for one in _of_service(name, folder, told, engines.database)]
        for one in found:
            if one.database is not None:
                stack.push_async_callback(one.database.close)
        yield found


def runs(system: System, path: Path, environ: Mapping[str, str]) -> bool:
    """Whether a process serves a system, as far as is known: of other machines' it is not."""
    return any(_urls(system, environ).values()) or DataFolder(path).is_owned()


def _urls(system: System, environ: Mapping[str, str]) -> dict[str, str]:
    alone = len(system.services) == 1
    return {s.name: database_url(s.name, environ, alone=alone) for s in system.services}


async def _of_folder(system: System, path: Path, stack: AsyncExitStack) -> dict[str, str]:
    """Return where the databases are on the folder's own Postgres: on what runs, or is started."""
    servers = Servers(path / SERVERS, ("postgres",), system)
    try:
        await servers.start(new_tables=False)
    except DataFolderBusy:
        return running_postgres(path / SERVERS, [service.name for service in system.services])
    stack.push_async_callback(servers.stop)
    return servers.environ


def _of_service(
    service: str, folder: DataFolder, environ: Mapping[str, str], database: DatabaseOf
) -> list[ServiceDatabase]:
    if database_url(service, environ, alone=True):
        return [ServiceDatabase(service, database(service))]
    files = [folder.database(service), *sorted(folder.path.glob(f"*/{service}.db"))]
    found = [file for file in files if file.is_file()]
    if not found:
        return [ServiceDatabase(service, None, f"there is no {files[0]}, and no URL of a server")]
    return [ServiceDatabase(service, SqliteDatabase(file, MachineClock())) for file in found]
