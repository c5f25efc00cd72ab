"""How the rows of the four tables are written and read on Postgres."""

import functools
from collections.abc import Sequence
from uuid import UUID

from holdfast.contract.envelope import EdgeRow, Kind, Lane, MessageRow, SagaRow, State
from holdfast.engines.postgres_driver import Record
from holdfast.storage import WAITS

MESSAGE_TYPES = {
    "edge": "int",
    "id": "uuid",
    "state": "text",
    "kind": "text",
    "due_at": "bigint",
    "tries": "int",
    "reached": "bool",
    "owner": "uuid",
    "path": "text",
    "about": "uuid",
    "expires_at": "bigint",
    "hash": "bytea",
    "body": "bytea",
    "answer": "bytea",
    "error": "text",
    "topic": "text",
}
COLUMNS = ", ".join(MESSAGE_TYPES)
SAGA_COLUMNS = "id, type, version, state, input, key, error, started_at, ended_at"
EDGES = "SELECT id, sender, receiver, lane, events, floor FROM holdfast_edge ORDER BY id"
_OFTEN_EMPTY = frozenset(
    {"due_at", "owner", "path", "about", "expires_at", "hash", "answer", "error", "topic"}
)
_ABOVE = (
    "WHERE NOT EXISTS (SELECT 1 FROM holdfast_edge old WHERE old.id = new.edge "
    "AND old.floor > new.id) "
)
_CHANGED = ", ".join(f"{name} = ${n}" for n, name in enumerate(MESSAGE_TYPES, 1) if n > 2)
UPDATE = (
    f"UPDATE holdfast_message SET {_CHANGED} WHERE edge = $1 AND id = $2 AND state = $17 "
    "AND ($18::bigint IS NULL OR due_at = $18)"
)
RENEW = (
    "UPDATE holdfast_message m SET due_at = $1 FROM unnest($2::int[], $3::uuid[], $4::bigint[]) "
    "AS held (edge, id, due_at) WHERE m.edge = held.edge AND m.id = held.id "
    "AND m.state = 'due' AND m.due_at = held.due_at RETURNING m.edge, m.id"
)
CLAIM = (
    "UPDATE holdfast_message m SET tries = tries + 1, due_at = $1 FROM (SELECT edge, id FROM "
    "holdfast_message WHERE due_at <= $2 AND state = 'due' ORDER BY due_at LIMIT $3 "
    "FOR UPDATE SKIP LOCKED) due WHERE m.edge = due.edge AND m.id = due.id RETURNING "
    + ", ".join(f"m.{name}" for name in MESSAGE_TYPES)
)
FAILED = "state = 'due' AND error IS NOT NULL"
"""What is in the index of failed rows; to be written in these words, or it is not used."""
WAITING = f"({FAILED} AND strpos(error, '{WAITS}') > 0)"
CLAIM_KNOWN = CLAIM.replace("ORDER BY", f"AND NOT {WAITING} ORDER BY")
_SIGN = (
    "INSERT INTO holdfast_message (edge, id, state, kind, tries, reached, body) "
    "VALUES ({edge:d}, '{id}', 'done', 'commit', 0, false, '')"
)


def signed(name: MessageRow) -> str:
    """Return the statement that leaves a transaction's name, without parameters."""
    return _SIGN.format(edge=name.edge, id=name.id)


class DollarMarks:
    """Takes values of a statement, and returns the mark of each."""

    def __init__(self, *values: object) -> None:
        self.values: list[object] = list(values)

    def __call__(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def _text(value: str | None) -> str | None:
    """Return a text as Postgres stores it: it has no NUL."""
    return value if value is None or "\0" not in value else value.replace("\0", "\\0")


def values_of(row: MessageRow) -> tuple[object, ...]:
    """Return a row's values in the order of COLUMNS."""
    return (
        row.edge,
        row.id,
        row.state.value,
        row.kind.value,
        row.due_at,
        row.tries,
        row.reached,
        row.owner,
        row.path,
        row.about,
        row.expires_at,
        row.hash,
        row.body,
        row.answer,
        _text(row.error),
        row.topic,
    )


def columns_of(rows: Sequence[MessageRow]) -> dict[str, Sequence[object]]:
    """Return rows as {column: its values}, without columns that are empty in all of them.

    An order's rows leave half of the columns empty, and the driver looks at each value in turn.
    """
    columns = zip(MESSAGE_TYPES, zip(*map(values_of, rows), strict=True), strict=True)
    return {
        name: values
        for name, values in columns
        if name not in _OFTEN_EMPTY or values.count(None) < len(values)
    }


@functools.cache
def inserted(columns: tuple[str, ...], *, above_floor: bool) -> str:
    """Return the INSERT of rows that have these columns, an array for each."""
    arrays = ", ".join(f"${n}::{MESSAGE_TYPES[name]}[]" for n, name in enumerate(columns, 1))
    names = ", ".join(columns)
    return (
        f"INSERT INTO holdfast_message ({names}) SELECT {names} FROM unnest({arrays}) "
        f"AS new ({names}) {_ABOVE if above_floor else ''}"
        "ON CONFLICT DO NOTHING RETURNING edge, id"
    )


def message(record: Record) -> MessageRow:
    """Return a stored message. Ids become plain UUIDs: the driver has a class of its own."""
    edge, id_, state, kind, due_at, tries, reached, owner, path, about, *rest = record
    return MessageRow(
        edge,
        plain(id_),
        State(state),
        Kind(kind),
        due_at,
        tries,
        reached,
        None if owner is None else plain(owner),
        path,
        None if about is None else plain(about),
        *rest,
    )


def edge_row(record: Record) -> EdgeRow:
    """Return a stored edge."""
    id_, sender, receiver, lane, events, floor = record
    below = None if floor is None else plain(floor)
    return EdgeRow(id_, sender, receiver, Lane(lane), tuple(events.split()), below)


def holds(column: str, mark: str) -> str:
    """Return the condition that a column of bytes holds what a mark stands for."""
    return f"position({mark}::bytea in {column}) > 0"


def saga(record: Record) -> SagaRow:
    """Return a stored saga."""
    id_, *rest = record
    return SagaRow(plain(id_), *rest)


def saga_values(row: SagaRow) -> tuple[object, ...]:
    """Return a saga's values in the order of SAGA_COLUMNS."""
    return (
        row.id,
        row.type,
        row.version,
        row.state,
        row.input,
        row.key,
        _text(row.error),
        row.started_at,
        row.ended_at,
    )


def plain(value: UUID) -> UUID:
    """Return an id as a plain UUID."""
    return UUID(int=value.int)
