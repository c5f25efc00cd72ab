"""Turns that share a transaction on Postgres: joined or not, it comes to the same."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, literal, select, text, update
from sqlalchemy.exc import DBAPIError

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.turn import RunAgain, Turn
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import SagaRow, State, StepRow
from holdfast.engines.joined import JoinedTransaction
from holdfast.engines.machine import MachineClock, MachineIds
from holdfast.engines.pending import together
from holdfast.engines.postgres import PostgresDatabase
from holdfast.engines.statements import only_reads
from holdfast.errors import StatementFailed, TransactionLost
from holdfast.storage import MessageFilter, SagaFilter, Sharing, Transaction, Write
from tests.contracts.rows import EDGES, METADATA, PAIR, THING, letter
from tests.servers import Postgres

Op = tuple[str, int]
SAGAS = [UUID(int=n + 1) for n in range(3)]


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[PostgresDatabase]:
    """A database of its own."""
    opened = PostgresDatabase(await postgres.database(), MachineClock())
    await opened.open(EDGES, [METADATA])
    yield opened
    await opened.close()


async def things(database: PostgresDatabase) -> list[tuple[Any, ...]]:
    """Return the user's rows that were committed."""
    reader = await database.read()
    found = await reader.execute(select(THING).order_by(THING.c.id))
    await reader.close()
    return [tuple(row) for row in found]


def thing(number: int, name: str = "a") -> Write:
    """Return an insert."""
    return Write(THING, {"id": number, "name": name})


class Refused(Exception):
    """A turn that ends badly."""


class Script(Turn):
    """A turn that does what a script says, and keeps what it has seen."""

    def __init__(self, number: int, ops: Sequence[Op]) -> None:
        super().__init__()
        self.number, self.ops = number, ops
        self.seen: list[Any] = []

    async def run(self, tx: Transaction) -> None:
        """Follow the script."""
        self.seen.clear()
        for op, n in self.ops:
            await self._do(tx, op, n)

    async def _do(self, tx: Transaction, op: str, n: int) -> None:
        saga = SAGAS[n % len(SAGAS)]
        match op:
            case "insert":
                await tx.write([thing(10 * self.number + n, "new")])
            case "insert the same":
                await tx.write([thing(n, f"turn {self.number}")])
            case "update":
                await tx.write([Write(THING, {"amount": self.number}, (n,))])
            case "update more":
                await tx.write([Write(THING, {"amount": n, "name": "more"}, (n,))])
            case "count":
                self.seen.append((await tx.execute(select(func.count()).select_from(THING))).all())
            case "add up":
                await tx.execute(update(THING).values(amount=func.coalesce(THING.c.amount, 0) + n))
            case "send":
                await tx.insert_messages([letter(100 * self.number + n, owner=saga)], sure=True)
            case "send the same":
                await tx.insert_messages([letter(n)], sure=True)
            case "take":
                new = await tx.insert_messages([letter(n, body=b"taken")])
                self.seen.append(len(new))
            case "settle":
                row = letter(n, state=State.DONE, answer=str(self.number).encode())
                self.seen.append(bool(await tx.update_message(row, State.DUE)))
            case "end":
                rows = await tx.delete_messages(1, [letter(n).id, letter(n + 1).id], State.DUE)
                self.seen.append(sorted(row.id for row in rows))
            case "advance":
                row = await tx.lock_saga(saga)
                steps = await tx.steps(saga)
                self.seen.append((row and (row.version, row.state), [s.path for s in steps]))
                if row is not None:
                    path = f"{self.number}.{len(steps)}"
                    await tx.insert_steps([StepRow(saga, path, "call", b"{}", len(steps))])
                    row.version += 1
                    await tx.update_saga(row)
            case "start":
                started = SagaRow(saga, "s", 1, "running", b"{}", None, None, 0, None)
                await tx.insert_saga(started)
                started.version = 2
                await tx.update_saga(started)
            case "owner":
                self.seen.append(sorted(row.id for row in await tx.messages_of_owner(saga)))
            case "inner":
                await tx.savepoint()
                await tx.write([thing(1000 + 10 * self.number + n)])
                await (tx.rollback() if n % 2 else tx.release())
            case "exact":
                await self._exact(tx, thing(n, "exact"))
            case "exact update":  # of a row that the same turn may have inserted
                await self._exact(tx, Write(THING, {"amount": n}, (10 * self.number + n,)))
            case _:
                raise Refused(f"turn {self.number}")

    async def _exact(self, tx: Transaction, write: Write) -> None:
        """What `async with tx.savepoint()` does, with a row that may be there or not."""
        await tx.savepoint(exact=True)
        try:
            await tx.write([write])
        except (DBAPIError, StatementFailed) as exc:
            await tx.rollback()
            self.seen.append(type(exc).__name__)
        else:
            await tx.release()
            self.seen.append("kept")


