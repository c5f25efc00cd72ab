"""What joined turns must come to, on every database that joins them."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, select, text, update
from sqlalchemy.exc import DBAPIError

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.turn import RunAgain, Turn
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import SagaRow, State, StepRow
from holdfast.engines.machine import MachineClock, MachineIds
from holdfast.errors import StatementFailed, TransactionLost
from holdfast.storage import (
    Database,
    MessageFilter,
    SagaFilter,
    Sharing,
    Transaction,
    Write,
)
from tests.contracts.rows import THING, Opened, letter

Op = tuple[str, int]
SAGAS = [UUID(int=n + 1) for n in range(3)]
NOWHERE = Table("nowhere", MetaData(), Column("id", Integer))


async def things(database: Database) -> list[tuple[Any, ...]]:
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
                found = await tx.lock_saga(saga)
                steps = await tx.steps(saga)
                self.seen.append((found and (found.version, found.state), [s.path for s in steps]))
                if found is not None:
                    path = f"{self.number}.{len(steps)}"
                    await tx.insert_steps([StepRow(saga, path, "call", b"{}", len(steps))])
                    found.version += 1
                    await tx.update_saga(found)
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


async def restock(database: Database) -> None:
    """Empty it, and put in what scripts change: things, letters, all sagas but the last."""
    tx = await database.begin()
    for table in ("thing", "holdfast_message", "holdfast_saga", "holdfast_step"):
        await tx.execute(text(f"DELETE FROM {table}"))
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


async def outcome(database: Database, drawn: list[list[Op]], *, alone: bool) -> tuple[Any, ...]:
    """Run scripts; return all that can be seen of it, and whether a transaction was lost."""
    ledger = Ledger("me", database, MachineClock(), MachineIds())
    ledger.know([], [])
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


class JoinedContract(Opened):
    """Inherit and implement `make`."""

    @pytest.fixture
    async def database(self) -> AsyncIterator[Database]:
        """A database of its own."""
        async with self.opened() as database:
            yield database

    @pytest.mark.parametrize("part", range(4))
    async def test_shared_or_alone_comes_to_the_same(self, database: Database, part: int) -> None:
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
        self, database: Database
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

    async def test_what_a_turn_wrote_directly_is_undone(self, database: Database) -> None:
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
        self, database: Database
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

    async def test_a_row_that_is_not_new_loses_the_transaction(self, database: Database) -> None:
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
        self, database: Database
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
        self, database: Database
    ) -> None:
        """All of them run again apart, in one transaction; nobody runs alone."""
        await restock(database)
        ledger = Ledger("me", database, MachineClock(), MachineIds())
        ledger.know([], [])
        ledger.safe = ledger.safe.without("commit_asked")
        writer = Writer(ledger, lambda turns: None)
        turns = [Script(number, [("insert", 0)]) for number in range(1, 30)]
        turns[7].ops = [("insert the same", 3)]
        told = await asyncio.gather(*(perform(writer, turn) for turn in turns))
        stats = writer.stats()

        assert told == ["done"] * 7 + ["RefusedRow"] + ["done"] * 21
        assert (stats.lost, stats.commits) == (1, 1)
        assert len(await things(database)) == 5 + 28

    async def test_a_select_that_fails_loses_the_transaction(self, database: Database) -> None:
        """The server has nothing to go back to; each turn finds out for itself."""
        tx = await database.begin(sharing=Sharing.JOINED)
        await tx.savepoint()
        with pytest.raises(TransactionLost, match="nowhere"):
            await tx.execute(select(NOWHERE))
        with pytest.raises(TransactionLost, match="nowhere"):
            await tx.commit()
        await tx.abort()

    @pytest.mark.parametrize("sharing", [Sharing.APART, Sharing.JOINED])
    async def test_a_turn_is_undone_behind_a_savepoint_of_its_own(
        self, database: Database, sharing: Sharing
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
        with pytest.raises(DBAPIError, match="nowhere"):
            await tx.execute(select(NOWHERE))
        await tx.rollback()
        await tx.commit()

        assert [row[0] for row in await things(database)] == [1]
