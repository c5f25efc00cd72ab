"""What operators are shown of letters and sagas: times with zones, and no secrets."""

import functools
from collections.abc import Iterable, Iterator
from uuid import UUID

import msgspec
from pydantic import BaseModel

from holdfast.consistency.attention import attention
from holdfast.consistency.replies import heard
from holdfast.consistency.schedule import time_of
from holdfast.consistency.steps import StepOutcome
from holdfast.consistency.transitions import at_time
from holdfast.contract.envelope import Letter, MessageRow, SagaInput, SagaRow, StepRow
from holdfast.dispatch.host import ServiceHost
from holdfast.observability.redact import hidden
from holdfast.storage import WAITS, Failing
from holdfast.system import System
from holdfast.system.signature import read_signature

Json = dict[str, object]


def time(ms: int | None) -> str | None:
    """Return a time of the database as people read it."""
    return None if ms is None else at_time(ms)


class Shown:
    """Shows what the databases of one system hold."""

    def __init__(self, system: System) -> None:
        self._system = system

    @functools.cached_property
    def _secrets(self) -> frozenset[str]:
        """The names of fields that nobody is shown; looked for when somebody looks."""
        return frozenset(unshown_fields(_models_of(self._system)))

    def parsed(self, body: bytes) -> object:
        """Return a stored body without secrets."""
        return hidden(msgspec.json.decode(body), self._secrets) if body else None

    def letter(self, host: ServiceHost, row: MessageRow, failing: Failing) -> Json:
        """Return a message row."""
        letter = msgspec.json.decode(row.body, type=Letter) if row.body[:1] == b"{" else None
        edge = host.ledger.edges[row.edge]
        return {
            "id": str(row.id),
            "service": host.name,
            "sender": edge.sender,
            "receiver": edge.receiver,
            "kind": row.kind.value,
            "type": letter.type if letter else row.topic,
            "state": row.state.value,
            "attention": attention(row, failing),
            "tries": row.tries,
            "reached": row.reached,
            "sent_at": time(time_of(row.id)),
            "due_at": time(row.due_at),
            "error": row.error,
            "trace": letter.trace if letter else None,
            "correlation": letter.correlation if letter else None,
            "body": self.parsed(bytes(letter.body)) if letter else None,
        }

    def saga(self, host: ServiceHost, row: SagaRow) -> Json:
        """Return a saga's row."""
        waits = "" if row.ended_at is not None else host.core.sagas.stranger(row)
        return {
            "id": str(row.id),
            "service": host.name,
            "type": row.type,
            "version": row.version,
            "state": "parked" if waits else row.state,
            "key": row.key,
            "started_at": time(row.started_at),
            "ended_at": time(row.ended_at),
            "error": f"{WAITS}{waits}" if waits else row.error,
        }

    def input(self, row: SagaRow) -> Json:
        """Return what a saga was started with."""
        stored = msgspec.json.decode(row.input, type=SagaInput)
        return {"correlation": stored.correlation, "input": self.parsed(bytes(stored.body))}

    def step(self, step: StepRow) -> Json:
        """Return an ended step."""
        outcome = msgspec.json.decode(step.outcome, type=StepOutcome)
        shown: Json = {
            "path": step.path,
            "kind": step.kind,
            "ended_at": time(step.ended_at),
            "outcome": outcome.kind,
            "value": self.parsed(bytes(outcome.body)),
        }
        if outcome.kind == "event" and bytes(outcome.body) == b"null":
            shown["outcome"] = "none in time"
        if outcome.type and outcome.kind == "event":
            shown["event"] = outcome.type
        elif outcome.type:
            shown["failure"] = outcome.type
        if outcome.kind == "unanswered":
            shown["effect"] = outcome.effect
        return shown

    def receiver(self, there: MessageRow | None, here: MessageRow) -> Json | None:
        """Return how a letter fares with its receiver: as it is there, or as was last heard."""
        if there is not None:
            return {
                "state": there.state.value,
                "tries": there.tries,
                "due_at": time(there.due_at),
                "error": there.error,
            }
        said = heard(here)
        if said is None:
            return None
        return {"state": None, "tries": said.tries, "due_at": None, "error": said.error or None}


def _models_of(system: System) -> Iterator[object]:
    """Yield what travels and is stored in a system: messages, replies, failures, saga inputs."""
    handlers = system.handlers()
    for service in system.services:
        for handler in handlers[service.name].by_wire_name.values():
            yield handler.message
            yield getattr(handler.message, "reply_type", None)
            yield from getattr(handler.message, "fails", ())
        yield from service.publishes
        for saga in service.sagas:
            yield read_signature(saga.function).parameters[1].kind


def unshown_fields(kinds: Iterable[object]) -> Iterator[str]:
    """Yield the names of fields with `Field(repr=False)`, in these types or inside them.

    A secret of pydantic's is no part of a message: `check` refuses it.
    """
    todo, seen = list(kinds), set[int]()
    while todo:
        kind = todo.pop()
        if id(kind) in seen:
            continue
        seen.add(id(kind))
        todo += getattr(kind, "__args__", ())
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                if not field.repr:
                    yield name
                todo.append(field.annotation)


def uuid_of(text: str) -> UUID | None:
    """Return an id that was typed; None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
