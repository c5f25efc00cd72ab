"""The roles of a Postgres of the data folder: for each service one that owns, and one that serves.

The owner changes tables. The one that serves is named like its service, enters the database of its
own name and no other, and may read and write rows there; see `engines.postgres_rights`.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from holdfast.engines.postgres_driver import DriverConnection
from holdfast.errors import SettingError
from holdfast.runtime.variables import DATABASE_URL

ADMINISTRATOR = "postgres"
OWNER = "_owner"
"""What the name of an owner ends with; no service's name has such a line in it."""
_TAKEN = {
    ADMINISTRATOR: "the server's administrator",
    **dict.fromkeys(("template0", "template1"), "a database of the server's own"),
    **dict.fromkeys(("public", "none"), "a word of SQL"),
}


def owner_of(service: str) -> str:
    """Return the role that owns a service's database."""
    return f"{service}{OWNER}"


def refuse_names(services: Collection[str]) -> None:
    """Refuse services after which no role or database can be named. Raises SettingError."""
    if problems := [f"{name}, {_TAKEN[name]}" for name in services if name in _TAKEN]:
        raise SettingError(
            [
                f"--on postgres: no role can be named {problem}: rename the service, or run it "
                f"with a {DATABASE_URL} of your own"
                for problem in problems
            ]
        )


@dataclass(frozen=True, slots=True)
class PostgresRoles:
    """Makes roles and databases, in a new server or in one of an older version.

    Args:
        password: of a role; None: it has none, and shows a certificate.
    """

    connect: Callable[[str], Awaitable[DriverConnection]]
    password: Callable[[str], str | None]

    async def provide(self, services: Collection[str]) -> None:
        """Give each service a database, its owner, and a role that serves."""
        connection = await self.connect("postgres")
        try:
            for database in ("postgres", "template1"):  # everybody may enter them, as they are made
                await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
            for service in services:
                for role in (service, owner_of(service)):
                    await self._role(connection, role)
                await self._database(connection, service)
        finally:
            await connection.close()
        for service in services:
            await self._of_owner(service)

    async def _role(self, connection: DriverConnection, name: str) -> None:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
            await connection.execute(f'CREATE ROLE "{name}"')
        password = self.password(name)
        said = "NULL" if password is None else f"'{password}'"
        await connection.execute(
            f'ALTER ROLE "{name}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION '
            f"NOBYPASSRLS PASSWORD {said}"
        )

    async def _database(self, connection: DriverConnection, service: str) -> None:
        owner = f'"{owner_of(service)}"'
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", service):
            await connection.execute(f'CREATE DATABASE "{service}" OWNER {owner}')
        await connection.execute(f'REVOKE ALL ON DATABASE "{service}" FROM PUBLIC')
        await connection.execute(f'GRANT CONNECT ON DATABASE "{service}" TO "{service}"')

    async def _of_owner(self, service: str) -> None:
        """Let what a service's role owns, as in an older version, be its owner's."""
        connection = await self.connect(service)
        try:
            await connection.execute(f'REASSIGN OWNED BY "{service}" TO "{owner_of(service)}"')
        finally:
            await connection.close()
