"""Checks of messages: who handles, publishes and hears them."""

from collections.abc import Iterator

from holdfast.contract.messages import Command, Event, Message, Query, undone_by
from holdfast.system.checks.reading import Declared, Reading, where
from holdfast.system.service import Service


def message_problems(reading: Reading) -> Iterator[str]:
    """Yield what is wrong between the services' messages."""
    yield from _double_names(reading)
    yield from _double_handlers(reading)
    if reading.complete:
        yield from _unhandled(reading)
    yield from _undos(reading)
    yield from _unpublished(reading)


def _double_names(reading: Reading) -> Iterator[str]:
    classes: dict[str, type[Message]] = {}
    handled = [message for _, message in reading.handlers()]
    sent = [m for service in reading.services for m in (*service.calls, *service.publishes)]
    for message in dict.fromkeys([*handled, *sent]):
        wire = message.wire_name()
        if classes.setdefault(wire, message) is not message:
            yield (
                f"two messages are {wire} on the wire: {classes[wire].__module__} and "
                f"{message.__module__}; rename one, or give it `version=`"
            )


def _double_handlers(reading: Reading) -> Iterator[str]:
    seen: dict[tuple[type[Message], str], Declared] = {}
    for declared, message in reading.handlers():
        hearer = declared.service.name if issubclass(message, Event) else ""
        first = seen.setdefault((message, hearer), declared)
        if first is not declared:
            yield (
                f"{message.wire_name()} has two handlers: {first.place} and {declared.place}; "
                "remove one"
            )


def _unhandled(reading: Reading) -> Iterator[str]:
    for service in reading.services:
        for message in service.calls:
            if _is_asked(message) and message not in reading.owners:
                word = "query" if issubclass(message, Query) else "command"
                yield (
                    f"Service({service.name!r}) calls {message.__name__}, which nobody handles; "
                    f"add `@service.handles` with `async def …({word}: {message.__name__}, …)` "
                    "to the service that owns it"
                )


def _is_asked(message: type[Message]) -> bool:
    return issubclass(message, (Command, Query))


def _undos(reading: Reading) -> Iterator[str]:
    """An undo meets its command at the command's own row, so one service handles both."""
    for declared, message in reading.handlers():
        undone = undone_by(message)
        if undone is None:
            continue
        name = undone.__name__
        owner = reading.owners.get(undone)
        if owner is None and reading.complete:
            yield f"{declared.place}: it undoes {name}, which nobody handles; handle it here too"
        elif owner is not None and owner is not declared.service:
            yield (
                f"{declared.place}: it undoes {name}, which {owner.name} handles; "
                f"move it to {owner.name}"
            )


def _unpublished(reading: Reading) -> Iterator[str]:
    published = {event for service in reading.services for event in service.publishes}
    for service, name, event in _heard(reading):
        if event not in published:
            yield (
                f"{service.name}: {name} hears {event.__name__}, which nobody publishes; "
                f"add {event.__name__} to `publishes=[…]` of the service that owns it"
            )
    for service in reading.services:
        for saga in service.sagas:
            for event in saga.waits:
                if event.topic is None:
                    yield (
                        f"{service.name}: saga {saga.name} ({where(saga.function)}) waits for "
                        f"{event.__name__}, which has no topic; write "
                        f'`class {event.__name__}(Event, topic="…")`'
                    )


def _heard(reading: Reading) -> Iterator[tuple[Service, str, type[Event]]]:
    """Yield each event that a handler hears or a saga waits for."""
    for declared, message in reading.handlers():
        if issubclass(message, Event):
            yield declared.service, f"{declared.label} ({where(declared.function)})", message
    for service in reading.services:
        for saga in service.sagas:
            for event in saga.waits:
                yield service, f"saga {saga.name} ({where(saga.function)})", event
