"""How the rows of the four tables are written and read on Postgres."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
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
_OFTEN: dict[str, tuple[object, str]] = {
    "due_at": (None, "NULL"),
    "tries": (1, "1"),
    "reached": (False, "false"),
    "owner": (None, "NULL"),
    "path": (None, "NULL"),
    "about": (None, "NULL"),
    "expires_at": (None, "NULL"),
    "hash": (None, "NULL"),
    "answer": (None, "NULL"),
    "error": (None, "NULL"),
    "topic": (None, "NULL"),
}
"""{column: what most rows hold there, as a value and as it is written}."""
_SAME = ("edge", "state", "kind")
"""Columns that are one value each, and no array, where all rows agree on all of them."""
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


@dataclass(frozen=True, slots=True)
class Shape:
    """Which columns of some rows are arrays, and which are one value for all of them.

    What is in neither is what most rows hold there: see `literal`.
    """

    arrays: tuple[str, ...]
    same: tuple[str, ...] = ()

    def source(self, number: int, *more: tuple[str, str]) -> str:
        """Return the rows as a table `new`, whose parameters come behind so many others.

        Args:
            more: (name, type) of further arrays, behind those of the rows.
        """
        named = [(name, MESSAGE_TYPES[name]) for name in self.arrays] + list(more)
        arrays = ", ".join(f"${number + n}::{type_}[]" for n, (_, type_) in enumerate(named, 1))
        table = f"unnest({arrays}) AS new ({', '.join(name for name, _ in named)})"
        if not self.same:
            return table
        number += len(named)
        values = ", ".join(
            f"${number + n}::{MESSAGE_TYPES[name]} AS {name}" for n, name in enumerate(self.same, 1)
        )
        return f"(SELECT *, {values} FROM {table}) AS new"

    def value(self, column: str) -> str:
        """Return a column of `new`, as an expression."""
        known = column in self.arrays or column in self.same
        return f"new.{column}" if known else _OFTEN[column][1]

    def inserting(self) -> str:
        """Return what stands between INSERT INTO and FROM; columns without a value are left out."""
        values = {name: self.value(name) for name in MESSAGE_TYPES if self.value(name) != "NULL"}
        return f"holdfast_message ({', '.join(values)}) SELECT {', '.join(values.values())}"


def columns_of(rows: Sequence[MessageRow]) -> tuple[Shape, list[Sequence[object]], list[object]]:
    """Return rows as arrays of their columns, and as values that all of them share.

    An order's rows are alike in most columns, and the driver looks at each value of an array.
    """
    arrays: dict[str, tuple[object, ...]] = {}
    for name, values in zip(MESSAGE_TYPES, zip(*map(values_of, rows), strict=True), strict=True):
        often = _OFTEN.get(name)
        if often is None or values.count(often[0]) < len(values):
            arrays[name] = values
    count, same = len(rows), list[object]()
    if all(arrays[name].count(arrays[name][0]) == count for name in _SAME):
        same = [arrays.pop(name)[0] for name in _SAME]
    shape = Shape(tuple(arrays), _SAME if same else ())
    return shape, list(arrays.values()), same


@functools.cache
def inserted(shape: Shape, *, above_floor: bool) -> str:
    """Return the INSERT of rows of a shape."""
    return (
        f"INSERT INTO {shape.inserting()} FROM {shape.source(0)} "
        f"{_ABOVE if above_floor else ''}ON CONFLICT DO NOTHING RETURNING edge, id"
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
