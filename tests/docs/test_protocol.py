"""docs/protocol.md says of tables, states, moves and safeguards what the code has."""

import ast
import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args
from xml.etree import ElementTree

import pytest

from holdfast import consistency
from holdfast.contract.envelope import Kind, Outcome, State
from holdfast.engines.versions import holdfast_1 as newest
from tests.ablations import off as ablations
from tests.consistency import model
from tests.consistency.test_model import ALL_RULES, STEP, explore
from tests.docs.protocol import MOVES, PAGE, Move, columns, names, rows, safeguards, with_places
from tests.docs.snippets import ROOT, section

SAFEGUARDS = {
    switch: test.strip("`") for switch, (*_, test) in safeguards(PAGE.read_text()).items()
}
NONE = "–"


@pytest.mark.parametrize("table", ["edge", "message", "saga", "step"])
def test_every_column_is_told(table: str) -> None:
    """The four tables are those that a new database gets, column by column."""
    database = sqlite3.connect(":memory:")
    database.executescript(newest.SQLITE)
    made = [row[1] for row in database.execute(f"PRAGMA table_info(holdfast_{table})")]
    database.close()

    assert columns(table) == made


def test_every_word_of_the_protocol_is_told() -> None:
    """Kinds, states and outcomes of answers each have a row."""
    assert names("### Kinds") == [kind.value for kind in Kind]
    assert names("### States") == [state.value for state in State]
    assert names("## On the wire") == list(get_args(Outcome))


def test_the_picture_has_the_moves_of_the_table() -> None:
    """Each arrow is a row, and each row an arrow."""
    picture = ElementTree.parse(ROOT / "docs" / "protocol-states.svg")
    arrows = [found.get("id", "") for found in picture.iter() if found.tag.endswith("}path")]

    assert sorted(arrows) == sorted(".".join((side.lower(), *move)) for side, *move in MOVES)


def test_the_model_makes_no_other_move() -> None:
    """What the searched model does to its rows is in the table."""
    made: set[Move] = set()

    def watched(
        move: Callable[[model.State, model.Rules], Iterator[model.State]],
    ) -> Callable[[model.State, model.Rules], Iterator[model.State]]:
        @functools.wraps(move)
        def moves(s: model.State, on: model.Rules) -> Iterator[model.State]:
            for after in move(s, on):
                made.update(
                    (side, word(was), word(state))
                    for side, was, state in (
                        ("IN", s.row, after.row),
                        ("IN", s.undo_row, after.undo_row),
                        ("OUT", s.command, after.command),
                        ("OUT", s.closing, after.closing),
                    )
                    if was != state
                )
                yield after

        return moves

    def word(state: str) -> str:
        return {"absent": NONE, "none": NONE, "gone": NONE, "failed": "done"}.get(state, state)

    for kind in ("undo", "withdraw"):
        start = model.State(undoable=kind == "undo", workers=("idle",))
        explore(replace(STEP, moves=[*map(watched, STEP.moves)]), start, ALL_RULES)

    assert made <= MOVES
    assert {("IN", NONE, "refused"), ("IN", "dead", "due"), ("OUT", "held", NONE)} <= made


def test_every_safeguard_has_its_row() -> None:
    """Here, and by name in the table of what the simulator finds."""
    found = rows(section(ROOT / "docs" / "simulation.md", "## Is anything found?"))

    assert SAFEGUARDS.keys() == ablations.SAFEGUARDS
    assert [row[0].strip("`") for row in found] == sorted(SAFEGUARDS)


def test_every_safeguard_is_where_the_page_says() -> None:
    """In those functions and no others: `make reference` writes them."""
    text = PAGE.read_text()

    assert text == with_places(text), "run `make reference`"
    assert all(where for _, where, _ in safeguards(text).values())


@pytest.mark.parametrize("switch", SAFEGUARDS)
def test_a_safeguard_is_switched_off_by_its_test(switch: str) -> None:
    """The test of the row is there, and names the switch."""
    file, _, name = SAFEGUARDS[switch].partition("::")
    text = (ROOT / file).read_text()
    [test] = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    first = min([test, *test.decorator_list], key=lambda node: node.lineno).lineno
    body = "\n".join(text.splitlines()[first - 1 : test.end_lineno])

    assert f'"{switch}"' in body


def test_what_the_page_names_is_there() -> None:
    """Files, and the tests in them."""
    for path, _, name in re.findall(
        r"`((?:tests|src)/[\w/]+\.(?:py|md))(::(\w+))?`", PAGE.read_text()
    ):
        text = (ROOT / path).read_text()
        assert f"def {name}(" in text or not name, f"{path}::{name}"


def test_the_folder_has_a_map() -> None:
    """The docstring of `consistency` has a line for each of its files."""
    folder = ROOT / "src" / "holdfast" / "consistency"
    lines = re.findall(r"^    (\w+) ", consistency.__doc__ or "", re.MULTILINE)

    assert sorted(lines) == sorted(f.stem for f in folder.glob("*.py") if f.stem != "__init__")
