"""Reads the tables of docs/protocol.md."""

import re

from tests.docs.snippets import ROOT, section

PAGE = ROOT / "docs" / "protocol.md"
Move = tuple[str, str, str]
"""IN or OUT, the state that was, the state that is; – is no row."""


def rows(text: str) -> list[list[str]]:
    """Return the cells of a text's tables, row by row, without their heads."""
    lines = re.findall(r"^\| (.+) \|$(?!\n\|---)", text, re.MULTILINE)
    return [line.split(" | ") for line in lines]


def names(title: str) -> list[str]:
    """Return what the rows of a section are about."""
    text, *_ = re.split(r"^#", section(PAGE, title), maxsplit=1, flags=re.MULTILINE)
    return [row[0].strip("`") for row in rows(text)]


def columns(table: str) -> list[str]:
    """Return the columns of one of the four tables."""
    found = re.search(rf"^`{table}`: (?:.+\n)+\n((?:\|.+\n)+)", PAGE.read_text(), re.MULTILINE)
    assert found, f"there is no table of `{table}`"
    return [row[0].strip("`") for row in rows(found[1])]


MOVES = frozenset[Move](
    (side, was, state) for side, was, state, _ in rows(section(PAGE, "## The states of a row"))
)
