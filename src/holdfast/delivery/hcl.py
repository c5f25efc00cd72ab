"""HCL as `terraform fmt` lays it out: what is equal in a row of arguments stands in one column."""

import re
from collections.abc import Iterator
from typing import Final

_ARGUMENT: Final = re.compile(r'(\s*)("[^"]*"|[A-Za-z_][\w-]*)\s*=\s+(?!=)(.*)')
_OPENS: Final = re.compile(r"[{(\[]$")


def aligned(text: str) -> str:
    """Return a text with the equals signs of neighbours below each other.

    Neighbours are arguments in lines that follow each other, each with its value on the same line.
    """
    return "".join(_lines(text.splitlines(keepends=True)))


def _lines(lines: list[str]) -> Iterator[str]:
    row: list[tuple[str, str, str]] = []
    for line in lines:
        found = _ARGUMENT.fullmatch(line.rstrip("\n"))
        if found is None or _OPENS.search(found[3]):
            yield from _row(row)
            row = []
            yield line
        else:
            row.append((found[1], found[2], found[3]))
    yield from _row(row)


def _row(row: list[tuple[str, str, str]]) -> Iterator[str]:
    width = max((len(name) for _, name, _ in row), default=0)
    for indent, name, value in row:
        yield f"{indent}{name:{width}} = {value}\n"
