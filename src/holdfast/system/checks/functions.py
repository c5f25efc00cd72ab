"""Checks of one function: asynchronous, readable, and with parameters that something fills."""

import inspect
import typing
from collections.abc import Iterator

from pydantic import PydanticUserError

from holdfast.contract.carrier import adapter_of
from holdfast.contract.messages import Command, Message, Query
from holdfast.system.checks.inputs import (
    INPUTS,
    double_names,
    foreign_problem,
    input_problems,
)
from holdfast.system.checks.reading import PATH_NAME, Declared, Reading, missing
from holdfast.system.service import Route
from holdfast.system.signature import EMPTY, Parameter, Signature, Source, bare

_ALWAYS = frozenset({Source.READ, Source.OUTSIDE, Source.SETTINGS, Source.PROVIDED, Source.UNKNOWN})
_TAKES = {
    "route": _ALWAYS | INPUTS | {Source.TX, Source.CALLER, Source.BODY},
    "handler": _ALWAYS | {Source.TX, Source.MESSAGE},
    "job": _ALWAYS | {Source.TX},
}
_REMEDIES = {
    Source.CALLER: "only a route knows its Caller; put `caller.subject` into the message",
    Source.SAGA: "only a saga takes Saga; start one with `tx.start(saga, input)`",
    Source.BODY: "nobody sends a Model; derive it from Command, Undo, Query or Event",
    Source.MESSAGE: "a message comes to a handler alone; take a Model of its own, or remove it",
}
_FILLED_BY = (
    "annotate it with Tx, Read, Outside, Caller, a message, Settings, or a type that "
    "`@service.provides` makes"
)


def function_problems(reading: Reading) -> Iterator[str]:
    """Yield what is wrong with each function by itself."""
    for declared in reading.functions:
        yield from (f"{declared.place}: {problem}" for problem in _problems(declared))


def _problems(declared: Declared) -> Iterator[str]:
    if not inspect.iscoroutinefunction(declared.function):
        if declared.kind == "saga":
            yield f"a saga is `async def`; write `async def {declared.function.__name__}`"
        else:
            yield "a handler is `async def`; run blocking code with `outside.run(function, …)`"
    signature = declared.signature
    if signature is None:
        yield f"its annotations cannot be read: {declared.unreadable}"
    elif declared.kind == "saga":
        sources = [p.source for p in signature.parameters]
        further = set(sources[2:]) - {Source.SETTINGS}
        if further or sources[:2] not in (
            [Source.SAGA, Source.BODY],
            [Source.SAGA, Source.MESSAGE],
        ):
            name = declared.function.__name__
            taken = ", ".join(shown(p.annotation) for p in signature.parameters)
            yield f"it takes ({taken}); write `async def {name}(saga: Saga, input: SomeModel)`"
    else:
        yield from _parameters(declared, signature)
        if declared.route is not None:
            yield from _route(declared.route, signature)
        elif declared.kind == "handler":
            yield from _message(signature)


def _parameters(declared: Declared, signature: Signature) -> Iterator[str]:
    kinds = inspect.signature(declared.function).parameters
    takes = _TAKES[declared.kind]
    for parameter in signature.parameters:
        kind = kinds[parameter.name].kind
        if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            yield (
                f"parameter {parameter.name!r} takes anything, and nothing fills it; name each "
                "parameter (a decorator keeps them with functools.wraps)"
            )
        elif kind is inspect.Parameter.POSITIONAL_ONLY:
            yield f"parameter {parameter.name!r} is filled by its name; remove the `/` behind it"
        elif (unknown := _unknown_name(parameter.annotation, parameter.source)) is not None:
            yield f"parameter {parameter.name!r}: {unknown}"
        elif (foreign := foreign_problem(parameter)) is not None:
            yield foreign
        elif parameter.source is Source.UNKNOWN or not _is_readable(parameter):
            yield (
                f"parameter {parameter.name!r} is annotated with {shown(parameter.annotation)}, "
                f"which nothing fills; {_FILLED_BY}"
            )
        elif parameter.source not in takes:
            yield f"parameter {parameter.name!r}: {_REMEDIES[parameter.source]}"
        elif parameter.source is not Source.BODY or _is_data(parameter.annotation):
            yield from input_problems(parameter)


def _unknown_name(annotation: object, source: Source) -> str | None:
    """Return what is wrong with a type that names, in one of its fields, what is not defined."""
    if source not in INPUTS | {Source.BODY, Source.SETTINGS}:
        return None
    try:
        adapter_of(annotation)
    except NameError as exc:
        return missing(exc)
    except PydanticUserError:
        return None
    return None


