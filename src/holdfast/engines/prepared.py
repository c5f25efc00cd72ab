"""Statements for `tx.insert` and `tx.update`, compiled once per table and set of columns.

SQLAlchemy writes the SQL and converts the values; what is saved is its work per execution, which
costs more than the statement itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Uuid,
    bindparam,
    insert,
    update,
)

from holdfast.engines.fits import Check, check_of
from holdfast.engines.known import Convert, KnownStatements

SHAPES_MAX = 1_024
_KEY = "holdfast_key_"
_PLAIN = (JSON, Boolean, Date, DateTime, Integer, LargeBinary, Numeric, String, Uuid)
"""Types none of whose values the driver takes for an array within the array."""
_Shape = tuple[Table, tuple[str, ...], bool]  # its columns, and whether it is an INSERT


@dataclass(frozen=True, slots=True)
class Prepared:
    """One statement, and its parameters in order: what looks at each value, and what converts it.

    Attributes:
        many: the same of many rows, whose parameters are arrays; empty where there is none.
    """

    sql: str
    parameters: tuple[tuple[str, Check | None, Convert | None], ...]
    many: str = ""

    def values(self, row: Mapping[str, object]) -> list[object]:
        """Return a row's values as the driver takes them, in the statement's order.

        Raises:
            ValueError: one does not fit.
        """
        values: list[object] = []
        for name, check, convert in self.parameters:
            value = row[name]
            if check is not None and value is not None and (why := check(value)):
                raise ValueError(why)
            values.append(value if convert is None else convert(value))
        return values


class PreparedWrites:
    """The statements of one database, by the shapes of its writes.

    Code has few shapes, unless it names columns as its callers do: beyond SHAPES_MAX the oldest is
    forgotten, and compiled again when it is needed.

    Attributes:
        again: the statements that users have built themselves.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.again = KnownStatements(dialect)
        self._known: dict[_Shape, Prepared | None] = {}

    def insert(self, table: Table, columns: tuple[str, ...]) -> Prepared | None:
        """Return the INSERT of these columns; None if SQLAlchemy must make defaults for it."""
        key = (table, columns, True)
        if key not in self._known:
            statement = insert(table).compile(dialect=self._dialect, column_keys=list(columns))
            order = tuple(statement.positiontup or ())
            known = set(order) == set(columns)
            many = self._many_new(order, table) if known else ""
            self._keep(key, self._prepared(str(statement), order, table, many) if known else None)
        return self._known[key]

    def update(self, table: Table, columns: tuple[str, ...]) -> Prepared | None:
        """Return the UPDATE by primary key; its key's parameters are named by `key_names`."""
        key = (table, columns, False)
        if key not in self._known:
            where = [c == bindparam(f"{_KEY}{n}") for n, c in enumerate(table.primary_key)]
            statement = update(table).where(*where)
            compiled = statement.compile(dialect=self._dialect, column_keys=list(columns))
            order = tuple(compiled.positiontup or ())
            known = set(order) == {*columns, *key_names(len(where))}
            many = self._many(order, table) if known else ""
            self._keep(key, self._prepared(str(compiled), order, table, many) if known else None)
        return self._known[key]

    def _keep(self, key: _Shape, prepared: Prepared | None) -> None:
        if len(self._known) >= SHAPES_MAX:
            del self._known[next(iter(self._known))]
        self._known[key] = prepared

    def _arrays(self, columns: Sequence[Column[object]]) -> str:
        """Return parameters that are an array for each column; "" where there can be none."""
        if self._dialect.name != "postgresql" or any(isinstance(c.type, ARRAY) for c in columns):
            return ""
        types = (column.type.compile(self._dialect) for column in columns)
        return ", ".join(f"${n}::{type_}[]" for n, type_ in enumerate(types, 1))

    def _many_new(self, order: Sequence[str], table: Table) -> str:
        """Return the INSERT of many rows by arrays; "" where SQL makes a default for each row."""
        columns = [_column(name, table) for name in order]
        arrays = self._arrays(columns)
        made = any(c.default is not None for c in table.columns if c.key not in order)
        if not arrays or made or not all(isinstance(c.type, _PLAIN) for c in columns):
            return ""
        names = self._dialect.identifier_preparer
        into = ", ".join(map(names.format_column, columns))
        return f"INSERT INTO {names.format_table(table)} ({into}) SELECT * FROM unnest({arrays})"

    def _many(self, order: Sequence[str], table: Table) -> str:
        """Return the UPDATE of many rows by arrays, which only Postgres has."""
        columns = [_column(name, table) for name in order]
        arrays = self._arrays(columns)
        if not arrays:
            return ""
        names = self._dialect.identifier_preparer
        to = names.format_table(table)
        given = list(zip(order, (names.format_column(c) for c in columns), strict=True))
        changed = [f"{c} = new.v{n}" for n, (o, c) in enumerate(given) if not o.startswith(_KEY)]
        found = [f"{to}.{c} = new.v{n}" for n, (o, c) in enumerate(given) if o.startswith(_KEY)]
        new = ", ".join(f"v{n}" for n in range(len(given)))
        return (
            f"UPDATE {to} SET {', '.join(changed)} FROM unnest({arrays}) AS new ({new}) "
            f"WHERE {' AND '.join(found)}"
        )

    def _prepared(self, sql: str, order: Sequence[str], table: Table, many: str = "") -> Prepared:
        parameters: list[tuple[str, Check | None, Convert | None]] = []
        for name in order:
            type_ = _column(name, table).type
            convert = type_.dialect_impl(self._dialect).bind_processor(self._dialect)
            parameters.append((name, check_of(type_, self._dialect), convert))
        return Prepared(sql, tuple(parameters), many)


def _column(name: str, table: Table) -> Column[object]:
    """Return the column that a parameter is for."""
    if name.startswith(_KEY):
        return list(table.primary_key)[int(name.removeprefix(_KEY))]
    return table.columns[name]


@cache
def key_names(count: int) -> tuple[str, ...]:
    """Return the parameter names of a primary key with so many columns."""
    return tuple(f"{_KEY}{n}" for n in range(count))
