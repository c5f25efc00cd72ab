"""The transaction of one handler: what it may await, what it writes, what leaves with it."""

import asyncio
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from holdfast.consistency.turn import RunAgain
from holdfast.consistency.unit import Driver, Unit
from holdfast.contract.cause import Cause
from holdfast.contract.envelope import Letter, Parcel, State
from holdfast.errors import (
    ForeignAwait,
    MessageTooLarge,
    NotDeclared,
    OutsideShut,
    StatementFailed,
    TransactionControl,
)
from tests.consistency.faults import dropping
from tests.consistency.messages import (
    EFFECTS,
    Declined,
    Note,
    Order,
    Pay,
    Refund,
    Shipped,
    Take,
    Taken,
)
from tests.consistency.sagas import write
from tests.consistency.world import PAIRS, Hand, Reaching, Work, World, effect

MONEY = EFFECTS["money"]
_WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def errors_of(world: World, handler: Any, *, patience_s: float = 100.0) -> str:
    """Run a handler of Note until its letter is dead; return the errors of its tries."""
    world.handlers[Note] = handler
    await world.start()
    await world.send(Note())
    await world.settle(patience_s)
    return "\n".join(str(row.error) for row in await world["money"].rows(State.DEAD))


async def write_note(tx: Unit) -> None:
    """Write one row at once."""
    await tx.execute(MONEY.insert().values(what="note"))


@pytest.mark.parametrize("swallow", [False, True])
@pytest.mark.parametrize("buffered", [False, True])
async def test_a_foreign_await_after_the_first_statement_is_refused(
    world: World, swallow: bool, buffered: bool
) -> None:
    """Whatever is awaited, whatever library it is from, and even if the refusal is swallowed."""

    async def waits(command: Note, tx: Unit, outside: Reaching) -> None:
        await asyncio.sleep(0.01)  # before the first statement everything may be awaited
        if buffered:
            tx.insert(MONEY, what="note")
        else:
            await write_note(tx)
        try:
            await asyncio.sleep(1)
        except ForeignAwait:
            if not swallow:
                raise

    errors = await errors_of(world, waits)

    assert ("StatementFailed" if swallow else "ForeignAwait") in errors
    assert await world["money"].effects() == []


async def test_without_that_refusal_a_handler_holds_up_all_others(world: World) -> None:
    """Switched off: one handler that waits keeps the only write transaction open."""
    world.switch_off("no_foreign_awaits")

    async def waits(command: Note, tx: Unit, outside: Reaching) -> None:
        await write_note(tx)
        await asyncio.sleep(20)

    world.handlers[Note] = waits
    await world.start()
    await world.send(Note())
    await world.pass_time(1)
    await world.send(Pay())
    await world.pass_time(15)

    assert await world["money"].effects() == []


async def test_a_handler_that_swallows_for_ever_is_closed(world: World) -> None:
    """It awaits again after each refusal; the loop does not spin."""

    async def waits(command: Note, tx: Unit, outside: Reaching) -> None:
        await write_note(tx)
        while True:
            try:
                await asyncio.sleep(1)
            except ForeignAwait:
                continue

    assert "ForeignAwait" in await errors_of(world, waits)


