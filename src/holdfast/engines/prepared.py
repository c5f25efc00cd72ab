"""Statements for `tx.insert` and `tx.update`, compiled once per table and set of columns.

SQLAlchemy writes the SQL and converts the values; what is saved is its work per execution, which
costs more than the statement itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Dialect, Table, bindparam, insert, update

_KEY = "holdfast_key_"


@dataclass(frozen=True, slots=True)
class Prepared:
    """One statement, its parameters in order, and what converts each value."""

    sql: str
    order: tuple[str, ...]
    convert: dict[str, Callable[[Any], Any]]

    def values(self, row: dict[str, Any]) -> tuple[Any, ...]:
        """Return a row's values as the driver takes them, in the statement's order."""
        convert = self.convert
        return tuple(
            convert[name](row[name]) if name in convert else row[name] for name in self.order
        )


class PreparedWrites:
    """The statements of one database; at most as many as the code has shapes of writes."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[tuple[Table, tuple[str, ...], bool], Prepared | None] = {}

    def insert(self, table: Table, columns: tuple[str, ...]) -> Prepared | None:
        """Return the INSERT of these columns; None if SQLAlchemy must make defaults for it."""
        key = (table, columns, True)
        if key not in self._known:
            statement = insert(table).compile(dialect=self._dialect, column_keys=list(columns))
            order = tuple(statement.positiontup or ())
            known = set(order) == set(columns)
            self._known[key] = self._prepared(str(statement), order, table) if known else None
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
            self._known[key] = self._prepared(str(compiled), order, table) if known else None
        return self._known[key]

    def _prepared(self, sql: str, order: Sequence[str], table: Table) -> Prepared:
        keys = list(table.primary_key)
        convert: dict[str, Callable[[Any], Any]] = {}
        for name in order:
            column: Column[Any]
            if name.startswith(_KEY):
                column = keys[int(name.removeprefix(_KEY))]
            else:
                column = table.columns[name]
            processor = column.type.dialect_impl(self._dialect).bind_processor(self._dialect)
            if processor is not None:
                convert[name] = processor
        return Prepared(sql, tuple(order), convert)


def key_names(count: int) -> list[str]:
    """Return the parameter names of a primary key with so many columns."""
    return [f"{_KEY}{n}" for n in range(count)]
