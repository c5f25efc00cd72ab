"""What joined turns have yet to write: gathered over a transaction, and written at once.

Pure: it keeps what waits, says what belongs together, and makes the statement.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, TextClause, UpdateBase
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from holdfast.contract.envelope import MessageRow, SagaRow, State, StepRow
from holdfast.engines.postgres_rows import MESSAGE_TYPES, saga_values, values_of
from holdfast.storage import Write

_HARMLESS = {"count", "sum", "max", "min", "avg", "coalesce", "lower", "upper", "length", "now"}
_SAGA_TYPES = ("uuid", "text", "int", "text", "bytea", "text", "text", "bigint", "bigint")
_STEP_TYPES = ("uuid", "text", "text", "bytea", "bigint")
_MESSAGES = ", ".join(MESSAGE_TYPES)
_SET = ", ".join(f"{name} = new.{name}" for name in MESSAGE_TYPES if name not in ("edge", "id"))
_SAGA = "id, type, version, state, input, key, error, started_at, ended_at"
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
        f"INSERT INTO holdfast_saga ({_SAGA}) SELECT * FROM unnest({{}}) "
        "ON CONFLICT DO NOTHING RETURNING 1",
    ),
    "advanced": (
        _SAGA_TYPES,
        "UPDATE holdfast_saga s SET version = new.version, state = new.state, input = new.input, "
        f"error = new.error, ended_at = new.ended_at FROM unnest({{}}) AS new ({_SAGA}) "
        "WHERE s.id = new.id RETURNING 1",
    ),
    "stepped": (
        _STEP_TYPES,
        "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) "
        "SELECT * FROM unnest({}) RETURNING 1",
    ),
}


@dataclass(slots=True)
class Level:
    """An open savepoint, which the server hears of only if something has to be undone there.

    Attributes:
        users, ours: how much had been gathered when it was opened.
        direct: how many statements had been sent then that only a savepoint undoes.
        told: the server knows of it; then `users_done` and `ours_done` had been written before.
        leaks: something was sent before the server knew of it, and cannot be undone any more.
    """

    users: int
    ours: int
    direct: int
    told: bool = False
    leaks: bool = False
    users_done: int = 0
    ours_done: int = 0


@dataclass(slots=True)
class Ours:
    """A row of the framework's tables, and how it is written: one of _PARTS."""

    part: str
    values: tuple[Any, ...]
    keys: tuple[UUID, ...]


@dataclass(slots=True)
class Pending:
    """All that waits, in the order in which it came; what was written stays until the end."""

    users: list[Write] = field(default_factory=list[Write])
    ours: list[Ours] = field(default_factory=list[Ours])
    users_done: int = 0
    ours_done: int = 0
    _touched: set[UUID] = field(default_factory=set[UUID])

    def send(self, rows: Sequence[MessageRow], *, guarded: bool) -> None:
        """Gather new rows; guarded ones must be above their edge's floor."""
        for row in rows:
            self._add("sent", (*values_of(row), guarded), row.id, row.owner)

    def settle(self, row: MessageRow, was: State, held: int | None = None) -> None:
        """Gather a row that has changed its state, if its `due_at` is still `held`."""
        self._add("settled", (*values_of(row), was.value, held), row.id, row.owner)

    def saga(self, row: SagaRow, *, new: bool) -> None:
        """Gather a saga that was started, or that has gone on."""
        self._add("started" if new else "advanced", saga_values(row), row.id)

    def step(self, rows: Sequence[StepRow]) -> None:
        """Gather steps that have ended."""
        for row in rows:
            values = (row.saga, row.path, row.kind, row.outcome, row.ended_at)
            self._add("stepped", values, row.saga)

    def _add(self, part: str, values: tuple[Any, ...], *keys: UUID | None) -> None:
        known = tuple(key for key in keys if key is not None)
        self.ours.append(Ours(part, values, known))
        self._touched.update(known)

    def touches(self, *keys: UUID) -> bool:
        """Whether rows of these ids, or of these sagas, wait to be written."""
        return self.ours_done < len(self.ours) and not self._touched.isdisjoint(keys)

    def take_users(self) -> list[Write]:
        """Return what users want to have written next."""
        found = self.users[self.users_done :]
        self.users_done = len(self.users)
        return found

    def take_ours(self) -> list[Ours]:
        """Return what we want to have written next."""
        found = self.ours[self.ours_done :]
        self.ours_done = len(self.ours)
        self._touched.clear()
        return found

    def level(self, direct: int) -> Level:
        """Open a savepoint here."""
        return Level(len(self.users), len(self.ours), direct)

    def lost_by(self, level: Level, direct: int) -> bool:
        """Whether undoing a savepoint would leave something behind."""
        if level.told:
            return level.leaks
        return direct > level.direct or self.users_done > level.users

    def undo(self, level: Level) -> None:
        """Forget what was gathered since a savepoint; what it has undone waits again."""
        del self.users[level.users :], self.ours[level.ours :]
        if level.told:
            self.users_done, self.ours_done = level.users_done, level.ours_done
        self.users_done = min(self.users_done, len(self.users))
        self.ours_done = min(self.ours_done, len(self.ours))
        waiting = self.ours[self.ours_done :]
        self._touched = {key for entry in waiting for key in entry.keys}


def together(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Yield what one statement can write, in an order that comes to the same.

    Writes of one shape are joined over all turns, as long as no row is written by two shapes: a
    row that is seen again in another one ends what came before it.
    """
    groups: dict[tuple[Table, tuple[str, ...], bool], dict[Any, Write]] = {}
    writer: dict[tuple[Table, Any], object] = {}
    for write in writes:
        shape = (write.table, tuple(write.values), write.key is None)
        row = (write.table, _row_of(write))
        if writer.get(row, shape) != shape or (shape[2] and row in writer):
            yield from (list(group.values()) for group in groups.values())
            groups, writer = {}, {}
        if row[1] is not None:
            writer[row] = shape
        group = groups.setdefault(shape, {})
        group[len(group) if row[1] is None else row[1]] = write  # an update again: the last holds
    yield from (list(group.values()) for group in groups.values())


def _row_of(write: Write) -> Any:
    """Return the primary key that a write names, or None if the database makes it."""
    if write.key is not None:
        return write.key
    names = [column.key for column in write.table.primary_key]
    if not names or any(name not in write.values for name in names):
        return None
    return tuple(write.values[name] for name in names)


def statement_of(entries: Sequence[Ours]) -> tuple[str, list[list[Any]], list[int]]:
    """Return one statement for rows of ours, its arrays, and how many rows each part must write."""
    by_part: dict[str, list[tuple[Any, ...]]] = {}
    sagas: dict[UUID, Ours] = {}  # one that is new and has gone on is written once
    for entry in entries:
        if entry.part in ("started", "advanced"):
            known = sagas.get(entry.keys[0], entry)
            sagas[entry.keys[0]] = Ours(known.part, entry.values, entry.keys)
        else:
            by_part.setdefault(entry.part, []).append(entry.values)
    for entry in sagas.values():
        by_part.setdefault(entry.part, []).append(entry.values)
    arrays = [list(column) for rows in by_part.values() for column in zip(*rows, strict=True)]
    return _statement(tuple(by_part)), arrays, [len(rows) for rows in by_part.values()]


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
