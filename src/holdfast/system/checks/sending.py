"""Checks of what functions send, raise and reach, against what their service declares."""

import inspect
from collections.abc import Iterator

from holdfast.contract.failure import Failure
from holdfast.contract.messages import AnyCommand, Command, Event, Message, Query, Undo, undone_by
from holdfast.system.checks.reading import Declared, Reading
from holdfast.system.external import External
from holdfast.system.service import Service
from holdfast.system.uses import Use

_TAKES: dict[str, type[Message]] = {
    "call": Command,
    "send": Command,
    "ask": Query,
    "publish": Event,
    "wait": Event,
    "undo": Undo,
}
"""What each verb sends; everything else is refused by its name."""


def may_send(service: Service, message: type[Message]) -> bool:
    """Whether a service declares a message, or the command that it undoes.

    What it handles itself is declared like the rest: `tx.send` to oneself is an edge too.
    """
    return (undone_by(message) or message) in service.calls


def sending_problems(reading: Reading) -> Iterator[str]:
    """Yield what is used and not declared, each place of the source once."""
    found: dict[str, None] = {}
    for declared in reading.functions:
        for use in declared.used:
            problem = _of_use(reading, declared, use)
            if problem:
                found[f"{declared.service.name}: {declared.label} {problem} ({use.where})"] = None
    yield from found
    yield from _circles(reading)


def _of_use(reading: Reading, declared: Declared, use: Use) -> str | None:
    what = use.what
    if use.verb == "forgotten":
        return f"makes `{what}(…)` and lets it fall, so nothing happens; write `await {what}(…)`"
    if isinstance(what, External):
        return _of_external(declared, use.verb, what)
    if use.verb == "start":
        return _of_start(reading, declared.service, what)
    if not isinstance(what, type):
        return None
    if use.verb == "raise":
        return _of_raise(declared.message, what) if issubclass(what, Failure) else None
    takes = _TAKES.get(use.verb)
    if takes is None or not issubclass(what, Message):
        return None
    if not issubclass(what, takes):
        return _of_wrong_kind(use.verb, takes, what)
    return _of_message(reading, declared.service, use, what)


def _of_external(declared: Declared, verb: str, external: External) -> str | None:
    if external not in declared.service.reaches:
        return (
            f"reaches {external.name}; add it to `reaches=[…]` of "
            f"Service({declared.service.name!r})"
        )
    query = declared.message is not None and issubclass(declared.message, Query)
    if verb in ("post", "request") and (query or declared.kind == "route"):
        return (
            f"has an effect on {external.name} from a {'query' if query else 'route'}, which "
            "nobody would finish after a crash; move it into a command's handler and start a "
            "saga, or `tx.send` it"
        )
    return None


def _of_start(reading: Reading, service: Service, what: object) -> str | None:
    if not inspect.isfunction(what) or any(s.function is what for s in service.sagas):
        return None
    for other in reading.services:
        if any(saga.function is what for saga in other.sagas):
            return (
                f"starts {what.__name__}, a saga of {other.name}; send {other.name} a command "
                "whose handler starts it"
            )
    return (
        f"starts {what.__name__}, which is no saga of {service.name}; "
        f"write `@{service.name}.saga` above it"
    )


def _of_raise(message: type[Message] | None, failure: type[Failure]) -> str | None:
    name = failure.__name__
    if message is None or failure in getattr(message, "fails", ()):
        return None
    if issubclass(message, Undo):
        return f"raises the failure {name}; an undo has none: raise an exception, it is retried"
    if issubclass(message, Event):
        return f"raises the failure {name}, which nobody hears; publish an event, or just return"
    return f"raises {name}; write `class {message.__name__}(…, fails=[…, {name}])`"


def _of_wrong_kind(verb: str, takes: type[Message], what: type[Message]) -> str:
    name = what.__name__
    if issubclass(what, Query):
        return f"passes the query {name} to `{verb}`; ask it with `outside.ask({name}(…))`"
    if issubclass(what, Event):
        return f"passes the event {name} to `{verb}`; publish it with `tx.publish({name}(…))`"
    undone = undone_by(what)
    if undone is not None:
        return (
            f"passes the undo {name} to `{verb}`; an undo goes with its command: "
            f"`saga.call({undone.__name__}(…), undo={name}(…))`"
        )
    return (
        f"passes the command {name} to `{verb}`, which takes {takes.__name__}; "
        f"write `tx.send({name}(…))`, or call it in a saga"
    )


def _of_message(reading: Reading, service: Service, use: Use, what: type[Message]) -> str | None:
    name = what.__name__
    place = f"Service({service.name!r})"
    if use.verb == "publish":
        declared = what in service.publishes
        return None if declared else f"publishes {name}; add {name} to `publishes=[…]` of {place}"
    if use.verb == "wait":
        declared = any(what in saga.waits for saga in service.sagas)
        return (
            None if declared else f"waits for {name}; write `@{service.name}.saga(waits=[{name}])`"
        )
    undone = undone_by(what)
    if undone is not None:
        return _of_undo(reading, service, use.of, what, undone)
    if use.verb == "call" and reading.owners.get(what) is service:
        return (
            f"calls {name}, which {service.name} handles itself; a saga calls other services: "
            "do your own work with `saga.local(function, …)`"
        )
    verb = "asks" if use.verb == "ask" else "sends"
    return (
        None if may_send(service, what) else f"{verb} {name}; add {name} to `calls=[…]` of {place}"
    )


def _of_undo(
    reading: Reading,
    service: Service,
    command: object,
    undo: type[Message],
    undone: type[AnyCommand],
) -> str | None:
    name = undo.__name__
    if isinstance(command, type) and issubclass(command, Command) and undone is not command:
        return (
            f"passes undo={name} with {command.__name__}, but it undoes {undone.__name__}; "
            f"pass an undo that is declared as `Undo[{command.__name__}]`"
        )
    if not may_send(service, undo):
        return (
            f"undoes {undone.__name__}; add {undone.__name__} to `calls=[…]` of "
            f"Service({service.name!r})"
        )
    if reading.complete and undo not in reading.owners:
        owner = reading.owners.get(undone)
        where = owner.name if owner is not None else "the service that owns it"
        return (
            f"passes undo={name}, which nobody handles; add `@service.handles` with "
            f"`async def …(undo: {name}, …)` to {where}"
        )
    return None


def _circles(reading: Reading) -> Iterator[str]:
    """Yield the queries whose answer waits for itself."""
    asks: dict[type[Message], list[type[Message]]] = {
        message: [u.what for u in declared.used if u.verb == "ask" and isinstance(u.what, type)]
        for declared, message in reading.handlers()
        if issubclass(message, Query)
    }
    done: set[type[Message]] = set()
    for query in asks:
        path = _circle(query, asks, ())
        if path and done.isdisjoint(path):
            done.update(path)
            names = " → ".join(q.__name__ for q in (*path, path[0]))
            owner = reading.owners[path[0]].name
            yield f"{owner}: {names}: each asks the next and none ever answers; break the circle"


def _circle(
    query: type[Message],
    asks: dict[type[Message], list[type[Message]]],
    path: tuple[type[Message], ...],
) -> tuple[type[Message], ...]:
    """Return the queries of a circle that `query` is in or leads to, or nothing."""
    if query in path:
        return path[path.index(query) :]
    for asked in asks.get(query, ()):
        found = _circle(asked, asks, (*path, query))
        if found:
            return found
    return ()
