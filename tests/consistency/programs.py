"""Sagas as data: random programs, a saga function made of one, and a model that just runs it."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from holdfast.consistency.replay import (
    Call,
    Recorded,
    Replay,
    Sleep,
    UndoCall,
    Wait,
    Want,
)
from holdfast.consistency.steps import StepOutcome, refusal_of
from holdfast.contract.failure import Failure
from tests.consistency.messages import Declined, GiveBack, Order, Shipped, Take

SAGA = UUID(int=7)
Answer = Literal["reply", "refused", "unknown", "none"]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a program; `caught`: the function goes on after its failure."""

    answer: Answer
    undoable: bool
    caught: bool


@dataclass(frozen=True, slots=True)
class Gather:
    """Several calls at once."""

    calls: tuple[Step, ...]
    caught: bool


Op = Step | Gather | Literal["local", "bad local", "sleep", "wait", "undo"]
Program = list[Op]
_STEPS = st.builds(
    Step, st.sampled_from(["reply", "reply", "refused", "unknown", "none"]), st.booleans(),
    st.booleans(),
)  # fmt: skip
PROGRAMS: st.SearchStrategy[Program] = st.lists(
    _STEPS
    | st.builds(Gather, st.lists(_STEPS, max_size=3).map(tuple), st.booleans())
    | st.sampled_from(["local", "bad local", "sleep", "wait", "undo"]),
    max_size=9,
)


def interpret(program: Program) -> Any:
    """Return the saga's function of a program; calls are numbered by their item."""

    async def function(saga: Any, order: Order) -> None:
        number = 0

        def call(step: Step) -> Any:
            nonlocal number
            number += 1
            item = f"{number}:{step.answer}"
            undo = GiveBack(item=item) if step.undoable else None
            return saga.call(Take(item=item), undo=undo)

        for op in program:
            try:
                if isinstance(op, Step):
                    await call(op)
                elif isinstance(op, Gather):
                    await saga.gather(*[call(step) for step in op.calls])
                elif op == "undo":
                    await saga.undo()
                elif op == "sleep":
                    await saga.sleep(timedelta(minutes=1))
                elif op == "wait":
                    await saga.wait(Shipped, "1", timeout=timedelta(minutes=1))
                else:
                    await saga.local(bad if op == "bad local" else good)
            except Failure:
                if isinstance(op, str) or not op.caught:
                    raise

    return function


async def good(tx: Any) -> int:
    """A local function."""
    return 1


async def bad(tx: Any) -> None:
    """A local function that refuses."""
    raise Declined(why="no")


def model(program: Program) -> tuple[list[str], str]:
    """Return what is asked for, in order, and how it ends; written without any replay."""
    asked: list[str] = []
    undoable: list[str] = []
    number = 0

    def undo() -> None:
        asked.extend(f"undo {item}" for item in reversed(undoable))
        undoable.clear()

    def one(step: Step) -> bool:
        nonlocal number
        number += 1
        item = f"{number}:{step.answer}"
        asked.append(f"call {item}")
        if step.undoable and step.answer in ("reply", "unknown"):
            undoable.append(item)
        return step.answer == "reply"

    for op in program:
        fine = True
        if isinstance(op, Step):
            fine = one(op) or op.caught
        elif isinstance(op, Gather):
            results = [one(step) for step in op.calls]  # all are asked for
            fine = all(results) or op.caught
        elif op == "undo":
            undo()
        else:
            asked.append(op)
            fine = op != "bad local"
        if not fine:
            undo()
            return asked, "failed"
    return asked, "completed"


@dataclass(slots=True)
class Machine:
    """Records steps, as the core does, and runs the function again after each."""

    function: Any
    steps: dict[str, Recorded] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    clock_ms: int = 0

    def run(self, parked: frozenset[str] = frozenset()) -> Replay:
        """Run the function once."""

        async def local(path: str, kind: str, function: Any, args: Any, kwargs: Any) -> None:
            assert path not in self.steps, "a recorded local step is never run again"
            self.asked.append("local" if function is good else "bad local")
            try:
                value = await function(None, *args, **kwargs)
                outcome = StepOutcome("value", msgspec.Raw(msgspec.json.encode(value)))
            except Failure as failure:
                outcome = refusal_of(failure)
            self.record(path, kind, outcome)

        replay = Replay(SAGA, self.steps, local, started_at=1, parked_undos=parked)
        finished(replay.run(self.function, Order()))
        return replay

    def record(self, path: str, kind: str, outcome: StepOutcome) -> None:
        """Write a step once."""
        assert path not in self.steps, f"step {path} is written once"
        self.clock_ms += 1
        self.steps[path] = Recorded(kind, outcome, self.clock_ms)

    def answer(self, want: Want) -> None:
        """End a step as its item says."""
        self.record(want.path, want.kind, outcome_of(want))


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits for a loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a replay waits for nothing")


def outcome_of(want: Want) -> StepOutcome:
    """Return how a step ends."""
    if isinstance(want, UndoCall):
        return StepOutcome("undone")
    if isinstance(want, Sleep):
        return StepOutcome("slept")
    if isinstance(want, Wait):
        return StepOutcome("event", msgspec.Raw(b'{"order":"1"}'))
    assert isinstance(want.command, Take)
    number, _, answer = want.command.item.partition(":")
    letter = UUID(int=int(number))
    if answer == "reply":
        return StepOutcome("reply", msgspec.Raw(b'{"shelf":1}'), letter=letter)
    if answer == "refused":
        return StepOutcome("failure", msgspec.Raw(b'{"item":"x"}'), "SoldOut", letter)
    return StepOutcome("unanswered", letter=letter, effect=answer)


def label(want: Want) -> str:
    """Return what the model calls it."""
    if isinstance(want, Call):
        return f"call {want.command.item}"  # type: ignore[attr-defined]  # a Take
    if isinstance(want, UndoCall):
        return f"undo {want.undo.item}"  # type: ignore[attr-defined]  # a GiveBack
    return "sleep" if isinstance(want, Sleep) else "wait"
