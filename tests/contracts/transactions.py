"""What a database's transactions and readers must do, seen through `storage.Database` alone."""

from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from holdfast.consistency.schedule import id_before
from holdfast.contract.envelope import (
    EdgeRow,
    Lane,
    SagaRow,
    State,
)
from holdfast.errors import StatementFailed, TransactionControl, TransactionLost
from holdfast.storage import MessageFilter, SagaFilter, Sharing, Write
from tests.contracts.rows import EDGES, METADATA, PAIR, THING, Opened, letter


class TransactionContract(Opened):
    """Transactions, readers, and what users write."""

    async def test_edges_keep_their_ids(self) -> None:
        """What was stored is returned; a second start adds and changes, and renumbers nothing."""
        database = await self.make()
        first = await database.open(EDGES, [METADATA])
        more = [
            *EDGES[1:],
            replace(EDGES[0], events=("Shipped.v1",)),
            EdgeRow(0, "x", "me", Lane.WORK),
        ]
        second = await database.open(more, [METADATA])
        await database.close()

        assert [(e.sender, e.receiver, e.lane) for e in first] == [
            (e.sender, e.receiver, e.lane) for e in EDGES
        ]
        assert [e.id for e in second][: len(EDGES)] == [e.id for e in first]
        assert first[0].events == ("Shipped.v1", "Lost.v1")
        assert second[0].events == ("Shipped.v1",)
        assert len(second) == len(EDGES) + 1

    async def test_what_was_not_opened_is_closed(self) -> None:
        """A start that is refused before it opens says why, and nothing else."""
        database = await self.make()
        await database.close()
        await database.close()

    async def test_what_is_aborted_is_gone(self) -> None:
        """Of every kind; abort is safe when repeated."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.insert_messages([letter(1)])
            await tx.insert_saga(SagaRow(letter(1).id, "a", 1, "running", b""))
            await tx.write([Write(THING, {"id": 1, "name": "x"})])
            await tx.abort()
            await tx.abort()

            assert await database.messages(MessageFilter()) == []
            assert await database.sagas(SagaFilter()) == []
            assert await self.things(database) == []

    async def test_savepoints_nest(self) -> None:
        """A rollback undoes what came since the newest one, a release keeps it."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.savepoint()
            await tx.write([Write(THING, {"id": 1, "name": "outer"})])
            await tx.savepoint()
            await tx.insert_messages([letter(1)])
            await tx.write([Write(THING, {"id": 2, "name": "inner"})])
            await tx.rollback()
            await tx.savepoint()
            await tx.write([Write(THING, {"id": 3, "name": "released"})])
            await tx.release()
            await tx.release()
            tx.check_open()
            await tx.commit()

            assert [name for _, name, _ in await self.things(database)] == ["outer", "released"]
            assert await database.messages(MessageFilter()) == []

    async def test_a_violation_inside_a_savepoint_spares_the_rest(self) -> None:
        """What came before the savepoint is kept, and the transaction goes on."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.write([Write(THING, {"id": 1, "name": "x"})])
            for writes in (
                [Write(THING, {"id": 2, "name": "y"}), Write(THING, {"id": 1, "name": "z"})],
                [Write(THING, {"id": 3, "name": None})],
            ):
                await tx.savepoint()
                with pytest.raises(IntegrityError):
                    await tx.write(writes)
                await tx.rollback()
            await tx.savepoint()
            with pytest.raises(IntegrityError):
                await tx.execute(THING.insert().values(id=1, name="again"))
            await tx.rollback()
            await tx.write([Write(THING, {"id": 4, "name": "w"})])
            await tx.commit()

            assert [id_ for id_, _, _ in await self.things(database)] == [1, 4]

    async def test_a_lost_transaction_keeps_nothing(self) -> None:
        """Ended behind our back: whoever goes on is told, and nothing is written for itself."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.write([Write(THING, {"id": 1, "name": "before"})])
            await self.end_transaction(database, tx)
            with pytest.raises(TransactionLost):
                await tx.write([Write(THING, {"id": 2, "name": "after"})])
            with pytest.raises(TransactionLost):
                await tx.execute(THING.insert().values(id=3, name="after"))
            with pytest.raises(TransactionLost):
                await tx.commit()
            await tx.abort()

            assert await self.things(database) == []

            tx = await database.begin()
            await tx.write([Write(THING, {"id": 4, "name": "the next one"})])
            await tx.commit()

            assert len(await self.things(database)) == 1

    @pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK", "/* x */ begin", "savepoint a"])
    async def test_user_sql_does_not_control_the_transaction(self, sql: str) -> None:
        """It is refused before the database sees it."""
        async with self.opened() as database:
            tx = await database.begin()
            with pytest.raises(TransactionControl):
                await tx.execute(text(sql))
            with pytest.raises(TransactionControl):
                await tx.execute(text(sql).columns(THING.c.id))
            tx.check_open()
            await tx.abort()

    async def test_time_does_not_go_back(self) -> None:
        """Each transaction has a time of the database's clock."""
        async with self.opened() as database:
            times = []
            for _ in range(3):
                tx = await database.begin()
                times.append(tx.now_ms)
                await tx.abort()

            assert times == sorted(times)

    async def test_writes_are_flushed_in_order(self) -> None:
        """Inserts and updates of several tables and shapes, each seeing the ones before."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.write(
                [
                    Write(THING, {"id": 1, "name": "a", "amount": 1}),
                    Write(THING, {"id": 2, "name": "b"}),
                    Write(PAIR, {"left": 1, "right": 2, "ref": letter(1).id}),
                    Write(THING, {"amount": 5}, (1,)),
                    Write(THING, {"amount": 6}, (2,)),
                    Write(THING, {"name": "c"}, (1,)),
                    Write(THING, {"id": 3, "name": "d"}),
                    Write(PAIR, {"ref": None}, (1, 2)),
                ]
            )
            pairs = await tx.execute(select(PAIR))
            row = pairs.one()
            await tx.commit()

            assert await self.things(database) == [(1, "c", 5), (2, "b", 6), (3, "d", None)]
            assert tuple(row) == (1, 2, None)

    @pytest.mark.parametrize("keys", [[(9,)], [(1,), (9,)]])
    async def test_an_update_without_a_row_is_an_error(self, keys: list[tuple[int]]) -> None:
        """It names the table and the key."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.write([Write(THING, {"id": 1, "name": "x"})])
            with pytest.raises(StatementFailed, match=r"thing.*9"):
                await tx.write([Write(THING, {"name": "y"}, key) for key in keys])
            await tx.abort()

    async def test_a_reader_sees_what_is_committed(self) -> None:
        """Neither it nor the listings see an open transaction; its view does not move."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.write([Write(THING, {"id": 1, "name": "x"})])
            await tx.insert_messages([letter(1, due_at=1)])
            before = await self.things(database)
            listed = await database.messages(MessageFilter())
            due = await database.due_in_ms()
            view = await database.read()
            first = (await view.execute(select(THING))).all()
            await tx.commit()
            second = (await view.execute(select(THING))).all()
            await view.close()

            assert (before, listed, due, first, second) == ([], [], None, [], [])
            assert len(await self.things(database)) == 1
            assert -(await database.due_in_ms() or 0) >= tx.now_ms - 1

    async def test_a_reader_does_not_write(self) -> None:
        """Whatever the statement is; and it may not end its transaction."""
        async with self.opened() as database:
            reader = await database.read()
            with pytest.raises(Exception, match=r"(?i)read.?only|readonly"):
                await reader.execute(THING.insert().values(id=1, name="x"))
            with pytest.raises(TransactionControl):
                await reader.execute(text("COMMIT"))
            await reader.close()

            assert await self.things(database) == []

    async def test_a_result_outlives_its_transaction(self) -> None:
        """Rows are read to the end: no cursor stays open."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.write([Write(THING, {"id": n, "name": "x"}) for n in range(50)])
            found = await tx.execute(select(THING.c.id).order_by(THING.c.id))
            await tx.commit()

            assert [row.id for row in found] == list(range(50))

    async def test_what_is_committed_is_there_after_a_reopen(self) -> None:
        """Rows, sagas and users' rows."""
        database = await self.make()
        await database.open(EDGES, [METADATA])
        row = letter(1, tries=0, due_at=5)
        tx = await database.begin()
        await tx.insert_messages([row])
        await tx.write([Write(THING, {"id": 1, "name": "x"})])
        await tx.commit()
        await database.close()
        await database.open(EDGES, [METADATA])

        assert await database.messages(MessageFilter()) == [row]
        assert len(await self.things(database)) == 1
        await database.close()

    async def test_time_goes_on_from_the_last_floor(self) -> None:
        """A process that starts on an earlier clock begins where its predecessor announced one."""
        database = await self.make()
        first = await database.open(EDGES, [METADATA])
        own = next(edge.id for edge in first if edge.sender == edge.receiver)
        tx = await database.begin()
        later_ms = tx.now_ms + 3_600_000
        await tx.set_floor(own, id_before(later_ms), 100)
        await tx.commit()
        times: list[int] = []
        for lag_ms in (0, 60_000, 1_000):
            await database.open(EDGES, [METADATA], lag_ms=lag_ms)
            again = await database.begin()
            times.append(again.now_ms)
            await again.abort()
        await database.close()

        assert times[0] > later_ms and times[1] >= later_ms + 60_000
        assert times == sorted(times), "and never goes back"
        assert times[2] < later_ms + 120_000

    async def test_the_oldest_letter_is_told(self) -> None:
        """Any row of its edge holds it, a held one as well, and what this transaction inserts."""
        async with self.opened() as database:
            await self.insert(database, letter(7, state=State.HELD), letter(1, edge=2))
            tx = await database.begin(sharing=Sharing.JOINED)
            held, nothing = await tx.oldest_unsettled(1), await tx.oldest_unsettled(4)
            await tx.insert_messages([letter(6), letter(9)], sure=True)
            oldest = await tx.oldest_unsettled(1)
            await tx.abort()

            assert (held, nothing, oldest) == (letter(7).id, None, letter(6).id)
