"""What an operator may see and do: sagas, dead letters, and sending a command.

The command line speaks to a running process over the data folder's Unix socket, whose file mode
is its authentication; with no process running it opens the folder itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from holdfast.consistency.attention import failing_now
from holdfast.consistency.transitions import dropped, requeued
from holdfast.contract.envelope import HTTP, MessageRow, SagaRow, SagaState, State
from holdfast.contract.http import Request, Response
from holdfast.contract.messages import Command, Message
from holdfast.dispatch.host import ServiceHost
from holdfast.errors import Conflict, HoldfastError, Invalid, UnknownName
from holdfast.observability import Audit, Exposition, Health, Metrics
from holdfast.runtime.audit import commanded
from holdfast.runtime.shown import Json, Shown, uuid_of
from holdfast.storage import Failing, MessageFilter, SagaFilter
from holdfast.system import System


class Control:
    """The operator's verbs over the hosts of one process."""

    def __init__(
        self,
        system: System,
        hosts: Sequence[ServiceHost],
        health: Health,
        metrics: Metrics,
        audit: Audit,
    ) -> None:
        self._system, self._health, self._metrics = system, health, metrics
        self._audit = audit
        self._hosts = {host.name: host for host in hosts}
        self._shown = Shown(system)
        self._verbs: dict[str, Callable[..., Awaitable[object]]] = {
            "status": self.status,
            "send": self.send,
            "sagas": self.sagas,
            "saga": self.saga,
            "retry": self.retry,
            "cancel": self.cancel,
            "retry-now": self.retry_now,
            "dead-letters": self.dead_letters,
            "dead-letter": self.dead_letter,
            "replay": self.requeue,
            "drop": self.drop,
        }

    async def __call__(self, request: Request) -> Response:
        """Serve one verb: POST /<verb> with its arguments as a JSON object."""
        try:
            verb = self._verbs.get(request.path.lstrip("/"))
            if verb is None:
                raise UnknownName(f"there is no verb {request.path}")
            arguments = msgspec.json.decode(request.body or b"{}", type=Json)
            result = await self._perform(request, verb, arguments)
        except HoldfastError as exc:
            body = msgspec.json.encode({"error": str(exc), "code": exc.code})
            return Response(exc.status, [(b"content-type", b"application/json")], body)
        body = msgspec.json.encode({"result": result})
        return Response(200, [(b"content-type", b"application/json")], body)

    async def _perform(
        self, request: Request, verb: Callable[..., Awaitable[object]], arguments: Json
    ) -> object:
        """Carry out a verb; of one that changes something, write down before and after who did.

        Raises:
            Unrecorded: that could not be written, so nothing was done.
        """
        name = request.path.lstrip("/")
        if name in _LOOKS or arguments.get("dry"):
            return await verb(**arguments)
        with commanded(self._audit, f"operator.{name}", request.peer.identity, on=_on(arguments)):
            return await verb(**arguments)

    async def status(self) -> Json:
        """Tell how this process does: its health, what it hosts, and its metrics as text."""
        health = await self._health.ready()
        metrics = await self._metrics.scrape(Exposition.TEXT)
        return {
            "health": msgspec.json.decode(health.body),
            "services": list(self._hosts),
            "metrics": metrics.decode(),
        }

    # -- sending --------------------------------------------------------------------------------

    async def send(self, message: str, body: str) -> Json:
        """Send a command to the service that handles it, or an event to all who hear it."""
        commands, events = self._commands(), self._events()
        known = _by_name(commands + events)
        if message not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UnknownName(f"there is no command or event {message!r} here; there are {there}")
        host, kind = known[message]
        try:
            made: Any = kind.model_validate_json(body, extra="forbid", by_alias=True, by_name=True)
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise Invalid(f"{message}: {where}: {first['msg']}") from exc
        if Command in kind.__mro__:
            return {"service": host.name, "letter": str(await host.interventions.send(made))}
        heard_by = self._system.graph().subscribers(host.name, kind.wire_name())
        letters = [str(letter) for letter in await host.interventions.publish(made)]
        return {"service": host.name, "heard_by": list(heard_by), "letters": letters}

    def _commands(self) -> "list[Sender]":
        """Return (who handles it, command) of those that are handled here."""
        return [
            (host, handler.message)
            for host in self._hosts.values()
            for handler in self._system.handlers()[host.name].by_wire_name.values()
            if Command in handler.message.__mro__
        ]

    def _events(self) -> "list[Sender]":
        """Return (who publishes it, event) of those that are published here."""
        return [(host, event) for host in self._hosts.values() for event in host.service.publishes]

    # -- sagas ----------------------------------------------------------------------------------

    async def sagas(self, limit: int = 100, state: str | None = None) -> list[Json]:
        """List sagas, newest first."""
        found: list[Json] = []
        for host in self._hosts.values():
            looks = state is not None and await host.is_strange()
            known = host.core.sagas.known if looks else None
            which = SagaFilter(
                states=(_saga_state(state),) if state is not None else (),
                known=known,
                limit=limit,
            )
            rows = await host.ledger.database.sagas(which)
            found += [self._shown.saga(host, row) for row in rows]
        return sorted(found, key=lambda saga: str(saga["started_at"]), reverse=True)[:limit]

    async def saga(self, id: str) -> Json:
        """Show one saga: its input, its ended steps, and what it waits for."""
        host, row = await self._find_saga(id)
        database, failing = host.ledger.database, _failing(host)
        waiting: list[Json] = []
        for letter in await database.messages(MessageFilter(owner=row.id, limit=_OPEN_MAX)):
            there = await self._at_its_receiver(host, letter)
            waiting.append(
                {
                    **self._shown.letter(host, letter, failing),
                    "receiver_says": self._shown.receiver(there, letter),
                }
            )
        return {
            **self._shown.saga(host, row),
            **self._shown.input(row),
            "steps": [self._shown.step(step) for step in await database.saga_steps(row.id)],
            "waiting": waiting,
        }

    async def _at_its_receiver(self, host: ServiceHost, letter: MessageRow) -> MessageRow | None:
        """Return the row of a letter in its receiver's tables, if that is in this process."""
        edge = host.ledger.edges[letter.edge]
        receiver = self._hosts.get(edge.receiver)
        if receiver is None or receiver is host:
            return None
        there = receiver.ledger.edge_from(host.name, edge.lane)
        if there is None:
            return None
        which = MessageFilter(edges=(there,), id=letter.id, limit=1)
        found = await receiver.ledger.database.messages(which)
        return found[0] if found else None

    async def retry(self, id: str) -> Json:
        """Run a parked saga again."""
        host, row = await self._find_saga(id)
        if row.state not in ("parked", "running"):
            raise Conflict(f"saga {id} has {row.state}; only a parked one can be retried")
        await host.interventions.retry_saga(row.id)
        return await self.saga(id)

    async def cancel(self, id: str) -> Json:
        """Let a saga take no further step, and undo what it did."""
        host, row = await self._find_saga(id)
        if row.ended_at is not None:
            raise Conflict(f"saga {id} has {row.state}; only one under way can be cancelled")
        await host.interventions.cancel_saga(row.id)
        return await self.saga(id)

    async def _find_saga(self, id: str) -> tuple[ServiceHost, SagaRow]:
        key = _uuid(id, "saga")
        for host in self._hosts.values():
            rows = await host.ledger.database.sagas(SagaFilter(id=key))
            if rows:
                return host, rows[0]
        raise UnknownName(f"there is no saga {id}")

    # -- letters --------------------------------------------------------------------------------

    async def retry_now(self, id: str | None = None, receiver: str | None = None) -> Json:
        """Let letters that wait for their next try, or are sent again later, be due now.

        Args:
            id: of one letter. receiver: a service, of letters to it; with neither, all.
        """
        letter = None if id is None else _uuid(id, "letter")
        if receiver is not None and not any(s.name == receiver for s in self._system.services):
            names = ", ".join(sorted(service.name for service in self._system.services))
            raise UnknownName(f"there is no service {receiver!r}; there are {names}")
        count = 0
        for host in self._hosts.values():
            for edge in host.ledger.edges.values():
                if receiver in (None, edge.receiver) and edge.sender != HTTP:
                    count += await host.interventions.hasten(edge.id, letter)
        if letter is not None and not count:
            raise UnknownName(f"no letter {id} waits for a later time")
        return {"due_now": count}

    # -- letters that need a person -------------------------------------------------------------

    async def dead_letters(self, limit: int = 100) -> list[Json]:
        """List letters that are dead, wait for a version, or fail for long; oldest first."""
        found: list[Json] = []
        for host in self._hosts.values():
            failing = _failing(host)
            rows = await host.ledger.database.messages(_needs_a_person(limit, failing))
            found += [self._shown.letter(host, row, failing) for row in rows]
        return sorted(found, key=lambda letter: str(letter["sent_at"]))[:limit]

    async def dead_letter(self, id: str) -> Json:
        """Show one of them, with the error of every try."""
        host, row = await self._find_dead(id)
        return self._shown.letter(host, row, _failing(host))

    async def requeue(self, id: str, dry: bool = False) -> Json:
        """Have a dead letter tried again; `dry` only shows what would run."""
        host, row = await self._find_dead(id)
        if dry:
            would = f"run in {host.name} with tries from 0"
            return {**self._shown.letter(host, row, _failing(host)), "would": would}
        changed = await host.interventions.change_dead(row.id, requeued)
        return self._shown.letter(host, changed or row, _failing(host))

    async def drop(self, id: str) -> Json:
        """Give a dead letter up: its sender learns that it was refused."""
        host, row = await self._find_dead(id)
        changed = await host.interventions.change_dead(row.id, dropped)
        return self._shown.letter(host, changed or row, _failing(host))

    async def _find_dead(self, id: str) -> tuple[ServiceHost, MessageRow]:
        key = _uuid(id, "dead letter")
        for host in self._hosts.values():
            which = _needs_a_person(1, _failing(host), id=key)
            rows = await host.ledger.database.messages(which)
            if rows:
                return host, rows[0]
        raise UnknownName(f"there is no dead letter {id}")


