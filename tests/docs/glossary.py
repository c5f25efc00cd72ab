"""The glossary as tests read it: the words that users meet, and those of the code inside."""

import re
from pathlib import Path

import holdfast

PAGE = Path(holdfast.__file__).parents[2] / "docs" / "glossary.md"
TABLES = {"public": 0, "inside": 1}


def entries(part: str) -> list[list[str]]:
    """Return the words of each table of a part, as they stand."""
    text = PAGE.read_text().split("\n## Inside\n")[TABLES[part]]
    tables = [re.findall(r"^\| \*\*(.+?)\*\*", one, re.MULTILINE) for one in text.split("\n### ")]
    return [table for table in tables if table]


def words(part: str) -> set[str]:
    """Return every single word that is explained there, in its singular and its plural."""
    found = {w for table in entries(part) for e in table for w in re.findall(r"[a-z]+", e.lower())}
    return found | {f"{word}s" for word in found} | {word.removesuffix("s") for word in found}


def parts(name: str) -> list[str]:
    """Return the words that a name of a class or a function is made of."""
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
