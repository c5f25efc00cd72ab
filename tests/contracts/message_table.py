"""What a database must do with message rows, seen through `storage.Database` alone."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.contract.envelope import (
    Kind,
    MessageRow,
    SagaRow,
    State,
)
from holdfast.storage import WAITS, Failing, MessageFilter, Sharing, Unfinished
from tests.contracts.rows import EDGES, METADATA, Opened, letter, message_rows


class MessageContract(Opened):
    """Letters: inserted, claimed, settled, forgotten."""

    async def test_the_second_insert_of_an_id_is_not_new(self) -> None:
        """Only new rows are returned; the first content stays; another edge is another letter."""
        async with self.opened() as database:
            await self.insert(database, letter(1, body=b"first"))
            tx = await database.begin()
            same, other, fresh = letter(1, body=b"second"), letter(1, edge=2), letter(2)
            new = await tx.insert_messages([same, other, fresh])
            kept = await tx.lock_message(1, same.id)
            await tx.commit()

            assert [(row.edge, row.id) for row in new] == [(2, other.id), (1, fresh.id)]
            assert kept is not None and kept.body == b"first"
            assert len(await database.messages(MessageFilter())) == 3

    async def test_a_lease_is_renewed_by_who_holds_it(self) -> None:
        """Only due rows whose `due_at` is still what the holder wrote; by the database's clock."""
        async with self.opened() as database:
            mine, taken = letter(1, due_at=1_000), letter(2, due_at=2_000)
            done = letter(3, state=State.DONE, due_at=3_000)
            await self.insert(database, mine, taken, done)
            believed = [mine, replace(taken, due_at=1_999), done, letter(4, due_at=4_000)]
            tx = await database.begin()
            nothing = await tx.renew([], 500)
            kept = await tx.renew(believed, 500)
            until = tx.now_ms + 500
            await tx.commit()

            assert (nothing, kept) == ([], [replace(mine, due_at=until)])
            stored = await database.messages(MessageFilter())
            assert [row.due_at for row in stored] == [until, 2_000, 3_000]

    async def test_a_row_is_written_by_who_holds_it(self) -> None:
        """An update that names its token is refused once another has claimed the row."""
        async with self.opened() as database:
            await self.insert(database, letter(1, due_at=1_000))
            settled = letter(1, state=State.DONE)
            tx = await database.begin()
            late = await tx.update_message(settled, State.DUE, held=999)
            in_time = await tx.update_message(settled, State.DUE, held=1_000)
            await tx.commit()

            assert (late, in_time) == (False, True)

    async def test_a_letter_below_the_floor_is_not_inserted(self) -> None:
        """Only if asked for, and only on its own edge; the floor itself is not below."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.set_floor(1, letter(10).id, 100)
            await tx.commit()
            tx = await database.begin()
            rows = [letter(9), letter(10), letter(11), letter(9, edge=2)]
            above = await tx.insert_messages(rows, above_floor=True)
            below = await tx.insert_messages([letter(8)])
            await tx.commit()

            assert above == rows[1:]
            assert len(below) == 1

    async def test_a_floor_never_goes_back(self) -> None:
        """A floor that comes late changes nothing."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.set_floor(1, letter(10).id, 100)
            await tx.set_floor(1, letter(5).id, 100)
            new = await tx.insert_messages([letter(9)], above_floor=True)
            await tx.commit()
            [edge, *_] = await database.open(EDGES, [METADATA])

            assert new == []
            assert edge.floor == letter(10).id

    async def test_a_floor_deletes_settled_rows_below_it(self) -> None:
        """Not open or dead ones, not those a saga may wait for, and at most so many at once."""
        async with self.opened() as database:
            gone = [letter(n, state=State.DONE) for n in (1, 2, 3)]
            gone.append(letter(4, state=State.REFUSED))
            stays = [
                letter(5),
                letter(6, state=State.DEAD),
                letter(7, state=State.HELD),
                letter(8, state=State.DONE, topic="Shipped:1"),
                letter(10, state=State.DONE),
                letter(2, edge=2, state=State.DONE),
            ]
            await self.insert(database, *gone, *stays)
            counts: list[int] = []
            for _ in range(3):
                tx = await database.begin()
                counts.append(await tx.set_floor(1, letter(10).id, 3))
                await tx.commit()
            left = {(r.edge, r.id) for r in await database.messages(MessageFilter())}

            assert counts == [3, 1, 0]
            assert left == {(row.edge, row.id) for row in stays}

    async def test_an_update_names_the_old_state(self) -> None:
        """Of two that saw the same state, one succeeds; every column is written."""
        async with self.opened() as database:
            row = letter(1)
            await self.insert(database, row)
            done = replace(row, state=State.DONE, due_at=None, answer=b"yes", tries=3)
            dead = replace(row, state=State.DEAD, error="no")
            tx = await database.begin()
            first = await tx.update_message(done, State.DUE)
            second = await tx.update_message(dead, State.DUE)
            missing = await tx.update_message(letter(2), State.DUE)
            found = await tx.lock_message(1, row.id)
            await tx.commit()

            assert (first, second, missing) == (True, False, False)
            assert found == done

    async def test_a_delete_names_the_states(self) -> None:
        """It returns what it deleted, once, and nothing if the state is another."""
        async with self.opened() as database:
            row = letter(1, body=b"what it held")
            await self.insert(database, row)
            tx = await database.begin()
            wrong = await tx.delete_message(1, row.id, State.DONE, State.HELD)
            right = await tx.delete_message(1, row.id, State.DUE, State.HELD)
            again = await tx.delete_message(1, row.id, State.DUE)
            await tx.commit()

            assert (wrong, right, again) == (None, row, None)

    async def test_many_are_deleted_at_once(self) -> None:
        """Those of the edge that are in a state that is named; others, and strangers, are not.

        What no saga owned is deleted, and not told.
        """
        async with self.opened() as database:
            due, done, elsewhere = letter(1), letter(2, state=State.DONE), letter(3, edge=2)
            owned = letter(5, owner=letter(99).id)
            await self.insert(database, due, done, elsewhere, owned)
            tx = await database.begin()
            ids = [row.id for row in (due, done, elsewhere, letter(4), owned)]
            deleted = await tx.delete_messages(1, ids, State.DUE)
            await tx.commit()

            assert deleted == [owned]
            assert await database.messages(MessageFilter()) == [done, elsewhere]

    async def test_rows_are_found_by_topic_and_by_owner(self) -> None:
        """Oldest first; rows without are not found."""
        async with self.opened() as database:
            owner = letter(99).id
            rows = [letter(n, topic="Shipped:ä", owner=owner) for n in (3, 1, 2)]
            await self.insert(database, *rows, letter(4), letter(5, topic="Shipped:a"))
            tx = await database.begin()
            await tx.lock_topic("Shipped:ä")
            by_topic = await tx.messages_of_topic("Shipped:ä")
            by_owner = await tx.messages_of_owner(owner)
            await tx.commit()

            assert by_topic == by_owner == sorted(rows, key=lambda row: row.id)

    @given(rows=st.lists(message_rows(), max_size=6, unique_by=lambda row: (row.edge, row.id)))
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    async def test_every_column_comes_back_as_it_went(self, rows: list[MessageRow]) -> None:
        """Through an insert, and through an update."""
        async with self.opened() as database:
            empty = [replace(row, **_EMPTY) for row in rows]
            await self.insert(database, *empty)
            tx = await database.begin()
            written = [await tx.update_message(row, State.DUE) for row in rows]
            await tx.commit()
            found = await database.messages(MessageFilter(limit=1_000))

            assert all(written)
            assert sorted(found, key=_key) == sorted(rows, key=_key)

    @pytest.mark.parametrize("sharing", Sharing)
    async def test_a_column_that_was_filled_can_be_emptied(self, sharing: Sharing) -> None:
        """By a row that is settled, alone or beside one that keeps its columns."""
        full: dict[str, Any] = {
            "due_at": 7,
            "expires_at": 8,
            "owner": UUID(int=1),
            "about": UUID(int=2),
            "path": "3.1",
            "hash": b"h",
            "answer": b"a",
            "error": "e",
            "topic": "t",
        }
        async with self.opened() as database:
            await self.insert(database, *(letter(number, **full) for number in (1, 2, 3)))
            settled = [letter(1, state=State.DONE), letter(2, state=State.DONE)]
            kept = letter(3, state=State.DONE, **full)
            for rows in ([settled[0]], [settled[1], kept]):
                tx = await database.begin(sharing=sharing)
                for row in rows:
                    assert await tx.update_message(row, State.DUE, sure=True)
                await tx.commit()

            assert await database.messages(MessageFilter()) == [*settled, kept]

    async def test_big_bodies_and_all_of_unicode_fit(self) -> None:
        """A body of 256 KiB, an answer as large, and an error in any script."""
        async with self.opened() as database:
            error = "".join(map(chr, range(1, 0x500))) + "🌊 \U0010ffff"
            row = letter(1, body=bytes(range(256)) * 1024, answer=b"\0" * (1 << 18), error=error)
            await self.insert(database, row)
            tx = await database.begin()
            found = await tx.lock_message(1, row.id)
            await tx.abort()

            assert found == row

    async def test_a_claim_takes_what_is_longest_due(self) -> None:
        """At most `limit`, with lease and try counted in what is returned and in what is stored."""
        async with self.opened() as database:
            tx = await database.begin()
            now = tx.now_ms
            rows = [letter(n, due_at=now - 10 * n, tries=n) for n in (1, 2, 3)]
            await tx.insert_messages(rows)
            await tx.commit()
            tx = await database.begin()
            claimed = await tx.claim(2, 5_000)
            found = [await tx.lock_message(1, row.id) for row in claimed]
            await tx.commit()

            assert {row.id for row in claimed} == {rows[1].id, rows[2].id}
            assert all(row.due_at == tx.now_ms + 5_000 for row in claimed)
            assert sorted(row.tries for row in claimed) == [3, 4]
            assert found == claimed

    async def test_a_claim_leaves_what_is_not_due(self) -> None:
        """Not yet due, leased, without a time, or in another state."""
        async with self.opened() as database:
            tx = await database.begin()
            past, future = tx.now_ms - 1, tx.now_ms + 60_000
            states = [State.DONE, State.DEAD, State.REFUSED, State.HELD]
            rows = [letter(n, state=state, due_at=past) for n, state in enumerate(states)]
            rows += [letter(10, due_at=future), letter(11), letter(12, due_at=past)]
            await tx.insert_messages(rows)
            await tx.commit()
            tx = await database.begin()
            first = await tx.claim(100, 60_000)
            second = await tx.claim(100, 60_000)
            await tx.commit()

            assert [row.id for row in first] == [rows[-1].id]
            assert second == []

    async def test_a_row_is_postponed_only_while_it_is_due(self) -> None:
        """An answer that came meanwhile is not undone by the next re-send."""
        async with self.opened() as database:
            due, done = letter(1), letter(2, state=State.DONE)
            await self.insert(database, due, done)
            tx = await database.begin()
            await tx.postpone([replace(due, due_at=77), replace(done, due_at=77)])
            found = [await tx.lock_message(1, row.id) for row in (due, done)]
            await tx.commit()

            assert [row and row.due_at for row in found] == [77, None]
            assert -(await database.due_in_ms() or 0) >= tx.now_ms - 77

    async def test_forget_deletes_old_requests_and_lets_go_of_topics(self) -> None:
        """Records of requests past their age go; events past it lose topic and time."""
        async with self.opened() as database:
            tx = await database.begin()
            past, future = tx.now_ms - 1, tx.now_ms + 60_000
            done = State.DONE
            old = letter(1, edge=4, state=done, kind=Kind.REQUEST, due_at=past)
            young = letter(2, edge=4, state=done, kind=Kind.REQUEST, due_at=future)
            event = letter(3, state=done, kind=Kind.EVENT, due_at=past, topic="T:1", body=b"e")
            fresh = letter(4, state=done, kind=Kind.EVENT, due_at=future, topic="T:1", body=b"e")
            await tx.insert_messages([old, young, event, fresh])
            first = await tx.forget(100)
            second = await tx.forget(100)
            topic = await tx.messages_of_topic("T:1")
            await tx.commit()
            found = {row.id: row for row in await database.messages(MessageFilter())}

            assert (first > 0, second) == (True, 0)
            assert old.id not in found and young.id in found
            assert topic == [fresh]
            assert (found[event.id].topic, found[event.id].due_at) == (None, None)

    async def test_the_backlog_counts_what_waits(self) -> None:
        """Rows and bytes of the edges that are asked for, dead letters of all."""
        async with self.opened() as database:
            empty = await database.backlog([1])
            tx = await database.begin()
            old = letter(tx.now_ms - 5_000, body=b"12345", due_at=9)
            await tx.insert_messages([old, letter(tx.now_ms, body=b"123")])
            await tx.insert_messages([letter(1, edge=2, state=State.DEAD)])
            await tx.commit()
            backlog = await database.backlog([1])
            none = await database.backlog([])

            assert (empty.out_rows, empty.oldest_ms) == (0, 0)
            assert (backlog.out_rows, backlog.out_bytes, backlog.dead) == (2, 8, 1)
            assert 5_000 <= backlog.oldest_ms < 60_000
            assert (none.out_rows, none.dead) == (0, 1)

    async def test_the_backlog_counts_what_is_to_be_handled(self) -> None:
        """Letters of others that are due or have failed; no timer, and none that is at work."""
        async with self.opened() as database:
            tx = await database.begin()
            now_ms = tx.now_ms
            later = now_ms + 60_000
            await tx.insert_messages(
                [
                    letter(now_ms - 7_000, edge=2, due_at=now_ms),
                    letter(now_ms - 9_000, edge=2, due_at=later, error="no"),
                    letter(now_ms - 8_000, edge=2, due_at=later),
                    letter(now_ms - 8_001, edge=2, due_at=now_ms, kind=Kind.TIMER),
                    letter(now_ms - 8_002, edge=2, state=State.DONE),
                    letter(now_ms - 8_003, edge=1, due_at=now_ms),
                ]
            )
            await tx.commit()
            backlog, all_ours = await database.backlog([1]), await database.backlog([1, 2])

            assert backlog.in_rows == 2 and 9_000 <= backlog.in_oldest_ms < 60_000
            assert (all_ours.in_rows, all_ours.in_oldest_ms) == (0, 0)

    async def test_the_backlog_tells_floors_that_hold_rows(self) -> None:
        """How far each is behind; that of an edge without rows holds nothing up."""
        async with self.opened() as database:
            tx = await database.begin()
            now_ms = tx.now_ms
            await tx.insert_messages([letter(now_ms - 1_000, edge=2, state=State.DONE)])
            for edge in (1, 2):
                await tx.set_floor(edge, letter(now_ms - 5_000).id, 10)
            await tx.commit()
            backlog = await database.backlog([1])

            assert list(backlog.floors_ms) == [2]
            assert 5_000 <= backlog.floors_ms[2] < 60_000

    async def test_what_waits_for_a_version_is_found(self) -> None:
        """Counted, listed beside dead letters, and told by name with ticks and sagas under way."""
        async with self.opened() as database:
            before = await database.unfinished()
            unknown, tick = b'{"id":"1","type":"Note.v2"}', b'{"type":"tick sweep"}'
            why = f"try 1: x\n{WAITS}nobody"
            rows = [
                letter(1, edge=2, body=unknown, error=why, due_at=1),
                letter(2, edge=2, body=unknown, error=why, due_at=2),
                letter(3, edge=2, body=unknown, error="try 1: y", due_at=3),
                letter(4, edge=2, body=unknown, error=why, state=State.DONE),
                letter(5, edge=2, body=b"", kind=Kind.TIMER, error=why, due_at=5),
                letter(6, edge=2, body=tick, kind=Kind.TICK, due_at=6),
                letter(7, edge=2, body=unknown, state=State.DEAD),
            ]
            await self.insert(database, *rows)
            tx = await database.begin()
            for number, (version, ended) in enumerate([(1, None), (3, None), (9, 5)]):
                id_ = letter(number).id
                saga = SagaRow(id_, "travel", version, "running", b"{}", ended_at=ended)
                await tx.insert_saga(saga)
            await tx.commit()
            tx = await database.begin()
            left = await tx.claim(100, 1_000, waiting=False)
            await tx.abort()
            backlog = await database.backlog([])
            shown = await database.messages(MessageFilter(states=(State.DEAD,), waiting=True))
            one = await database.messages(
                MessageFilter(states=(State.DEAD,), waiting=True, id=rows[1].id)
            )

            assert before == []
            assert [row.id for row in left] == [rows[2].id, rows[5].id]
            assert (backlog.waiting, backlog.dead) == (3, 1)
            assert shown == [rows[0], rows[1], rows[4], rows[6]]
            assert one == [rows[1]]
            assert sorted(await database.unfinished(), key=str) == [
                Unfinished("command", "Note.v2", 1, 2),
                Unfinished("saga", "travel", 3, 2),
                Unfinished("tick", "tick sweep", 1, 1),
            ]

    async def test_what_nobody_has_answered_is_found(self) -> None:
        """By whom it is for and what it is; what came from others, or is settled, is none of it."""
        async with self.opened() as database:
            note, paid = b'{"id":"1","type":"Note.v1"}', b'{"type":"Paid.v1"}'
            await self.insert(
                database,
                letter(1, edge=1, body=note, due_at=1),
                letter(2, edge=1, body=note, due_at=9_999_999),
                letter(3, edge=1, body=paid, kind=Kind.EVENT),
                letter(4, edge=1, body=note, state=State.HELD),
                letter(5, edge=2, body=note),
                letter(6, edge=5, body=note),
            )

            assert await database.unfinished() == [
                Unfinished("command", "Note.v1", 1, 2, "other"),
                Unfinished("event", "Paid.v1", 1, 1, "other"),
            ]

    async def test_what_fails_for_long_is_found(self) -> None:
        """By its tries or its age, if it has failed; counted without letters to others."""
        async with self.opened() as database:
            long, failed = Failing(tries=8, before=letter(100).id), "try 1: x"
            rows = [
                letter(1, edge=2, error=failed, tries=1),
                letter(2, edge=2, tries=9),
                letter(3, edge=2, error=failed, tries=9, state=State.DONE),
                letter(4, edge=1, error=failed, tries=9),
                letter(101, edge=2, error=failed, tries=9),
                letter(102, edge=2, error=failed, tries=8),
                letter(103, edge=2, state=State.DEAD),
                letter(104, edge=2, error=f"{failed}\n{WAITS}nobody", tries=9),
            ]
            await self.insert(database, *rows)
            which = MessageFilter(states=(State.DEAD,), failing=long)
            everything = MessageFilter(states=(State.DEAD,), failing=long, waiting=True)
            listed = await database.messages(which)
            some = await database.messages(everything)
            one = await database.messages(
                MessageFilter(states=(State.DEAD,), failing=long, edges=(2,), id=rows[4].id)
            )
            backlog, unasked = await database.backlog([1], long), await database.backlog([1])

            assert listed == [rows[0], rows[3], rows[4], rows[6], rows[7]]
            assert some == listed
            assert one == [rows[4]]
            assert (backlog.failing, backlog.waiting, backlog.dead) == (2, 1, 1)
            assert (unasked.failing, unasked.dead) == (0, 1)

    async def test_what_a_saga_waits_for_is_listed_by_it(self) -> None:
        """However many others there are, and whatever is older."""
        async with self.opened() as database:
            mine = UUID(int=7)
            await self.insert(database, *(letter(n, owner=UUID(int=n)) for n in range(8, 20)))
            rows = [letter(30, owner=mine), letter(31, edge=2, owner=mine, kind=Kind.TIMER)]
            await self.insert(database, *rows, letter(32))

            assert await database.messages(MessageFilter(owner=mine, limit=5)) == rows
            assert await database.messages(MessageFilter(owner=UUID(int=99))) == []

    async def test_what_was_sent_before_is_hastened(self) -> None:
        """Of one edge, the oldest first; what was never sent twice keeps its time."""
        async with self.opened() as database:
            tx = await database.begin()
            later = tx.now_ms + 90_000
            again = [letter(n, tries=2, due_at=later) for n in (1, 2, 3)]
            fresh, other = letter(4, tries=1, due_at=later), letter(5, 2, tries=2, due_at=later)
            await tx.insert_messages([*again, fresh, other])
            hastened = await tx.hasten(1, 2)
            claimed = await tx.claim(10, 1_000)
            await tx.commit()

            assert hastened == 2
            assert [row.id for row in claimed] == [row.id for row in again[:2]]

    async def test_what_waits_is_made_due_by_hand(self) -> None:
        """What was tried once, or waits for a version; no sleep, no next run, nothing delayed."""
        async with self.opened() as database:
            tx = await database.begin()
            later = tx.now_ms + 90_000
            rows = [
                letter(1, tries=1, due_at=later),
                letter(2, tries=0, due_at=later, error=f"{WAITS}nobody"),
                letter(3, tries=0, due_at=later),
                letter(4, tries=1, due_at=later, kind=Kind.TIMER),
                letter(5, tries=0, due_at=later, kind=Kind.TICK),
                letter(6, tries=4, due_at=later, kind=Kind.TICK, error="try 4: x"),
                letter(7, tries=1, due_at=later, state=State.DEAD),
                letter(8, tries=1, due_at=later, edge=2),
            ]
            await tx.insert_messages(rows)
            by_hand = await tx.hasten(1, 10, sent_once=True)
            claimed = await tx.claim(10, 1_000)
            one = await tx.hasten(1, 10, sent_once=True, letter=rows[2].id)
            sleep = await tx.hasten(1, 10, sent_once=True, letter=rows[3].id)
            elsewhere = await tx.hasten(1, 10, sent_once=True, letter=rows[7].id)
            named = await tx.claim(10, 1_000)
            await tx.commit()

            assert by_hand == 3
            assert [row.id for row in claimed] == [rows[n].id for n in (0, 1, 5)]
            assert (one, sleep, elsewhere) == (1, 0, 0)
            assert [row.id for row in named] == [rows[2].id]

    async def test_what_is_unanswered_is_told(self) -> None:
        """Of those that are asked for, those that are still due."""
        async with self.opened() as database:
            due, done, gone = letter(1), letter(2, state=State.DONE), letter(3)
            await self.insert(database, due, done)
            asked = [row.id for row in (due, done, gone)]

            assert await database.unanswered(1, asked) == {due.id}
            assert await database.unanswered(2, asked) == set()
            assert await database.unanswered(1, []) == set()

    async def test_letters_are_found_by_what_they_hold(self) -> None:
        """In the body or the answer, whatever else it is; or some by their ids."""
        async with self.opened() as database:
            rows = [
                letter(1, 1, body=b'{"id":"k1"}'),
                letter(2, 2, State.DONE, body=b"", answer=b'"k1"'),
                letter(3, 1, body=b"\0\xff"),
                letter(4, 1, body=b"k1"),
            ]
            await self.insert(database, *rows)

            async def found(**which: Any) -> list[MessageRow]:
                return await database.messages(MessageFilter(**which))

            assert await found(text=(b'"k1"',)) == rows[:2]
            assert await found(text=(b'"k1"', b"\xff"), edges=(1,)) == [rows[0], rows[2]]
            assert await found(text=(b"%",)) == []
            assert await found(ids=(rows[1].id, rows[3].id, letter(9).id)) == [rows[1], rows[3]]

    async def test_its_edges_are_seen_by_who_only_looks(self) -> None:
        """As they are stored, and as `open` has returned them."""
        async with self.opened() as database:
            tx = await database.begin()
            await tx.set_floor(2, letter(7).id, 10)
            await tx.commit()
            edges = await database.look()

            assert [(e.sender, e.receiver, e.lane, e.events) for e in edges] == [
                (e.sender, e.receiver, e.lane, e.events) for e in EDGES
            ]
            assert [e.floor for e in edges] == [None, letter(7).id, None, None, None]

    async def test_messages_are_listed_by_filter(self) -> None:
        """By edges, states and id; oldest first; bounded."""
        async with self.opened() as database:
            rows = [letter(3), letter(1, state=State.DEAD), letter(2, edge=2, state=State.DEAD)]
            await self.insert(database, *rows)

            async def ids(which: MessageFilter) -> list[int]:
                return [row.id.int & 0xFF for row in await database.messages(which)]

            assert await ids(MessageFilter()) == [1, 2, 3]
            assert await ids(MessageFilter(limit=2)) == [1, 2]
            assert await ids(MessageFilter(states=(State.DEAD,))) == [1, 2]
            assert await ids(MessageFilter(states=(State.DEAD,), edges=(1,))) == [1]
            assert await ids(MessageFilter(id=rows[0].id)) == [3]


_EMPTY: dict[str, Any] = {
    "state": State.DUE,
    "kind": Kind.COMMAND,
    "due_at": None,
    "tries": 0,
    "reached": False,
    "body": b"",
    **dict.fromkeys(["owner", "path", "about", "expires_at", "hash", "answer", "error", "topic"]),
}


def _key(row: MessageRow) -> tuple[int, UUID]:
    return row.edge, row.id