MOSTLY = ["insert", "update", "update more", "count", "send", "advance", "inner", "owner"]
DIRECTLY = ["add up", "take", "settle", "end", "exact", "exact update"]
BADLY = ["raise", "insert the same", "send the same", "start"]


def scripts(chance: random.Random) -> list[list[Op]]:
    """Draw the scripts of some turns: few kinds of steps each time, and few that go badly."""
    ops = chance.sample(MOSTLY, 3) + chance.sample(DIRECTLY, 2) + chance.sample(BADLY, 1)
    weights = [6, 6, 6, 4, 4, 2]
    return [
        [(op, chance.randrange(5)) for op in chance.choices(ops, weights, k=chance.randrange(1, 5))]
        for _ in range(chance.randrange(2, 7))
    ]


async def restock(database: PostgresDatabase) -> None:
    """Empty it, and put in what scripts change: things, letters, all sagas but the last."""
    tx = await database.begin()
    await tx.execute(text("TRUNCATE thing, holdfast_message, holdfast_saga, holdfast_step"))
    await tx.write([thing(n, "old") for n in range(5)])
    await tx.insert_messages([letter(n, owner=SAGAS[n % 3]) for n in range(5)])
    for id_ in SAGAS[:-1]:
        await tx.insert_saga(SagaRow(id_, "s", 1, "running", b"{}", None, None, 0, None))
    await tx.commit()


async def perform(writer: Writer, turn: Script) -> str:
    """Run a turn as its callers do: again and alone, if its transaction was lost."""
    for _ in range(3):
        try:
            await writer.perform(turn)
        except RunAgain as exc:
            turn.lost, lost = turn.lost + 1, exc
        except (Refused, DBAPIError, StatementFailed, TransactionLost) as exc:
            return type(exc).__name__
        else:
            return "done"
    return f"lost: {lost}"


async def outcome(
    database: PostgresDatabase, drawn: list[list[Op]], *, alone: bool
) -> tuple[Any, ...]:
    """Run scripts; return all that can be seen of it, and whether a transaction was lost."""
    ledger = Ledger("me", database, MachineClock(), MachineIds())
    ledger.know([])
    ledger.safe = ledger.safe.without("commit_asked")
    writer = Writer(ledger, lambda turns: None)
    turns = [Script(number, ops) for number, ops in enumerate(drawn, 1)]
    for turn in turns:
        turn.alone = alone
    told = await asyncio.gather(*(perform(writer, turn) for turn in turns))
    rows = await database.messages(MessageFilter(limit=1000))
    sagas = [(s, await database.saga_steps(s.id)) for s in await database.sagas(SagaFilter())]
    seen = [turn.seen for turn in turns]
    return told, seen, await things(database), rows, sagas, bool(writer.stats().lost)


@pytest.mark.parametrize("part", range(4))
async def test_shared_or_alone_comes_to_the_same(database: PostgresDatabase, part: int) -> None:
    """Whatever the turns write, see, refuse and break; also what each of them was told."""
    lost = 0
    for seed in range(40 * part, 40 * part + 40):
        drawn = scripts(random.Random(seed))
        found: list[tuple[Any, ...]] = []
        for alone in (False, True):
            await restock(database)
            found.append(await outcome(database, drawn, alone=alone))
        lost += found[0][-1]
        assert found[0][:-1] == found[1][:-1], drawn

    assert lost < 30, "most transactions are shared to their end"


async def test_a_refusal_after_reading_costs_the_others_nothing(
    database: PostgresDatabase,
) -> None:
    """What the turn before had gathered was written for the read, and stays; its own goes."""
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.savepoint()
    await tx.write([thing(1)])
    await tx.release()
    await tx.savepoint()
    assert len((await tx.execute(select(THING))).all()) == 1
    await tx.write([thing(2)])
    assert len((await tx.execute(select(THING))).all()) == 2
    await tx.rollback()
    await tx.commit()

    assert [row[0] for row in await things(database)] == [1]


