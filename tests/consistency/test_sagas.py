"""Sagas over time: sleeps, waits, restarts, keys, local steps."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import Kind, State
from holdfast.contract.messages import Event
from holdfast.errors import NotDeclared
from tests.consistency.messages import EFFECTS, Declined, Note, Order, Shipped, Take
from tests.consistency.sagas import checkout, write
from tests.consistency.world import World, effect

MINUTE = timedelta(minutes=1)


async def ship(world: World, order: str, by: str = "boat") -> None:
    """Let the stock publish that an order was shipped."""
    await world["stock"].write(lambda tx: tx.publish(Shipped(order=order, by=by)))


async def wait_for_ship(saga: Any, order: Order) -> None:
    """Wait for the order's item to be shipped."""
    await saga.local(write, "waiting")
    shipped = await saga.wait(Shipped, order.item, timeout=MINUTE)
    await saga.local(write, f"by {shipped.by}" if shipped else "never")


async def test_a_sleep_lasts_as_long_as_it_should(world: World) -> None:
    """The saga goes on when the time has passed, not before, and a crash does not wake it."""

    async def sleeper(saga: Any, order: Order) -> None:
        before = saga.now
        await saga.sleep(MINUTE)
        await saga.local(write, f"slept {(saga.now - before).total_seconds():.0f}")

    world.saga(sleeper)
    await world.start()
    await world.begin(sleeper)
    await world.pass_time(30)
    await world.crash()
    await world.pass_time(25)

    assert await world["shop"].effects() == ["placed"]

    await world.pass_time(10)

    assert await world["shop"].effects() == ["placed", "slept 60"]


async def test_an_event_ends_a_wait(world: World) -> None:
    """The event of the right topic ends it; another topic's does not."""
    world.saga(wait_for_ship)
    await world.start()
    await world.begin(wait_for_ship, Order(item="mine"))
    await ship(world, "another one")
    await world.pass_time(5)

    assert await world["shop"].effects() == ["placed", "waiting"]

    await ship(world, "mine", by="train")
    await world.pass_time(5)

    assert await world["shop"].effects() == ["placed", "waiting", "by train"]
    assert not await world.busy()


@pytest.mark.parametrize("safe", [True, False])
async def test_an_event_before_the_wait_counts(world: World, safe: bool) -> None:
    """It is kept by topic; without that the wait would last until its time-out."""
    if not safe:
        world.switch_off("keep_early_events")
    world.saga(wait_for_ship)
    await world.start()
    await ship(world, "mine", by="train")
    await world.pass_time(5)
    await world.begin(wait_for_ship, Order(item="mine"))
    await world.settle(90)

    assert await world["shop"].effects() == ["placed", "waiting", "by train" if safe else "never"]


async def test_an_event_that_was_kept_for_long_enough_is_let_go(world: World) -> None:
    """Who waits in time has it, who waits later has not; and nothing of it is left for ever."""
    world.schedule = replace(world.schedule, event_kept_ms=30_000, transaction_ms=2_000)
    world.saga(wait_for_ship)
    await world.start()
    await ship(world, "kelp", by="rail")
    await world.pass_time(5)
    await world.begin(wait_for_ship)
    await world.pass_time(5)
    [kept] = [row for row in await world["shop"].rows(State.DONE) if row.kind is Kind.EVENT]
    await world.pass_time(60)
    await world.begin(wait_for_ship)
    await world.settle()

    assert kept.topic == "Shipped:kelp"
    assert await world["shop"].effects() == [
        *("placed", "waiting", "by rail"),
        *("placed", "waiting", "never"),
    ]
    assert [row for row in await world["shop"].rows() if row.kind is Kind.EVENT] == []


async def test_a_wait_ends_without_an_event(world: World) -> None:
    """After its time-out the function gets None, and a late event changes nothing."""
    world.saga(wait_for_ship)
    await world.start()
    await world.begin(wait_for_ship, Order(item="mine"))
    await world.settle(90)
    await ship(world, "mine")
    await world.pass_time(5)

    assert await world["shop"].effects() == ["placed", "waiting", "never"]


