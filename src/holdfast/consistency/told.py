"""What is written down of an error: what it says, and where in the user's code it was raised."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import cast

Describe = Callable[[BaseException], str]
"""Returns what an error says, without secrets."""

_LIBRARIES = str(Path(asyncio.__file__).parents[1])
_OURS = __name__.partition(".")[0]


def plain(error: BaseException) -> str:
    """Return `Class: message`."""
    return f"{type(error).__name__}: {error}"


def told(error: BaseException, describe: Describe = plain) -> str:
    """Return what an error says, and below it where it was raised."""
    place = place_of(error)
    return f"{describe(error)}{_AT}{place}" if place else describe(error)


_AT = "\nat "


def parted(text: str) -> tuple[str, str]:
    """Return what `told` made in its two parts: what the error says, and where it was raised."""
    said, at, place = text.rpartition(_AT)
    return (said, place) if at else (text, "")


def place_of(error: BaseException) -> str:
    """Return `file:line in function` of the innermost frame of the user's code; "" without one.

    The first frame that is neither ours nor of the language is the user's function; others of its
    package are the user's too, and so is what was not installed among the libraries.
    """
    while isinstance(error, BaseExceptionGroup):  # its own frame is that of the group's end
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    entry, place = "", ""
    for frame, line in walk_tb(error.__traceback__):
        package = _package_of(frame)
        if package == _OURS or package in sys.stdlib_module_names:
            continue
        file = frame.f_code.co_filename
        installed = file.startswith(("<", _LIBRARIES)) or "-packages" in file
        if package == entry or not installed or (not entry and package not in _BELOW_US):
            entry = entry or package
            place = f"{file}:{line} in {frame.f_code.co_name}"
    return place


_BELOW_US = frozenset(
    ("anyio", "asyncpg", "httptools", "msgspec", "nats", "pydantic", "redis", "sqlalchemy")
)
"""What we call ourselves: its frames below ours are no user's."""


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__") or ""
    return name.partition(".")[0]


def first_line(text: str) -> str:
    """Return the first line of a text."""
    return text.split("\n", 1)[0]
