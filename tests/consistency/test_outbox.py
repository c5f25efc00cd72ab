"""Sending: joined by receiver, bounded by the window, again until it is answered."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.consistency import outbox
from holdfast.consistency.relay import CLAIM_MAX
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.turn import Effects, Own
from holdfast.consistency.unit import Unit
from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.envelope import Lane, Letter, LetterAnswer, Parcel
from holdfast.errors import Unreachable
from holdfast.storage import Transaction
from tests.consistency.faults import drop_all, dropping
from tests.consistency.messages import Note, Pay, Take
from tests.consistency.sagas import checkout
from tests.consistency.test_leases import claim_no_more, end
from tests.consistency.world import Service, World
from tests.virtual_loop import run_virtual


def letters_to(world: World, service: str) -> list[list[Letter]]:
    """Return the letters of each parcel that was published to a service."""
    found: list[list[Letter]] = []
    for to, _, raw in world.broker.parcels:
        parcel = msgspec.json.decode(raw, type=Parcel)
        letters = [msgspec.json.decode(bytes(letter), type=Letter) for letter in parcel.letters]
        if to == service and letters:
            found.append(letters)
    return found


async def test_letters_of_one_transaction_travel_together(world: World) -> None:
    """One parcel per receiver, whatever their number."""
    await world.start()

    def work(tx: Unit) -> None:
        for _ in range(30):
            tx.send(Take())
            tx.send(Note())

    await world["shop"].write(work)
    await world.settle(10)

    assert [len(letters) for letters in letters_to(world, "stock")] == [30]
    assert [len(letters) for letters in letters_to(world, "money")] == [30]


async def test_the_answers_of_one_transaction_travel_together(world: World) -> None:
    """As do answers, on the urgent lane."""
    await world.start()

    def work(tx: Unit) -> None:
        for _ in range(30):
            tx.send(Note())

    await world["shop"].write(work)
    await world.settle(10)
    back = [(lane, msgspec.json.decode(raw, type=Parcel)) for to, lane, raw in world.broker.parcels
            if to == "shop"]  # fmt: skip
    answers = [(lane, len(parcel.answers)) for lane, parcel in back if parcel.answers]

    assert answers == [("urgent", 30)]


@pytest.mark.parametrize("safe", [True, False])
async def test_a_dead_receiver_is_not_flooded(world: World, safe: bool) -> None:
    """At most a window of letters is in flight; the rest waits in the table."""
    if not safe:
        world.switch_off("window")
    await world.start()
    world.broker.fate = drop_all

    def work(tx: Unit) -> None:
        for _ in range(100):
            tx.send(Note())

    for _ in range(10):
        await world["shop"].write(work)
    await world.pass_time(60)
    different = {letter.id for letters in letters_to(world, "money") for letter in letters}
    stats = world["shop"].outbox.stats()

    if safe:
        assert stats.in_flight <= world.schedule.window + 150, "a window, and a probe now and then"
        assert len(different) <= world.schedule.window + 150
    else:
        assert len(different) == 1_000

    world.broker.fate = lambda to, lane, raw: (False,)
    await world.settle(400)

    assert len(await world["money"].effects()) == 1_000
    assert world["shop"].outbox.stats().in_flight == 0


async def test_what_waits_for_a_dead_receiver_leaves_once_it_answers(world: World) -> None:
    """Each letter is put off for minutes by then; the first answer hastens all of them."""
    await world.start()
    world.broker.fate = drop_all
    for _ in range(20):
        await world.send(Note())
        await world.pass_time(29)
    await world.pass_time(1_000)
    first, *others = sorted(row.due_at or 0 for row in await world["shop"].out_rows())
    world.broker.fate = lambda to, lane, raw: (False,)
    await world.pass_time((first - world["shop"].database.now_ms()) / 1000 + 2)

    assert others[-1] - first > 60_000, "nobody was in a hurry"
    assert len(await world["money"].effects()) == 20
    assert await world["shop"].out_rows() == []


async def test_a_receiver_that_answers_others_hastens_nothing(world: World) -> None:
    """It is there, and slow with this one: its letter is put off further each time."""
    await world.start()
    world.broker.fate = dropping("Pay.v1")
    await world.send(Pay())
    sent: list[int] = []
    for second in range(100):
        await world.send(Note())
        await world.pass_time(1)
        letters = [letter for some in letters_to(world, "money") for letter in some]
        again = sum(letter.type == Pay.wire_name() for letter in letters) - len(sent)
        sent += [second] * again

    assert len(await world["money"].effects()) == 100
    assert sent == pytest.approx([0, 5, 15, 35, 75], abs=2)


@pytest.mark.parametrize("poll_ms", [500, 4_000])
async def test_answers_that_another_replica_heard_make_room(world: World, poll_ms: int) -> None:
    """Answers go to any process of the sender; the one that has sent looks into the table.

    As long as that makes room, it looks soon again, however seldom it looks otherwise.
    """
    world.schedule = replace(world.schedule, window=4, poll_ms=poll_ms)
    await world.start()
    other = Service(world, "shop")
    await other.start()  # parcels to the shop go there from now on
    claim_no_more(other)

    def work(tx: Unit) -> None:
        for _ in range(20):
            tx.send(Note())

    await world["shop"].write(work)
    await world.pass_time(world.schedule.resend_ms / 1000 - 0.5)
    done = len(await world["money"].effects())
    await end(other)

    assert done == 20, "before any of them was sent again"


async def test_nobody_asks_about_letters_that_have_just_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that is full while answers come is no reason to look into the table."""
    world.schedule = replace(world.schedule, window=4)
    await world.start()
    asked = Counter[str]()
    unanswered = world["shop"].database.unanswered

    async def counted(edge: int, ids: Sequence[UUID]) -> set[UUID]:
        asked["letters"] += len(ids)
        return await unanswered(edge, ids)

    monkeypatch.setattr(world["shop"].database, "unanswered", counted)

    def work(tx: Unit) -> None:
        for _ in range(20):
            tx.send(Note())

    for _ in range(10):
        await world["shop"].write(work)
    await world.settle(10)

    assert len(await world["money"].effects()) == 200
    assert asked.total() == 0


