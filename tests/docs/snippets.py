"""Reads the fenced blocks of the documents."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"# ([\w./-]+\.py)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        line: where its text begins in the page, counted from 1.
        follows: nothing but blank lines is between it and the block before.
    """

    page: Path
    line: int
    language: str
    text: str
    follows: bool

    @property
    def path(self) -> str | None:
        """The file that a Python block belongs to, named by a comment in its first line."""
        named = _PATH.match(self.text)
        return named[1] if named else None

    @property
    def where(self) -> str:
        """The place in the page, as a test that failed names it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text()
    end = 0
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start(2)) + 1
        follows = end > 0 and not text[end : found.start()].strip()
        yield Block(page, line, found[1], found[2], follows)
        end = found.end()


def section(page: Path, title: str) -> str:
    """Return what stands between a heading and the next one of its rank."""
    rank, text = title.split(" ")[0], page.read_text()
    _, found, rest = text.partition(f"\n{title}\n")
    assert found, f"{page.name} has no heading {title!r}"
    return re.split(rf"^{rank} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
