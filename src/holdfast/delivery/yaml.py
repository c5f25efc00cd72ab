"""YAML as text: the same bytes for the same value, and no text that is read as something else.

What YAML 1.1 and 1.2 and their many readers take a plain word for differs (`on`, `1e3`, `0o7`,
`2026-11-30`), so whatever is not plainly a word is quoted.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Value = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool | None
"""What can be written; keys keep their order."""

_PLAIN: Final = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./$-]*(?: [A-Za-z0-9_./$-]+)*")
_SPECIAL: Final = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf")
)


def dump(value: Value) -> str:
    """Return a document, ended by a line break."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Value) -> Iterator[str]:
    """Yield the lines of a value that stands by itself."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _under(f"{text(key)}:", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for inner in value:
            first, *rest = _lines(inner) if _nests(inner) else _under("", inner)
            yield f"- {first.lstrip()}"
            yield from (f"  {line}" if line else "" for line in rest)
    else:
        yield _scalar(value)


def _under(head: str, value: Value) -> Iterator[str]:
    """Yield the lines of a value behind a key."""
    if _nests(value):
        yield head
        yield from (f"  {line}" if line else "" for line in _lines(value))
    elif isinstance(value, str) and _is_block(value):
        yield f"{head} |-"
        yield from (f"  {line}" if line else "" for line in value.split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _nests(value: Value) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str) and bool(value)


def _is_block(text: str) -> bool:
    """Whether a text can stand as a literal block: several lines, none that a block changes."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and all(line == line.rstrip() and line.isprintable() for line in lines)
        and bool(lines[-1])
        and not lines[0].startswith((" ", "#"))
        and bool(lines[0])
    )


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | int | float):
        number = json.dumps(value, allow_nan=False)
        # YAML 1.1 reads 1e+16 as a text.
        whole = isinstance(value, float) and "." not in number
        return number.replace("e", ".0e") if whole else number
    return "{}" if isinstance(value, Mapping) else "[]"


def text(value: str) -> str:
    """Return a text as a scalar: quoted where a reader would take it for something else."""
    if _PLAIN.fullmatch(value) and value.lower() not in _SPECIAL:
        return value
    if value.isprintable() and ('"' in value or "\\" in value):
        return "'" + value.replace("'", "''") + "'"
    return "".join(
        c if c.isprintable() else _escape(c) for c in json.dumps(value, ensure_ascii=False)
    )


def _escape(character: str) -> str:
    return f"\\U{ord(character):08x}"
