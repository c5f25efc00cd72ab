"""What a service handles, by the name on the wire."""

import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from holdfast.contract.messages import Event, Message
from holdfast.system.service import Function, Service, tick_of
from holdfast.system.settings import Settings
from holdfast.system.signature import EMPTY, Signature, Source, message_of, read_signature


@dataclass(frozen=True, slots=True)
class MessageHandler:
    """A handler, its message and its signature."""

    message: type[Message]
    function: Function
    signature: Signature
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Handlers:
    """A service's handlers.

    Attributes:
        by_wire_name: {`Charge.v1`: handler}.
        hears: the wire names of the events that it handles, or that its sagas wait for.
        events: {wire name: class} of those.
    """

    by_wire_name: dict[str, MessageHandler]
    hears: frozenset[str]
    events: dict[str, type[Message]]


def provided_type(provider: Callable[..., object]) -> object:
    """Return what a provider makes, by its return annotation; EMPTY without one.

    Raises:
        NameError, TypeError: the annotation cannot be resolved.
    """
    made = typing.get_type_hints(provider).get("return", EMPTY)
    origin = str(typing.get_origin(made))
    if "Generator" in origin or "Iterator" in origin:
        return typing.get_args(made)[0]
    return made


def provided_types(service: Service) -> dict[object, Callable[..., object]]:
    """Return {type: provider} of a service, by the providers' return annotations."""
    made = ((provided_type(provider), provider) for provider in service.providers)
    return {kind: provider for kind, provider in made if kind is not EMPTY}


def known_sagas(service: Service) -> dict[str, int]:
    """Return {type: version} of a service's sagas, under every name that they had."""
    return {name: saga.version for saga in service.sagas for name in (saga.name, *saga.was)}


def known_letters(service: Service) -> frozenset[str]:
    """Return the types of the letters that a service takes, its jobs' ticks among them."""
    handlers = handlers_of(service)
    ticks = {tick_of(job.kept_as) for job in service.jobs} | set(map(tick_of, service.gone))
    return handlers.hears | ticks | handlers.by_wire_name.keys()


def handlers_of(service: Service) -> Handlers:
    """Read what a service handles; handlers without a message are left to the checks."""
    provided = provided_types(service)
    table: dict[str, MessageHandler] = {}
    for declared in service.handlers:
        signature = read_signature(declared.function, provided=provided)
        message = message_of(signature)
        if message is not None:
            table[message.wire_name()] = MessageHandler(
                message, declared.function, signature, declared.alone
            )
    events: dict[str, type[Message]] = {
        wire: h.message for wire, h in table.items() if issubclass(h.message, Event)
    }
    waited: Iterable[type[Message]] = (e for saga in service.sagas for e in saga.waits)
    events |= {event.wire_name(): event for event in waited}
    return Handlers(table, frozenset(events), events)


def settings_of(service: Service) -> tuple[type[Settings], ...]:
    """Return the groups of settings that a service's functions and providers take, once each."""
    provided = provided_types(service)
    found: dict[type[Settings], None] = {}
    for function in _functions(service):
        for parameter in read_signature(function, provided=provided).of(Source.SETTINGS):
            found[parameter.kind] = None
    return tuple(found)


def _functions(service: Service) -> Iterator[Callable[..., object]]:
    yield from (route.function for route in service.routes)
    yield from (handler.function for handler in service.handlers)
    yield from (job.function for job in service.jobs)
    yield from (saga.function for saga in service.sagas)
    yield from service.providers
