"""Checks of what a route takes from a request: each parameter can be read as its type says."""

import typing
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Literal

from pydantic import ValidationError

from holdfast.contract.carrier import adapter_of
from holdfast.contract.crossing import crosses
from holdfast.system.shapes import is_list, is_structured
from holdfast.system.signature import Header, Parameter, Signature, Source

INPUTS = frozenset({Source.PATH, Source.QUERY, Source.HEADER})
_FOREIGN = {
    "Query": "the query is read without it; write `Annotated[…, Field(…)]` for its bounds",
    "Path": "the path is read without it; write `Annotated[…, Field(…)]` for its bounds",
    "Header": "import Header from holdfast, and write `Annotated[…, Header()]`",
    "Cookie": "take the header: `cookie: Annotated[str | None, Header()] = None`",
    "Body": "the body is what is a Model, or what is called `body`; remove it",
    "Depends": "write `@service.provides` above what makes it, and annotate with its type",
    "Security": "say `scope=` at the route, and take `caller: Caller`",
    "Form": "take JSON as a Model, or mount an app that reads forms",
    "File": "take JSON as a Model, or mount an app that reads files",
    "UploadFile": "take JSON as a Model, or mount an app that reads files",
    "Request": "name each input as a parameter, or mount an app",
    "Response": "return the answer; the status is the route's `status_code=`",
    "BackgroundTasks": "send a command: `tx.send(…)` happens after the commit, and is not lost",
    "WebSocket": "mount an app that serves it",
}
"""{what FastAPI's users write: what to write here}."""


def foreign_problem(parameter: Parameter) -> str | None:
    """Return what is wrong with a parameter that is marked for another framework, or None."""
    default = parameter.default if parameter.factory is None else None
    found = [*_annotations(parameter.annotation), parameter.field, default]
    for one in found:
        kind = one if isinstance(one, type) else type(one)
        if kind.__module__.partition(".")[0] in ("fastapi", "starlette"):
            name = kind.__name__
            remedy = _FOREIGN.get(name, "mount an app that takes it")
            return f"parameter {parameter.name!r} takes {name} of {_maker(kind)}; {remedy}"
    return None


def _maker(kind: type) -> str:
    return {"fastapi": "FastAPI", "starlette": "Starlette"}[kind.__module__.partition(".")[0]]


def _annotations(annotation: object) -> Iterator[object]:
    """Yield a type, what marks it, and those inside."""
    yield annotation
    extras = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()
    yield from extras
    if typing.get_origin(annotation) is not Literal:
        for one in typing.get_args(annotation):
            if one not in extras:
                yield from _annotations(one)


def input_problems(parameter: Parameter) -> Iterator[str]:
    """Yield what is wrong with a parameter that is read from a request."""
    if parameter.source in INPUTS or parameter.source is Source.BODY:
        for problem in _of(parameter):
            yield f"parameter {parameter.name!r} {problem}"


def double_names(signature: Signature) -> Iterator[str]:
    """Yield the names in a request from which two parameters would be read."""
    for source in (Source.QUERY, Source.HEADER):
        for alias, count in Counter(p.alias.lower() for p in signature.of(source)).items():
            if count > 1:
                yield f"{count} parameters are read from {source.value} {alias!r}; rename one"


def _of(parameter: Parameter) -> Iterator[str]:
    field, kind = parameter.field, parameter.annotation
    if isinstance(parameter.default, Header) or parameter.default is Header:
        yield "has Header as its default; write `Annotated[…, Header()]` and the default behind it"
        return
    if parameter.source is not Source.HEADER and any(_is_header(a) for a in _annotations(kind)):
        yield "has Header inside its type; write it outermost: `Annotated[str | None, Header()]`"
        return
    named = field.validation_alias if field is not None and parameter.source in INPUTS else None
    if named is not None and not isinstance(named, str):
        yield "has several names; a parameter has one: write `alias=…`"
    if field is not None and field.default_factory_takes_validated_data:
        yield "has a factory that looks at other values; take them in the handler"
        return
    if parameter.source is Source.HEADER:
        yield from _header(parameter)
    elif parameter.source is Source.PATH and (is_list(kind) or is_structured(kind)):
        yield "is part of the path, which is one text; annotate it with what is read from one"
    if parameter.source in INPUTS and _never_a_text(kind):
        yield "is compared with what is no text, which no text equals; write texts, or an IntEnum"
    yield from _default(parameter)


def _is_header(marker: object) -> bool:
    return isinstance(marker, Header) or marker is Header


def _header(parameter: Parameter) -> Iterator[str]:
    name = parameter.alias.lower()
    if is_structured(parameter.annotation):
        yield "is a header, which is text; take it as a str"
    if not crosses(name.encode()):
        why = "it could be forged" if "_" not in name else "some servers read _ as -"
        remedy = "the correlation id is in every log" if name.endswith("-id") else "use another"
        yield f"is the header {name}, which ends at the gateway, since {why}; {remedy}"


def _never_a_text(annotation: object) -> bool:
    """Whether a closed choice has no member that a text could be."""
    kinds = [one for one in _annotations(annotation) if one is not type(None)]
    for one in kinds:
        values: list[object] = []
        if typing.get_origin(one) is Literal:
            values = list(typing.get_args(one))
        elif isinstance(one, type) and issubclass(one, Enum) and not issubclass(one, (str, int)):
            values = [member.value for member in one]
        if any(not isinstance(value, (str, type(None))) for value in values):
            return True
    return False


def _default(parameter: Parameter) -> Iterator[str]:
    """A default that does not fit would be what the handler gets all the same."""
    if parameter.required or parameter.factory is not None:
        return
    try:
        adapter_of(parameter.annotation).validate_python(parameter.default)
    except ValidationError as exc:
        if parameter.default is None:
            yield "has the default None and is never None by its type; add `| None`"
        else:
            why = exc.errors(include_url=False)[0]["msg"]
            yield f"has the default {parameter.default!r}, which does not fit: {why}; change one"
