"""What the databases of a system hold that this version of it does not know.

It looks, and writes nothing: before a deployment it says which sagas and jobs would be left alone.
"""

from collections.abc import Mapping
from pathlib import Path

from holdfast.consistency.unknown import unknown_work
from holdfast.dispatch.addresses import known_of
from holdfast.runtime.engines import engines_of
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.known import KnownDatabases
from holdfast.runtime.variables import BROKER_URL, REDIS_URL
from holdfast.system import System


async def strangers_in(
    system: System, data: Path, environ: Mapping[str, str]
) -> tuple[int, list[str]]:
    """Look for what no declaration of `system` names.

    Returns:
        how many databases there were to look into, and a line with its remedy for each find.

    Args:
        data: the data folder, for services whose databases are not named in `environ`.
    Raises:
        SettingError: a database's URL does not fit.
        TransactionLost: a server is away.
        DatabaseElsewhere: the folder has its databases in a Postgres that nobody has named.
    """
    names = [service.name for service in system.services]
    wanted = {k: v for k, v in environ.items() if k not in (BROKER_URL, REDIS_URL)}
    folder = DataFolder(data)
    engines = engines_of(system.name, names, wanted, folder.database, threads=1)
    databases = {name: engines.database(name) for name in names}
    here = [name for name, database in databases.items() if not database.remote]
    KnownDatabases(folder.path).refuse_on_postgres(here)
    found = sum(name not in here or folder.database(name).exists() for name in names)
    lines, graph = list[str](), system.graph()
    for service in system.services:
        database = databases[service.name]
        try:
            lines += await unknown_work(database, service.name, known_of(service, graph))
        finally:
            await database.close()
    return found, lines