async def test_outside_is_shut_by_the_first_statement(world: World) -> None:
    """Reach first, write after."""

    async def late(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.insert(MONEY, what="note")
        await outside.charge(5)

    errors = await errors_of(world, late)

    assert "OutsideShut" in errors
    assert world.till.charges == {}


async def test_a_view_knows_that_outside_is_shut(world: World) -> None:
    """Every way to write shuts it, and the error says what to do."""
    await world.start()
    world["shop"].addresses.subscribers[Shipped.wire_name()] = ()
    ways: list[Any] = [
        lambda tx: tx.insert(MONEY, what="x"),
        lambda tx: tx.update(MONEY, 1, what="x"),
        lambda tx: tx.send(Note()),
        lambda tx: tx.publish(Shipped(order="1")),
    ]
    for way in ways:
        unit = Unit(world["shop"].core.units, world["shop"].ledger.seed(0), 0)
        unit.check_outside()
        way(unit)
        with pytest.raises(OutsideShut, match="reach first, write after"):
            unit.check_outside()


@pytest.mark.parametrize("safe", [True, False])
async def test_a_swallowed_database_error_fails_the_handler(world: World, safe: bool) -> None:
    """Half of what it wanted is not written: nothing of it may be kept."""
    if not safe:
        world.switch_off("sticky_errors")

    async def swallows(command: Note, tx: Unit, outside: Reaching) -> None:
        await write_note(tx)
        try:
            await tx.execute(MONEY.insert().values(row=1, what="the same row"))
        except IntegrityError:
            pass

    errors = await errors_of(world, swallows)

    assert ("StatementFailed" in errors) == safe
    assert await world["money"].effects() == ([] if safe else ["note"])


async def test_a_database_error_inside_a_savepoint_may_be_handled(world: World) -> None:
    """What was done inside is undone, what was done before and after is kept."""

    async def careful(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.insert(MONEY, row=1, what="before")
        try:
            async with tx.savepoint():
                tx.insert(MONEY, what="inside")
                tx.send(Note())  # not declared by this service; undone with the savepoint
                await tx.execute(MONEY.insert().values(row=1, what="conflict"))
        except IntegrityError:
            tx.insert(MONEY, what="after")

    world.handlers[Note] = careful
    await world.start()
    world["money"].addresses.owners[Note.wire_name()] = "stock"
    await world.send(Note())
    await world.settle(30)

    assert await world["money"].effects() == ["before", "after"]
    assert await world["money"].out_rows() == []


async def test_what_a_savepoint_undoes_is_not_started_and_not_sent(world: World) -> None:
    """A saga, a letter and a row of it are gone; those before and after it are there."""

    async def named(saga: Any, order: Order) -> None:
        await saga.local(write, order.item)

    async def work(tx: Unit) -> None:
        for item in ("before", "inside", "after"):
            try:
                async with tx.savepoint():
                    tx.start(named, Order(item=item))
                    tx.send(Note(text=item))
                    tx.insert(EFFECTS["shop"], what=f"row {item}")
                    if item == "inside":
                        raise LookupError("not this one")
            except LookupError:
                pass

    noted: list[str] = []

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        noted.append(command.text)

    world.saga(named)
    world.handlers[Note] = note
    await world.start()
    await world["shop"].write(work)
    await world.settle(10)

    assert await world["shop"].effects() == ["row before", "row after", "before", "after"]
    assert noted == ["before", "after"]
    assert len(await world.saga_rows()) == 2


async def test_an_event_is_the_receivers_once_it_is_taken(world: World) -> None:
    """Its sender's row ends though its handler still fails; a command's row waits for the end."""
    works: list[bool] = []

    async def seldom(message: Any, tx: Unit, outside: Reaching) -> Any:
        if not works:
            raise LookupError("not yet")
        return await effect("shop" if isinstance(message, Shipped) else "money", "done")(
            message, tx, outside
        )

    world.handlers[Shipped] = world.handlers[Note] = seldom
    await world.start()
    await world["stock"].write(lambda tx: tx.publish(Shipped(order="7")))
    await world.send(Note())
    await world.pass_time(1)
    sent = [len(await world[name].out_rows()) for name in ("stock", "shop")]
    works.append(True)
    await world.settle(30)

    assert sent == [0, 1]
    assert (await world["shop"].effects(), await world["money"].effects()) == (["done"], ["done"])


async def test_a_buffered_write_that_fails_before_a_savepoint_is_sticky(world: World) -> None:
    """The insert came before the savepoint; its error is not the savepoint's to swallow."""

    async def careless(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.insert(MONEY, row=1, what="first")
        tx.insert(MONEY, row=1, what="conflict")
        try:
            async with tx.savepoint():
                tx.insert(MONEY, what="inside")
        except SQLAlchemyError:
            pass

    errors = await errors_of(world, careless)

    assert "StatementFailed" in errors
    assert await world["money"].effects() == []


async def test_a_handler_reads_its_own_writes(world: World) -> None:
    """Buffered inserts and updates are flushed, in order, before the next statement."""
    seen: list[Any] = []

    async def reads(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.insert(MONEY, row=7, what="first", number=1)
        tx.update(MONEY, 7, what="second")
        tx.insert(MONEY, row=8, what="third", number=1)
        found = await tx.execute(select(MONEY.c.what, func.count().over()).order_by(MONEY.c.row))
        seen.extend(tuple(row) for row in found)

    assert await errors_of(world, reads) == ""
    assert seen == [("second", 2), ("third", 2)]


async def test_an_update_without_a_row_fails_the_handler(world: World) -> None:
    """The error names the table and the key."""

    async def misses(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.update(MONEY, 99, what="x")

    errors = await errors_of(world, misses)

    assert "StatementFailed" in errors and "effect" in errors and "99" in errors


@pytest.mark.parametrize(
    "sql",
    ["COMMIT", "  rollback", "-- note\nCOMMIT", "/* a */ SAVEPOINT x", "; commit", "PRAGMA x"],
)
async def test_transaction_control_is_refused(world: World, sql: str) -> None:
    """The transaction is not the user's to end."""
    await world.start()

    async def work(tx: Unit) -> None:
        await tx.execute(text(sql))

    with pytest.raises(TransactionControl, match="savepoint"):
        await world["money"].write(work)


async def test_a_transaction_that_sqlite_ended_keeps_nothing(world: World) -> None:
    """`OR ROLLBACK` ends it: what follows would be committed statement by statement."""
    await world.start()

    async def work(tx: Unit) -> None:
        await write_note(tx)
        try:
            await tx.execute(text("INSERT OR ROLLBACK INTO effect (row, what) VALUES (1, 'x')"))
        except IntegrityError:
            pass
        try:
            await tx.execute(text("INSERT INTO effect (what) VALUES ('kept for itself')"))
        except Exception:
            pass
        tx.insert(MONEY, what="and this")

    with pytest.raises(RunAgain, match="SQLite ended the transaction"):
        await world["money"].write(work)

    assert await world["money"].effects() == []
    await world["money"].write(lambda tx: tx.insert(MONEY, what="the next one"))
    assert await world["money"].effects() == ["the next one"]


@pytest.mark.parametrize("refuses", [True, False])
async def test_an_answer_over_the_limit_is_found_before_the_commit(
    world: World, refuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply or a refusal that no broker would carry: the handler's writes are rolled back."""

    async def huge(command: Pay, tx: Unit, outside: Reaching) -> int:
        tx.insert(MONEY, what="paid")
        if refuses:
            raise Declined(why="x" * 300_000)
        return 5

    def encode_reply(hand: Hand, value: object) -> bytes:
        return b"5" * 300_000

    monkeypatch.setattr(Hand, "encode_reply", encode_reply)
    world.handlers[Pay] = huge
    world.schedule = replace(world.schedule, tries_max=1)
    await world.start()
    await world.send(Pay())
    await world.settle(20)
    [dead] = await world["money"].rows(State.DEAD)

    assert "MessageTooLarge: the " in str(dead.error)
    assert "bytes; the maximum is 262,144" in str(dead.error)
    assert await world["money"].effects() == []
    assert max(len(raw) for _, _, raw in world.broker.parcels) < 10_000


@pytest.mark.parametrize("how", ["value", "failure"])
@pytest.mark.parametrize("swallow", [True, False])
async def test_what_a_local_step_says_has_a_limit(world: World, how: str, swallow: bool) -> None:
    """It is read at every advance: over the limit the saga parks, and its writes are undone."""

    async def huge(tx: Unit) -> str:
        tx.insert(EFFECTS["shop"], what="huge")
        if how == "failure":
            raise Declined(why="x" * 300_000)
        return "x" * 300_000

    async def says(saga: Any, order: Order) -> None:
        with suppress(MessageTooLarge) if swallow else nullcontext():
            await saga.local(huge)

    world.saga(says)
    await world.start()
    saga = await world.begin(says)
    [row] = await world.saga_rows()

    assert row.state == ("completed" if swallow else "parked")
    assert swallow or "what huge says to its saga is 300," in str(row.error)
    assert await world["shop"].effects() == ["placed"]
    assert await world.steps(saga) == []


async def test_a_letter_over_the_limit_fails_its_handler(world: World) -> None:
    """The handler's writes are rolled back: who should have had it would never hear of them."""

    async def huge(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.insert(MONEY, what="note")
        tx.send(Note(text="x" * 300_000))

    world.handlers[Note] = huge
    await world.start()
    world["money"].addresses.owners[Note.wire_name()] = "stock"
    await world.send(Note())
    await world.settle(100)
    [dead] = await world["money"].rows(State.DEAD)

    assert MessageTooLarge.__name__ in str(dead.error)
    assert await world["money"].effects() == []


async def test_what_a_handler_sends_belongs_to_who_asked_for_it(world: World) -> None:
    """Its letters carry the correlation and the trace of the letter that it handles."""

    async def take(command: Take, tx: Unit, outside: Reaching) -> Taken:
        await asyncio.sleep(3)
        tx.publish(Shipped(order="1"))
        return Taken(shelf=1)

    world.handlers[Take] = take
    await world.start()
    shop = world["shop"]
    cause = Cause(correlation="c-1", trace="00-ab-cd-01")
    unit = Unit(shop.core.units, shop.ledger.seed(1), 1, cause=cause)
    await shop.writer.perform(Work(unit, shop.sagas, lambda tx: tx.send(Take())))
    await world.pass_time(10)
    parcels = [msgspec.json.decode(raw, type=Parcel) for _, _, raw in world.broker.parcels]
    letters = [
        msgspec.json.decode(bytes(raw), type=Letter) for one in parcels for raw in one.letters
    ]

    assert [(one.type, one.correlation, one.trace) for one in letters] == [
        (Take.wire_name(), "c-1", "00-ab-cd-01"),
        (Shipped.wire_name(), "c-1", "00-ab-cd-01"),
    ]
    assert world["stock"].hands[Take.wire_name()].runs == [("reply", pytest.approx(3, abs=0.1))]


@pytest.mark.parametrize("safe", [True, False])
async def test_a_letter_over_the_limit_is_refused(world: World, safe: bool) -> None:
    """The error names the limit, and says what to do instead."""
    if not safe:
        world.switch_off("encode_before_commit")
    await world.start()
    note = Note(text="x" * 300_000)
    if safe:
        with pytest.raises(MessageTooLarge, match="262,144: send a reference"):
            await world.send(note)
    else:
        await world.send(note)

    assert len(await world["shop"].out_rows()) == (not safe)


async def test_what_is_not_declared_is_not_sent(world: World) -> None:
    """The error names the line to add, at the line that sends."""
    await world.start()

    with pytest.raises(NotDeclared, match=r"add Note to `calls=\[…\]`"):
        await world["stock"].write(lambda tx: tx.send(Note()))
    with pytest.raises(NotDeclared, match=r"add Shipped to `publishes=\[…\]`"):
        await world["money"].write(lambda tx: tx.publish(Shipped(order="1")))
    with pytest.raises(NotDeclared, match=r"add Pay to `calls=\[…\]`"):
        world["money"].letters.payload_of(Refund())


async def test_a_delayed_letter_waits(world: World) -> None:
    """To another service or to oneself, and over a restart too."""
    await world.start()
    for core in world.cores.values():
        core.addresses.owners[Note.wire_name()] = "money"
    delay = timedelta(seconds=30)
    await world["shop"].write(lambda tx: tx.send(Note(), delay=delay))
    await world["money"].write(lambda tx: tx.send(Note(), delay=delay))
    await world.pass_time(15)
    await world.crash()
    await world.pass_time(13)

    assert await world["money"].effects() == []

    await world.pass_time(5)

    assert await world["money"].effects() == ["note", "note"]


async def test_a_letter_to_oneself_is_run_at_once(world: World) -> None:
    """The claim loop is woken; the broker is not asked."""
    await world.start()
    world["money"].addresses.owners[Note.wire_name()] = "money"
    await world.pass_time(0.2)
    world.broker.parcels.clear()
    await world["money"].write(lambda tx: tx.send(Note()))
    await world.pass_time(0.05)

    assert await world["money"].effects() == ["note"]
    assert world.broker.parcels == []
    assert not await world.busy()


async def test_an_event_goes_to_each_subscriber(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row each; a subscriber that is away keeps nobody from hearing it."""
    heard: list[str] = []

    async def hear(event: Shipped, tx: Unit, outside: Reaching) -> None:
        heard.append(event.by)
        await effect("shop", "heard")(event, tx, outside)

    world.handlers[Shipped] = hear
    monkeypatch.setattr("tests.consistency.world.PAIRS", [*PAIRS, ("stock", "money")])
    await world.start()
    world["stock"].addresses.subscribers[Shipped.wire_name()] = ("shop", "money")
    world.broker.fate = dropping("event", to="money")
    await world["stock"].write(lambda tx: tx.publish(Shipped(order="1")))
    await world.pass_time(20)

    assert heard == ["boat"]
    assert len(await world["stock"].out_rows()) == 1


async def test_a_handler_keeps_its_context_in_the_writers_task(world: World) -> None:
    """What it set before its first statement it finds after it; nobody else does."""
    seen: list[str] = []

    async def sets(command: Take, tx: Unit, outside: Reaching) -> Any:
        _WHO.set(command.item)
        await tx.execute(select(EFFECTS["stock"]))
        seen.append(_WHO.get() + command.item)
        return await effect("stock", "take")(command, tx, outside)

    world.handlers[Take] = sets
    await world.start()

    def three(tx: Unit) -> None:
        for item in ("a", "b", "c"):
            tx.send(Take(item=item))

    await world["shop"].write(three)
    await world.settle(30)

    assert sorted(seen) == ["aa", "bb", "cc"]
    assert _WHO.get() == "nobody"


async def test_an_unfinished_statement_error_names_the_statement(world: World) -> None:
    """The sticky error carries the database's own."""
    await world.start()

    async def work(tx: Unit) -> None:
        try:
            await tx.execute(text("SELECT nonsense FROM effect"))
        except SQLAlchemyError:
            pass

    with pytest.raises(StatementFailed, match="nonsense"):
        await world["money"].write(work)


@pytest.mark.parametrize("handler_first", [False, True])
async def test_who_abandons_everything_need_not_know_in_which_order(
    world: World, handler_first: bool
) -> None:
    """A loop that is torn down closes what waits as it comes; the handler is tidied up once."""
    await world.start()
    tidied: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            tidied.append("once")

    handler = waits()
    driver = Driver(handler, Unit(world["money"].core.units, UUID(int=1), 0))
    driving = driver.to_first_statement()
    driving.send(None)
    for coroutine in (handler, driving) if handler_first else (driving, handler):
        coroutine.close()

    assert tidied == ["once"]
