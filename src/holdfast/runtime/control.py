"""What an operator may see and do: sagas, dead letters, and sending a command.

The command line speaks to a running process over the data folder's Unix socket, whose file mode
is its authentication; with no process running it opens the folder itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard
from uuid import UUID

import msgspec
from pydantic import ValidationError

from holdfast.consistency.schedule import time_of
from holdfast.consistency.steps import StepOutcome
from holdfast.consistency.transitions import dropped, replayed
from holdfast.contract.envelope import Letter, MessageRow, SagaInput, SagaRow, State
from holdfast.contract.http import Request, Response
from holdfast.contract.messages import Command, Message
from holdfast.dispatch.host import ServiceHost
from holdfast.errors import Conflict, HoldfastError, Invalid, UnknownName
from holdfast.ports import WAITS, MessageFilter
from holdfast.system import System

Json = dict[str, Any]


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _is_command(message: type[Message]) -> TypeGuard[type[Command[Any]]]:
    return issubclass(message, Command)


def _parse(body: bytes) -> Any:
    return msgspec.json.decode(body) if body else None


class Control:
    """The operator's verbs over the hosts of one process."""

    def __init__(self, system: System, hosts: Sequence[ServiceHost]) -> None:
        self._system = system
        self._hosts = {host.name: host for host in hosts}
        self._verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "send": self.send,
            "sagas": self.sagas,
            "saga": self.saga,
            "retry": self.retry,
            "dead-letters": self.dead_letters,
            "dead-letter": self.dead_letter,
            "replay": self.replay,
            "drop": self.drop,
        }

    async def __call__(self, request: Request) -> Response:
        """Serve one verb: POST /<verb> with its arguments as a JSON object."""
        try:
            verb = self._verbs.get(request.path.lstrip("/"))
            if verb is None:
                raise UnknownName(f"there is no verb {request.path}")
            arguments = msgspec.json.decode(request.body or b"{}", type=Json)
            result = await verb(**arguments)
        except HoldfastError as exc:
            body = msgspec.json.encode({"error": str(exc), "code": exc.code})
            return Response(exc.status, [(b"content-type", b"application/json")], body)
        body = msgspec.json.encode({"result": result})
        return Response(200, [(b"content-type", b"application/json")], body)

    # -- sending --------------------------------------------------------------------------------

    async def send(self, message: str, body: str) -> Json:
        """Send a command to the service that handles it."""
        handled = [
            (host, handler.message)
            for host in self._hosts.values()
            for handler in self._system.handlers()[host.name].by_wire_name.values()
        ]
        commands = {kind.name: (host, kind) for host, kind in handled if _is_command(kind)}
        if message not in commands:
            known = ", ".join(sorted(commands))
            raise UnknownName(f"there is no command {message!r}; there are {known}")
        host, kind = commands[message]
        try:
            command = kind.model_validate_json(body, extra="forbid", by_alias=True, by_name=True)
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise Invalid(f"{message}: {where}: {first['msg']}") from exc
        return {"service": host.name, "letter": str(await host.send(command))}

    # -- sagas ----------------------------------------------------------------------------------

    async def sagas(self, limit: int = 100, state: str | None = None) -> list[Json]:
        """List sagas, newest first."""
        found: list[Json] = []
        for host in self._hosts.values():
            for row in await host.ledger.database.sagas(limit=limit):
                saga = self._saga(host, row)
                if state is None or saga["state"] == state:
                    found.append(saga)
        return sorted(found, key=lambda saga: str(saga["started_at"]), reverse=True)[:limit]

    def _saga(self, host: ServiceHost, row: SagaRow) -> Json:
        waits = "" if row.ended_at is not None else host.sagas.stranger(row)
        return {
            "id": str(row.id),
            "service": host.name,
            "type": row.type,
            "version": row.version,
            "state": "parked" if waits else row.state,
            "key": row.key,
            "started_at": _time(row.started_at),
            "ended_at": _time(row.ended_at),
            "error": f"{WAITS}{waits}" if waits else row.error,
        }

    async def saga(self, id: str) -> Json:
        """Show one saga: its input, its ended steps, and what it waits for."""
        host, row = await self._find_saga(id)
        stored = msgspec.json.decode(row.input, type=SagaInput)
        steps = [
            {
                "path": step.path,
                "kind": step.kind,
                "ended_at": _time(step.ended_at),
                **_outcome(step.outcome),
            }
            for step in await host.ledger.database.saga_steps(row.id)
        ]
        waiting = [
            self._letter(host, letter)
            for letter in await host.ledger.database.messages(MessageFilter(limit=100_000))
            if letter.owner == row.id
        ]
        return {
            **self._saga(host, row),
            "correlation": stored.correlation,
            "input": _parse(bytes(stored.body)),
            "steps": steps,
            "waiting": waiting,
        }

    async def retry(self, id: str) -> Json:
        """Run a parked saga again."""
        host, row = await self._find_saga(id)
        if row.state not in ("parked", "running"):
            raise Conflict(f"saga {id} has {row.state}; only a parked one can be retried")
        await host.retry_saga(row.id)
        return await self.saga(id)

    async def _find_saga(self, id: str) -> tuple[ServiceHost, SagaRow]:
        key = _uuid(id, "saga")
        for host in self._hosts.values():
            rows = await host.ledger.database.sagas(id=key)
            if rows:
                return host, rows[0]
        raise UnknownName(f"there is no saga {id}")

    # -- dead letters ---------------------------------------------------------------------------

    async def dead_letters(self, limit: int = 100) -> list[Json]:
        """List dead letters, and those that wait for a version that knows them, oldest first."""
        found: list[Json] = []
        for host in self._hosts.values():
            which = MessageFilter(states=(State.DEAD,), limit=limit, waiting=True)
            found += [self._letter(host, r) for r in await host.ledger.database.messages(which)]
        return sorted(found, key=lambda letter: str(letter["sent_at"]))[:limit]

    def _letter(self, host: ServiceHost, row: MessageRow) -> Json:
        letter = msgspec.json.decode(row.body, type=Letter) if row.body[:1] == b"{" else None
        return {
            "id": str(row.id),
            "service": host.name,
            "sender": host.ledger.edges[row.edge].sender,
            "kind": row.kind.value,
            "type": letter.type if letter else row.topic,
            "state": row.state.value,
            "tries": row.tries,
            "reached": row.reached,
            "sent_at": _time(time_of(row.id)),
            "due_at": _time(row.due_at),
            "error": row.error,
            "trace": letter.trace if letter else None,
            "correlation": letter.correlation if letter else None,
            "body": _parse(bytes(letter.body)) if letter else None,
        }

    async def dead_letter(self, id: str) -> Json:
        """Show one dead letter, with the error of every try."""
        host, row = await self._find_dead(id)
        return self._letter(host, row)

    async def replay(self, id: str, dry: bool = False) -> Json:
        """Have a dead letter tried again; `dry` only shows what would run."""
        host, row = await self._find_dead(id)
        if dry:
            return {**self._letter(host, row), "would": f"run in {host.name} with tries from 0"}
        changed = await host.change_dead(row.id, replayed)
        return self._letter(host, changed or row)

    async def drop(self, id: str) -> Json:
        """Give a dead letter up: its sender learns that it was refused."""
        host, row = await self._find_dead(id)
        changed = await host.change_dead(row.id, dropped)
        return self._letter(host, changed or row)

    async def _find_dead(self, id: str) -> tuple[ServiceHost, MessageRow]:
        key = _uuid(id, "dead letter")
        for host in self._hosts.values():
            which = MessageFilter(states=(State.DEAD,), id=key, waiting=True)
            rows = await host.ledger.database.messages(which)
            if rows:
                return host, rows[0]
        raise UnknownName(f"there is no dead letter {id}")


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise UnknownName(f"{text!r} is not the id of a {what}") from exc


def _outcome(raw: bytes) -> Json:
    outcome = msgspec.json.decode(raw, type=StepOutcome)
    shown: Json = {"outcome": outcome.kind, "value": _parse(bytes(outcome.body))}
    if outcome.kind == "event" and bytes(outcome.body) == b"null":
        shown["outcome"] = "none in time"
    if outcome.type and outcome.kind == "event":
        shown["event"] = outcome.type
    elif outcome.type:
        shown["failure"] = outcome.type
    if outcome.kind == "unanswered":
        shown["effect"] = outcome.effect
    return shown
