"""The recorded outcomes of a saga's steps."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints
from uuid import UUID

import msgspec

from holdfast.contract.carrier import Carrier, carrier_of
from holdfast.contract.envelope import LetterAnswer, StepRow
from holdfast.contract.failure import Cancelled, Failure, Unanswered
from holdfast.errors import BadAnswer, NotCarried

CANCELLED = "cancelled"
"""The type of a step that nobody waits for any more: an operator has ended the saga."""

OutcomeKind = Literal["reply", "failure", "unanswered", "value", "slept", "event", "undone"]


class StepOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a step ended; written once.

    Attributes:
        body: the reply, the failure's fields, the value or the event, as JSON.
        type: the failure's name; of an event, its wire name ("": one that was waited for alone).
        letter: the command's or the event's id.
        effect: of an unanswered step, "unknown" or "none".
    """

    kind: OutcomeKind
    body: msgspec.Raw = msgspec.Raw(b"null")
    type: str = ""
    letter: UUID | None = None
    effect: str = "unknown"


@dataclass(frozen=True, slots=True)
class Ended:
    """A step that has just ended: see `StepRow`; `trace` is that of what it waited for."""

    path: str
    kind: str
    outcome: StepOutcome
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded step as the replay sees it."""

    kind: str
    outcome: StepOutcome
    ended_at: int


def recorded(rows: list[StepRow]) -> dict[str, Recorded]:
    """Return {path: recorded step}."""
    decode = msgspec.json.decode
    return {
        row.path: Recorded(row.kind, decode(row.outcome, type=StepOutcome), row.ended_at)
        for row in rows
    }


def outcome_of(answer: LetterAnswer) -> StepOutcome:
    """Return how a command's step ended, from its final answer."""
    match answer.outcome:
        case "reply":
            return StepOutcome("reply", answer.body, letter=answer.id)
        case "failure":
            return StepOutcome("failure", answer.body, answer.type, answer.id)
        case "refused":  # withdrawn before it ran
            return StepOutcome("unanswered", letter=answer.id, effect="none")
        case "taken" | "expired":
            raise AssertionError(f"{answer.outcome} does not end a step")


def result_of(outcome: StepOutcome, command: Any) -> Any:
    """Return a command's reply. Raises its failure, or Unanswered."""
    if outcome.kind == "reply":
        return carrier_of(command.reply_type).decode(bytes(outcome.body))
    if outcome.kind == "unanswered" and outcome.type == CANCELLED:
        raise Cancelled()
    if outcome.kind == "unanswered":
        raise Unanswered(command=command.wire_name(), effect=outcome.effect)
    raise failure_of(outcome.type, bytes(outcome.body), command)


def failure_of(name: str, body: bytes, message: Any) -> Failure:
    """Return a declared failure from the wire. Raises BadAnswer for one that is not declared."""
    for kind in message.fails:
        if kind.name == name:
            made: Failure = carrier_of(kind).decode(body)
            return made
    raise BadAnswer(f"{message.wire_name()} was answered with {name}, which `fails` does not name")


def refusal_of(failure: Failure) -> StepOutcome:
    """Return how a local step ended that raised a failure."""
    kind = type(failure)
    name = f"{kind.__module__}:{kind.__qualname__}"
    return StepOutcome("failure", msgspec.Raw(carrier_of(kind).encode(failure)), name)


def refusal(outcome: StepOutcome) -> Failure:
    """Return the failure that a local step raised. Raises BadAnswer if its class is gone."""
    todo = [Failure]
    while todo:
        kind = todo.pop()
        if f"{kind.__module__}:{kind.__qualname__}" == outcome.type:
            made: Failure = carrier_of(kind).decode(bytes(outcome.body))
            return made
        todo += kind.__subclasses__()
    raise BadAnswer(f"a local step was refused with {outcome.type}, which no longer exists")


def local_outcome(function: Callable[..., object], value: object) -> StepOutcome:
    """Return how a local step ended that returned a value. Raises NotCarried."""
    carrier = _carrier_of_local(function)
    if carrier is None:
        if value is not None:
            raise NotCarried(
                f"{function.__name__} returned {value!r} to its saga and does not say what it "
                f"returns; write `-> {type(value).__name__}`"
            )
        return StepOutcome("value")
    return StepOutcome("value", msgspec.Raw(carrier.encode(value)))


def local_value(function: Callable[..., object], outcome: StepOutcome) -> Any:
    """Return what a recorded local step returned."""
    carrier = _carrier_of_local(function)
    return None if carrier is None else carrier.decode(bytes(outcome.body))


@functools.lru_cache(maxsize=4_096)
def _carrier_of_local(function: Callable[..., object]) -> Carrier[Any] | None:
    """Return the carrier of what a local function says that it returns; None if it says nothing."""
    hints = get_type_hints(function, include_extras=True)
    return carrier_of(hints["return"]) if "return" in hints else None