def _is_readable(parameter: Parameter) -> bool:
    """Whether an input of a route can be read from text."""
    if parameter.source not in INPUTS or parameter.annotation is EMPTY:
        return True
    return _is_data(parameter.annotation)


def _is_data(annotation: object) -> bool:
    """Whether pydantic knows how to read and write values of a type."""
    try:
        adapter_of(annotation)
    except (PydanticUserError, NameError):  # no JSON, or a name in it that is not defined
        return False
    return True


def _route(route: Route, signature: Signature) -> Iterator[str]:
    bodies = [b for b in signature.of(Source.BODY) if foreign_problem(b) is None]
    for body in bodies:
        if not _is_data(body.annotation) and not _unknown_name(body.annotation, Source.BODY):
            name = body.name.title().replace("_", "")
            yield (
                f"the body {body.name!r} is {shown(body.annotation)}, which cannot be read from "
                f"JSON; declare `class {name}(Model)` with its fields"
            )
    if len(bodies) > 1:
        yield f"it has {len(bodies)} bodies; join them in one Model"
    if bodies and route.method == "GET":
        yield f"a GET has no body; take what {bodies[0].name!r} holds as parameters of the query"
    yield from _attempts(route, bodies)
    for name in sorted(set(PATH_NAME.findall(route.path)) - {p.name for p in signature.parameters}):
        yield f"the path has {{{name}}} and the function no parameter of that name; add it"
    if route.method == "GET" and signature.of(Source.TX):
        yield "a GET does not write; take `read: Read` instead of Tx"
    yield from double_names(signature)
    if signature.returns is EMPTY:
        yield "it has no return annotation; say what it answers: `-> OrderView`, or `-> None`"
    elif (unknown := _unknown_name(signature.returns, Source.BODY)) is not None:
        yield f"its answer: {unknown}"
    elif not _is_data(signature.returns):
        yield f"it answers {shown(signature.returns)}, which is no JSON; answer a Model"


def _attempts(route: Route, bodies: list[Parameter]) -> Iterator[str]:
    """What names the account is always there, and is a text."""
    attempts = route.attempts
    if attempts is None:
        return
    body = bodies[0] if len(bodies) == 1 and bodies[0].default is EMPTY else None
    fields = getattr(body.kind, "model_fields", {}) if body else {}
    field = fields.get(attempts.of)
    if field is None or not field.is_required() or bare(field.annotation) is not str:
        yield (
            f"Attempts(of={attempts.of!r}) names no text of the body that is always there; "
            f"declare `{attempts.of}: str` in the body's Model, without a default"
        )
    for name in ("per_account", "per_address"):
        rate = getattr(attempts, name)
        if rate is not None and (rate.per_s <= 0 or rate.burst < 1):
            yield (
                f"Attempts({name}={rate!r}): nothing could pass; write `Rate(per_s=…, burst=…)` "
                "with more than 0, or None for no limit"
            )


def _message(signature: Signature) -> Iterator[str]:
    """A message handler: one message, and the answer that the message promises."""
    messages = signature.of(Source.MESSAGE)
    if len(messages) != 1:
        yield (
            f"it takes {len(messages)} messages; a handler takes exactly one command, undo, query "
            "or event: annotate one parameter with it"
        )
        return
    message: type[Message] = messages[0].kind
    promised = message.reply_type if issubclass(message, (Command, Query)) else None
    if not _keeps(_none(promised), _none(signature.returns)):
        word = shown(promised)
        answered = (
            "nothing that is named" if signature.returns is EMPTY else shown(signature.returns)
        )
        yield (
            f"{message.__name__} promises {word}, the handler answers {answered}; write `-> {word}`"
        )
    if issubclass(message, Query) and signature.of(Source.TX):
        yield "a query changes nothing; take `read: Read` instead of Tx"


def _keeps(promised: object, returned: object) -> bool:
    """Whether a returned type is the promised one; a derived class would lose its own fields."""
    return bool(returned == promised)


def _none(annotation: object) -> object:
    return type(None) if annotation is None else annotation


def shown(annotation: object) -> str:
    """Return a type as its reader wrote it."""
    if annotation is EMPTY:
        return "nothing"
    if annotation in (None, type(None)):
        return "None"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return inspect.formatannotation(annotation)