async def test_what_a_turn_wrote_directly_is_undone(database: PostgresDatabase) -> None:
    """And what the turn before had gathered is not."""
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.savepoint()
    await tx.write([thing(1)])
    await tx.insert_messages([letter(1)], sure=True)
    await tx.release()
    await tx.savepoint()
    await tx.execute(update(THING).values(name="changed"))
    await tx.lock_message(1, letter(1).id)  # which writes what was gathered
    await tx.rollback()
    await tx.commit()

    assert await things(database) == [(1, "a", None)]
    assert len(await database.messages(MessageFilter())) == 1


async def test_what_was_read_ahead_is_not_what_was_written_since(
    database: PostgresDatabase,
) -> None:
    """A saga that goes on in the same transaction is read again."""
    await restock(database)
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.delete_messages(1, [letter(n).id for n in range(3)], State.DUE)
    plain = await tx.lock_saga(SAGAS[1])
    await tx.insert_steps([StepRow(SAGAS[0], "1", "call", b"{}", 1)])
    await tx.update_saga(SagaRow(SAGAS[0], "s", 7, "running", b"{}", None, None, 0, None))
    changed = await tx.lock_saga(SAGAS[0])
    steps = await tx.steps(SAGAS[0])
    await tx.abort()

    assert (changed and changed.version, plain and plain.version) == (7, 1)
    assert [step.path for step in steps] == ["1"]


async def test_a_row_that_is_not_new_loses_the_transaction(database: PostgresDatabase) -> None:
    """Nothing of it is kept; alone, it is told apart."""
    tx = await database.begin()
    await tx.insert_messages([letter(1)])
    await tx.commit()
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.write([thing(1)])
    await tx.insert_messages([letter(1)], sure=True)
    with pytest.raises(TransactionLost, match="a row was not new"):
        await tx.commit()
    await tx.abort()
    alone = await database.begin()
    new = await alone.insert_messages([letter(1)], sure=True)
    await alone.abort()

    assert (await things(database), new) == ([], [])


async def test_a_row_that_was_claimed_by_another_loses_the_transaction(
    database: PostgresDatabase,
) -> None:
    """The token is asked for where rows are written together, too; the right one is kept."""
    tx = await database.begin()
    await tx.insert_messages([letter(1, due_at=1_000)])
    await tx.commit()
    done = letter(1, state=State.DONE)
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.update_message(done, State.DUE, sure=True, held=999)
    with pytest.raises(TransactionLost, match="had been changed by another"):
        await tx.commit()
    await tx.abort()
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.update_message(done, State.DUE, sure=True, held=1_000)
    await tx.commit()

    assert [row.state for row in await database.messages(MessageFilter())] == [State.DONE]


async def test_one_that_is_refused_costs_the_others_one_more_run(
    database: PostgresDatabase,
) -> None:
    """All of them run again apart, in one transaction; nobody runs alone."""
    await restock(database)
    ledger = Ledger("me", database, MachineClock(), MachineIds())
    ledger.know([])
    ledger.safe = ledger.safe.without("commit_asked")
    writer = Writer(ledger, lambda turns: None)
    turns = [Script(number, [("insert", 0)]) for number in range(1, 30)]
    turns[7].ops = [("insert the same", 3)]
    told = await asyncio.gather(*(perform(writer, turn) for turn in turns))
    stats = writer.stats()

    assert told == ["done"] * 7 + ["RefusedRow"] + ["done"] * 21
    assert (stats.lost, stats.commits) == (1, 1)
    assert len(await things(database)) == 5 + 28


async def test_a_select_that_fails_loses_the_transaction(database: PostgresDatabase) -> None:
    """The server has nothing to go back to; each turn finds out for itself."""
    tx = await database.begin(sharing=Sharing.JOINED)
    await tx.savepoint()
    with pytest.raises(TransactionLost, match="division by zero"):
        await tx.execute(select(literal(1) / literal(0)))
    with pytest.raises(TransactionLost, match="division by zero"):
        await tx.commit()
    await tx.abort()


@pytest.mark.parametrize("sharing", [Sharing.APART, Sharing.JOINED])
async def test_a_turn_is_undone_behind_a_savepoint_of_its_own(
    database: PostgresDatabase, sharing: Sharing
) -> None:
    """It has ended well, and the server has not heard of that when a SELECT fails."""
    tx = await database.begin(sharing=sharing)
    await tx.savepoint()
    await tx.write([thing(1)])
    await tx.release()
    await tx.savepoint()
    await tx.savepoint(exact=True)
    await tx.write([thing(2)])
    await tx.release()
    with pytest.raises(DBAPIError, match="division by zero"):
        await tx.execute(select(literal(1) / literal(0)))
    await tx.rollback()
    await tx.commit()

    assert [row[0] for row in await things(database)] == [1]


