"""What a transaction on Postgres does with the four tables: a journey each."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from uuid import UUID

from holdfast.contract.envelope import MessageRow, SagaRow, State, StepRow
from holdfast.engines.lists import hastened
from holdfast.engines.postgres_driver import Record
from holdfast.engines.postgres_rows import (
    CLAIM,
    CLAIM_KNOWN,
    COLUMNS,
    RENEW,
    SAGA_COLUMNS,
    UPDATE,
    DollarMarks,
    columns_of,
    inserted,
    message,
    plain,
    saga,
    saga_values,
    values_of,
)

STEPS = "SELECT path, kind, outcome, ended_at FROM holdfast_step WHERE saga = $1 ORDER BY ended_at"
_OF_STEPS = ", ".join(
    f"ARRAY(SELECT {column} FROM holdfast_step WHERE saga = s.id ORDER BY ended_at, path)"
    for column in ("path", "kind", "outcome", "ended_at")
)
SAGAS_AND_STEPS = (
    f"SELECT {SAGA_COLUMNS}, {_OF_STEPS} FROM holdfast_saga s WHERE id = ANY($1::uuid[]) "
    "ORDER BY id FOR UPDATE"
)


class PostgresTables:
    """The verbs of `storage.Transaction` that are about messages, sagas and steps."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._answered: set[UUID] = set()  # sagas whose letters were ended here: they go on next
        self._sagas: dict[UUID, SagaRow] = {}  # read before they are asked for
        self._steps: dict[UUID, list[StepRow]] = {}

    @abstractmethod
    async def _do(self, sql: str, *values: object) -> int:
        """Run a statement of ours; return how many rows it changed."""

    @abstractmethod
    async def _fetch(self, sql: str, *values: object) -> list[Record]:
        """Run a statement of ours; return its rows."""

    def forget_read(self, sagas: Iterable[UUID]) -> None:
        """Forget what was read of sagas before they were asked for: it has changed."""
        for saga_ in sagas:
            self._sagas.pop(saga_, None)
            self._steps.pop(saga_, None)

    # -- messages -------------------------------------------------------------------------------

    async def insert_messages(
        self, rows: Sequence[MessageRow], *, above_floor: bool = False, sure: bool = False
    ) -> list[MessageRow]:
        if not rows:
            return []
        shape, arrays, same = columns_of(rows)
        sql = inserted(shape, above_floor=above_floor)
        found = await self._fetch(sql, *arrays, *same)
        if len(found) == len(rows):
            return list(rows)
        new = {(edge, id_) for edge, id_ in found}
        return [row for row in rows if (row.edge, row.id) in new]

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        found = await self._fetch(
            f"SELECT {COLUMNS} FROM holdfast_message WHERE edge = $1 AND id = $2 FOR UPDATE",
            edge,
            id,
        )
        return message(found[0]) if found else None

    async def update_message(
        self, row: MessageRow, was: State, *, sure: bool = False, held: int | None = None
    ) -> bool:
        return await self._do(UPDATE, *values_of(row), was.value, held) == 1

    async def delete_message(self, edge: int, id: UUID, *states: State) -> MessageRow | None:
        found = await self._fetch(
            "DELETE FROM holdfast_message WHERE edge = $1 AND id = $2 AND state = ANY($3::text[]) "
            f"RETURNING {COLUMNS}",
            edge,
            id,
            [state.value for state in states],
        )
        return message(found[0]) if found else None

    async def delete_messages(
        self, edge: int, ids: Sequence[UUID], *states: State
    ) -> list[MessageRow]:
        found = await self._fetch(
            "WITH gone AS (DELETE FROM holdfast_message WHERE edge = $1 AND id = ANY($2::uuid[]) "
            f"AND state = ANY($3::text[]) RETURNING {COLUMNS}) "
            "SELECT * FROM gone WHERE owner IS NOT NULL",
            edge,
            list(ids),
            [state.value for state in states],
        )
        rows = [message(record) for record in found]
        self._answered.update(row.owner for row in rows if row.owner is not None)
        return rows

    async def lock_topic(self, topic: str) -> None:
        await self._fetch("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", topic)

    async def messages_of_topic(self, topic: str) -> list[MessageRow]:
        return await self._select("topic", topic)

    async def messages_of_owner(self, saga: UUID) -> list[MessageRow]:
        return await self._select("owner", saga)

    async def _select(self, column: str, value: object) -> list[MessageRow]:
        sql = f"SELECT {COLUMNS} FROM holdfast_message WHERE {column} = $1 ORDER BY id"
        return [message(record) for record in await self._fetch(sql, value)]

    async def claim(self, limit: int, lease_ms: int, *, waiting: bool = True) -> list[MessageRow]:
        claim = CLAIM if waiting else CLAIM_KNOWN
        found = await self._fetch(claim, self.now_ms + lease_ms, self.now_ms, limit)
        return sorted(map(message, found), key=lambda row: row.id)

    async def renew(self, rows: Sequence[MessageRow], lease_ms: int) -> list[MessageRow]:
        if not rows:
            return []
        until = self.now_ms + lease_ms
        found = await self._fetch(
            RENEW,
            until,
            [row.edge for row in rows],
            [row.id for row in rows],
            [row.due_at for row in rows],
        )
        held = {(edge, id_) for edge, id_ in found}
        kept = [row.copy() for row in rows if (row.edge, row.id) in held]
        for row in kept:
            row.due_at = until
        return kept

    async def postpone(self, rows: Sequence[MessageRow]) -> None:
        if rows:
            await self._do(
                "UPDATE holdfast_message m SET due_at = new.due_at FROM unnest($1::int[], "
                "$2::uuid[], $3::bigint[]) AS new (edge, id, due_at) "
                "WHERE m.edge = new.edge AND m.id = new.id AND m.state = 'due'",
                [row.edge for row in rows],
                [row.id for row in rows],
                [row.due_at for row in rows],
            )

    async def hasten(
        self, edge: int, limit: int, *, sent_once: bool = False, letter: UUID | None = None
    ) -> int:
        mark = DollarMarks(self.now_ms, edge, limit)
        which = hastened(sent_once=sent_once, letter=mark(letter) if letter else None)
        return await self._do(
            "UPDATE holdfast_message SET due_at = $1 WHERE ctid IN (SELECT ctid FROM "
            "holdfast_message WHERE edge = $2 AND state = 'due' AND due_at > $1 "
            f"AND {which} ORDER BY id LIMIT $3)",
            *mark.values,
        )

    async def forget(self, limit: int) -> int:
        deleted = await self._do(
            "DELETE FROM holdfast_message WHERE ctid IN (SELECT ctid FROM holdfast_message "
            "WHERE due_at <= $1 AND state = 'done' AND kind = 'request' LIMIT $2)",
            self.now_ms,
            limit,
        )
        let_go = await self._do(
            "UPDATE holdfast_message SET topic = NULL, due_at = NULL, body = '' WHERE ctid IN "
            "(SELECT ctid FROM holdfast_message WHERE due_at <= $1 AND state = 'done' "
            "AND topic IS NOT NULL LIMIT $2)",
            self.now_ms,
            limit,
        )
        return max(deleted, let_go)

    async def oldest_unsettled(self, edge: int) -> UUID | None:
        found = await self._fetch(
            "SELECT id FROM holdfast_message WHERE edge = $1 ORDER BY id LIMIT 1", edge
        )
        return plain(found[0][0]) if found else None

    async def set_floor(self, edge: int, floor: UUID, limit: int) -> int:
        await self._do(
            "UPDATE holdfast_edge SET floor = $2 WHERE id = $1 AND (floor IS NULL OR floor < $2)",
            edge,
            floor,
        )
        return await self._do(
            "DELETE FROM holdfast_message WHERE ctid IN (SELECT ctid FROM holdfast_message "
            "WHERE edge = $1 AND id < $2 AND state IN ('done', 'refused') AND topic IS NULL "
            "LIMIT $3)",
            edge,
            floor,
            limit,
        )

    # -- sagas ----------------------------------------------------------------------------------

    async def insert_saga(self, row: SagaRow) -> bool:
        changed = await self._do(
            f"INSERT INTO holdfast_saga ({SAGA_COLUMNS}) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            *saga_values(row),
        )
        return changed == 1

    async def saga_of_key(self, types: Sequence[str], key: str) -> UUID | None:
        found = await self._fetch(
            "SELECT id FROM holdfast_saga WHERE type = ANY($1::text[]) AND key = $2",
            list(types),
            key,
        )
        return plain(found[0][0]) if found else None

    async def _read_sagas(self, ids: Iterable[UUID]) -> None:
        found = await self._fetch(SAGAS_AND_STEPS, sorted(ids))
        for *columns, paths, kinds, outcomes, ended in found:
            row = saga(columns)
            steps = zip(paths, kinds, outcomes, ended, strict=True)
            self._sagas[row.id] = row
            self._steps[row.id] = [StepRow(row.id, *step) for step in steps]

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        if id not in self._sagas:
            together = self._answered if id in self._answered else {id}  # in one journey
            self._answered = set()
            await self._read_sagas(together)
        return self._sagas.pop(id, None)

    async def update_saga(self, row: SagaRow) -> None:
        await self._do(
            "UPDATE holdfast_saga SET version = $2, state = $3, input = $4, error = $5, "
            "ended_at = $6 WHERE id = $1",
            row.id,
            row.version,
            row.state,
            row.input,
            None if row.error is None else row.error.replace("\0", "\\0"),
            row.ended_at,
        )

    async def insert_steps(self, rows: Sequence[StepRow]) -> None:
        await self._do(
            "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) SELECT * FROM "
            "unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bigint[])",
            [row.saga for row in rows],
            [row.path for row in rows],
            [row.kind for row in rows],
            [row.outcome for row in rows],
            [row.ended_at for row in rows],
        )

    async def steps(self, saga: UUID) -> list[StepRow]:
        read = self._steps.pop(saga, None)
        if read is not None:
            return read
        found = await self._fetch(STEPS, saga)
        return [StepRow(saga, *record) for record in found]

    async def delete_steps(self, saga: UUID) -> None:
        await self._do("DELETE FROM holdfast_step WHERE saga = $1", saga)

    async def delete_ended_sagas(self, before_ms: int, limit: int) -> int:
        return await self._do(
            "WITH ended AS (SELECT id FROM holdfast_saga WHERE ended_at < $1 LIMIT $2), "
            "steps AS (DELETE FROM holdfast_step WHERE saga IN (SELECT id FROM ended)) "
            "DELETE FROM holdfast_saga WHERE id IN (SELECT id FROM ended)",
            before_ms,
            limit,
        )
