"""What the engines have in common: users' statements, and writes of one shape."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    Executable,
    Select,
    Table,
    TextClause,
    TextualSelect,
    Update,
    UpdateBase,
    bindparam,
    update,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from holdfast.engines.prepared import key_names
from holdfast.errors import StatementFailed, TransactionControl
from holdfast.storage import Write

_CONTROL = re.compile(
    r"^(?:\s|;|--[^\n]*(?:\n|$)|/\*.*?\*/)*(BEGIN|START|COMMIT|END|ABORT|ROLLBACK|SAVEPOINT|"
    r"RELEASE|PREPARE|ATTACH|DETACH|PRAGMA|VACUUM)\b",
    re.IGNORECASE | re.DOTALL,
)
_ONLY_READS: WeakKeyDictionary[Executable, bool] = WeakKeyDictionary()  # a cache of pure values
_HARMLESS = {"count", "sum", "max", "min", "avg", "coalesce", "lower", "upper", "length", "now"}


def refuse_control(statement: Executable) -> None:
    """Refuse a statement that would end or open a transaction. Raises TransactionControl."""
    words: object = statement.element if isinstance(statement, TextualSelect) else statement
    text = words.text if isinstance(words, TextClause) else getattr(words, "statement", "")
    if isinstance(text, str) and _CONTROL.match(text):  # DDL(…) has its text in `statement`
        raise TransactionControl(
            f"{text.strip()[:60]!r}: the transaction is opened and ended by Holdfast; "
            "use `async with tx.savepoint()` for a part that may fail"
        )


def only_reads(statement: Executable) -> bool:
    """Whether a statement cannot change anything: a SELECT of tables and well-known functions."""
    if not isinstance(statement, Select):
        return False
    found = _ONLY_READS.get(statement)  # pyright: ignore[reportUnknownArgumentType]
    if found is None:
        parts: Iterator[Any] = visitors.iterate(statement)  # pyright: ignore[reportUnknownArgumentType]
        found = _ONLY_READS[statement] = all(map(_is_harmless, parts))
    return found


def _is_harmless(part: object) -> bool:
    if isinstance(part, FunctionElement):
        return part.name in _HARMLESS
    return not isinstance(part, TextClause | UpdateBase)


Run = tuple[Table, tuple[str, ...], list[Write], list[dict[str, object]]]
"""Writes of one shape: their table and columns, the writes, and each one's row.

A row is its values by column, and of an update the key's by `key_names`.
"""


def runs(writes: Sequence[Write]) -> list[Run]:
    """Return runs of writes of one shape: same table, same columns, all inserts or all updates."""
    found: list[Run] = []
    last = None
    for write in writes:
        table, columns, row = write.table, tuple(write.values), dict(write.values)
        shape = (table, columns, write.key is None)
        if shape != last:
            found.append((table, columns, [], []))
            last = shape
        if write.key is not None:
            row |= zip(key_names(len(table.primary_key)), write.key, strict=True)
        found[-1][2].append(write)
        found[-1][3].append(row)
    return found


def update_by_key(table: Table, columns: tuple[str, ...]) -> Update:
    """Return the UPDATE of one row, whose parameters are those of `runs`."""
    names = key_names(len(table.primary_key))
    where = (c == bindparam(name) for c, name in zip(table.primary_key, names, strict=True))
    return update(table).where(*where).values({c: bindparam(c) for c in columns})


def check_changed(table: Table, group: list[Write], changed: int) -> None:
    """Refuse updates that found no row. Raises StatementFailed."""
    if changed != len(group):
        keys = ", ".join(repr(write.key) for write in group[:5])
        raise StatementFailed(f"tx.update({table.name}, …): no row with the key {keys}")
