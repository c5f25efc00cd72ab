"""What a database must do with sagas and their steps, seen through `storage.Database` alone."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from holdfast.contract.envelope import (
    SagaRow,
    SagaState,
    State,
    StepRow,
)
from holdfast.storage import SagaFilter
from tests.contracts.rows import Opened, letter


class SagaContract(Opened):
    """Sagas and their steps."""

    async def test_a_sagas_key_is_unique_among_its_type(self) -> None:
        """A second one with the key is not inserted; without a key there may be many."""
        async with self.opened() as database:
            tx = await database.begin()
            inserted = [
                await tx.insert_saga(SagaRow(letter(n).id, type_, 1, "running", b"{}", key))
                for n, (type_, key) in enumerate(
                    [("a", "k"), ("a", "k"), ("b", "k"), ("a", None), ("a", None)]
                )
            ]
            await tx.commit()

            assert inserted == [True, False, True, True, True]
            assert len(await database.sagas(SagaFilter())) == 4

    async def test_a_saga_is_found_by_its_key(self) -> None:
        """Among the types that are asked for; a saga without a key has none."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.insert_saga(SagaRow(letter(1).id, "a", 1, "running", b"{}", "k"))
            await tx.insert_saga(SagaRow(letter(2).id, "b", 1, "running", b"{}", None))
            asked = [(["a"], "k"), (["b", "a"], "k"), (["b"], "k"), (["a"], "j")]
            found = [await tx.saga_of_key(types, key) for types, key in asked]
            await tx.abort()

            assert found == [letter(1).id, letter(1).id, None, None]

    async def test_the_backlog_counts_sagas_that_have_not_ended(self) -> None:
        """By type and state, with the age of the oldest."""
        async with self.opened() as database:
            tx = await database.begin()
            for n, (type_, state, age_ms) in enumerate(
                [("a", "running", 5_000), ("a", "running", 9_000), ("a", "parked", 7_000)]
            ):
                begun = tx.now_ms - age_ms
                row = SagaRow(letter(n).id, type_, 1, "running", b"{}", started_at=begun)
                await tx.insert_saga(row)
                await tx.update_saga(replace(row, state=state))
            ended = SagaRow(letter(9).id, "b", 1, "running", b"{}")
            await tx.insert_saga(ended)
            await tx.update_saga(replace(ended, state="failed", ended_at=9))
            await tx.commit()
            backlog = await database.backlog([])

            found = [(s.type, s.parked, s.count, s.oldest_ms // 1_000) for s in backlog.sagas]
            assert found == [("a", True, 1, 7), ("a", False, 2, 9)]
            assert backlog.in_rows == 0

    async def test_a_saga_comes_back_as_it_went(self) -> None:
        """Through insert and update; listed newest first."""
        async with self.opened() as database:
            old = SagaRow(letter(1).id, "a", 1, "running", b"\0\xff", "k", None, 5, None)
            new = SagaRow(letter(2).id, "a", 2, "running", b"{}")
            ended = replace(old, version=3, state="failed", input=b"new", error="ü", ended_at=9)
            tx = await database.begin()
            await tx.insert_saga(old)
            await tx.insert_saga(new)
            found = await tx.lock_saga(old.id)
            await tx.update_saga(ended)
            await tx.commit()
            tx = await database.begin()
            missing = await tx.lock_saga(letter(3).id)
            await tx.abort()

            assert (found, missing) == (old, None)
            assert await database.sagas(SagaFilter()) == [new, ended]
            assert await database.sagas(SagaFilter(id=old.id)) == [ended]
            assert await database.sagas(SagaFilter(limit=1)) == [new]

    async def test_sagas_are_found_by_what_they_hold(self) -> None:
        """In their input, or in the outcome of a step; a quote is a byte as any other."""
        async with self.opened() as database:
            one, two, three = (letter(n).id for n in (1, 2, 3))
            tx = await database.begin()
            await tx.insert_saga(SagaRow(one, "a", 1, "running", b'{"id":"k1"}'))
            await tx.insert_saga(SagaRow(two, "a", 1, "running", b'{"id":"k%"}'))
            await tx.insert_saga(SagaRow(three, "a", 1, "running", b"\0\xff"))
            await tx.insert_steps([StepRow(three, "1", "call B", b'{"letter":"k\\1"}', 5)])
            await tx.commit()

            async def found(*text: bytes) -> list[UUID]:
                return [
                    row.id for row in await database.sagas(SagaFilter(text=text, in_steps=True))
                ]

            assert await found(b'"k1"') == [one]
            assert await found(b'"k%"') == [two]
            assert await found(b'"k\\1"') == [three]
            assert await found(b"\xff", b'"k1"') == [three, one]
            assert await found(b'"k2"') == []
            assert await database.sagas(SagaFilter(text=(b'"k\\1"',))) == []

    async def test_sagas_are_listed_by_state(self) -> None:
        """The newest of a state, whatever is newer; strangers count as parked, and as no other."""
        async with self.opened() as database:
            tx = await database.begin()
            rows = [
                SagaRow(letter(1).id, "a", 1, "parked", b"", error="x"),
                SagaRow(letter(2).id, "b", 1, "running", b""),
                SagaRow(letter(3).id, "a", 3, "running", b""),
                SagaRow(letter(4).id, "b", 9, "failed", b"", ended_at=4),
                *(
                    SagaRow(letter(n).id, "a", 2, "completed", b"", ended_at=n)
                    for n in range(5, 30)
                ),
                SagaRow(letter(31).id, "a", 2, "running", b""),
            ]
            for row in rows:
                await tx.insert_saga(row)
            await tx.commit()

            async def ids(*states: SagaState, **which: Any) -> list[int]:
                found = await database.sagas(SagaFilter(states=states, **which))
                return [row.id.int & 0xFF for row in found]

            assert await ids("parked", limit=1) == [1]
            assert await ids("running") == [31, 3, 2]
            assert await ids("failed", limit=1) == [4]
            assert await ids("parked", "failed") == [4, 1]
            assert await ids("completed", limit=2) == [29, 28]
            assert await ids("parked", known={"a": 2}) == [3, 2, 1]
            assert await ids("running", known={"a": 2}) == [31]
            assert await ids("running", known={}) == []
            assert await ids("failed", known={"a": 2}) == [4]
            assert len(await ids(known={})) == len(rows)

    async def test_steps_are_written_once(self) -> None:
        """A second outcome for the same path is an error, and changes nothing."""
        async with self.opened() as database:
            saga = letter(1).id
            first = StepRow(saga, "1", "call A.v1", b"\0reply", 5)
            tx = await database.begin()
            await tx.insert_steps([first, StepRow(saga, "2.1", "sleep", b"", 6)])
            await tx.commit()
            tx = await database.begin()
            with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
                await tx.insert_steps([StepRow(saga, "1", "call A.v1", b"other", 7)])
            await tx.abort()

            assert (await database.saga_steps(saga))[0] == first
            assert len(await database.saga_steps(saga)) == 2
            assert await database.saga_steps(letter(2).id) == []

    async def test_sagas_whose_letters_are_answered_are_those_that_are_locked(self) -> None:
        """Each with its own steps, in their order; one that is not there is None.

        An engine may read them together: their letters were ended in one statement.
        """
        async with self.opened() as database:
            one, two = (SagaRow(letter(n).id, "a", n, "running", b"{}") for n in (1, 2))
            steps = [StepRow(one.id, path, "call", b"1", at) for path, at in (("2", 4), ("1", 5))]
            tx = await database.begin()
            await tx.insert_saga(one)
            await tx.insert_saga(two)
            await tx.insert_steps(steps)
            commands = [letter(10 + n, owner=letter(n).id) for n in (1, 2, 3)]
            await tx.insert_messages(commands)
            await tx.commit()
            tx = await database.begin()
            await tx.delete_messages(1, [row.id for row in commands], State.DUE)
            locked = [await tx.lock_saga(letter(n).id) for n in (2, 1, 3)]
            found = [await tx.steps(letter(n).id) for n in (2, 1)]
            await tx.abort()

            assert locked == [two, one, None]
            assert found == [[], steps]

    async def test_steps_are_deleted_for_a_restart(self) -> None:
        """Those of one saga."""
        async with self.opened() as database:
            mine, other = letter(1).id, letter(2).id
            tx = await database.begin()
            await tx.insert_steps([StepRow(s, "1", "sleep", b"", 1) for s in (mine, other)])
            await tx.delete_steps(mine)
            left = [await tx.steps(saga) for saga in (mine, other)]
            await tx.commit()

            assert [len(steps) for steps in left] == [0, 1]

    async def test_ended_sagas_are_deleted_with_their_steps(self) -> None:
        """Those that ended before a time, at most so many at once."""
        async with self.opened() as database:
            tx = await database.begin()
            for n, ended_at in enumerate([10, 20, 30, None]):
                id_ = letter(n).id
                await tx.insert_saga(SagaRow(id_, "a", 1, "completed", b"", ended_at=ended_at))
                await tx.insert_steps([StepRow(id_, "1", "sleep", b"", 1)])
            counts = [await tx.delete_ended_sagas(25, 1) for _ in range(3)]
            await tx.commit()

            assert counts == [1, 1, 0]
            assert [row.ended_at for row in await database.sagas(SagaFilter())] == [None, 30]
            assert [len(await database.saga_steps(letter(n).id)) for n in range(4)] == [0, 0, 1, 1]
