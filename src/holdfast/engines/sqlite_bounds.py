"""What a statement computes must fit its column too: SQLite is told by triggers.

Values that a statement brings are looked at before it runs (`fits.py`). What comes of an
expression, `stock.c.left - 1` or `func.upper(…)`, only the database knows, and SQLite keeps it
whatever its column was declared to be. The triggers are temporary: they belong to the writing
connection, and no schema shows them. They are made when a table first gets such a statement.
"""

import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from itertools import starmap
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    Boolean,
    ClauseElement,
    Column,
    Connection,
    DateTime,
    Enum,
    Executable,
    Insert,
    Integer,
    Interval,
    Numeric,
    SmallInteger,
    String,
    Table,
    Time,
    Update,
)
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.types import Float, TypeDecorator

from holdfast.engines.fits import SqlType

_GUARDS: WeakKeyDictionary[Executable, tuple[str, ...]] = WeakKeyDictionary()
"""A cache of pure values: the triggers that a statement needs."""
_NAMES = SQLiteDialect().identifier_preparer


def guard_computed(connection: Connection, statement: Executable) -> None:
    """Have SQLite refuse what a statement computes, if it does not fit.

    It then raises IntegrityError, which `refusals.py` reads. A rollback takes triggers along, so
    that they are asked for each time.
    """
    if not isinstance(statement, Insert | Update):
        return
    guards = _GUARDS.get(statement)
    if guards is None:
        guards = _triggers(cast(Any, statement.table)) if _computes(statement) else ()
        _GUARDS[statement] = guards
    if guards:
        raw: Any = connection.connection.driver_connection
        for sql in guards:
            raw.execute(sql)


def drop_guards(writer: sqlite3.Connection) -> None:
    """Drop the triggers of a connection, before its tables are exchanged for others."""
    names = writer.execute("SELECT name FROM sqlite_temp_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        writer.execute(f"DROP TRIGGER temp.{_NAMES.quote_identifier(name)}")


def _computes(statement: Any) -> bool:
    """Say whether a statement writes anything but values and defaults."""
    if getattr(statement, "select", None) is not None:
        return True
    values: dict[object, object] = statement._values or {}
    given = list(values.items())
    given += getattr(statement, "_ordered_values", None) or ()
    for rows in statement._multi_values:
        for row in rows:  # a tuple has all columns, in their order
            given += row.items() if isinstance(row, dict) else [("", value) for value in row]
    conflict = getattr(statement, "_post_values_clause", None)
    given += dict(getattr(conflict, "update_values_to_set", ())).items()
    return not all(starmap(_is_plain, given))


def _is_plain(key: object, value: object) -> bool:
    crud = getattr(value, "_is_crud", None)
    if crud is not None:  # a parameter, and whether it is that of `values(name=…)`
        return bool(crud)
    if isinstance(value, ColumnClause):  # of the INSERT's own row, which was looked at
        own = getattr(value.table, "name", "") == "excluded"
        return own and value.name == getattr(key, "name", key)
    return not isinstance(value, ClauseElement)


@lru_cache(maxsize=1_024)
def _triggers(table: Table) -> tuple[str, ...]:
    if getattr(table, "metadata", None) is None:  # a name without types, or a join
        return ()
    return tuple(sql for column in table.columns for sql in _of_column(table, column))


def _of_column(table: Table, column: Column[object]) -> Iterator[str]:
    name = _NAMES.format_column(column)
    bound = _outside(column.type, f"NEW.{name}")
    if bound is None:
        return
    wrong, why = bound
    to = f"main.{_NAMES.quote(table.name)}"
    told = f"holdfast misfit: {table.name}.{column.name}: {why}".replace("'", "''")
    for what, moment in (("insert", "INSERT"), ("update", f"UPDATE OF {name}")):
        trigger = _NAMES.quote_identifier(f"holdfast_{what}_{table.name}_{column.name}")
        yield (
            f"CREATE TEMP TRIGGER IF NOT EXISTS {trigger} BEFORE {moment} ON {to} "
            f"WHEN {wrong} BEGIN SELECT RAISE(ABORT, '{told}'); END"
        )


def _outside(type_: SqlType, value: str) -> tuple[str, str] | None:
    """Return the condition under which a value does not fit its type, and what is then said."""
    match type_:
        case Interval() | Boolean() | DateTime() | Time() | Float():
            return None
        case TypeDecorator():
            return _outside(type_.impl_instance, value)
        case Enum():
            words = ", ".join("'" + word.replace("'", "''") + "'" for word in type_.enums)
            return f"{value} NOT IN ({words})", f"it is none of {', '.join(type_.enums)}"
        case String():
            if type_.length is None:
                return None
            return f"length({value}) > {type_.length}", f"the text does not fit in {type_.length}"
        case Integer():
            bits = 32
            if isinstance(type_, SmallInteger):
                bits = 16
            elif isinstance(type_, BigInteger):
                bits = 64
            least = f"(-{(1 << (bits - 1)) - 1} - 1)"  # written out, -2^63 would be a REAL
            fits = f"typeof({value}) = 'integer' AND {value} BETWEEN {least} AND -1 - {least}"
            why = f"it is no integer that fits in {bits} bits"
            return f"{value} IS NOT NULL AND NOT ({fits})", why
        case Numeric():
            if type_.precision is None:
                return None
            scale = type_.scale or 0
            whole = f"1e{type_.precision - scale}"
            why = f"the number does not fit in NUMERIC({type_.precision}, {scale})"
            return f"abs(round({value}, {scale})) >= {whole}", why
        case _:
            return None