Sender = tuple[ServiceHost, type[Message]]
"""Who sends a message by hand, and what."""


def _by_name(sent: Sequence[Sender]) -> dict[str, Sender]:
    """Return {name: sender}: of several versions the newest, and each of them as `Charge.v1`."""
    in_order = sorted(sent, key=lambda one: one[1].version)
    newest = {message.name: (host, message) for host, message in in_order}
    others = [(host, one) for host, one in in_order if newest[one.name][1] is not one]
    names = {one.name for _, one in others}
    return newest | {one.wire_name(): (host, one) for host, one in in_order if one.name in names}


def _on(arguments: Json) -> str:
    """Return what a verb is about: ids and names; of a message that is sent, not what is in it."""
    told = {name: value for name, value in arguments.items() if name not in ("body", "dry")}
    return " ".join(f"{name}={value}" for name, value in told.items() if value is not None)


_LOOKS = frozenset(("status", "sagas", "saga", "dead-letters", "dead-letter"))
_OPEN_MAX = 1_000  # a saga has no more steps
_STATES: dict[str, SagaState] = {
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "parked": "parked",
}


def _saga_state(text: str) -> SagaState:
    if text not in _STATES:
        raise Invalid(f"{text!r} is no state of a saga; there are {', '.join(_STATES)}")
    return _STATES[text]


def _failing(host: ServiceHost) -> Failing:
    return failing_now(int(host.ledger.clock.now() * 1000), host.ledger.schedule)


def _needs_a_person(limit: int, failing: Failing, *, id: UUID | None = None) -> MessageFilter:
    return MessageFilter(states=(State.DEAD,), waiting=True, failing=failing, id=id, limit=limit)


def _uuid(text: str, what: str) -> UUID:
    found = uuid_of(text)
    if found is None:
        raise UnknownName(f"{text!r} is not the id of a {what}")
    return found
