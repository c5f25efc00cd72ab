"""One statement for rows of all four tables, each kind in arrays of its columns."""

import functools
from dataclasses import dataclass

from holdfast.engines.pending import Ours
from holdfast.engines.postgres_rows import (
    MESSAGE_TYPES,
    SAGA_COLUMNS,
    Shape,
    columns_of,
    saga_values,
)

_SAGA_TYPES = ("uuid", "text", "int", "text", "bytea", "text", "text", "bigint", "bigint")
_STEP_TYPES = ("uuid", "text", "text", "bytea", "bigint")
_SENT = (
    "INSERT INTO {rows} FROM {source} WHERE NOT ({guarded} AND EXISTS (SELECT 1 FROM "
    "holdfast_edge old WHERE old.id = new.edge AND old.floor > new.id)) "
    "ON CONFLICT DO NOTHING RETURNING 1"
)
_SETTLED = (
    "UPDATE holdfast_message m SET {sets} FROM {source} "
    "WHERE m.edge = new.edge AND m.id = new.id AND m.state = new.was "
    "AND (new.held IS NULL OR m.due_at = new.held) RETURNING 1"
)
_NONE = Shape(())
_GUARDED, _HELD = (("guarded", "bool"),), (("was", "text"), ("held", "bigint"))
_PARTS = {
    "started": (
        _SAGA_TYPES,
        f"INSERT INTO holdfast_saga ({SAGA_COLUMNS}) SELECT * FROM unnest({{arrays}}) "
        "ON CONFLICT DO NOTHING RETURNING 1",
    ),
    "advanced": (
        _SAGA_TYPES,
        "UPDATE holdfast_saga s SET version = new.version, state = new.state, input = new.input, "
        "error = new.error, ended_at = new.ended_at FROM unnest({arrays}) "
        f"AS new ({SAGA_COLUMNS}) WHERE s.id = new.id RETURNING 1",
    ),
    "stepped": (
        _STEP_TYPES,
        "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) "
        "SELECT * FROM unnest({arrays}) RETURNING 1",
    ),
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the statement's parts.

    Attributes:
        shape: of rows of messages. more: their further arrays, as (name, type).
    """

    name: str
    shape: Shape = _NONE
    more: tuple[tuple[str, str], ...] = ()

    def sql(self, number: int) -> tuple[str, int]:
        """Return it as SQL behind so many parameters, and how many there are with its own."""
        if self.name in _PARTS:
            types, sql = _PARTS[self.name]
            arrays = ", ".join(f"${number + n}::{kind}[]" for n, kind in enumerate(types, 1))
            return sql.format(arrays=arrays), number + len(types)
        shape, source = self.shape, self.shape.source(number, *self.more)
        number += len(shape.arrays) + len(self.more) + len(shape.same)
        if self.name == "settled":
            names = (name for name in MESSAGE_TYPES if name not in ("edge", "id"))
            sets = ", ".join(f"{name} = {shape.value(name)}" for name in names)
            return _SETTLED.format(sets=sets, source=source), number
        guarded = "new.guarded" if self.more else "true"
        return _SENT.format(rows=shape.inserting(), source=source, guarded=guarded), number


def statement_of(ours: Ours) -> tuple[str, list[object], list[int]]:
    """Return one statement for rows of ours, its values, and how many rows each part must write."""
    parts: list[_Part] = []
    given: list[object] = []
    counts: list[int] = []
    if ours.sent:
        shape, arrays, same = columns_of([new.row for new in ours.sent])
        guarded = [new.guarded for new in ours.sent]
        mixed = not all(guarded)
        parts.append(_Part("sent", shape, _GUARDED if mixed else ()))
        given += [*arrays, *([guarded] if mixed else ()), *same]
        counts.append(len(ours.sent))
    if ours.settled:
        shape, arrays, same = columns_of([one.row for one in ours.settled])
        was = [one.was.value for one in ours.settled]
        parts.append(_Part("settled", shape, _HELD))
        given += [*arrays, was, [one.held for one in ours.settled], *same]
        counts.append(len(ours.settled))
    others: dict[str, list[tuple[object, ...]]] = {
        "started": [saga_values(row) for row in ours.started],
        "advanced": [saga_values(row) for row in ours.advanced],
        "stepped": [(r.saga, r.path, r.kind, r.outcome, r.ended_at) for r in ours.stepped],
    }
    for name, rows in others.items():
        if rows:
            parts.append(_Part(name))
            given += zip(*rows, strict=True)
            counts.append(len(rows))
    return _statement(tuple(parts)), given, counts


@functools.cache
def _statement(parts: tuple[_Part, ...]) -> str:
    number, made = 0, list[str]()
    for part in parts:
        sql, number = part.sql(number)
        made.append(f"{part.name} AS ({sql})")
    counts = ", ".join(f"(SELECT count(*) FROM {part.name})" for part in parts)
    return f"WITH {', '.join(made)} SELECT {counts}"
