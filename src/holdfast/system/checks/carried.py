"""Checks of what travels and is recorded: each type can arrive as it was given."""

from collections.abc import Iterator
from typing import get_type_hints

from pydantic import PydanticUserError

from holdfast.contract.carrier import carrier_of, name_of
from holdfast.contract.messages import Command, Message, Query, Undo
from holdfast.system.checks.reading import Reading, missing
from holdfast.system.signature import Source


def carried_problems(reading: Reading) -> Iterator[str]:
    """Yield the fields of messages, answers, failures and records that could never arrive."""
    seen: set[str] = set()
    for place, kind in _carried(reading):
        for problem in _of(kind):
            if problem not in seen:
                seen.add(problem)
                yield f"{place}: {problem}"


def _of(kind: object) -> tuple[str, ...]:
    try:
        return carrier_of(kind).problems
    except NameError as exc:
        return (f"{name_of(kind)}: {missing(exc)}",)
    except PydanticUserError as exc:
        why = str(exc).splitlines()[0].rstrip(".")
        return (f"{name_of(kind)} has no JSON: {why}; declare it with types that pydantic knows",)


def _carried(reading: Reading) -> Iterator[tuple[str, object]]:
    """Yield (where, type) of all that is carried."""
    for declared, message in reading.handlers():
        for kind in _of_message(message):
            yield declared.place, kind
    for service in reading.services:
        for message in (*service.calls, *service.publishes):
            for kind in _of_message(message):
                yield f"Service({service.name!r})", kind
    for declared in reading.functions:
        if declared.kind == "saga" and declared.signature is not None:
            for parameter in declared.signature.parameters:
                if parameter.source in (Source.BODY, Source.MESSAGE):
                    yield declared.place, parameter.annotation
        for use in declared.used:
            what = use.what
            if use.verb == "undo" and isinstance(what, type) and issubclass(what, Undo):
                yield use.where, what
            elif use.verb == "local":
                yield from _of_local(use.what, use.where)


def _of_message(message: type[Message]) -> Iterator[object]:
    yield message
    if issubclass(message, (Command, Query)):
        yield message.reply_type
        yield from message.fails


def _of_local(function: object, where: str) -> Iterator[tuple[str, object]]:
    """A local step's value is recorded. What cannot be read is refused when it is run."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return
    if "return" in hints:
        yield where, hints["return"]
