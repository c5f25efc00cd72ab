"""What the role that serves may do in a service's database: rows of tables, and nothing else.

The tables, and whoever changes them, belong to another role, the owner. It grants these rights when
it has migrated, so a process that is taken over cannot change a table, nor what was migrated.
"""

from collections.abc import Sequence

from holdfast.engines.postgres_driver import DriverConnection
from holdfast.errors import RightMissing

ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""On each table of the service itself."""
RIGHTS: dict[str, tuple[str, ...]] = {
    "alembic_version": ("SELECT",),
    "holdfast_edge": ("SELECT", "INSERT", "UPDATE"),
    "holdfast_gate": ("UPDATE",),  # it has no rows: this is the right to lock it
    "holdfast_message": ROWS,
    "holdfast_saga": ROWS,
    "holdfast_step": ("SELECT", "INSERT", "DELETE"),
}
"""On the framework's tables."""
_HIDDEN = (
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relname = ANY($1::text[]) AND c.relkind IN ('r', 'p') "
    "AND NOT has_schema_privilege(n.oid, 'USAGE') "
    "AND NOT EXISTS (SELECT FROM pg_class seen WHERE seen.relname = c.relname "
    "AND pg_table_is_visible(seen.oid)) ORDER BY n.nspname LIMIT 1"
)
_LACKING = (
    "SELECT name, string_agg(wanted, ', ' ORDER BY wanted) FROM "
    "unnest($1::text[], $2::text[]) AS w (name, wanted) JOIN pg_class c ON c.relname = w.name "
    "WHERE pg_table_is_visible(c.oid) AND NOT has_table_privilege(c.oid, wanted) "
    "GROUP BY name ORDER BY name"
)


async def refuse_lacking(driver: DriverConnection) -> None:
    """Refuse a role that may not do what is done all the time: it would be seen much later.

    A role without USAGE on the schema of its tables sees an empty database, and would be told to
    make them.

    Raises:
        RightMissing: with the right, and who can grant it.
    """
    role = await driver.fetchval("SELECT current_user")
    if schema := await driver.fetchval(_HIDDEN, list(RIGHTS)):
        raise RightMissing(
            f"the role {role} may not look into the schema {schema}, where its tables are; "
            + _remedy(f"USAGE ON SCHEMA {schema}", role)
        )
    wanted = [(table, right) for table, rights in RIGHTS.items() for right in rights]
    names, rights = [table for table, _ in wanted], [right for _, right in wanted]
    found = await driver.fetch(_LACKING, names, rights)
    if found:
        lacks = " and ".join(f"{some} on {table}" for table, some in found)
        table, some = found[0]
        raise RightMissing(
            f"the role {role} has no {lacks}; " + _remedy(f"{some} ON {table}", role)
        )


def _remedy(right: str, role: object) -> str:
    return (
        "run `holdfast migrate` as the owner of the database, which grants what is missing, or let "
        f"it `GRANT {right} TO {role}`"
    )


async def may_make(driver: DriverConnection, tables: Sequence[str]) -> bool:
    """Whether the role makes what is missing; one that may not must find all of it.

    Args:
        tables: of the service itself.
    Raises:
        RightMissing: it may not, and something is missing.
    """
    if await driver.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        return True
    lacks = [
        name
        for name in (*RIGHTS, *tables)
        if await driver.fetchval("SELECT to_regclass($1) IS NULL", name)
    ]
    if lacks:
        role = await driver.fetchval("SELECT current_user")
        raise RightMissing(
            f"the role {role} may not make tables, and there is no {', '.join(lacks)}; run "
            "`holdfast migrate` as the owner of the database"
        )
    return False
