"""Rows are forgotten by evidence: tables stay small, and nothing that is open is forgotten."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from holdfast.consistency.cleaning import AHEAD, DELETE_MAX, PAUSES, Cleaning
from holdfast.consistency.handling import HandlerTurn
from holdfast.consistency.schedule import Schedule, id_before, time_of
from holdfast.consistency.turn import Effects, Own, RunAgain, Turn
from holdfast.consistency.unit import Unit
from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.envelope import Kind, Lane, Letter, MessageRow, Parcel, State
from holdfast.errors import Overloaded, TransactionLost
from holdfast.storage import Transaction
from tests.consistency.faults import drop_all
from tests.consistency.messages import Note, Order, Take
from tests.consistency.sagas import checkout
from tests.consistency.world import Reaching, World

ORDERS = 200


def short() -> Schedule:
    """Return times so short that everything may be forgotten within seconds."""
    return Schedule(transaction_ms=2_000, saga_kept_ms=5_000, resend_ms=1_000)


async def rows_of(world: World) -> dict[str, int]:
    """Count what the framework's tables hold."""
    counts = {name: len(await core.rows()) for name, core in world.cores.items()}
    counts["sagas"] = len(await world.saga_rows())
    return counts


async def test_two_hundred_orders_leave_nothing_behind(world: World) -> None:
    """After twice the longest transaction and the sagas' age every table is empty again."""
    world.schedule = short()
    world.saga(checkout)
    await world.start()

    def work(tx: Unit) -> None:
        for _ in range(20):
            tx.start(checkout, Order())

    for _ in range(ORDERS // 20):
        await world["shop"].write(work)
    await world.settle(60)

    assert len(world.ended) == ORDERS
    assert max((await rows_of(world)).values()) >= ORDERS

    await world.pass_time(40)

    assert await rows_of(world) == {"shop": 0, "stock": 0, "money": 0, "sagas": 0}
    assert len(await world["stock"].effects()) == ORDERS
    stats = world["shop"].outbox.stats()
    assert (stats.in_flight, stats.resent) == (0, 0)


async def test_more_rows_than_one_round_deletes_are_deleted(world: World) -> None:
    """Housekeeping goes on until nothing is left: it must keep up with any load."""
    world.schedule = short()
    await world.start()

    def work(tx: Unit) -> None:
        for _ in range(700):
            tx.send(Note())

    for _ in range(2):
        await world["shop"].write(work)
    await world.settle(60)
    await world.pass_time(30)

    assert await rows_of(world) == {"shop": 0, "stock": 0, "money": 0, "sagas": 0}
    assert len(await world["money"].effects()) == 1_400


@pytest.mark.parametrize("safe", [True, False])
async def test_a_letter_below_the_floor_is_ignored(world: World, safe: bool) -> None:
    """Its row is forgotten, and that is known: it was settled long ago."""
    if not safe:
        world.switch_off("floor_check")
    world.schedule = short()
    await world.start()
    await world.send(Take())
    await world.settle(30)
    await world.pass_time(30)
    late = next(raw for to, _, raw in world.broker.parcels if to == "stock")
    core = world["stock"]
    assert await core.rows() == []

    await world.broker.deliver["stock", "work"](late, False, "shop")
    await world.broker.deliver["stock", "work"](late, True, "shop")
    await world.pass_time(5)

    assert await core.effects() == (["take"] if safe else ["take", "take"])
    assert core.core.received.ignored_below_floor.total() == (2 if safe else 0)
    told = [fields for event, fields in world.notices if event == "letter.ignored"]
    assert [(one["sender"], one["lane"]) for one in told] == [("shop", "work")] * (2 * safe)
    assert all("settled long ago" in one["reason"] for one in told)
    causes = [cause for event, cause in world.causes if event == "letter.ignored"]
    assert [str(getattr(cause, "id", "")) for cause in causes] == [one["letter"] for one in told]


@pytest.mark.parametrize("safe", [True, False])
async def test_a_letter_is_not_made_below_a_floor_that_was_announced(
    world: World, safe: bool
) -> None:
    """Another replica was ahead: the transaction is lost, instead of the letter."""
    if not safe:
        world.switch_off("sent_above_floor")
    await world.start()
    core = world["shop"]
    core.database.remote = True  # as if there were one
    edge = core.ledger.edge_to("stock")

    async def announce(tx: Transaction, effects: Effects) -> None:
        await tx.set_floor(edge, id_before(tx.now_ms + 3_600_000), 10)

    await core.writer.perform(Own(announce))
    if safe:
        with pytest.raises(RunAgain, match="below a floor that it announced"):
            await world.send(Take())
    else:
        await world.send(Take())

    assert len(await core.out_rows()) == (0 if safe else 1)


async def test_a_host_that_is_ahead_takes_no_letter_along(world: World) -> None:
    """Ids of letters go by the clock of the database alone; others look younger than they are."""
    await world.start()
    ledger, now_ms = world["shop"].ledger, 1_000_000
    seeds = {ledger.seed(now_ms + 86_400_000) for _ in range(100)}
    made = [ledger.ids.uuid7(now_ms) for _ in range(100)]

    assert len(seeds) == 100 and {seed.version for seed in seeds} == {7}
    assert {time_of(seed) for seed in seeds} == {now_ms + 86_400_000}
    assert made == sorted(made) and time_of(made[-1]) == now_ms


async def test_a_floor_stays_below_what_is_open(world: World) -> None:
    """While one letter is unanswered, whatever came after it is remembered."""
    world.schedule = short()
    await world.start()
    first: list[bytes] = []

    def lose_the_first(to: str, lane: str, raw: bytes) -> Sequence[bool]:
        letters = msgspec.json.decode(raw, type=Parcel).letters
        if to == "stock" and letters and not first:
            first.append(bytes(letters[0]))
        return () if first and first[0] in map(bytes, letters) else (False,)

    world.broker.fate = lose_the_first
    await world.send(Take())
    await world.send(Take())
    await world.pass_time(60)
    lost = msgspec.json.decode(first[0], type=Letter)
    parcels = [msgspec.json.decode(raw, type=Parcel) for _, _, raw in world.broker.parcels]
    edge = ("shop", "stock", Lane.WORK)
    floors = [p.floor for p in parcels if (p.sender, p.receiver, p.lane) == edge and p.floor]

    assert len(await world["stock"].rows(State.DONE)) == 1
    assert len(floors) >= 5 and max(floors) <= lost.id

    world.broker.fate = lambda to, lane, raw: (False,)
    await world.settle(60)

    assert await world["stock"].effects() == ["take", "take"]


async def test_floors_lag_behind_the_longest_transactions(world: World) -> None:
    """Of the edge to oneself, too: what is settled there may have a copy under way."""
    world.schedule = Schedule(transaction_ms=20_000)
    await world.start()
    core = world["money"]
    core.addresses.owners[Note.wire_name()] = "money"
    await core.write(lambda tx: tx.send(Note()))
    await world.pass_time(35)
    young = await core.rows(State.DONE)
    stored = {edge.id: edge.floor for edge in await core.database.open([], None)}
    now_ms = core.database.now_ms()
    await world.pass_time(30)

    own = stored[core.ledger.edge_to("money")]
    assert own is not None
    assert 40_000 <= now_ms - time_of(own) <= 40_000 + 2 * world.schedule.keep_ms
    assert (len(young), await core.rows(State.DONE)) == (1, [])


async def test_a_broker_that_forgets_everything_heals(world: World) -> None:
    """Whatever was on its way is sent again from its rows, and has its effect once."""
    world.saga(checkout)
    await world.start()
    world.broker.fate = drop_all
    for _ in range(10):
        await world.begin(checkout)
    await world.pass_time(30)
    world.broker.fate = lambda to, lane, raw: (False,)
    await world.settle(120)

    assert world.ended == [("checkout", "completed")] * 10
    assert len(await world["stock"].effects()) == 10
    assert len(world.till.charges) == 10


@pytest.mark.parametrize("safe", [True, False])
async def test_replicas_run_a_tick_once(world: World, safe: bool) -> None:
    """Its id derives from the job and its time: whoever is second finds it there."""
    await world.start()
    core = world["money"]
    own = core.ledger.edge_to("money")
    core.addresses.owners[Note.wire_name()] = "money"
    [note] = core.letters.rows(Note(), 2_000_000, cause=NO_CAUSE, effects=Effects())
    other = core.ledger.ids.uuid7(2_000_000)
    letter = msgspec.json.decode(note.body, type=Letter)

    def tick(id_: Any) -> MessageRow:
        body = msgspec.json.encode(msgspec.structs.replace(letter, id=id_, kind=Kind.TICK))
        return MessageRow(own, id_, State.DUE, Kind.TICK, due_at=1_005_000, body=body)

    for id_ in (note.id, note.id if safe else other):
        await core.write(lambda tx, id_=id_: tx.later(lambda now: tick(id_)))  # type: ignore[misc]  # binds the loop's id
    await world.pass_time(10)

    assert await core.effects() == (["note"] if safe else ["note", "note"])


async def test_a_tick_that_fails_is_tried_for_ever(world: World) -> None:
    """It is never dead: the job would end with it."""
    works = [False]
    tries: list[int] = []

    async def job(message: Any, tx: Unit, outside: Any) -> None:
        tries.append(1)
        if not works[0]:
            raise LookupError("not yet")
        tx.later(lambda now: tick(now + 60_000, "the next one"))

    world.handlers[Note] = job
    await world.start()
    core = world["money"]

    def tick(at: int, text: str) -> MessageRow:
        id_ = core.ledger.ids.uuid7(at)
        body = msgspec.Raw(Note(text=text).model_dump_json().encode())
        letter = Letter(id=id_, kind=Kind.TICK, type=Note.wire_name(), body=body)
        edge = core.ledger.edge_to("money")
        return MessageRow(
            edge, id_, State.DUE, Kind.TICK, due_at=at, body=msgspec.json.encode(letter)
        )

    await core.write(lambda tx: tx.later(lambda now: tick(now, "first")))
    await world.pass_time(90)

    assert len(tries) > world.schedule.tries_max
    assert await core.rows(State.DEAD) == []

    works[0] = True
    await world.pass_time(10)
    [waiting] = await core.rows(State.DUE)

    assert waiting.kind is Kind.TICK and waiting.tries == 0
    assert timedelta(milliseconds=waiting.due_at or 0).total_seconds() > 1_090


async def test_a_full_writer_is_no_try(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter whose turn was not even taken has had none, however often that happens."""
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.start()
    core, refused = world["stock"], Counter[str]()
    submit = core.writer.submit

    def full(turn: Turn) -> "asyncio.Future[None]":
        if isinstance(turn, HandlerTurn) and refused.total() < 2 * world.schedule.tries_max:
            refused["full"] += 1
            raise Overloaded("too many wait at the database")
        return submit(turn)

    monkeypatch.setattr(core.writer, "submit", full)
    await world.send(Take())
    await world.pass_time(600)

    assert refused.total() == 2 * world.schedule.tries_max
    assert await core.rows(State.DEAD) == []
    assert await core.effects() == ["take"]


async def test_a_try_is_given_back_though_its_lease_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is busy for longer than a lease makes no letter dead."""

    async def lost(message: Any, tx: Unit, outside: Reaching) -> None:
        raise TransactionLost("a conflict")

    world.handlers[Take] = lost
    await world.start()
    core, busy, claims = world["stock"], [True], Counter[str]()
    submit, claimed_again = core.writer.submit, core.core.handling.claimed_again
    refusals: list[Exception] = [
        Overloaded("too many wait at the database"),
        RunAgain("a conflict"),
    ]

    def late(turn: Turn) -> "asyncio.Future[None]":
        if turn.patient and busy[0]:
            raise RunAgain("a conflict")
        if turn.patient and refusals:
            raise refusals.pop()
        return submit(turn)

    def seen(rows: Sequence[MessageRow]) -> None:
        claims["claimed"] += len(rows)
        claimed_again(rows)

    monkeypatch.setattr(core.writer, "submit", late)
    monkeypatch.setattr(core.core.handling, "claimed_again", seen)
    await world.send(Take())
    await world.pass_time(150)
    busy[0] = False
    await world.pass_time(20)
    [row] = await core.rows()

    assert claims["claimed"] >= 3, "its lease has ended while its try was to be given back"
    assert (row.state, row.tries) == (State.DUE, 0)


async def test_a_try_is_given_back_though_its_row_is_claimed_beside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim of this process, in the same transaction, has another token by the time."""

    async def lost(message: Any, tx: Unit, outside: Reaching) -> None:
        raise TransactionLost("a conflict")

    world.handlers[Take] = lost
    await world.start()
    core, claims = world["stock"], Counter[str]()
    submit, handling = core.writer.submit, core.core.handling

    async def claim(tx: Transaction, effects: Effects) -> None:
        [row] = await core.rows(State.DUE)
        claimed = row.copy()
        claimed.due_at = tx.now_ms + 60_000
        assert await tx.update_message(claimed, State.DUE)
        effects.done.append(lambda: handling.claimed_again([claimed]))

    def beside(turn: Turn) -> "asyncio.Future[None]":
        if turn.patient and not claims:
            claims["claimed"] += 1
            submit(Own(claim))
        return submit(turn)

    monkeypatch.setattr(core.writer, "submit", beside)
    world.broker.fate = lambda to, lane, parcel: (True,)  # into the table, and claimed there
    await world.send(Take())
    await world.pass_time(3)
    [row] = await core.rows()

    assert claims.total() == 1
    assert (row.state, row.tries) == (State.DUE, 0)


@pytest.mark.parametrize("pauses", [PAUSES, 0])
async def test_cleaning_leaves_most_of_the_time_to_others(
    world: World, pauses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage there is much to forget: a fiftieth of the time goes into it, not all."""
    monkeypatch.setattr("holdfast.consistency.cleaning.PAUSES", pauses)
    await world.start()
    core, loop = world["shop"].core, asyncio.get_running_loop()
    cleaning, bites = Cleaning(core.ledger, core.writer), list[float]()

    async def bite(tx: Transaction) -> int:
        await asyncio.sleep(0.1)
        bites.append(loop.time())
        return DELETE_MAX if len(bites) < 20 else 3

    await cleaning.take("something", bite)
    first = list(bites)
    await cleaning.take("something", bite)  # it is being done already
    while cleaning.is_going_on("something"):
        await asyncio.sleep(0.01)

    assert len(first) == 1
    assert len(bites) == 20
    took_s = bites[-1] - bites[0]
    assert (took_s > 19 * 4.0) is bool(pauses)


@pytest.mark.parametrize("ahead", [AHEAD, 0.001])
async def test_cleaning_keeps_up_with_what_is_settled(
    world: World, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a service with many turns more is forgotten than they can settle, pauses or not."""
    monkeypatch.setattr("holdfast.consistency.cleaning.AHEAD", ahead)
    await world.start()
    core, bites = world["shop"].core, list[int]()
    cleaning = Cleaning(core.ledger, core.writer)

    async def bite(tx: Transaction) -> int:
        await asyncio.sleep(0.05)
        bites.append(DELETE_MAX)
        return DELETE_MAX

    async def nothing(tx: Transaction, effects: Effects) -> None:
        pass

    await cleaning.take("something", bite)
    for _ in range(100):
        await asyncio.gather(*(core.writer.submit(Own(nothing)) for _ in range(100)))
        await asyncio.sleep(0.1)
    await cleaning.stop()

    assert (sum(bites) > core.writer.stats().turns) is (ahead == AHEAD)


async def test_what_is_being_forgotten_when_a_service_stops_is_left(world: World) -> None:
    """Its rows are settled: nobody waits for that."""
    await world.start()
    core = world["shop"].core
    cleaning, bites = Cleaning(core.ledger, core.writer), list[int]()

    async def bite(tx: Transaction) -> int:
        await asyncio.sleep(0.001)
        bites.append(DELETE_MAX)
        return DELETE_MAX

    await cleaning.take("something", bite)
    await asyncio.sleep(0.1)
    await cleaning.stop()
    count = len(bites)
    await asyncio.sleep(60)

    assert len(bites) == count > 1
    assert not cleaning.is_going_on("something")


async def test_a_bite_that_fails_is_taken_again_later(world: World) -> None:
    """The database was away: the next housekeeping begins where this one ended."""
    await world.start()
    core = world["shop"].core
    cleaning, bites = Cleaning(core.ledger, core.writer), list[int]()

    async def bite(tx: Transaction) -> int:
        bites.append(DELETE_MAX)
        if len(bites) == 3:
            raise ValueError("the disk is full")
        return DELETE_MAX if len(bites) < 6 else 0

    await cleaning.take("something", bite)
    await asyncio.sleep(10)
    failed = (len(bites), cleaning.is_going_on("something"))
    await cleaning.take("something", bite)
    await asyncio.sleep(10)

    assert failed == (3, False)
    assert len(bites) == 6
