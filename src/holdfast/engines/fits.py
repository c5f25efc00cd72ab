"""Whether a value fits its column, told before a database has kept another one.

SQLite keeps a text of any length, an integer of 64 bits and a REAL in any column; a driver of
Postgres takes 1.5 for 1, and a time without a zone for one in the zone of its host (asyncpg 0.32).
So each value that is written is looked at, and what is refused is named, on both.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Table,
    Time,
)
from sqlalchemy.engine import Compiled
from sqlalchemy.types import TypeDecorator, TypeEngine

from holdfast.errors import Refused

SqlType = TypeEngine[Any]
Check = Callable[[object], str | None]
"""Says what is wrong with a value that is not None; None: it fits."""
Given = tuple[str, str, Check]
"""A parameter: its name, `table.column` if it is written there, and what looks at it."""

_M = re.compile(r"_m\d+$")  # of many rows in one VALUES


def check_of(type_: SqlType, dialect: Dialect) -> Check | None:
    """Return what looks at the values of a type; None if there is nothing to look for."""
    match type_:
        case Interval() | Boolean():  # SQLAlchemy itself is strict about them
            return None
        case TypeDecorator():
            return _decorated(type_, dialect)
        case Enum():
            return _enum(type_)
        case String():
            return _text(type_.length)
        case SmallInteger():
            return _integer(16)
        case BigInteger():
            return _integer(64)
        case Integer():
            return _integer(32)
        case Float():
            return _float
        case Numeric():
            return _numeric(type_.precision, type_.scale)
        case DateTime():
            return _zoned(datetime, type_.timezone)
        case Time():
            return _zoned(time, type_.timezone)
        case Date():
            return _date
        case LargeBinary():
            return lambda v: (
                None if isinstance(v, bytes | bytearray | memoryview) else _not(v, "bytes")
            )
        case JSON():
            return _json
        case _:
            return None


def misfits(
    table: Table, values: Mapping[str, object], dialect: Dialect
) -> Iterator[tuple[str, str]]:
    """Yield each column of a row whose value does not fit, and why."""
    for name, value in values.items():
        check = None if value is None else check_of(table.columns[name].type, dialect)
        why = check(value) if check else None
        if why:
            yield f"{table.name}.{table.columns[name].name}", why


def given(compiled: Compiled, dialect: Dialect) -> list[Given]:
    """Return what looks at the parameters of a compiled statement.

    Those that an INSERT or UPDATE writes must fit their columns; of all others only integers are
    looked at, as Postgres casts them.
    """
    table: Any = getattr(compiled.statement, "table", None)
    found: list[Given] = []
    for bind, name in getattr(compiled, "bind_names", {}).items():  # DDL has none
        written = table is not None and bind._is_crud
        check = check_of(bind.type, dialect) if written or isinstance(bind.type, Integer) else None
        if check is not None:
            column = _column(table, name, bind.type) if written else ""
            found.append((name, column, check))
    return found


def _column(table: Any, name: str, type_: SqlType) -> str:
    """Return which column a parameter of this name is written to, "" if nobody can tell."""
    columns = table.columns
    column = columns.get(name)
    if column is None:
        column = columns.get(_M.sub("", name))
    if column is None:  # of ON CONFLICT: its name is made up, its type is the column's own
        column = next((one for one in columns if one.type is type_), None)
    return "" if column is None else f"{table.name}.{column.name}"


def refuse_misfits(checks: Sequence[Given], row: Mapping[str, object]) -> None:
    """Refuse parameters with a value that does not fit. Raises Refused."""
    for name, column, check in checks:
        value = row.get(name)
        why = None if value is None else check(value)
        if why:
            raise Refused(f"{column}: {why}" if column else why, column=column)


def _decorated(type_: TypeDecorator[Any], dialect: Dialect) -> Check | None:
    """Look at what a type of the application's makes of a value."""
    inner = check_of(type_.impl_instance, dialect)
    if inner is None:
        return None

    def check(value: object) -> str | None:
        kept = type_.process_bind_param(value, dialect)
        return None if kept is None else inner(kept)

    return check


def _text(length: int | None) -> Check:
    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return _not(value, "a text")
        if length is not None and len(value) > length:
            return f"a text of {len(value)} characters does not fit in {length}"
        if "\0" in value:
            return "a text holds U+0000, which databases do not store"
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            return "a text holds half of a surrogate pair"
        return None

    return check


def _integer(bits: int) -> Check:
    bound = 1 << (bits - 1)

    def check(value: object) -> str | None:
        if not isinstance(value, int):
            return _not(value, "an integer")
        if not -bound <= value < bound:
            return f"the integer {_short(value)} does not fit in {bits} bits"
        return None

    return check


def _float(value: object) -> str | None:
    if not isinstance(value, int | float | Decimal):
        return _not(value, "a number")
    return "NaN is not kept" if math.isnan(value) else None


def _numeric(precision: int | None, scale: int | None) -> Check:
    whole = None if precision is None else 10 ** (precision - (scale or 0))

    def check(value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return _not(value, "a number")
        number = value if isinstance(value, Decimal) else Decimal(repr(value))
        if not number.is_finite():
            return f"{number} is no number that both databases keep"
        if whole is not None and abs(round(number, scale or 0)) >= whole:
            return f"the number {_short(value)} does not fit in NUMERIC({precision}, {scale or 0})"
        return None

    return check


def _date(value: object) -> str | None:
    if isinstance(value, datetime):  # it is a date, too, and would lose its time of day
        return "a time does not fit in a column of dates; write its date()"
    return None if isinstance(value, date) else _not(value, "a date")


def _zoned(kind: type[datetime] | type[time], wanted: bool) -> Check:
    def check(value: object) -> str | None:
        if not isinstance(value, kind):  # a date would become midnight, in the host's zone
            return _not(value, f"a {kind.__name__}")
        if (value.tzinfo is not None) != wanted:
            return (
                "a time without a zone does not fit in a column with one; say which it is"
                if wanted
                else "a time with a zone does not fit in a column without; declare timezone=True"
            )
        return None

    return check


def _enum(type_: Enum) -> Check:
    def check(value: object) -> str | None:
        if isinstance(value, str) and type_.enum_class is None and value not in type_.enums:
            return f"{_short(value)} is none of {', '.join(type_.enums)}"
        return None

    return check


def _json(value: object) -> str | None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as exc:
        return f"this is no JSON: {exc}"
    return None


def _not(value: object, what: str) -> str:
    return f"a {type(value).__name__} is not {what}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:27]}…"
