"""What all JOSE documents are written in, read strictly: base64url and JSON objects.

A lenient reader is how two parties come to see two different tokens in the same bytes. So a text
has one encoding only: no padding, no whitespace, no stray bits, no member twice.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import NoReturn, cast

_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")


def encode_base64url(data: bytes) -> str:
    """Return base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: bytes) -> bytes:
    """Return the bytes that have exactly this base64url text.

    Raises:
        ValueError: padding, a foreign character, an impossible length, or unused bits that are set.
    """
    if not _ALPHABET.fullmatch(text):
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    # The last character may carry bits that no byte uses; other values of them are other texts.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text:
        raise ValueError("base64url with stray bits")
    return data


def read_object(document: bytes) -> dict[str, object]:
    """Return the JSON object that a UTF-8 document holds.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, a member twice at any depth, NaN or
            Infinity, or nested too deeply.
    """
    try:
        text = document.decode("utf-8")
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a BOM")
        value: object = _STRICT.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return cast(dict[str, object], value)


def write_object(members: Mapping[str, object]) -> bytes:
    """Return an object as JSON without whitespace, members in the order given."""
    return json.dumps(members, separators=(",", ":"), allow_nan=False).encode("ascii")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
