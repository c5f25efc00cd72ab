"""Decides whether a revision can run while the version before it runs: expand, then contract.

The old version reads the columns that it knows, writes rows without those that it does not know,
and writes whatever it wrote before. A revision must let it.
"""

import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from alembic.operations import BatchOperations, Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Dialect, Executable, String, create_engine, text
from sqlalchemy.dialects import postgresql, sqlite

_UNSURE = re.compile(
    r"\b(DROP|RENAME|TRUNCATE|SET\s+NOT\s+NULL|TYPE|ADD\s+(CONSTRAINT|CHECK|UNIQUE|FOREIGN|PRIMARY"
    r"|NOT\s+NULL))\b",
    re.IGNORECASE,
)
_NOT_VALID = re.compile(r"\b(NOT\s+NULL|CHECK)\b.*\bNOT\s+VALID\b", re.IGNORECASE | re.DOTALL)
_TABLE = r'(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?((?:"?\w+"?\.)?"?\w+"?)'
_ALTERED = re.compile(rf"\bALTER\s+TABLE\s+{_TABLE}", re.IGNORECASE)
_FILLED = re.compile(rf"\bUPDATE\s+{_TABLE}", re.IGNORECASE)
_LIMITS = (
    ops.CreateUniqueConstraintOp,
    ops.CreateCheckConstraintOp,
    ops.CreateForeignKeyOp,
    ops.CreatePrimaryKeyOp,
)


def breaking(scripts: Sequence[Script], *, retired: Collection[str] = ()) -> list[str]:
    """Return what would break the running version, one line each, with what to do instead.

    A revision's `contracts = ("table.column", "table")` names what no running version uses any
    more; of that anything may be changed.

    Args:
        scripts: what comes with one release, oldest first.
        retired: what the running version does not use: earlier revisions say so with `retires`.
    """
    problems: list[str] = []
    new: set[str] = set()  # tables that the running version does not know
    filled: set[str] = set()  # tables whose rows a statement before has changed
    for script in scripts:
        unused = {*named(script, "contracts"), *retired}
        for operation in _recorded_anywhere(script, problems):
            table = str(getattr(operation, "table_name", ""))
            filled |= _filled(operation)
            held = _held_later(operation)
            if isinstance(operation, ops.CreateTableOp):
                new.add(table)
            elif held:
                if held not in new and not (held in unused and held in filled):
                    problems.append(f"{script.revision}: {_not_valid(operation, held)}")
            elif table not in new and table not in unused:
                why = _why(operation, table, unused)
                problems += [f"{script.revision}: {why}"] if why else []
    return list(dict.fromkeys(problems))  # what is done on both databases is told once


def named(script: Script, attribute: str) -> tuple[str, ...]:
    """Return what a revision names in `contracts` or `retires`."""
    return tuple(getattr(script.module, attribute, ()))


def _recorded_anywhere(script: Script, problems: list[str]) -> Iterator[ops.MigrateOperation]:
    """Yield what a revision does on Postgres, then what it does on SQLite."""
    for dialect in (postgresql.dialect(), sqlite.dialect()):  # type: ignore[no-untyped-call]
        try:
            yield from recorded(script.module.upgrade, dialect)
        except Exception as exc:  # it is the application's, and may do anything
            problems.append(
                f"{script.revision}: what it does on {dialect.name} cannot be told without a "
                f"database ({type(exc).__name__}: {exc}); write what changes tables with `op`, and "
                "let it bear that a SELECT finds no rows"
            )


def recorded(upgrade: Callable[[], None], dialect: Dialect) -> list[ops.MigrateOperation]:
    """Return what a revision would do on a kind of database, without one.

    What it reads is empty.
    """
    found: list[ops.MigrateOperation] = []

    @contextmanager
    def batch(
        table_name: str, schema: str | None = None, **_: object
    ) -> Generator[BatchOperations]:
        impl: Any = SimpleNamespace(table_name=table_name, schema=schema)
        inner: Any = BatchOperations(context, impl=impl)
        inner.invoke = found.append
        yield inner

    def execute(statement: Executable | str, *_: object, **__: object) -> object:
        found.append(ops.ExecuteSQLOp(statement))
        return nothing.execute(text("SELECT 1 WHERE 0"))

    def scalar(statement: Executable | str, *_: object, **__: object) -> None:
        found.append(ops.ExecuteSQLOp(statement))

    with create_engine("sqlite://").connect() as nothing:
        context = MigrationContext.configure(dialect=dialect, opts={"as_sql": True})
        context.connection = SimpleNamespace(  # type: ignore[assignment]
            dialect=dialect, execute=execute, exec_driver_sql=execute, scalar=scalar
        )
        context.impl.connection = context.connection
        with Operations.context(context) as operations:
            recorder: Any = operations  # both are its methods
            recorder.invoke = found.append
            recorder.batch_alter_table = batch
            upgrade()
    return found


