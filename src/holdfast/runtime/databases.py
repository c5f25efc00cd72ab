"""Opening the databases of the services that a process hosts: all of them, or none."""

from collections.abc import Sequence

from holdfast.dispatch.host import ServiceHost
from holdfast.engines.tables import REVISION
from holdfast.errors import OldSchema
from holdfast.migrations import Revisions, make
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.known import KnownDatabases


async def open_databases(
    hosts: Sequence[ServiceHost], folder: DataFolder, typed: str, *, to_look: bool
) -> None:
    """Open them: those in the data folder are brought up to date, of servers' it is checked.

    Args:
        typed: see `Options.typed`. to_look: see `Process.open`.
    Raises:
        OldSchema: a line for each that is old; none is opened.
        DatabaseDamaged, DatabaseElsewhere: the folder does not hold what it held.
    """
    known = KnownDatabases(folder.path)
    here = [host.name for host in hosts if not host.ledger.database.remote]
    known.check(here, read_through=not to_look)
    made: dict[str, bool] = {}
    old: list[str] = []
    for host in hosts:
        try:
            made[host.name] = await _made(host, folder, typed, to_look=to_look)
        except OldSchema as exc:
            old.append(str(exc))
    if old:
        raise OldSchema("\n".join(old))
    for host in hosts:
        await host.open(made=made[host.name])
    known.keep(here)


async def _made(host: ServiceHost, folder: DataFolder, typed: str, *, to_look: bool) -> bool:
    """Whether revisions made a service's tables. Raises OldSchema if they are old."""
    revisions, database = Revisions(typed, host.service), host.ledger.database
    if to_look and revisions.managed and REVISION in await database.revisions():
        return True  # Alembic, which knows of the service's own, takes as long as the rest
    if not database.remote:
        await make(revisions, f"sqlite:///{folder.database(host.name)}")
    revisions.check(await database.revisions())
    return revisions.managed
