"""One statement for rows of all four tables, each kind in arrays of its columns."""

import functools

from holdfast.engines.pending import Ours
from holdfast.engines.postgres_rows import MESSAGE_TYPES, SAGA_COLUMNS, saga_values, values_of

_SAGA_TYPES = ("uuid", "text", "int", "text", "bytea", "text", "text", "bigint", "bigint")
_STEP_TYPES = ("uuid", "text", "text", "bytea", "bigint")
_MESSAGES = ", ".join(MESSAGE_TYPES)
_SET = ", ".join(f"{name} = new.{name}" for name in MESSAGE_TYPES if name not in ("edge", "id"))
_PARTS = {
    "sent": (
        (*MESSAGE_TYPES.values(), "bool"),
        f"INSERT INTO holdfast_message ({_MESSAGES}) SELECT {_MESSAGES} FROM unnest({{}}) "
        f"AS new ({_MESSAGES}, guarded) WHERE NOT (guarded AND EXISTS (SELECT 1 FROM "
        "holdfast_edge old WHERE old.id = new.edge AND old.floor > new.id)) "
        "ON CONFLICT DO NOTHING RETURNING 1",
    ),
    "settled": (
        (*MESSAGE_TYPES.values(), "text", "bigint"),
        f"UPDATE holdfast_message m SET {_SET} FROM unnest({{}}) AS new ({_MESSAGES}, was, held) "
        "WHERE m.edge = new.edge AND m.id = new.id AND m.state = new.was "
        "AND (new.held IS NULL OR m.due_at = new.held) RETURNING 1",
    ),
    "started": (
        _SAGA_TYPES,
        f"INSERT INTO holdfast_saga ({SAGA_COLUMNS}) SELECT * FROM unnest({{}}) "
        "ON CONFLICT DO NOTHING RETURNING 1",
    ),
    "advanced": (
        _SAGA_TYPES,
        "UPDATE holdfast_saga s SET version = new.version, state = new.state, input = new.input, "
        f"error = new.error, ended_at = new.ended_at FROM unnest({{}}) AS new ({SAGA_COLUMNS}) "
        "WHERE s.id = new.id RETURNING 1",
    ),
    "stepped": (
        _STEP_TYPES,
        "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) "
        "SELECT * FROM unnest({}) RETURNING 1",
    ),
}


def statement_of(ours: Ours) -> tuple[str, list[tuple[object, ...]], list[int]]:
    """Return one statement for rows of ours, its arrays, and how many rows each part must write."""
    parts: dict[str, list[tuple[object, ...]]] = {
        "sent": [(*values_of(new.row), new.guarded) for new in ours.sent],
        "settled": [(*values_of(s.row), s.was.value, s.held) for s in ours.settled],
        "started": [saga_values(row) for row in ours.started],
        "advanced": [saga_values(row) for row in ours.advanced],
        "stepped": [(r.saga, r.path, r.kind, r.outcome, r.ended_at) for r in ours.stepped],
    }
    wanted = {name: rows for name, rows in parts.items() if rows}
    arrays = [column for rows in wanted.values() for column in zip(*rows, strict=True)]
    return _statement(tuple(wanted)), arrays, [len(rows) for rows in wanted.values()]


@functools.cache
def _statement(parts: tuple[str, ...]) -> str:
    number, made = 0, list[str]()
    for part in parts:
        types, sql = _PARTS[part]
        marks = [f"${number + n}::{kind}[]" for n, kind in enumerate(types, 1)]
        number += len(types)
        made.append(f"{part} AS ({sql.format(', '.join(marks))})")
    counts = ", ".join(f"(SELECT count(*) FROM {part})" for part in parts)
    return f"WITH {', '.join(made)} SELECT {counts}"