def _why(operation: ops.MigrateOperation, table: str, unused: set[str]) -> str | None:
    """Return why an operation breaks the running version, or None."""
    match operation:
        case ops.DropTableOp() | ops.RenameTableOp():
            return _later(f"{table} is dropped or renamed", table)
        case ops.DropColumnOp():
            name = f"{table}.{operation.column_name}"
            return None if name in unused else _later(f"{name} is dropped", name)
        case ops.AddColumnOp():
            column = operation.column
            if column.nullable or column.server_default is not None or column.computed is not None:
                return None
            return (
                f"{table}.{column.name} is NOT NULL without a server_default: the running version "
                "inserts rows without it; give it one, or let it be nullable at first"
            )
        case ops.AlterColumnOp():
            return _altered(operation, f"{table}.{operation.column_name}", unused)
        case ops.ExecuteSQLOp():
            sql = str(operation.sqltext)
            return (
                f"{sql.strip()[:60]!r} may drop or change what the running version uses; write it "
                "with `op.drop_column` and the like"
                if _UNSURE.search(sql)
                else None
            )
        case ops.CreateIndexOp() if not operation.unique:
            return None
        case ops.CreateIndexOp():
            return _limit(f"the unique index {operation.index_name}", operation.table_name)
        case _ if isinstance(operation, _LIMITS):
            table = table or str(getattr(operation, "source_table", ""))
            return _limit(f"the constraint {getattr(operation, 'constraint_name', '')}", table)
        case _:
            return None


def _filled(operation: ops.MigrateOperation) -> set[str]:
    if not isinstance(operation, ops.ExecuteSQLOp):
        return set()
    return {_bare(name) for name in _FILLED.findall(str(operation.sqltext))}


def _held_later(operation: ops.MigrateOperation) -> str:
    """Return the table of a NOT NULL or CHECK that is not looked at in rows of before; or ""."""
    if isinstance(operation, ops.CreateCheckConstraintOp):
        return str(operation.table_name) if operation.kw.get("postgresql_not_valid") else ""
    if not isinstance(operation, ops.ExecuteSQLOp):
        return ""
    sql = str(operation.sqltext)
    table = _ALTERED.search(sql)
    return _bare(table[1]) if table and _NOT_VALID.search(sql) else ""


def _bare(name: str) -> str:
    """Return a table's name as revisions name it: without a schema and quotes."""
    return name.rpartition(".")[2].strip('"')


def _not_valid(operation: ops.MigrateOperation, table: str) -> str:
    """Say what is wrong: Postgres looks at the whole row whenever a part of it is written."""
    what = getattr(operation, "constraint_name", "") or getattr(operation, "sqltext", "")
    return (
        f"{str(what).strip()[:60]!r} is NOT VALID: a row of before that breaks it cannot be "
        "updated any more, in none of its columns; fill those rows first, by an op.execute that "
        f"UPDATEs {table} before it, a release after the one that keeps it, with contracts = "
        f'("{table}",)'
    )


def _altered(operation: ops.AlterColumnOp, name: str, unused: set[str]) -> str | None:
    if name in unused:
        return None
    if operation.modify_name is not None:
        return _later(f"{name} is renamed to {operation.modify_name}", name)
    if operation.modify_nullable is False:
        return (
            f"{name} becomes NOT NULL: the running version may insert NULL; do it in the release "
            f'after the one that always writes it, with contracts = ("{name}",)'
        )
    if operation.modify_server_default is None:
        return _later(f"{name} loses its server_default", name)
    new, old = operation.modify_type, operation.existing_type
    if new is None or _wider(new, old):
        return None
    return (
        f"{name} changes its type to {new!r}: the running version reads and writes {old!r}; add a "
        "new column, write both, and drop this one a release later"
    )


def _wider(new: object, old: object) -> bool:
    """Whether a text only gets longer."""
    if not (isinstance(new, String) and isinstance(old, String)):
        return False
    return new.length is None or (old.length is not None and new.length >= old.length)


def _later(what: str, name: str) -> str:
    return (
        f"{what}: the running version uses it; let a release go out that does not, with "
        f'retires = ("{name}",) in its revision, and do this in the one after'
    )


def _limit(what: str, table: str) -> str:
    return (
        f"{what} on {table} refuses what the running version may write; add it a release after "
        f'the one that keeps it, with contracts = ("{table}",)'
    )
