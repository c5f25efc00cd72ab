"""Plays a saga's function over given answers: no loop, no database, no mock."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Concatenate, TypeVar
from uuid import UUID

import msgspec

from holdfast.consistency.replay import (
    Call,
    Ended,
    Recorded,
    Replay,
    Sleep,
    StepOutcome,
    UndoCall,
    Wait,
    Want,
    derived_id,
)
from holdfast.consistency.steps import local_outcome
from holdfast.contract import Event, Failure, Model, Unanswered
from holdfast.contract.carrier import carrier_of
from holdfast.system.parameters import Saga
from holdfast.system.service import declared_version
from holdfast.system.settings import Settings
from holdfast.system.signature import Source, read_signature

I = TypeVar("I", bound=Model)  # noqa: E741  # the input's type

Key = type | Callable[..., object]
_SAGA = UUID(int=1)


@dataclass(slots=True)
class Story:
    """What a played saga did.

    Attributes:
        steps: names of commands, undos, local functions, `sleep` and events waited for, in order.
        sent: the commands and undos themselves.
        ended: `completed`, `failed` (an uncaught Failure undid everything), or `parked`.
        error: why it is parked or failed.
    """

    steps: list[str] = field(default_factory=list[str])
    sent: list[Any] = field(default_factory=list[Any])
    ended: Ended = "waiting"
    error: str = ""


def play(
    saga: Callable[Concatenate[Saga, I, ...], Coroutine[object, None, None]],
    input: I,
    answers: Mapping[Any, object],
    *settings: Settings,
    version: int | None = None,
) -> Story:
    """Play a saga to its end.

    Args:
        answers: {command class, event class or local function: its answer}. An answer is a reply,
            a Failure (`Unanswered` included), None, or a list of those for one call after another.
            Of a wait for several events the first that has an answer comes. Local functions answer
            None unless they are named; they are not run.
        settings: the values of the `Settings` that its function takes, by their types.
        version: `saga.version`, the one that the saga began with; its declared one without this.
    Raises:
        LookupError: a command or an event without an answer.
    """
    stage = _Stage(answers)
    given: Model = input
    declared = declared_version(saga)
    by_type = {type(value): value for value in settings}
    taken = read_signature(saga).of(Source.SETTINGS)
    function = partial(saga, **{p.name: by_type[p.kind] for p in taken})
    began = declared if version is None else version
    restarts = 0
    while True:
        replay = Replay(_SAGA, stage.recorded, stage.local, version=began, restarts=restarts)
        _finish(replay.run(function, given))
        if replay.ended == "restarted":
            assert replay.restart_input is not None
            given, began, restarts = replay.restart_input, declared, restarts + 1
            stage.recorded = {}
        elif replay.ended != "waiting":
            stage.story.ended, stage.story.error = replay.ended, replay.error
            return stage.story
        else:
            for want in replay.wants:
                stage.grant(want)


class _Stage:
    """Answers what a saga wants, and writes the story down.

    Attributes:
        recorded: {path: step} of the steps that have ended since the last restart.
    """

    def __init__(self, answers: Mapping[Any, object]) -> None:
        self.story = Story()
        self.recorded: dict[str, Recorded] = {}
        self._answers = answers
        self._queues: dict[Key, list[object]] = {}
        for key, value in answers.items():
            if isinstance(value, list):
                self._queues[key] = [*value]

    async def local(
        self,
        path: str,
        kind: str,
        function: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> None:
        """Take a local function as done, if it could be called so."""
        inspect.signature(function).bind(None, *args, **kwargs)
        self.story.steps.append(function.__name__)
        value = self._answer(function) if function in self._answers else None
        if isinstance(value, Failure):
            raise value
        self.recorded[path] = Recorded(kind, local_outcome(function, value), 0)

    def grant(self, want: Want) -> None:
        """End the step that the saga waits for."""
        self.story.steps.append(_name(want))
        if isinstance(want, (Call, UndoCall)):
            self.story.sent.append(want.command if isinstance(want, Call) else want.undo)
        self.recorded[want.path] = Recorded(want.kind, self._outcome(want), 0)

    def _outcome(self, want: Want) -> StepOutcome:
        return (
            _event(want, self._came(want))
            if isinstance(want, Wait)
            else _outcome(want, self._answer)
        )

    def _came(self, want: Wait) -> Event | None:
        """Return the event that a wait is met by: of several, the first that has an answer."""
        events = list(want.events.values())
        given = [event for event in events if event in self._answers] or events
        for event in given:
            came = self._answer(event)
            assert came is None or isinstance(came, Event)
            if came is not None:
                return came
        return None

    def _answer(self, key: Key) -> object:
        if key not in self._answers:
            raise LookupError(
                f"the story has no answer for {key.__name__}; add `{key.__name__}: …` to answers"
            )
        queue = self._queues.get(key)
        if queue is None:
            return self._answers[key]
        if not queue:
            raise LookupError(f"{key.__name__} was called more often than it has answers")
        return queue.pop(0)


def _finish(run: Coroutine[object, None, object]) -> None:
    try:
        run.send(None)
    except StopIteration:
        return
    run.close()
    raise AssertionError("a played saga has nothing to wait for")


def _name(want: Want) -> str:
    match want:
        case Call():
            return want.command.name
        case UndoCall():
            return want.undo.name
        case Sleep():
            return "sleep"
        case Wait():
            return "|".join(event.name for event in want.events.values())


def _raw(kind: object, value: object) -> msgspec.Raw:
    return msgspec.Raw(carrier_of(kind).encode(value))


def _event(want: Wait, came: Event | None) -> StepOutcome:
    if came is None:
        return StepOutcome("event")
    letter = derived_id(_SAGA, want.path, 0)
    return StepOutcome("event", _raw(type(came), came), came.wire_name(), letter)


def _outcome(want: Call | UndoCall | Sleep, answer: Callable[[Key], object]) -> StepOutcome:
    letter = derived_id(_SAGA, want.path, 0)
    match want:
        case UndoCall():
            return StepOutcome("undone", letter=letter)
        case Sleep():
            return StepOutcome("slept")
        case Call():
            given = answer(type(want.command))
            if isinstance(given, Unanswered):
                return StepOutcome("unanswered", letter=letter, effect=given.effect)
            if isinstance(given, Failure):
                return StepOutcome("failure", _raw(type(given), given), given.name, letter)
            return StepOutcome("reply", _raw(want.command.reply_type, given), letter=letter)
