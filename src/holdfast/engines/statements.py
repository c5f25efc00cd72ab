"""What the engines have in common: users' statements, and writes of one shape."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

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


def only_reads(statement: object) -> bool:
    """Whether a statement cannot change anything: a SELECT of tables and well-known functions."""
    if not isinstance(statement, Select):
        return False
    parts: Iterator[Any] = visitors.iterate(statement)  # pyright: ignore[reportUnknownArgumentType]
    return all(
        part.name in _HARMLESS
        if isinstance(part, FunctionElement)
        else not isinstance(part, TextClause | UpdateBase)
        for part in parts
    )


def shapes(writes: Sequence[Write]) -> list[tuple[Table, tuple[str, ...], list[Write]]]:
    """Return runs of writes of one shape: same table, same columns, all inserts or all updates."""
    found: list[tuple[Table, tuple[str, ...], list[Write]]] = []
    last = None
    for write in writes:
        columns = tuple(write.values)
        shape = (write.table, columns, write.key is None)
        if shape != last:
            found.append((write.table, columns, []))
            last = shape
        found[-1][2].append(write)
    return found


def named_values(table: Table, group: list[Write]) -> list[dict[str, object]]:
    """Return each write's values by column, and of updates the key's by `key_names`."""
    rows: list[dict[str, object]] = []
    for write in group:
        row = dict(write.values)
        if write.key is not None:
            row |= zip(key_names(len(table.primary_key)), write.key, strict=True)
        rows.append(row)
    return rows


def update_by_key(table: Table, columns: tuple[str, ...]) -> Update:
    """Return the UPDATE of one row, whose parameters are those of `named_values`."""
    names = key_names(len(table.primary_key))
    where = (c == bindparam(name) for c, name in zip(table.primary_key, names, strict=True))
    return update(table).where(*where).values({c: bindparam(c) for c in columns})


def check_changed(table: Table, group: list[Write], changed: int) -> None:
    """Refuse updates that found no row. Raises StatementFailed."""
    if changed != len(group):
        keys = ", ".join(repr(write.key) for write in group[:5])
        raise StatementFailed(f"tx.update({table.name}, …): no row with the key {keys}")