async def test_an_idle_service_looks_at_its_table_once_a_poll(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one look has found tells how long to wait for the next."""
    await world.start()
    await world.pass_time(1.0)
    looks = Counter[str]()
    due_in_ms = world["money"].database.due_in_ms

    async def counted() -> int | None:
        looks["made"] += 1
        return await due_in_ms()

    monkeypatch.setattr(world["money"].database, "due_in_ms", counted)
    await world.pass_time(10 * world.schedule.poll_ms / 1000)

    assert looks["made"] == pytest.approx(10, abs=2)


@pytest.mark.parametrize("safe", [True, False])
async def test_undos_travel_apart_from_new_work(world: World, safe: bool) -> None:
    """In a lane of their own, whose window new work cannot fill."""
    if not safe:
        world.switch_off("two_lanes")
    world.saga(checkout)
    await world.start()
    world.broker.fate = dropping("Pay.v1")
    await world.begin(checkout)
    await world.settle(200)
    undos = {
        (lane, letter.type)
        for _, lane, raw in world.broker.parcels
        for letter in (
            msgspec.json.decode(bytes(one), type=Letter)
            for one in msgspec.json.decode(raw, type=Parcel).letters
        )
        if letter.kind == "undo"
    }
    lane = Lane.URGENT if safe else Lane.WORK

    assert undos == {(lane, "GiveBack.v1"), (lane, "Refund.v1")}


@pytest.mark.parametrize("safe", [True, False])
async def test_a_time_out_comes_behind_the_answers_that_wait(world: World, safe: bool) -> None:
    """The answer was in time and waits in the queue: it wins over the time-out."""
    if not safe:
        world.switch_off("expire_behind_answers")
    world.saga(checkout)
    await world.start()
    held: list[bytes] = []
    usual = world.broker.fate
    world.broker.fate = dropping("answers")
    saga = await world.begin(checkout)
    await world.pass_time(59)
    held += [raw for to, _, raw in world.broker.parcels if to == "shop" and b'"reply"' in raw]
    world.broker.fate = usual
    deliver = world.broker.deliver["shop", "urgent"]

    async def behind(
        raw: bytes, again: bool, sender: str
    ) -> None:  # a queue: what waits comes first
        while held:
            await deliver(held.pop(0), False, "stock")
        await deliver(raw, again, sender)

    await world.broker.subscribe("shop", "urgent", behind)
    await world.settle(200)

    assert (await world.steps(saga))[0] == ("1", "call Take.v1", "reply" if safe else "unanswered")


async def test_a_broker_that_is_away_loses_nothing(world: World) -> None:
    """Publishing fails: the rows stay, and are sent when it is back."""
    await world.start()
    publish = world.broker.publish

    async def away(to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        raise Unreachable("the broker is away")

    world.broker.publish = away  # type: ignore[method-assign]  # an outage
    await world.send(Note())
    await world.pass_time(20)
    world.broker.publish = publish  # type: ignore[method-assign]
    await world.settle(60)

    assert await world["money"].effects() == ["note"]


async def test_an_unknown_parcel_is_noticed_and_taken(world: World) -> None:
    """It would not get better: it is not delivered again, and stops nothing."""
    await world.start()
    deliver = world.broker.deliver["money", "work"]
    strange = Parcel("nobody", "money", Lane.WORK, letters=[msgspec.Raw(b"{}")])
    answer = LetterAnswer(world["money"].ledger.ids.uuid7(0), "reply")
    answers = Parcel("money", "who", Lane.WORK, answers=[answer])
    await deliver(b"not a parcel", False, "who")
    await deliver(msgspec.json.encode(strange), False, "nobody")
    await deliver(msgspec.json.encode(answers), False, "who")
    empty = Parcel("nobody", "money", Lane.WORK)
    await deliver(msgspec.json.encode(empty), False, "nobody")

    assert [event for event, _ in world.notices] == [
        "parcel.refused",
        "parcel.refused",
        "answer.refused",
        "letter.refused",
    ]


@given(
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    window=st.integers(1, 6),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_what_waits_for_room_leaves_in_order(
    batches: list[int], window: int, data: st.DataObject
) -> None:
    """Behind a full window, with answers in any order, and new letters meanwhile."""

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), Schedule(window=window))
            await world.start()
            core = world["shop"]
            await core.relay.stop()  # nothing of this is in the table
            edge, sent = core.ledger.edge_to("money"), list[UUID]()

            def keep(to: str, lane: str, raw: bytes) -> tuple[bool, ...]:
                letters = msgspec.json.decode(raw, type=Parcel).letters
                sent.extend(msgspec.json.decode(bytes(r), type=Letter).id for r in letters)
                return ()

            world.broker.fate = keep
            made: list[UUID] = []
            answered: set[UUID] = set()
            todo = list(batches)
            while todo or len(answered) < len(made):
                if todo and (len(answered) == len(sent) or data.draw(st.booleans())):
                    rows = [
                        row
                        for _ in range(todo.pop())
                        for row in core.letters.rows(Note(), 1, cause=NO_CAUSE, effects=Effects())
                    ]
                    made += [row.id for row in rows]
                    core.outbox.send(edge, rows)
                else:
                    open_ = [x for x in sent if x not in answered]
                    chosen = data.draw(st.lists(st.sampled_from(open_), min_size=1, unique=True))
                    answered.update(chosen)
                    core.outbox.answered(edge, chosen)
                await core.outbox.idle()
                assert len(sent) - len(answered) <= window
            await world.end()

        assert sent == made

    run_virtual(main())


@pytest.mark.parametrize(("count", "ready_max"), [(100, 4_096), (400, 4_096), (400, 20)])
async def test_what_a_dead_process_left_behind_leaves_at_the_pace_of_its_receiver(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int, ready_max: int
) -> None:
    """Its next process finds many windows full in the table: that they wait is no failed try.

    The oldest of what is found together leaves first.
    """
    monkeypatch.setattr("holdfast.consistency.ready.READY_MAX", ready_max)
    world.schedule = replace(world.schedule, window=16)
    await world.start()
    world.broker.fate = drop_all

    def work(tx: Unit) -> None:
        for _ in range(count):
            tx.send(Note())

    await world["shop"].write(work)
    await world.pass_time(1)
    await world.crash()
    world.broker.fate = lambda to, lane, raw: (False,)
    await world.settle(60)
    sent = [letter.id for letters in letters_to(world, "money") for letter in letters]

    assert await world["shop"].out_rows() == []
    assert await world["money"].effects() == ["note"] * count
    assert len(sent) < 1.5 * count, "few of them twice"
    if count < CLAIM_MAX:
        assert list(dict.fromkeys(sent)) == sorted(set(sent))
    again = [msgspec.json.decode(raw, type=Parcel) for _, _, raw in world.broker.parcels]
    assert all(parcel.again for parcel in again if parcel.letters), "the dead one may have sent it"


async def test_what_is_told_after_a_commit_may_fail(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a callback is logged; letters leave, and whoever waited for the commit has it."""
    await world.start()
    core = world["shop"]

    async def bad(tx: Transaction, effects: Effects) -> None:
        effects.done.append(lambda: 1 // 0)  # type: ignore[arg-type, return-value]

    performed = [core.writer.perform(Own(bad)), world.send(Note()), core.writer.perform(Own(bad))]
    async with asyncio.timeout(5):
        await asyncio.gather(*performed)
        await world.settle(10)

    assert await world["money"].effects() == ["note"]
    assert "after a commit" in caplog.text and "ZeroDivisionError" in caplog.text


async def test_a_broker_that_takes_nothing_fills_no_memory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many parcels are handed over at once; what finds no room is sent again."""
    monkeypatch.setattr(outbox, "PARCELS_MAX", 3)
    await world.start()
    core, stands, publish = world["shop"], asyncio.Event(), world.broker.publish

    async def standing(to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        await stands.wait()
        await publish(to, lane, parcel, sender=sender)

    monkeypatch.setattr(world.broker, "publish", standing)
    for _ in range(10):
        await world.send(Note())
    assert core.outbox.stats().left_out == 7

    stands.set()
    await world.settle()

    assert await world["money"].effects() == ["note"] * 10
