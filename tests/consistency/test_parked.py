"""Sagas that cannot go on: parked by a bug or a change, handed back to a newer version."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from holdfast.consistency.turn import Effects, Own
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import SagaInput, SagaRow
from holdfast.storage import Transaction
from tests.consistency.faults import drop_all, dropping
from tests.consistency.messages import Declined, GiveBack, Note, Order, Pay, Refund, Take
from tests.consistency.sagas import checkout, write
from tests.consistency.world import Reaching, World

MINUTE = timedelta(minutes=1)


async def resume(world: World, saga: UUID) -> None:
    """Resume a saga, as an operator would."""

    async def run(tx: Transaction, effects: Effects) -> None:
        await world["shop"].sagas.resume(tx, saga, effects)

    await world["shop"].writer.perform(Own(run))


async def only_saga(world: World) -> SagaRow:
    """Return the one saga's row."""
    [row] = await world.saga_rows()
    return row


async def test_an_exception_parks_a_saga_and_undoes_nothing(world: World) -> None:
    """A bug is not a refusal: the saga waits for an operator, who resumes it."""
    broken = [True]

    async def buggy(saga: Any, order: Order) -> None:
        await saga.call(Take())
        await saga.local(write, "after")
        if broken:
            raise LookupError("a bug")
        await saga.call(Note())

    world.saga(buggy)
    await world.start()
    saga = await world.begin(buggy)
    await world.settle()
    row = await only_saga(world)

    assert row.state == "parked"
    assert re.fullmatch(rf"LookupError: a bug\nat {__file__}:\d+ in buggy", str(row.error))
    assert world.parked == [("buggy", saga, row.error)]
    assert await world.all_effects() == {"shop": ["placed"], "stock": ["take"], "money": []}

    broken.clear()
    await resume(world, saga)

    assert (await only_saga(world)).state == "running"

    await world.settle()

    assert await world.all_effects() == {
        "shop": ["placed", "after"],
        "stock": ["take"],
        "money": ["note"],
    }
    assert world.ended == [("buggy", "completed")]


async def test_a_bug_in_the_first_turn_spares_the_users_write(world: World) -> None:
    """The handler that starts a saga commits what it wrote; the saga is parked."""

    async def buggy(saga: Any, order: Order) -> None:
        await saga.local(write, "never seen")
        raise LookupError("a bug")

    world.saga(buggy)
    await world.start()
    await world.begin(buggy)

    assert await world["shop"].effects() == ["placed"]
    assert (await only_saga(world)).state == "parked"


async def test_answers_are_recorded_while_a_saga_is_parked(world: World) -> None:
    """The answer of the other call of a gather is not lost; resuming goes on behind it."""
    broken = [True]

    async def buggy(saga: Any, order: Order) -> None:
        if broken and saga.now.timestamp() > 1000.4:
            raise LookupError("a bug")
        await saga.gather(saga.call(Take()), saga.call(Note()))
        await saga.local(write, "both")

    world.saga(buggy)
    await world.start()
    world.broker.fate = dropping("command", to="money")
    saga = await world.begin(buggy)
    await world.pass_time(1)
    broken.append(True)
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle(30)
    broken.clear()
    await resume(world, saga)
    await world.settle(30)

    assert await world["shop"].effects() == ["placed", "both"]
    assert [path for path, _, _ in await world.steps(saga)] == ["1.1", "1.2", "2"]


@pytest.mark.parametrize("swallow", [False, True])
async def test_a_changed_function_parks_its_sagas(world: World, swallow: bool) -> None:
    """A step that is not the one that was recorded is an error, even if it is swallowed."""
    world.saga(checkout)
    await world.start()
    world.broker.fate = dropping("command", to="money")
    await world.begin(checkout)
    await world.pass_time(2)

    async def changed(saga: Any, order: Order) -> None:
        try:
            await saga.call(Note())
        except Exception:
            if not swallow:
                raise
        await saga.local(write, "went on")

    changed.__name__ = "checkout"
    world.saga(changed)
    await world.crash()
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle(30)
    row = await only_saga(world)

    assert row.state == "parked"
    assert row.error is not None and "step 1 was 'call Take.v1' and is now 'call Note.v1'" in (
        row.error
    )
    assert await world["shop"].effects() == ["placed"]


@pytest.mark.parametrize("ends", ["completed", "failed", "restarted"])
@pytest.mark.parametrize("safe", [True, False])
async def test_a_gather_that_loses_a_call_under_way_is_found_out(
    world: World, ends: str, safe: bool
) -> None:
    """What has no answer yet is no step yet: the saga would end, and leave its effect alone."""
    if not safe:
        world.switch_off("compare_steps")

    async def both(saga: Any, order: Order) -> None:
        await saga.gather(
            saga.call(Take(), undo=GiveBack()),
            saga.call(Pay(), undo=Refund()),
        )

    async def one(saga: Any, order: Order) -> None:
        await saga.gather(saga.call(Take(), undo=GiveBack()))
        if ends == "failed":
            raise Declined(why="too late")
        if ends == "restarted" and order.item == "kelp":
            await saga.restart(Order(item="more"))

    world.saga(both)
    await world.start()
    world.broker.fate = drop_all
    await world.begin(both)
    await world.pass_time(1)
    one.__name__ = "both"
    world.saga(one)
    await world.crash()
    world.broker.fate = lambda to, lane, raw: () if to == "shop" and b"money" in raw else (False,)
    await world.pass_time(30)
    paid = await world["money"].effects()
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle(200)
    row = await only_saga(world)

    assert paid == ["pay"]
    assert row.state == ("parked" if safe else "failed" if ends == "failed" else "completed")
    assert not safe or "SagaChanged: step 1.2 was 'call Pay.v1'" in str(row.error)


