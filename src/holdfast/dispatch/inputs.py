"""What a route takes from a request: path, query, headers and body, validated by their types."""

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from holdfast.contract.carrier import adapter_of
from holdfast.contract.http import Request
from holdfast.dispatch.body import Body
from holdfast.dispatch.problem import unfit
from holdfast.errors import BadRequest, Invalid
from holdfast.system.shapes import is_list
from holdfast.system.signature import Signature, Source, bare

QUERY_FIELDS_MAX = 100
_PARAMETERS = ConfigDict(allow_inf_nan=False)  # the API document calls them numbers


@functools.lru_cache(maxsize=4_096)  # a model costs a millisecond, and a function has the same ones
def _shape(name: str, signature: Signature, source: Source) -> type[BaseModel] | None:
    """Return a model with one field per parameter from a source, or None without any."""
    parameters = signature.of(source)
    if not parameters:
        return None
    fields: dict[str, Any] = {}
    for parameter in parameters:
        default: Any = Field(alias=parameter.alias)
        if parameter.factory is not None:
            default = Field(default_factory=parameter.factory, alias=parameter.alias)
        elif not parameter.required:
            default = Field(parameter.default, alias=parameter.alias)
        fields[parameter.name] = (parameter.annotation, default)
    return create_model(name, __config__=_PARAMETERS, **fields)


class Inputs:
    """Reads the inputs of one route.

    Attributes:
        path, query, header: models of the parameters, for OpenAPI; None without any.
        body: reads the body; None without one.
    """

    def __init__(self, signature: Signature) -> None:
        self.path = _shape("Path", signature, Source.PATH)
        self.query = _shape("Query", signature, Source.QUERY)
        self.header = _shape("Header", signature, Source.HEADER)
        bodies = signature.of(Source.BODY)
        self.body = Body(bodies[0]) if bodies else None
        self._lists = {p.alias for p in signature.of(Source.QUERY) if is_list(p.annotation)}
        self._headers = [
            (p.alias.lower().encode(), p.alias, is_list(p.annotation))
            for p in signature.of(Source.HEADER)
        ]

    def read(self, request: Request, path: dict[str, str]) -> dict[str, object]:
        """Return {parameter: value}. Raises BadRequest, Invalid, UnsupportedMediaType."""
        values = self.fields(request, path)
        if self.body is not None:
            values[self.body.parameter.name] = self.body.read(request)
        return values

    def fields(self, request: Request, path: dict[str, str]) -> dict[str, object]:
        """Return what comes of path, query and headers. Raises BadRequest, Invalid."""
        values: dict[str, object] = {}
        if self.path is not None:
            values |= _validated(self.path, path, "path")
        if self.query is not None:
            values |= _validated(self.query, self._query(request.query), "query")
        if self.header is not None:
            values |= _validated(self.header, self._sent(request), "header")
        return values

    def _sent(self, request: Request) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, alias, many in self._headers:
            sent = [value.decode("latin-1") for value in request.header_all(name)]
            if sent:
                found[alias] = sent if many else sent[0]
        return found

    def _query(self, raw: str) -> dict[str, object]:
        if not raw:
            return {}
        try:
            pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
        except ValueError as exc:
            raise BadRequest(f"the query has more than {QUERY_FIELDS_MAX} fields") from exc
        found: dict[str, Any] = {}
        for name, value in pairs:
            _refuse_nul(value, f"query.{name}")
            if name in self._lists:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
        return found


def _validated(
    shape: type[BaseModel], found: Mapping[str, object], where: str
) -> dict[str, object]:
    try:
        model = shape.model_validate(found)
    except ValidationError as exc:
        raise unfit(exc, where) from exc
    return vars(model)


def decode_segment(raw: str, name: str) -> str:
    """Return a path segment percent-decoded. Raises Invalid for bytes that are not UTF-8."""
    if "%" not in raw:
        return raw
    try:
        text = unquote(raw, errors="strict")
    except UnicodeDecodeError as exc:
        raise Invalid(f"path.{name} is not UTF-8") from exc
    _refuse_nul(text, f"path.{name}")
    return text


def _refuse_nul(text: str, where: str) -> None:
    if "\0" in text:
        raise Invalid(f"{where} holds the character NUL, which databases do not store")


def answer_model(annotation: object) -> type[BaseModel] | None:
    """Return the model that a route answers with, if it is one."""
    kind = bare(annotation)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def reply_encoder(annotation: object) -> Callable[[object], bytes]:
    """Return what encodes a route's answer: validated, then JSON; None is an empty body.

    Fields have their aliases, as in the API document.
    """
    if annotation in (None, types.NoneType):
        return lambda value: b""
    adapter = adapter_of(annotation)
    kind = answer_model(annotation)
    if kind is not None:
        exact = kind.__pydantic_serializer__

        def encode_model(value: object) -> bytes:
            if type(value) is kind:
                return exact.to_json(value, by_alias=True)
            return adapter.dump_json(adapter.validate_python(value), by_alias=True)

        return encode_model
    return lambda value: adapter.dump_json(adapter.validate_python(value), by_alias=True)