async def test_a_restart_begins_again_with_a_new_input(world: World) -> None:
    """No recorded step is left, and the same paths are used again."""

    async def rounds(saga: Any, order: Order) -> None:
        await saga.call(Take(item=order.item))
        if order.cents:
            await saga.restart(Order(item="next", cents=order.cents - 1))
        await saga.local(write, order.item)

    world.saga(rounds)
    await world.start()
    saga = await world.begin(rounds, Order(item="first", cents=3))
    await world.settle()

    assert await world["shop"].effects() == ["placed", "next"]
    assert (await world["stock"].effects()) == ["take"] * 4
    assert [path for path, _, _ in await world.steps(saga)] == ["1", "2"]


async def test_what_a_restarted_saga_makes_is_new(world: World) -> None:
    """Ids of the function and of its local steps, and the sagas that these start.

    Its time goes on, too, also where nothing was waited for between two rounds.
    """
    seen: list[tuple[Any, ...]] = []

    async def child(saga: Any, order: Order) -> None:
        await saga.local(write, f"child {order.cents}")

    async def begin(tx: Unit, cents: int) -> str:
        tx.start(child, Order(cents=cents))
        return str(tx.new_id())

    async def rounds(saga: Any, order: Order) -> None:
        first, began = saga.new_id(), saga.now
        made = await saga.local(begin, order.cents)
        if order.cents % 2:
            await saga.sleep(MINUTE)
        seen.append((first, UUID(made), saga.new_id(), began, saga.now))
        if order.cents:
            await saga.restart(Order(cents=order.cents - 1))

    world.saga(rounds)
    world.saga(child)
    await world.start()
    await world.begin(rounds, Order(cents=4))
    await world.settle(300)

    ids = [each for first, made, last, _, _ in seen for each in (first, made, last)]
    times = [time for _, _, _, began, ended in seen for time in (began, ended)]
    assert len(set(ids)) == len(ids) == 3 * 5
    assert times == sorted(times)
    assert times[-1] - times[0] >= 2 * MINUTE
    children = [f"child {cents}" for cents in (4, 3, 2, 1, 0)]
    assert await world["shop"].effects() == ["placed", *children]


async def test_a_key_starts_one_saga(world: World) -> None:
    """A second start with the same key does nothing while the first one's row exists."""
    world.saga(checkout)
    await world.start()
    for _ in range(2):
        await world["shop"].write(lambda tx: tx.start(checkout, Order(), key="order 7"))
    await world.settle()

    assert len(await world.saga_rows()) == 1
    assert await world["stock"].effects() == ["take"]


async def test_a_saga_starts_only_with_its_transaction(world: World) -> None:
    """The handler raises after `start`: there is no saga, and no letter leaves."""
    world.saga(checkout)
    await world.start()

    def work(tx: Unit) -> None:
        tx.start(checkout, Order())
        raise LookupError("no order after all")

    with pytest.raises(LookupError, match="no order"):
        await world["shop"].write(work)
    await world.pass_time(5)

    assert await world.saga_rows() == []
    assert await world["stock"].effects() == []


async def test_only_a_declared_saga_can_be_started(world: World) -> None:
    """The error names the line to write."""
    await world.start()

    with pytest.raises(NotDeclared, match=r"@shop\.saga"):
        await world["shop"].write(lambda tx: tx.start(checkout, Order()))


async def test_what_a_local_step_returns_is_the_same_in_every_run(world: World) -> None:
    """Value, `saga.now` and `saga.new_id` after it do not change when the function is run again."""
    seen: list[tuple[Any, ...]] = []

    async def count(tx: Unit) -> tuple[int, ...]:
        found = await tx.execute(EFFECTS["shop"].select())
        return tuple(len(row) for row in found)

    async def returns(saga: Any, order: Order) -> None:
        await saga.call(Take())
        value = await saga.local(count)
        seen.append((type(value), value, saga.now, saga.new_id()))
        await saga.call(Note())
        await saga.call(Note())

    world.saga(returns)
    await world.start()
    await world.begin(returns)
    await world.settle()

    assert len(seen) == 3
    assert len(set(seen)) == 1


