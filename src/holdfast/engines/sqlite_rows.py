"""How the rows of the four tables are written and read on SQLite."""

import sqlite3
from typing import Any
from uuid import UUID

from holdfast.contract.envelope import EdgeRow, Kind, Lane, MessageRow, SagaRow, State, StepRow
from holdfast.storage import WAITS

COLUMNS = (
    "edge, id, state, kind, due_at, tries, reached, owner, path, about, expires_at, hash, body, "
    "answer, error, topic"
)
OWNER = COLUMNS.split(", ").index("owner")
_MARKS = ", ".join("?" * 16)
INSERT = f"INSERT INTO holdfast_message ({COLUMNS}) VALUES ({_MARKS}) ON CONFLICT DO NOTHING"
INSERT_ABOVE = (
    f"INSERT INTO holdfast_message ({COLUMNS}) SELECT {_MARKS} WHERE NOT EXISTS "
    "(SELECT 1 FROM holdfast_edge WHERE id = ? AND floor > ?) ON CONFLICT DO NOTHING"
)
UPDATE = (
    "UPDATE holdfast_message SET state = ?, kind = ?, due_at = ?, tries = ?, reached = ?, "
    "owner = ?, path = ?, about = ?, expires_at = ?, hash = ?, body = ?, answer = ?, error = ?, "
    "topic = ? WHERE edge = ? AND id = ? AND state = ?"
)
UPDATE_HELD = f"{UPDATE} AND due_at = ?"
RENEW = (
    "UPDATE holdfast_message SET due_at = ? WHERE edge = ? AND id = ? AND state = 'due' "
    "AND due_at = ?"
)
CLAIM = (
    "UPDATE holdfast_message SET tries = tries + 1, due_at = ? WHERE rowid IN (SELECT rowid FROM "
    "holdfast_message WHERE due_at <= ? AND state = 'due' ORDER BY due_at LIMIT ?) "
    f"RETURNING {COLUMNS}"
)
FAILED = "state = 'due' AND error IS NOT NULL"
"""What is in the index of failed rows; to be written in these words, or it is not used."""
WAITING = f"({FAILED} AND instr(error, '{WAITS}') > 0)"
CLAIM_KNOWN = CLAIM.replace("ORDER BY", f"AND NOT {WAITING} ORDER BY")


def uuid_of(value: bytes | None) -> UUID | None:
    """Return a stored id."""
    return None if value is None else UUID(bytes=value)


class QuestionMarks:
    """Takes values of a statement, and returns the mark of each."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object) -> str:
        self.values.append(value.bytes if isinstance(value, UUID) else value)
        return "?"


def values_of(row: MessageRow) -> tuple[object, ...]:
    """Return a row's values in the order of COLUMNS."""
    return (
        row.edge,
        row.id.bytes,
        row.state.value,
        row.kind.value,
        row.due_at,
        row.tries,
        row.reached,
        None if row.owner is None else row.owner.bytes,
        row.path,
        None if row.about is None else row.about.bytes,
        row.expires_at,
        row.hash,
        row.body,
        row.answer,
        row.error,
        row.topic,
    )


def message(values: tuple[Any, ...]) -> MessageRow:
    """Return a stored message."""
    edge, id_, state, kind, due_at, tries, reached, owner, path, about, *rest = values
    return MessageRow(
        edge,
        UUID(bytes=id_),
        State(state),
        Kind(kind),
        due_at,
        tries,
        bool(reached),
        None if owner is None else UUID(bytes=owner),
        path,
        None if about is None else UUID(bytes=about),
        *rest,
    )


def saga(values: tuple[Any, ...]) -> SagaRow:
    """Return a stored saga."""
    id_, type_, version, state, input_, key, error, started_at, ended_at = values
    return SagaRow(UUID(bytes=id_), type_, version, state, input_, key, error, started_at, ended_at)


def holds(column: str, mark: str) -> str:
    """Return the condition that a column of bytes holds what a mark stands for."""
    return f"instr({column}, {mark}) > 0"


def edges_of(sql: sqlite3.Connection) -> list[EdgeRow]:
    """Return the stored edges; none, where there are no tables of ours."""
    if not sql.execute("SELECT 1 FROM sqlite_master WHERE name = 'holdfast_edge'").fetchone():
        return []
    found = sql.execute(
        "SELECT id, sender, receiver, lane, events, floor FROM holdfast_edge ORDER BY id"
    )
    return [
        EdgeRow(id_, sender, receiver, Lane(lane), tuple(events.split()), uuid_of(floor))
        for id_, sender, receiver, lane, events, floor in found
    ]


def steps_of(sql: sqlite3.Connection, saga: UUID) -> list[StepRow]:
    """Return a saga's ended steps, oldest first."""
    found = sql.execute(
        "SELECT path, kind, outcome, ended_at FROM holdfast_step WHERE saga = ? ORDER BY ended_at",
        (saga.bytes,),
    )
    return [StepRow(saga, *values) for values in found]
