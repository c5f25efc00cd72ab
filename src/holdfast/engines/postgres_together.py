"""One statement for rows of all four tables, each kind in arrays of its columns."""

import functools
from collections.abc import Sequence

from holdfast.engines.pending import Ours
from holdfast.engines.postgres_rows import MESSAGE_TYPES, SAGA_COLUMNS, columns_of, saga_values

_SAGA_TYPES = ("uuid", "text", "int", "text", "bytea", "text", "text", "bigint", "bigint")
_STEP_TYPES = ("uuid", "text", "text", "bytea", "bigint")
_SENT = (
    "INSERT INTO holdfast_message ({names}) SELECT {names} FROM unnest({arrays}) "
    "AS new ({names}, guarded) WHERE NOT (guarded AND EXISTS (SELECT 1 FROM "
    "holdfast_edge old WHERE old.id = new.edge AND old.floor > new.id)) "
    "ON CONFLICT DO NOTHING RETURNING 1"
)
_SETTLED = (
    "UPDATE holdfast_message m SET {sets} FROM unnest({arrays}) AS new ({names}, was, held) "
    "WHERE m.edge = new.edge AND m.id = new.id AND m.state = new.was "
    "AND (new.held IS NULL OR m.due_at = new.held) RETURNING 1"
)
_MESSAGES = {"sent": (("bool",), _SENT), "settled": (("text", "bigint"), _SETTLED)}
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


def statement_of(ours: Ours) -> tuple[str, list[Sequence[object]], list[int]]:
    """Return one statement for rows of ours, its arrays, and how many rows each part must write."""
    parts: list[tuple[str, tuple[str, ...]]] = []  # and of messages the columns that are not empty
    arrays: list[Sequence[object]] = []
    counts: list[int] = []
    if ours.sent:
        columns = columns_of([new.row for new in ours.sent])
        parts.append(("sent", tuple(columns)))
        arrays += [*columns.values(), [new.guarded for new in ours.sent]]
        counts.append(len(ours.sent))
    if ours.settled:
        columns = columns_of([one.row for one in ours.settled])
        parts.append(("settled", tuple(columns)))
        held = [one.held for one in ours.settled]
        arrays += [*columns.values(), [one.was.value for one in ours.settled], held]
        counts.append(len(ours.settled))
    others: dict[str, list[tuple[object, ...]]] = {
        "started": [saga_values(row) for row in ours.started],
        "advanced": [saga_values(row) for row in ours.advanced],
        "stepped": [(r.saga, r.path, r.kind, r.outcome, r.ended_at) for r in ours.stepped],
    }
    for name, rows in others.items():
        if rows:
            parts.append((name, ()))
            arrays += zip(*rows, strict=True)
            counts.append(len(rows))
    return _statement(tuple(parts)), arrays, counts


@functools.cache
def _statement(parts: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    number, made = 0, list[str]()
    for part, columns in parts:
        if columns:
            more, sql = _MESSAGES[part]
            types = (*(MESSAGE_TYPES[name] for name in columns), *more)
        else:
            types, sql = _PARTS[part]
        arrays = ", ".join(f"${number + n}::{kind}[]" for n, kind in enumerate(types, 1))
        number += len(types)
        sets = ", ".join(
            f"{name} = {f'new.{name}' if name in columns else 'NULL'}"
            for name in MESSAGE_TYPES
            if name not in ("edge", "id")
        )
        made.append(f"{part} AS ({sql.format(arrays=arrays, names=', '.join(columns), sets=sets)})")
    counts = ", ".join(f"(SELECT count(*) FROM {part})" for part, _ in parts)
    return f"WITH {', '.join(made)} SELECT {counts}"