async def test_a_failure_of_a_local_step_is_recorded(world: World) -> None:
    """Its writes are rolled back, those of the others are not, and every run sees the failure."""

    async def refuse(tx: Unit) -> None:
        await write(tx, "rolled back")
        raise Declined(why="closed")

    async def careful(saga: Any, order: Order) -> None:
        await saga.local(write, "before")
        try:
            await saga.local(refuse)
        except Declined as failure:
            await saga.call(Note(text=failure.why))
            await saga.local(write, failure.why)

    world.saga(careful)
    await world.start()
    await world.begin(careful)
    await world.settle()

    assert await world["shop"].effects() == ["placed", "before", "closed"]


@pytest.mark.parametrize("safe", [True, False])
async def test_the_finally_of_a_suspended_run_has_no_effect(world: World, safe: bool) -> None:
    """A run that waits is dead; what its `finally` writes would be written at every wait."""
    if not safe:
        world.switch_off("discard_suspended")

    async def tidy(saga: Any, order: Order) -> None:
        try:
            await saga.call(Take())
        finally:
            await saga.local(write, "tidy")

    world.saga(tidy)
    await world.start()
    await world.begin(tidy)

    assert await world["shop"].effects() == (["placed"] if safe else ["placed", "tidy"])


async def test_a_suspended_run_may_raise_what_it_likes(world: World) -> None:
    """Not even a Failure that its `finally` raises is heard."""

    async def noisy(saga: Any, order: Order) -> None:
        try:
            await saga.call(Take())
        except GeneratorExit:
            raise Declined(why="not now") from None
        await saga.local(write, "heard nothing")

    world.saga(noisy)
    await world.start()
    await world.begin(noisy)
    await world.settle()

    assert await world["shop"].effects() == ["placed", "heard nothing"]


class Lost(Event, topic="order"):
    """It will never come."""

    order: str


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("first", [Shipped, Lost])
@pytest.mark.parametrize("both", [True, False])
async def test_a_wait_for_several_takes_the_first_that_comes(
    world: World, early: bool, first: type[Event], both: bool
) -> None:
    """Before the wait or while it lasts; the others of it are over, whether they come or not."""
    came: list[Any] = []

    async def chase(saga: Any, order: Order) -> None:
        if early:
            await saga.sleep(timedelta(seconds=20))
        came.append(await saga.wait(Shipped, Lost, "7", timeout=timedelta(hours=1)))

    world.saga(chase)
    await world.start()
    hear_lost(world)
    await world.begin(chase)
    await world.pass_time(5)
    await world["stock"].write(lambda tx: tx.publish(first(order="7")))
    await world.pass_time(1)
    if both:
        other = Lost if first is Shipped else Shipped
        await world["stock"].write(lambda tx: tx.publish(other(order="7")))
    await world.pass_time(61)

    assert [type(event) for event in came if event is not None] == [first]
    assert await world["shop"].rows(State.DUE) == []
    assert world.ended == [("chase", "completed")]


def hear_lost(world: World) -> None:
    """Let the shop hear Lost as it hears Shipped."""
    hear(world, Lost)


def hear(world: World, event: type[Event]) -> None:
    """Let the shop hear an event of the stock as it hears Shipped."""
    world["stock"].addresses.subscribers[event.wire_name()] = ("shop",)
    world["shop"].core.received.waited = {Shipped.wire_name(): Shipped, event.wire_name(): event}


