"""What may be written down: secrets out, values bounded. Logs, spans and health answers use it.

A secret is known by the name it goes under (`password`, `api_key`, `Set-Cookie`) or by its shape
(JWT, `Bearer …`, card number, credentials in a URL, private key). When in doubt it is removed.
Objects are never dumped: a model, a body or a client is written as its type.
"""

import re
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import cast
from uuid import UUID

import msgspec
from pydantic import ValidationError

from holdfast.contract.secret_names import is_secret_name

REDACTED = "[redacted]"
CUT = "…[cut]"
FIELDS_MAX = 20
VALUE_CHARS_MAX = 1024
NAME_CHARS_MAX = 64
CARD_MIN = 2_000_000_000_000  # no smaller number is a card's

_SCAN_CHARS_MAX = 8192  # what is read of one text: secrets are searched before it is cut
_NESTED_CHARS_MAX = 128
_ITEMS_MAX = 16
_DEPTH_MAX = 2
_ERRORS_MAX = 5

# The text can come from an attacker, so no pattern may need more than linear time: each begins
# with a literal, and what may repeat without bound comes last and cannot fail.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY.*", re.DOTALL), REDACTED),
    (re.compile(r"\[parameters: .*", re.DOTALL), f"[parameters: {REDACTED}]"),  # SQLAlchemy's
    (
        re.compile(r"""(?i)(authorization|cookie)(\\?["']?\s{0,4}[=:]|["'],).*"""),
        rf"\1\2 {REDACTED}",
    ),
    (re.compile(r"""(?i)(bearer\s{1,4})[^\s"',;]+"""), rf"\1{REDACTED}"),
    (re.compile(r"""((?i:basic)\s{1,4})(?=[a-z]{0,32}[A-Z0-9+/=])[^\s"',;]+"""), rf"\1{REDACTED}"),
    (re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,4}"), REDACTED),
    (re.compile(r"://[^\s/?#@:]{0,256}:[^\s/?#]{0,512}@"), f"://{REDACTED}@"),
    (
        re.compile(
            r"(?i)(passw(?:or)?d|passphrase|pwd|secret|credential|cvv|cvc|api[_-]?key|token)"
            r"""([\w-]{0,32}(?:\\?["']?\s{0,4}[=:]|["'],)\s{0,4})"""
            r"""(?:\[redacted\]|b?\\?"[^"]*|b?'[^']*|[^\s,;&"')}\]]+)"""
        ),
        rf"\1\2{REDACTED}",
    ),
)
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_DIGIT_RUN = re.compile(
    rf"(?P<uuid>\b{_UUID}\b)"
    r"|(?<![0-9A-Za-z])(?<![0-9]\.)[0-9](?:[ -]?[0-9]){12,}(?![A-Za-z])"
)
_DIGITS = re.compile("[0-9]+")
_SUSPECT = re.compile(
    r"[=\[]|://|eyj|bearer\s|basic\s|private key|authorization|cookie|passw|passphrase|pwd|secret"
    r"|token|credential|api.?key|cv[cv]|[0-9](?:[ -]?[0-9]){12}"
)
_is_uuid = re.compile(_UUID).fullmatch


def is_suspicious(text: str) -> bool:
    """Say quickly whether a text may hold a secret by its shape; if so, `scrub` looks closely."""
    if len(text) == 36 and _is_uuid(text):
        return False
    return _SUSPECT.search(text.lower()) is not None


def scrub(text: str) -> str:
    """Return the text (at most its first 8,192 characters) with what looks secret replaced."""
    text = text[:_SCAN_CHARS_MAX]
    if not is_suspicious(text):
        return text
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return _DIGIT_RUN.sub(_hide_cards, text)


def bounded(value: object) -> object:
    """Return a value that is safe to encode: scrubbed, at most 1,024 characters, no objects."""
    plain = _plain(value, _DEPTH_MAX, VALUE_CHARS_MAX)
    if plain is None or isinstance(plain, str | int | float):
        return plain
    text = msgspec.json.encode(plain).decode()
    return plain if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + CUT


def hidden(value: object, names: Collection[str] = ()) -> object:
    """Return a decoded JSON value whole, with what looks secret replaced.

    Args:
        names: further names of fields under which secrets go.
    """
    match value:
        case str():
            return scrub(value) if len(value) <= _SCAN_CHARS_MAX else _hidden_long(value)
        case dict():
            items = cast("Mapping[str, object]", value).items()
            return {
                name: REDACTED
                if item is not None and (name in names or is_secret_name(name))
                else hidden(item, names)
                for name, item in items
            }
        case list():
            return [hidden(item, names) for item in cast("list[object]", value)]
        case _:
            return value


