"""The trip of an order in docs/architecture.md goes by files and functions that are there."""

import ast
import functools
import re
from xml.etree import ElementTree

import pytest

from tests.docs.snippets import ROOT, section

TRIP = section(ROOT / "docs" / "architecture.md", "## Life of an order")
PACKAGE = ROOT / "src" / "holdfast"
STOPS = dict(re.findall(r"^\| (\d+) \| .+ \| (`[^|]+) \|$", TRIP, re.MULTILINE))


def places(text: str) -> list[tuple[str, str]]:
    """Return (file, function) of what is in backquotes; a function is in the file before it."""
    found, file = list[tuple[str, str]](), ""
    for name in re.findall(r"`([\w/.]+)`", text):
        if name.endswith(".py"):
            file = name
        else:
            found.append((file, name))
    return found


@functools.cache
def names(file: str) -> frozenset[str]:
    """Return the functions and classes of a file, and `Class.method`."""
    found = set[str]()
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
            found.update(
                f"{node.name}.{part.name}"
                for part in ast.iter_child_nodes(node)
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
            )
    return frozenset(found)


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_is_where_the_page_says(stop: str) -> None:
    """Each file has the functions that are named after it."""
    found = places(STOPS[stop])

    assert found
    for file, name in found:
        assert name in names(file), f"stop {stop}: {file} has no {name}"


def test_what_else_the_page_names_is_there() -> None:
    """Functions outside of the table are among those of the table, files are in the tree."""
    told = {name for where in STOPS.values() for _, name in places(where)}
    named = set(re.findall(r"`([A-Z]\w+\.\w+)`", TRIP))

    assert named and named <= told
    assert all((PACKAGE / file).exists() for file in re.findall(r"`([\w/]+\.py)`", TRIP))


def test_the_picture_goes_the_same_way() -> None:
    """Its stops are the page's, in their order, each at the first place that the page names."""
    picture = ElementTree.parse(ROOT / "docs" / "trip.svg")
    drawn = [
        (found.get("id", ""), found.text)
        for found in picture.iter()
        if found.get("id", "").startswith("stop.")
    ]

    assert [stop for stop, _ in drawn] == [f"stop.{n}" for n in range(1, len(STOPS) + 1)]
    assert drawn == [(f"stop.{n}", places(where)[0][1]) for n, where in STOPS.items()]