@pytest.mark.parametrize("safe", [True, False])
async def test_an_older_replica_hands_the_answer_back(world: World, safe: bool) -> None:
    """A newer version advanced the saga: the older one leaves the answer to it."""
    if not safe:
        world.switch_off("older_version_hands_back")

    async def newer(saga: Any, order: Order) -> None:
        await saga.call(Take())
        await saga.local(write, "new way")

    async def older(saga: Any, order: Order) -> None:
        await saga.call(Take())
        await saga.local(write, "old way")

    newer.__name__ = older.__name__ = "moving"
    world.saga(newer, version=2)
    await world.start()
    world.broker.fate = dropping("answers")
    await world.begin(newer)
    await world.pass_time(1)
    world.saga(older, version=1)
    await world.crash()
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.pass_time(10)
    world.saga(newer, version=2)
    await world.crash()
    await world.settle()

    assert await world["shop"].effects() == ["placed", "new way" if safe else "old way"]


async def test_a_saga_of_an_unknown_type_is_handed_back(world: World) -> None:
    """A replica that does not know the type yet neither records nor loses the answer."""

    async def new_type(saga: Any, order: Order) -> None:
        await saga.call(Take())
        await saga.local(write, "done")

    world.saga(new_type)
    await world.start()
    world.broker.fate = dropping("answers")
    await world.begin(new_type)
    await world.pass_time(1)
    known = world.sagas.pop("new_type")
    await world.crash()
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.pass_time(10)

    assert await world["shop"].out_rows() != []

    world.sagas["new_type"] = known
    await world.crash()
    await world.settle()

    assert await world["shop"].effects() == ["placed", "done"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Note(text="x" * 300_000), "the maximum is 262,144"),
        (Refund(), "NotDeclared"),
    ],
)
async def test_a_letter_that_cannot_be_sent_parks_its_saga(
    world: World, command: Any, why: str
) -> None:
    """It is found before the commit; the answers that came until then are kept."""

    async def sends(saga: Any, order: Order) -> None:
        await saga.call(Take())
        await saga.call(command)

    world.saga(sends)
    await world.start()
    world["shop"].addresses.owners.pop(Refund.wire_name())
    saga = await world.begin(sends)
    await world.settle()

    row = await only_saga(world)
    assert row.state == "parked" and why in str(row.error)
    assert [error for _, _, error in world.parked] == [row.error]
    assert await world.steps(saga) == [("1", "call Take.v1", "reply")]


async def test_a_saga_calls_other_services_only(world: World) -> None:
    """What its own service does belongs into `saga.local`; the error says so."""

    async def sends(saga: Any, order: Order) -> None:
        await saga.call(Take())

    world.saga(sends)
    await world.start()
    world["shop"].addresses.owners[Take.wire_name()] = "shop"
    await world.begin(sends)

    assert "saga.local" in str((await only_saga(world)).error)


async def test_the_time_out_of_a_parked_saga_waits(world: World) -> None:
    """Nobody can say what the step needs while its function is broken; resumed, it ends."""
    broken = [True]

    async def buggy(saga: Any, order: Order) -> None:
        if len(broken) > 1:
            raise LookupError("a bug")
        await saga.gather(saga.call(Take()), saga.call(Pay(), undo=Refund(), timeout=MINUTE))

    async def silent(command: Pay, tx: Unit, outside: Reaching) -> int:
        raise LookupError("never")

    world.handlers[Pay] = silent
    world.saga(buggy)
    await world.start()
    world.broker.fate = dropping("command", to="stock")
    saga = await world.begin(buggy)
    await world.pass_time(1)
    broken.append(True)
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.pass_time(90)

    assert (await only_saga(world)).state == "parked"

    broken.clear()
    await resume(world, saga)
    await world.settle(200)

    assert world.ended == [("buggy", "failed")]
    assert not await world.busy()


async def test_a_saga_that_restarts_without_waiting_is_parked(world: World) -> None:
    """It would never end, and nobody else would get a turn."""

    async def spins(saga: Any, order: Order) -> None:
        await saga.restart(order)

    world.saga(spins)
    await world.start()
    await world.begin(spins)

    assert "without waiting" in str((await only_saga(world)).error)


async def test_an_input_that_does_not_fit_any_more_parks_its_saga(world: World) -> None:
    """The model has changed since the saga was started: its answer is recorded all the same."""

    class Larger(Order):
        """The input with a field that older sagas do not have."""

        gift: bool

    world.saga(checkout)
    await world.start()
    world.broker.fate = dropping("answers")
    saga = await world.begin(checkout)
    await world.pass_time(1)
    world.saga(checkout, input_type=Larger)
    await world.crash()
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle(30)

    row = await only_saga(world)
    assert row.state == "parked" and "gift" in str(row.error)
    assert world.parked == [("checkout", saga, row.error)]
    assert await world.steps(saga) == [("1", "call Take.v1", "reply")]


async def test_one_saga_that_cannot_go_on_does_not_hold_up_the_others(world: World) -> None:
    """Their answers came in the same parcel."""

    async def unknown(saga: Any, order: Order) -> None:
        await saga.call(Take())

    world.saga(checkout)
    world.saga(unknown)
    await world.start()

    def both(tx: Unit) -> None:
        for function in (checkout, unknown, checkout):
            tx.start(function, Order())

    world["shop"].sagas._types = {"checkout": world.sagas["checkout"]}
    await world["shop"].write(both)
    await world.pass_time(10)

    assert world.ended == [("checkout", "completed")] * 2
    assert [row.state for row in await world.saga_rows()].count("running") == 1
    causes = [cause for event, cause in world.causes if event == "answer.handed_back"]
    assert causes
    assert all(isinstance(cause, SagaInput) for cause in causes), "its saga tells whose it is"