def _hidden_long(text: str) -> str:
    """Return the part of a long text that was looked at, and how much was left out."""
    return f"{scrub(text)}{CUT}"


def bounded_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Return at most twenty safe fields; what goes under a secret name is replaced."""
    return {
        str(name)[:NAME_CHARS_MAX]: REDACTED if is_secret_name(str(name)) else bounded(value)
        for name, value in islice(fields.items(), FIELDS_MAX)
    }


def describe(error: BaseException) -> str:
    """Return `Class: message`, scrubbed; a validation error without the values that it refused."""
    name = type(error).__name__
    try:
        if isinstance(error, ValidationError):
            return f"{name}: {scrub(_validation_problems(error))}"
        text = str(error)
    except Exception as broken:  # a user's __str__: a log line must not fail for it
        return f"{name}: [unprintable: {type(broken).__name__}]"
    return f"{name}: {scrub(text)}" if text else name


def _validation_problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
        for problem in problems[:_ERRORS_MAX]
    ]
    more = len(problems) - len(shown)
    return f"{error.title}: {'; '.join(shown)}" + (f"; {more} more" if more > 0 else "")


def _plain(value: object, depth: int, chars_max: int) -> object:
    match value:
        case None | bool():
            return value
        case Enum():
            return _plain(cast("object", value.value), depth, chars_max)
        case int():
            digits = str(value) if abs(value) < 2**63 else hex(value)
            return REDACTED if _is_card(digits) else value if abs(value) < 2**63 else digits[:64]
        case float():
            return round(value, 6)
        case str():
            return _cut(scrub(_encodable(value)), chars_max)
        case BaseException():
            return _cut(_encodable(describe(value)), chars_max)
        case UUID() | date() | time() | timedelta() | Decimal() | PurePath():
            return str(value)[:chars_max]
        case bytes() | bytearray():
            return f"<{type(value).__name__}, {len(value)} bytes>"
        case Mapping():
            return _plain_mapping(cast("Mapping[object, object]", value), depth - 1)
        case list() | tuple() | set() | frozenset():
            return _plain_items(cast("Collection[object]", value), depth - 1)
        case _:
            return f"<{type(value).__qualname__}>"


def _plain_mapping(value: Mapping[object, object], depth: int) -> object:
    if depth < 0:
        return f"<{len(value)} items>"
    plain: dict[str, object] = {}
    for key, item in islice(value.items(), _ITEMS_MAX):
        name = str(_plain(key, 0, NAME_CHARS_MAX))
        secret = is_secret_name(name)
        plain[name] = REDACTED if secret else _plain(item, depth, _NESTED_CHARS_MAX)
    if len(value) > _ITEMS_MAX:
        plain["…"] = f"{len(value) - _ITEMS_MAX} more"
    return plain


def _plain_items(value: Collection[object], depth: int) -> object:
    size = len(value)
    if depth < 0:
        return f"<{size} items>"
    plain = [_plain(item, depth, _NESTED_CHARS_MAX) for item in islice(value, _ITEMS_MAX)]
    if size > _ITEMS_MAX:
        plain.append(f"… {size - _ITEMS_MAX} more")
    return plain


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[:chars_max] + CUT


def _encodable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry (file names, broken decoders)."""
    text = text[:_SCAN_CHARS_MAX]
    return text.encode("utf-8", "backslashreplace").decode()


def _hide_cards(found: re.Match[str]) -> str:
    """Replace the card numbers in a run of digit groups; a UUID passes as it is."""
    run = found[0]
    if found["uuid"]:
        return run
    groups = [group.span() for group in _DIGITS.finditer(run)]
    kept, at, first = "", 0, 0
    while first < len(groups):
        begin = groups[first][0]
        for last in range(first, min(first + 19, len(groups))):
            end = groups[last][1]
            if _is_card(run[begin:end].replace(" ", "").replace("-", "")):
                kept, at, first = kept + run[at:begin] + REDACTED, end, last
                break
        first += 1
    return kept + run[at:]


def _is_card(digits: str) -> bool:
    """Say whether these are 13 to 19 digits that a card network issues and Luhn's sum accepts."""
    if not 13 <= len(digits) <= 19 or digits[0] not in "23456" or not digits.isdecimal():
        return False
    ordered = [int(digit) for digit in reversed(digits)]
    return sum(ordered[::2] + [sum(divmod(2 * digit, 10)) for digit in ordered[1::2]]) % 10 == 0
