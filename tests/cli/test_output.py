"""Tables on a terminal, plain lines in a pipe."""

import os
import pty
import subprocess

import pytest

from holdfast.cli.output import cell, print_rows
from tests.cli.conftest import COMMAND, Cli

ROWS = [{"id": "a", "error": "it\nfell\tover"}, {"id": "b", "error": None}]


def test_a_pipe_gets_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells are separated by tabs, and hold neither tabs nor line ends of their own."""
    print_rows(ROWS, ("id", "error"), nothing="None.")

    assert capsys.readouterr().out == "a\tit fell over\nb\t-\n"


def test_an_empty_list_prints_nothing_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that counts lines must count none."""
    print_rows([], ("id", "error"), nothing="None.")

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (3, "3"), ({"kg": 1}, '{"kg":1}'), ("\x1b[2J", " [2J")],
)
def test_a_cell_is_one_harmless_line(value: object, text: str) -> None:
    """A hostile value cannot move the terminal's cursor."""
    assert cell(value) == text


def test_a_terminal_gets_a_table_with_titles(cli: Cli) -> None:
    """The same command prints titles and aligned columns for people."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [*COMMAND, "graph", "tiny"],
            cwd=cli.folder,
            env=cli.environ({"COLUMNS": "100", "TERM": "dumb"}),
            stdout=theirs,
            timeout=300,
            check=True,
        )
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(theirs)
        os.close(ours)

    titles = next(line for line in shown.splitlines() if "sender" in line)
    assert titles.split() == ["sender", "receiver", "kind", "message"]
    assert "\t" not in shown
    assert "Pack.v1" in shown