def newer() -> type[Event]:
    """Return the next version of Shipped, which says something else."""

    class Shipped(Event, version=2, topic="order"):
        """Something left the house, at a weight."""

        order: str
        grams: int = 7

    return Shipped


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("waits_for", [1, 2])
async def test_another_version_is_another_event(world: World, waits_for: int, early: bool) -> None:
    """A saga that waits for one version is not woken by another, before the wait or in it."""
    other: Any = newer()
    versions: list[Any] = [Shipped, other]
    mine, its = versions if waits_for == 1 else reversed(versions)
    came: list[Any] = []

    async def chase(saga: Any, order: Order) -> None:
        if early:
            await saga.sleep(timedelta(seconds=20))
        came.append(await saga.wait(mine, "7", timeout=timedelta(seconds=30)))
        came.append(await saga.wait(mine, its, "8", timeout=MINUTE))

    world.saga(chase)
    await world.start()
    hear(world, other)
    await world.begin(chase)
    await world.pass_time(5)
    await world["stock"].write(lambda tx: tx.publish(its(order="7")))
    await world.pass_time(60)
    await world["stock"].write(lambda tx: tx.publish(its(order="8")))
    await world.settle()

    assert came[0] is None
    assert came[-1] == its(order="8")
    assert world.ended == [("chase", "completed")]


async def test_a_wait_for_several_ends_in_time(world: World) -> None:
    """None of them came: one answer, and no row is left."""
    came: list[Any] = []

    async def chase(saga: Any, order: Order) -> None:
        came.append(await saga.wait(Shipped, Lost, "7", timeout=timedelta(seconds=30)))
        await saga.sleep(timedelta(seconds=30))

    world.saga(chase)
    await world.start()
    await world.begin(chase)
    await world.settle(90)

    assert came == [None, None]  # once in each run of the function
    assert world.ended == [("chase", "completed")]


async def test_who_has_the_key_already_is_told(world: World) -> None:
    """In the same transaction, in a later one, and under the name that the function had before."""
    told: list[UUID] = []

    async def start(tx: Unit) -> None:
        told.append(await tx.start(checkout, Order(), key="order 7"))

    async def twice(tx: Unit) -> None:
        await start(tx)
        await start(tx)

    world.saga(checkout)
    await world.start()
    await world["shop"].write(twice)
    await world["shop"].write(start)
    kind = world.sagas.pop("checkout")
    world.sagas = {"checkout": replace(kind, name="buy"), "buy": replace(kind, name="buy")}
    await world.crash()
    await world["shop"].write(start)
    await world.settle()
    [row] = await world.saga_rows()

    assert told == [row.id] * 4


async def test_an_event_is_kept_whichever_version_handles_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken in by one whose sagas wait for it, and run by one that has no such saga."""
    got: list[Any] = []

    async def waits(saga: Any, order: Order) -> None:
        got.append(await saga.wait(Shipped, "7", timeout=timedelta(days=1)))

    world.handlers[Shipped] = effect("shop", "heard")
    world.saga(waits)
    world.broker.fate = lambda to, lane, parcel: (True,)  # into the table
    await world.start()
    shop = world["shop"]
    await shop.relay.stop()
    await world["stock"].write(lambda tx: tx.publish(Shipped(order="7")))
    await world.pass_time(1)
    [taken_in] = [row for row in await shop.rows(State.DUE) if row.kind is Kind.EVENT]
    monkeypatch.setattr(shop.core.received, "waited", {})
    monkeypatch.setattr(shop.relay, "_stopping", False)
    shop.relay.start()
    await world.pass_time(2)
    heard = await shop.effects()
    await world.crash()
    await world.begin(waits)
    await world.settle(30)

    assert taken_in.topic is not None
    assert heard == ["heard"]
    assert [event.order for event in got if event is not None] == ["7"]
    assert world.ended == [("waits", "completed")]


async def test_a_step_is_recorded_as_what_it_was(world: World) -> None:
    """An operator reads whether a saga slept, or waited, and whether an event came."""

    async def idles(saga: Any, order: Order) -> None:
        await saga.sleep(timedelta(seconds=5))
        await saga.wait(Shipped, "7", timeout=timedelta(seconds=5))

    world.saga(idles)
    await world.start()
    saga = await world.begin(idles)
    await world.settle(60)

    assert await world.steps(saga) == [
        ("1", "sleep", "slept"),
        ("2", "wait Shipped.v1", "event"),
    ]
