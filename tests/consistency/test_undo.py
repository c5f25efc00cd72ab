"""What happens to a step that nobody answered: undone, withdrawn, refused, or waited for."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import State
from holdfast.contract.failure import Unanswered
from tests.consistency.faults import dropping
from tests.consistency.messages import Declined, GiveBack, Order, Pay, Refund, SoldOut, Take
from tests.consistency.sagas import checkout, write
from tests.consistency.world import Reaching, World, effect

MINUTE = timedelta(minutes=1)


async def take_only(saga: Any, order: Order) -> None:
    """One step that can be undone."""
    try:
        await saga.call(Take(), undo=GiveBack())
    except Unanswered as failure:
        await saga.local(write, f"unanswered: {failure.effect}")
        await saga.undo()
        await saga.local(write, "undone")


async def test_a_command_that_never_came_is_refused_for_good(world: World) -> None:
    """The undo comes first and leaves a tombstone: the late command has no effect."""
    world.saga(take_only)
    await world.start()
    world.broker.fate = dropping("command")
    await world.begin(take_only)
    await world.pass_time(70)
    world.broker.fate = lambda to, lane, parcel: (False,)
    late = next(p for p in world.broker.parcels if p[0] == "stock")
    await world.broker.deliver["stock", "work"](late[2], False, "shop")
    await world.settle()

    effects = await world.all_effects()
    assert effects["shop"] == ["placed", "unanswered: unknown", "undone"]
    assert effects["stock"] == []
    assert await world["shop"].out_rows() == []


async def test_a_reply_that_was_lost_is_undone(world: World) -> None:
    """The step had its effect and nobody knew: the undo finds it done, and takes it back."""
    world.saga(take_only)
    await world.start()
    world.broker.fate = dropping("answers")
    await world.begin(take_only)
    await world.pass_time(70)

    assert [row.state for row in await world["shop"].rows(State.HELD)] == [State.HELD]

    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle()

    effects = await world.all_effects()
    assert effects["shop"] == ["placed", "unanswered: unknown", "undone"]
    assert effects["stock"] == ["take", "give back"]
    assert await world["shop"].out_rows() == []


async def late_reply(world: World) -> list[tuple[str, str, str]]:
    """Let a reply come after the time-out, before the undo was answered; return the steps."""
    world.saga(take_only)
    await world.start()
    world.broker.fate = dropping("answers")
    saga = await world.begin(take_only)
    await world.pass_time(61.5)
    reply = next(p for p in world.broker.parcels if p[0] == "shop" and b'"reply"' in p[2])
    await world.broker.deliver["shop", "urgent"](reply[2], False, "stock")
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle()
    return await world.steps(saga)


async def test_a_late_reply_changes_nothing(world: World) -> None:
    """Outcomes are written once: the reply that comes after the time-out is ignored."""
    assert await late_reply(world) == [
        ("1", "call Take.v1", "unanswered"),
        ("2", "local write", "value"),
        ("3.1", "undo GiveBack.v1", "undone"),
        ("4", "local write", "value"),
    ]
    assert world.ended == [("take_only", "completed")]


async def test_without_write_once_a_late_reply_rewrites_history(world: World) -> None:
    """Switched off: the saga ends as if it had what it is about to give back."""
    world.switch_off("advance_once")
    await late_reply(world)

    assert (await world.all_effects())["shop"] == ["placed", "unanswered: unknown"]
    assert (await world.all_effects())["stock"] == ["take", "give back"]


@pytest.mark.parametrize("safe", [True, False])
async def test_the_undo_waits_for_a_command_that_has_reached_outside(
    world: World, safe: bool
) -> None:
    """The forward finishes first, however long the till is away; then it is undone."""
    if not safe:
        world.switch_off("forward_finishes_first")

    async def pay_only(saga: Any, order: Order) -> None:
        await saga.call(Pay(), undo=Refund(), timeout=MINUTE)

    world.saga(pay_only)
    await world.start()
    world.till.silent = 1
    await world.begin(pay_only)
    await world.pass_time(0.3)
    world.till.away = 40
    await world.settle(400)

    effects = (await world.all_effects())["money"]
    assert world.ended == [("pay_only", "failed")]
    assert len(world.till.charges) == 1
    assert effects == (["pay", "refund"] if safe else []), "without it the charge is never undone"


@pytest.mark.parametrize("safe", [True, False])
async def test_a_command_before_its_first_try_is_refused_by_its_undo(
    world: World, safe: bool
) -> None:
    """Without the tombstone the command that comes second has its effect after its undo."""
    world.schedule = replace(world.schedule, saga_timeout_ms=20_000)  # long before the floor
    if not safe:
        world.switch_off("refuse_before_command")
    world.saga(take_only)
    await world.start()
    world.broker.fate = dropping("command")
    await world.begin(take_only)
    await world.pass_time(25)
    world.broker.fate = lambda to, lane, parcel: (False,)
    late = next(p for p in world.broker.parcels if p[0] == "stock")
    await world.broker.deliver["stock", "work"](late[2], False, "shop")
    await world.settle()

    assert (await world.all_effects())["stock"] == ([] if safe else ["take"])


@pytest.mark.parametrize("safe", [True, False])
async def test_a_timed_out_command_holds_the_floor(world: World, safe: bool) -> None:
    """Until its undo is answered: the receiver must not forget what there is to undo."""
    world.schedule = replace(world.schedule, saga_timeout_ms=5_000, transaction_ms=2_000)
    if not safe:
        world.switch_off("held_until_undone")
    world.saga(take_only)
    await world.start()
    no_answers, no_undos = dropping("answers"), dropping("undo")
    world.broker.fate = lambda *parcel: no_answers(*parcel) and no_undos(*parcel)
    await world.begin(take_only)
    await world.pass_time(40)
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle(100)

    assert world.ended == [("take_only", "completed")]
    assert (await world.all_effects())["stock"] == (["take", "give back"] if safe else ["take"])


@pytest.mark.parametrize("safe", [True, False])
async def test_an_undo_that_raises_a_failure_is_tried_again(world: World, safe: bool) -> None:
    """A failure of an undo is a failed try; taken for an answer, nothing would be undone."""
    if not safe:
        world.switch_off("undo_failure_is_a_try")
    tries: list[int] = []

    async def stubborn(command: GiveBack, tx: Unit, outside: Reaching) -> None:
        tries.append(len(tries))
        if len(tries) < 12:
            raise SoldOut(item="shelf space")
        await effect("stock", "give back")(command, tx, outside)

    async def decline(command: Pay, tx: Unit, outside: Reaching) -> int:
        raise Declined(why="limit")

    world.handlers |= {GiveBack: stubborn, Pay: decline}
    world.saga(checkout)
    await world.start()
    await world.begin(checkout)
    await world.settle(300)

    assert (await world.all_effects())["stock"] == (["take", "give back"] if safe else ["take"])


@pytest.mark.parametrize("safe", [True, False])
async def test_an_undo_is_never_dead(world: World, safe: bool) -> None:
    """It is tried beyond the number at which a command would be given up."""
    if not safe:
        world.switch_off("undo_never_dead")
    tries: list[int] = []

    async def broken(command: GiveBack, tx: Unit, outside: Reaching) -> None:
        tries.append(len(tries))
        if len(tries) <= world.schedule.tries_max + 2:
            raise RuntimeError("a bug that somebody will mend")
        await effect("stock", "give back")(command, tx, outside)

    async def refuse(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack())
        raise Declined(why="changed my mind")

    world.handlers[GiveBack] = broken
    world.saga(refuse)
    await world.start()
    await world.begin(refuse)
    await world.settle(200)

    assert (await world.all_effects())["stock"] == (["take", "give back"] if safe else ["take"])
    assert world.ended == ([("refuse", "failed")] if safe else [])


@pytest.mark.parametrize("safe", [True, False])
async def test_an_uncaught_failure_undoes_everything(world: World, safe: bool) -> None:
    """Newest first, then the saga has failed."""
    if not safe:
        world.switch_off("uncaught_failure_undoes")

    async def careless(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack())
        await saga.call(Pay(), undo=Refund())
        raise Declined(why="changed my mind")

    world.saga(careless)
    await world.start()
    saga = await world.begin(careless)
    await world.settle()

    undone = [(path, kind) for path, kind, _ in await world.steps(saga) if "undo" in kind]
    assert undone == ([("3.1", "undo Refund.v1"), ("3.2", "undo GiveBack.v1")] if safe else [])
    assert world.ended == [("careless", "failed")]


@pytest.mark.parametrize("safe", [True, False])
async def test_undos_go_newest_first(world: World, safe: bool) -> None:
    """What depends on an earlier step is taken back before it."""
    if not safe:
        world.switch_off("undo_newest_first")

    async def three(saga: Any, order: Order) -> None:
        for item in ("a", "b", "c"):
            await saga.call(Take(item=item), undo=GiveBack(item=item))
        await saga.undo()

    async def give_back(command: GiveBack, tx: Unit, outside: Reaching) -> None:
        await effect("stock", f"give back {command.item}")(command, tx, outside)

    world.handlers[GiveBack] = give_back
    world.saga(three)
    await world.start()
    await world.begin(three)
    await world.settle()

    undone = (await world.all_effects())["stock"][3:]
    order = [name[-1] for name in undone]
    assert order == (["c", "b", "a"] if safe else ["a", "b", "c"])


async def test_calls_of_a_gather_are_undone_together(world: World) -> None:
    """Both undos leave in one advance; the older step's undo waits for both."""

    async def together(saga: Any, order: Order) -> None:
        await saga.call(Take(item="first"), undo=GiveBack(item="first"))
        await saga.gather(
            saga.call(Take(item="a"), undo=GiveBack(item="a")),
            saga.call(Pay(), undo=Refund()),
        )
        raise Declined(why="changed my mind")

    world.saga(together)
    await world.start()
    world.broker.fate = dropping("undo")
    saga = await world.begin(together)
    await world.pass_time(3)
    under_way = [row.path for row in await world["shop"].out_rows()]
    world.broker.fate = dropping("Refund.v1")
    await world.pass_time(30)
    waits_for = [row.path for row in await world["shop"].out_rows()]
    world.broker.fate = lambda to, lane, raw: (False,)
    await world.settle()

    assert sorted(map(str, under_way)) == ["3.1", "3.2"]
    assert waits_for == ["3.1"]
    assert await world.steps(saga) == [
        ("1", "call Take.v1", "reply"),
        ("2.1", "call Take.v1", "reply"),
        ("2.2", "call Pay.v1", "reply"),
        ("3.1", "undo Refund.v1", "undone"),
        ("3.2", "undo GiveBack.v1", "undone"),
        ("3.3", "undo GiveBack.v1", "undone"),
    ]


async def test_an_undo_that_gets_no_answer_lets_the_next_one_go(world: World) -> None:
    """It parks after its time, is tried for ever, and holds nothing else up."""
    open_again = asyncio.Event()

    async def careless(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack())
        await saga.call(Pay(), undo=Refund())
        raise Declined(why="changed my mind")

    async def refund(command: Refund, tx: Unit, outside: Reaching) -> None:
        if not open_again.is_set():
            raise RuntimeError("broken for a while")
        await effect("money", "refund")(command, tx, outside)

    world.handlers[Refund] = refund
    world.saga(careless)
    await world.start()
    await world.begin(careless)
    await world.pass_time(world.schedule.undo_parks_ms / 1000 - 10)

    assert (await world.all_effects())["stock"] == ["take"]

    await world.pass_time(30)

    assert (await world.all_effects())["stock"] == ["take", "give back"]
    assert world.ended == []

    open_again.set()
    await world.settle(300)

    assert (await world.all_effects())["money"] == ["pay", "refund"]
    assert world.ended == [("careless", "failed")]
