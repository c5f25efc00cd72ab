"""The replay of sagas: random programs, answered in random order, against a plain model."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.consistency.replay import (
    STEPS_MAX,
    Call,
    Recorded,
    Replay,
    UndoCall,
    Want,
    derived_id,
)
from holdfast.consistency.steps import CANCELLED, StepOutcome, result_of
from holdfast.contract.failure import Cancelled, Failure
from holdfast.contract.messages import Command
from tests.ablations.off import off
from tests.consistency.messages import Declined, GiveBack, Order, SoldOut, Take
from tests.consistency.programs import (
    PROGRAMS,
    SAGA,
    Gather,
    Machine,
    Program,
    Step,
    good,
    interpret,
    label,
    model,
    outcome_of,
)


@given(program=PROGRAMS, data=st.data())
@settings(deadline=None, max_examples=300)
def test_a_replayed_program_does_what_one_that_never_forgets_does(
    program: Program, data: st.DataObject
) -> None:
    """Same requests, in the same order, with the same end; answers come in any order."""
    machine = Machine(interpret(program))
    seen: dict[str, Want] = {}
    while True:
        before = {path: want for path, want in seen.items() if path not in machine.steps}
        replay = machine.run()
        wanted = {want.path: want for want in replay.wants}
        assert before.keys() <= wanted.keys(), "what was asked for stays wanted until it ended"
        assert not wanted.keys() & machine.steps.keys(), "what has ended is not wanted"
        for path, want in wanted.items():
            if path not in seen:
                machine.asked.append(label(want))
        seen |= wanted
        if replay.ended != "waiting":
            break
        assert wanted
        machine.answer(data.draw(st.sampled_from(list(wanted.values()))))

    asked, ended = model(program)
    assert (machine.asked, replay.ended) == (asked, ended)

    requests = list(machine.asked)
    again = machine.run()
    assert (again.ended, again.wants) == (replay.ended, [])
    assert machine.asked == requests, "run again over all its steps it asks for nothing"


@given(program=PROGRAMS)
@settings(deadline=None, max_examples=200)
def test_only_what_may_have_happened_is_undone(program: Program) -> None:
    """Never a refused or withdrawn step; what is known to be done says so; each at most once."""
    machine = Machine(interpret(program))
    undone: list[str] = []
    while (replay := machine.run()).ended == "waiting":
        for want in replay.wants:
            if want.path in machine.steps:
                continue
            if isinstance(want, UndoCall):
                assert isinstance(want.undo, GiveBack)
                number, _, answer = want.undo.item.partition(":")
                assert answer in ("reply", "unknown")
                assert want.known == (answer == "reply")
                assert want.about == UUID(int=int(number))
                undone.append(number)
            machine.answer(want)
    assert len(undone) == len(set(undone))


@given(program=PROGRAMS, data=st.data())
@settings(deadline=None, max_examples=150)
def test_a_changed_program_is_found_out(program: Program, data: st.DataObject) -> None:
    """A step of another kind at a recorded path: SagaChanged, whatever the function swallows."""
    machine = Machine(interpret([*program, Step("reply", True, True)]))
    while (replay := machine.run()).ended == "waiting":
        machine.answer(replay.wants[0])
    if not machine.steps:
        return
    path = data.draw(st.sampled_from(sorted(machine.steps)))
    old = machine.steps[path]
    machine.steps[path] = Recorded("call Other.v1", old.outcome, old.ended_at)

    replay = machine.run()

    assert replay.ended == "parked"
    assert "SagaChanged" in replay.error


@given(program=PROGRAMS, data=st.data())
@settings(deadline=None, max_examples=150)
def test_a_program_that_asks_for_less_is_found_out(program: Program, data: st.DataObject) -> None:
    """A step was recorded that it does not come to any more, wherever it ends or waits now."""
    machine = Machine(interpret(program))
    while (replay := machine.run()).ended == "waiting":
        machine.answer(replay.wants[0])
    if replay.ended == "failed" or not machine.steps:
        return
    left = data.draw(st.integers(0, len(program) - 1))
    changed = Machine(interpret(program[:left]), steps=dict(machine.steps))
    met = Machine(interpret(program[:left]))
    while (shorter := met.run()).ended == "waiting":
        met.answer(shorter.wants[0])

    replay = changed.run()

    if met.steps.keys() == machine.steps.keys():
        assert replay.ended == "completed"  # what was left out asked for nothing
    else:
        assert replay.ended == "parked" and "SagaChanged" in replay.error


CALL = Step("reply", True, False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([Gather((CALL, CALL), False)], [CALL, CALL]),
        ([Gather((CALL, CALL), False)], [Gather((CALL,), False)]),
        ([Gather((CALL, CALL), False)], ["sleep", Gather((CALL, CALL), False)]),
        ([CALL, CALL], [Gather((CALL, CALL), False)]),
        ([CALL, "local"], [CALL]),
        ([CALL, "wait", "sleep"], [CALL, "wait"]),
        ([CALL, "undo"], [CALL]),
    ],
)
def test_a_program_of_another_shape_is_found_out(before: Program, after: Program) -> None:
    """A gather that was broken up, or made; a step that was left out at the end."""
    machine = Machine(interpret(before))
    while (replay := machine.run()).ended == "waiting":
        machine.answer(replay.wants[0])
    machine.function = interpret(after)
    found = machine.run()

    assert found.ended == "parked" and "SagaChanged" in found.error
    with off("compare_steps"):
        assert machine.run().ended in ("completed", "waiting"), "switched off it goes on"


async def test_a_saga_is_not_parked_by_who_stops_its_process() -> None:
    """It is run again elsewhere; a CancelledError that nobody wished is a bug, and parks it."""
    begun = asyncio.Event()

    async def local(path: str, kind: str, function: Any, args: Any, kwargs: Any) -> None:
        begun.set()
        await function()

    async def function(saga: Any, order: Order) -> None:
        await saga.local(forever)

    async def forever() -> None:
        await asyncio.Event().wait()

    async def stray() -> None:
        raise asyncio.CancelledError

    async def bug(saga: Any, order: Order) -> None:
        await saga.local(stray)

    stopped = Replay(SAGA, {}, local)
    task = asyncio.create_task(stopped.run(function, Order()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    parked = Replay(SAGA, {}, local)

    assert await parked.run(bug, Order()) == "parked"
    assert stopped.ended != "parked"


def test_without_comparing_a_changed_program_goes_on() -> None:
    """Switched off: a reply to one command is taken for the reply to another."""
    machine = Machine(interpret([Step("reply", False, False)]))
    machine.record(
        "1", "call Other.v1", outcome_of(Call("1", "", Take(item="1:reply"), None, None))
    )

    with off("compare_steps"):
        assert machine.run().ended == "completed"


@pytest.mark.parametrize("safe", [True, False])
def test_an_undo_carries_what_the_saga_knows(safe: bool) -> None:
    """Without it a receiver that forgot the row behind its floor would refuse and undo nothing."""
    machine = Machine(interpret([Step("reply", True, False), Step("refused", False, False)]))
    machine.answer(machine.run().wants[0])
    machine.answer(machine.run().wants[0])
    with off(*() if safe else ("undo_carries_knowledge",)):
        [undo] = machine.run().wants

    assert isinstance(undo, UndoCall)
    assert undo.known == safe


def test_a_parked_undo_lets_the_next_one_go() -> None:
    """Both are wanted; the saga ends only when both were answered."""
    done = Step("reply", True, False)
    machine = Machine(interpret([done, done, "bad local"]))
    machine.answer(machine.run().wants[0])
    machine.answer(machine.run().wants[0])
    [newest] = machine.run().wants

    both = machine.run(frozenset({newest.path}))

    assert [want.path for want in both.wants] == [newest.path, newest.path[:-1] + "2"]
    machine.answer(both.wants[1])
    assert machine.run(frozenset({newest.path})).ended == "waiting"
    machine.answer(newest)
    assert machine.run().ended == "failed"


@pytest.mark.parametrize(("steps", "ended"), [(STEPS_MAX, "completed"), (STEPS_MAX + 1, "parked")])
def test_a_saga_has_a_thousand_steps(steps: int, ended: str) -> None:
    """One more is an error that names `restart`."""
    machine = Machine(interpret(["local"] * steps))
    replay = machine.run()

    assert replay.ended == ended
    assert len(machine.steps) == STEPS_MAX
    assert ("saga.restart(input)" in replay.error) == (ended == "parked")
    assert machine.run().ended == ended, "and so it is in every later run"


def test_a_long_saga_is_undone_all_the_same() -> None:
    """The maximum does not stand in the way of compensation."""

    async def long(saga: Any, order: Order) -> None:
        await saga.call(Take(item="1:reply"), undo=GiveBack(item="1:reply"))
        for _ in range(STEPS_MAX - 1):
            await saga.local(good)
        raise Declined(why="at the very end")

    machine = Machine(long)
    machine.answer(machine.run().wants[0])
    [undo] = machine.run().wants
    machine.answer(undo)

    assert machine.run().ended == "failed"


def test_a_saga_awaits_its_saga_alone() -> None:
    """Anything else parks it, even if the function swallows the refusal."""

    async def sleeps(saga: Any, order: Order) -> None:
        await asyncio.sleep(0)

    async def swallows(saga: Any, order: Order) -> None:
        try:
            await asyncio.sleep(0)
        except Exception:
            return

    async def for_ever(saga: Any, order: Order) -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except Exception:
                continue

    for function in (sleeps, swallows, for_ever):
        replay = Machine(function).run()

        assert replay.ended == "parked"
        assert "ForeignAwait" in replay.error


def test_gather_takes_calls_alone() -> None:
    """Nothing else may wait in it; the other coroutines are closed."""

    async def gathers(saga: Any, order: Order) -> None:
        await saga.gather(saga.call(Take()), saga.sleep(timedelta(1)))

    replay = Machine(gathers).run()

    assert replay.ended == "parked"
    assert "gather takes `saga.call(…)` alone" in replay.error


def test_gather_raises_the_first_failure_by_position() -> None:
    """Not the first that came: the function must not depend on the order of answers."""
    seen: list[str] = []

    async def gathers(saga: Any, order: Order) -> None:
        try:
            await saga.gather(
                saga.call(Take(item="1:reply")),
                saga.call(Take(item="2:refused")),
                saga.call(Take(item="3:unknown")),
            )
        except Failure as failure:
            seen.append(failure.name)

    machine = Machine(gathers)
    for want in reversed(machine.run().wants):
        assert seen == []
        machine.answer(want)
    machine.run()

    assert seen == [SoldOut.name]


def test_a_refusal_is_what_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of failures may have the name that a step has which an operator cancelled."""

    class Rename(Command[None], fails=[SoldOut]):
        """Fails by that name."""

    monkeypatch.setattr(SoldOut, "name", CANCELLED)
    body = msgspec.Raw(b'{"item":"kelp"}')
    with pytest.raises(SoldOut, match="kelp"):
        result_of(StepOutcome("failure", body, CANCELLED), Rename)
    with pytest.raises(Cancelled):
        result_of(StepOutcome("unanswered", type=CANCELLED), Rename)


@given(st.uuids(), st.text(max_size=20), st.integers(0, (1 << 48) - 1))
def test_derived_ids_are_stable_and_ordered_by_time(seed: UUID, words: str, ms: int) -> None:
    """A UUIDv7 of its time; the same for the same words, another for others."""
    made = derived_id(seed, words, ms)

    assert made == derived_id(seed, words, ms)
    assert (made.version, made.variant, made.int >> 80) == (7, "specified in RFC 4122", ms)
    assert made != derived_id(seed, words + "x", ms)
