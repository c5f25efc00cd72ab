"""The body of a request: strict JSON, by the type that the handler names.

Strict as pydantic means it for JSON: `"1"` and `true` are no numbers, while ids, times and choices
are texts, since JSON has no other form for them. No member comes twice, no number is infinite, and
a `Decimal` has the digits that were sent.
"""

import json
import math
from collections.abc import Callable

from pydantic import ValidationError

from holdfast.contract.carrier import adapter_of
from holdfast.contract.http import Request
from holdfast.dispatch.digits import Digits, keeps_digits
from holdfast.dispatch.members import count_of, names_each_once
from holdfast.dispatch.problem import unfit
from holdfast.errors import BadRequest, Invalid, UnsupportedMediaType
from holdfast.system.signature import Parameter

_PLAIN = b"application/json"


class Body:
    """Reads the body of one route.

    Attributes:
        parameter: what gets it.
        optional: whether nothing at all is a body too: the parameter's default.
    """

    __slots__ = ("_count", "_keep_digits", "_validate", "optional", "parameter")

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.optional = not parameter.required
        adapter = adapter_of(parameter.annotation)
        self._validate = adapter.validator.validate_json
        self._keep_digits = keeps_digits(adapter.core_schema)
        self._count = count_of(adapter.core_schema)

    def read(self, request: Request) -> object:
        """Return the value. Raises BadRequest, Invalid, UnsupportedMediaType."""
        body = request.body
        if not body and self.optional:
            return self.parameter.made_default()
        sent = request.sent
        if sent.get(b"content-type", _PLAIN) != _PLAIN or b"content-encoding" in sent:
            _refuse_other_media(request)
        count = self._count
        if count is not None and b"\\" not in body:
            try:
                value: object = self._validate(body, strict=True, extra="forbid")
            except ValidationError:
                pass  # the long way says what is wrong
            else:
                if names_each_once(body, count(value)):  # so there is nothing for `_look_at`
                    return value
        if b"\\u0000" in body:
            raise Invalid("a string holds the character NUL, which databases do not store")
        if self._keep_digits is None:
            _look_at(body, _LOOKS)
        else:
            found = self._keep_digits(_look_at(body, _KEEPS_DIGITS))
            body = json.dumps(found, allow_nan=False).encode()
        try:
            return self._validate(body, strict=True, extra="forbid")
        except ValidationError as exc:
            raise unfit(exc, "body") from exc


def _refuse_other_media(request: Request) -> None:
    coding, kind = request.header(b"content-encoding"), request.header(b"content-type")
    if coding is not None and coding.strip().lower() != b"identity":
        raise UnsupportedMediaType(
            f"the body is compressed ({coding.decode('latin-1')[:40]!r}); send it as it is",
            headers={"Accept-Encoding": "identity"},
        )
    if kind is None:
        return
    media = kind.partition(b";")[0].strip().lower()
    if media != b"application/json" and not media.endswith(b"+json"):
        raise UnsupportedMediaType(
            f"the body is {media.decode('latin-1')!r}; send it as application/json"
        )


def _look_at(body: bytes, decoder: json.JSONDecoder) -> object:
    """Read a body for what pydantic's parser lets pass: NaN, and members that come twice."""
    try:
        return decoder.decode(body.decode())
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"the body is not JSON: {exc}") from exc


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"the body names {twice!r} twice; which one is meant, nobody can tell")
    return members


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Invalid(f"the number {text[:30]} is too large; floats end at 1.8e308")
    return value


def _decoder(
    of_float: Callable[[str], object], of_int: Callable[[str], object]
) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_distinct,
        parse_constant=_no_constant,
        parse_float=of_float,
        parse_int=of_int,
    )


_LOOKS = _decoder(_finite, str)  # a str, since only its end is of interest
_KEEPS_DIGITS = _decoder(Digits, int)
