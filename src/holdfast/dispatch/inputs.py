"""What a route takes from a request: path, query, headers and body, validated by their types."""

import types
import typing
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from pydantic import BaseModel, Field, ValidationError, create_model

from holdfast.contract.carrier import adapter_of
from holdfast.contract.http import Request
from holdfast.dispatch.problem import unfit
from holdfast.errors import BadRequest, Invalid, UnsupportedMediaType
from holdfast.system.signature import EMPTY, Parameter, Signature, Source, bare

QUERY_FIELDS_MAX = 100


def _shape(name: str, parameters: list[Parameter]) -> type[BaseModel] | None:
    """Return a model with one field per parameter, or None without parameters."""
    if not parameters:
        return None
    fields: dict[str, Any] = {}
    for parameter in parameters:
        default = ... if parameter.default is EMPTY else parameter.default
        annotation = parameter.annotation
        fields[parameter.name] = (annotation, Field(default, alias=parameter.alias))
    return create_model(name, **fields)


def _is_list(parameter: Parameter) -> bool:
    return typing.get_origin(bare(parameter.annotation)) in (list, set, tuple, frozenset)


class Inputs:
    """Reads the inputs of one route.

    Attributes:
        path, query, header: models of the parameters, for OpenAPI; None without any.
        body: the body's type, and whether it may be absent.
    """

    def __init__(self, signature: Signature) -> None:
        self.path = _shape("Path", signature.of(Source.PATH))
        self.query = _shape("Query", signature.of(Source.QUERY))
        self.header = _shape("Header", signature.of(Source.HEADER))
        bodies = signature.of(Source.BODY)
        self.body = bodies[0] if bodies else None
        self.body_optional = bool(bodies) and bodies[0].default is not EMPTY
        self._body = adapter_of(self.body.annotation) if self.body else None
        self._lists = {p.alias for p in signature.of(Source.QUERY) if _is_list(p)}
        self._headers = [p.alias.lower() for p in signature.of(Source.HEADER)]
        self._aliases = {p.alias.lower(): p.alias for p in signature.of(Source.HEADER)}

    def read(self, request: Request, path: dict[str, str]) -> dict[str, Any]:
        """Return {parameter: value}. Raises BadRequest, Invalid, UnsupportedMediaType."""
        values: dict[str, Any] = {}
        if self.path is not None:
            values |= _validated(self.path, path, "path")
        if self.query is not None:
            values |= _validated(self.query, self._query(request.query), "query")
        if self.header is not None:
            found = {
                self._aliases[name]: value.decode("latin-1")
                for name in self._headers
                if (value := request.header(name.encode())) is not None
            }
            values |= _validated(self.header, found, "header")
        if self.body is not None:
            values[self.body.name] = self._read_body(request)
        return values

    def _query(self, raw: str) -> dict[str, Any]:
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

    def _read_body(self, request: Request) -> Any:
        assert self.body is not None
        assert self._body is not None
        if not request.body and self.body_optional:
            return self.body.default
        coding = request.header(b"content-encoding")
        if coding is not None and coding.strip().lower() != b"identity":
            raise UnsupportedMediaType(
                f"the body is compressed ({coding.decode('latin-1')[:40]!r}); send it as it is",
                headers={"Accept-Encoding": "identity"},
            )
        kind = request.header(b"content-type")
        if kind is not None:
            media = kind.partition(b";")[0].strip().lower()
            if media != b"application/json" and not media.endswith(b"+json"):
                raise UnsupportedMediaType(
                    f"the body is {media.decode('latin-1')!r}; send it as application/json"
                )
        if b"NaN" in request.body or b"Infinity" in request.body:
            _refuse_numbers_that_are_none(request.body)
        if b"\\u0000" in request.body:
            raise Invalid("a string holds the character NUL, which databases do not store")
        try:
            return self._body.validate_json(request.body, extra="forbid")
        except ValidationError as exc:
            raise unfit(exc, "body") from exc


def _validated(shape: type[BaseModel], found: dict[str, Any], where: str) -> dict[str, Any]:
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


def _refuse_numbers_that_are_none(body: bytes) -> None:
    """Refuse NaN and Infinity, which pydantic's parser lets pass and JSON does not know."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadRequest(f"the body is not JSON: {exc}") from exc


def _refuse_nul(text: str, where: str) -> None:
    if "\0" in text:
        raise Invalid(f"{where} holds the character NUL, which databases do not store")


def reply_encoder(annotation: Any) -> Callable[[Any], bytes]:
    """Return what encodes a route's answer: validated, then JSON; None is an empty body.

    Fields have their aliases, as in the API document.
    """
    if annotation in (None, types.NoneType):
        return lambda value: b""
    adapter = adapter_of(annotation)
    kind = bare(annotation)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        exact = kind.__pydantic_serializer__

        def encode_model(value: Any) -> bytes:
            if type(value) is kind:
                return exact.to_json(value, by_alias=True)
            return adapter.dump_json(adapter.validate_python(value), by_alias=True)

        return encode_model
    return lambda value: adapter.dump_json(adapter.validate_python(value), by_alias=True)
