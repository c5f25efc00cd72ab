"""A request's path in its one spelling, so that what is authorised is what is served.

`/%6frders`, `/./orders` and `/x/../orders` are other spellings of `/orders`. The server brings each
path into one form before anybody looks at it: what the router compares, what the log says and what
a mounted app receives are the same path. Source: RFC 3986, sections 6.2.2 and 5.2.4.
"""

import re
from urllib.parse import unquote

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_SLASHES = re.compile("//+")
may_not_be_normal = re.compile(r"[%\\]|/\.").search
"""Finds what alone can keep a path from being its own normal form."""
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normal_path(raw: str) -> str:
    """Return a path in its normal form.

    Unreserved characters are not escaped, hex digits are upper case and dot segments are gone. What
    stays escaped (`%2F`, `%25`, `%00`) is data: to decode it is up to whoever reads a single
    segment. Empty segments stay: `//orders` is another path. The normal form of a normal form is
    itself.

    Args:
        raw: percent-encoded, starts with "/", without the query.
    Raises:
        ValueError: a `%` without two hex digits, or a backslash, which browsers read as a slash.
    """
    if "%" in raw:
        raw = _ESCAPE.sub(_spelled, raw)
    if "\\" in raw:
        raise ValueError("a path has no backslash; write %5C where one is meant")
    if "/." in raw:
        return _without_dots(raw)
    return raw


def loosest_reading(path: str) -> str | None:
    """Return a normal path as the most forgiving reader would have it, or None: there are several.

    Everything is decoded, a backslash is a slash, and slashes that follow each other are one. An
    ASGI app is given its path decoded, so that it may see slashes, and even dots to follow, where
    the router saw data.
    """
    decoded = unquote(path).replace("\\", "/")
    segments = decoded.split("/")
    if "." in segments or ".." in segments:
        return None
    return _SLASHES.sub("/", decoded)


def _spelled(found: "re.Match[str]") -> str:
    digits = found[1]
    if digits is None:
        raise ValueError("a % in a path is followed by two hex digits; write %25 for the sign")
    character = chr(int(digits, 16))
    return character if character in _UNRESERVED else f"%{digits.upper()}"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return f"/{'/'.join(kept)}"