async def test_what_is_gathered_leaves_in_few_statements(database: PostgresDatabase) -> None:
    """Sixty turns are three journeys."""
    tx = await database.begin(sharing=Sharing.JOINED)
    assert isinstance(tx, JoinedTransaction)
    apart: Any = tx.apart
    driver = apart._driver = _Counted(apart._driver)
    for number in range(60):
        await tx.savepoint()
        await tx.write([thing(number)])
        await tx.insert_messages([letter(number)], sure=True)
        await tx.insert_steps([StepRow(SAGAS[0], str(number), "call", b"", 0)])
        await tx.release()
    await tx.commit()

    assert driver.calls == 3  # the things, all of ours, and COMMIT
    assert len(await things(database)) == 60


@pytest.mark.parametrize("sharing", [Sharing.APART, Sharing.JOINED])
async def test_sagas_that_are_answered_together_are_read_together(
    database: PostgresDatabase, sharing: Sharing
) -> None:
    """With their steps, in one journey."""
    await restock(database)
    tx = await database.begin(sharing=sharing)
    apart: Any = tx.apart if isinstance(tx, JoinedTransaction) else tx
    driver = apart._driver = _Counted(apart._driver)
    await tx.delete_messages(1, [letter(n).id for n in range(3)], State.DUE)
    before = driver.calls
    for id_ in SAGAS[:2]:
        assert await tx.lock_saga(id_) is not None
        assert await tx.steps(id_) == []
    await tx.abort()

    assert driver.calls - before == 2  # the sagas, and ROLLBACK


class _Counted:
    """A driver whose statements are counted."""

    def __init__(self, driver: Any) -> None:
        self.calls = 0
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        self.calls += name in ("execute", "executemany", "fetch")
        return getattr(self._driver, name)


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        (select(THING), True),
        (select(func.count()).select_from(THING).where(THING.c.id.in_([1])), True),
        (select(THING).where(THING.c.id.in_(select(PAIR.c.left))).with_for_update(), True),
        (select(func.pg_sleep(0)), False),
        (select(func.my_own_function(THING.c.id)), False),
        (select(text("nextval('s')")), False),
        (text("SELECT 1"), False),
        (insert(THING), False),
        (update(THING).values(name="x"), False),
        (select(insert(THING).values(id=1).returning(THING.c.id).cte().c.id), False),
    ],
)
def test_only_what_surely_reads_goes_without_a_savepoint(statement: Any, reads: bool) -> None:
    """A function may write; what is not known is taken to."""
    assert only_reads(statement) is reads


# -- joining, against a model of a table --------------------------------------------------------

TABLES = [
    Table(name, MetaData(), Column("id", Integer, primary_key=True), *map(Column, "ab"))
    for name in ("one", "two")
]
_COLUMNS = st.lists(st.sampled_from("ab"), min_size=1, unique=True)
_WRITES = st.lists(
    st.builds(
        lambda table, id_, columns, value, new: (
            Write(table, {"id": id_, **dict.fromkeys(columns, value)})
            if new
            else Write(table, dict.fromkeys(columns, value), (id_,))
        ),
        st.sampled_from(TABLES),
        st.integers(0, 3),
        _COLUMNS,
        st.integers(),
        st.booleans(),
    ),
    max_size=12,
)


def after(writes: Sequence[Write]) -> dict[tuple[str, int], dict[str, Any]] | None:
    """Return a model's rows after some writes; None if one of them fails."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for write in writes:
        key = (write.table.name, write.values["id"] if write.key is None else write.key[0])
        if (key in rows) == (write.key is None):
            return None
        rows.setdefault(key, {}).update(write.values)
    return rows


@given(_WRITES)
def test_joined_writes_come_to_the_same(writes: list[Write]) -> None:
    """Also that something of it fails. Each group is of one shape, and names no row twice."""
    groups = list(together(writes))
    joined = [write for group in groups for write in group]

    assert after(joined) == after(writes)
    for group in groups:
        assert len({(w.table, tuple(w.values), w.key is None) for w in group}) == 1
        if group[0].key is not None:
            assert len({w.key for w in group}) == len(group)


def test_rows_of_many_turns_are_one_group() -> None:
    """Ten turns that write two tables are two statements."""
    writes = [Write(table, {"id": n, "a": n}) for n in range(10) for table in TABLES]

    assert [len(group) for group in together(writes)] == [10, 10]
