"""Reads the tables of docs/protocol.md, and writes where each safeguard is: `make reference`."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.ablations.off import DOUBLES
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


def safeguards(text: str) -> dict[str, list[str]]:
    """Return {switch: its cells: what goes wrong without it, where it is, its test}."""
    _, _, found = text.partition("\n## Safeguards\n")
    return {cells[0].strip("`"): cells[1:] for cells in rows(found.partition("\n## ")[0])}


def with_places(text: str) -> str:
    """Return the page with the functions that ask a switch, or of which the tests have doubles."""
    asked: defaultdict[str, defaultdict[str, dict[str, None]]]
    asked = defaultdict(lambda: defaultdict(dict))
    folder = ROOT / "src" / "holdfast"
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder).with_suffix("").as_posix().removeprefix("consistency/")
        for switch, function in _asked(ast.parse(file.read_text())):
            asked[switch][path][function] = None
    for switch, doubles in DOUBLES.items():
        for path, function in (double.place for double in doubles):
            asked[switch][path][function] = None
    for switch, (wrong, _, test) in safeguards(text).items():
        where = "; ".join(
            f"`{path}`: {', '.join(f'`{name}`' for name in functions)}"
            for path, functions in asked[switch].items()
        )
        text = re.sub(
            rf"^\| `{switch}` \|.*$",
            f"| `{switch}` | {wrong} | {where} | {test} |",
            text,
            flags=re.MULTILINE,
        )
    return text


def _asked(node: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """Yield (attribute of a `safe`, the innermost function that asks for it)."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "safe":
        yield node.attr, function
    for child in ast.iter_child_nodes(node):
        yield from _asked(child, function)


if __name__ == "__main__":
    PAGE.write_text(with_places(PAGE.read_text()))
