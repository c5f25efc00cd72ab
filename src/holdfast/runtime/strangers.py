"""What the databases of a system hold that this version of it does not know.

It looks, and writes nothing: before a deployment it says which sagas and jobs would be left alone.
"""

from collections.abc import Mapping
from pathlib import Path

from holdfast.consistency.unknown import unknown_work
from holdfast.runtime.engines import engines_of
from holdfast.runtime.folder import DataFolder
from holdfast.system import System
from holdfast.system.tables import known_letters, known_sagas


async def strangers_in(system: System, data: Path, environ: Mapping[str, str]) -> list[str]:
    """Return a line, with its remedy, for everything that no declaration of `system` names.

    Args:
        data: the data folder, for services whose databases are not named in `environ`.
    Raises:
        SettingError: a database's URL does not fit.
        TransactionLost: a server is away.
    """
    names = [service.name for service in system.services]
    wanted = {name: value for name, value in environ.items() if "DATABASE" in name}
    engines = engines_of(system.name, names, wanted, DataFolder(data).database, threads=1)
    lines: list[str] = []
    for service in system.services:
        database = engines.database(service.name)
        try:
            sagas, letters = known_sagas(service), known_letters(service)
            lines += await unknown_work(database, service.name, sagas, letters)
        finally:
            await database.close()
    return lines
