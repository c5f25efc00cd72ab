"""What users write passes both type checkers; what they must not write is refused by both.

The files of `written/` are the calls of a user. A line that ends with `# E: word` must be an error
whose text has that word; no other line may be one.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = sorted((Path(__file__).parent / "written").glob("*.py"))

Found = dict[tuple[str, int], str]
"""{(file, line): what a checker says there, lower case}."""


def expected() -> Found:
    """Return the lines that must be errors, with the word that their error must have."""
    return {
        (path.name, number): match[1].lower()
        for path in WRITTEN
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := re.search(r"# E: (\w+)$", line))
    }


def run(*command: str) -> str:
    """Return what a checker prints about the written files."""
    files = [str(path) for path in WRITTEN]
    done = subprocess.run(
        [sys.executable, "-m", *command, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def mypy() -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, text) of each error."""
    output = run(
        "mypy", "--strict", "--no-error-summary", "--no-pretty", "--explicit-package-bases"
    )
    for line in output.splitlines():
        match = re.match(r"(?:.*/)?(\w+\.py):(\d+): error: (.*)", line)
        if match:
            yield match[1], int(match[2]), match[3]


def pyright() -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, text) of each error; the rule's name is a part of the text."""
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable)
    for found in json.loads(output)["generalDiagnostics"]:
        if found["severity"] == "error":
            text = f"{found['message']} {found.get('rule', '')}"
            yield Path(found["file"]).name, found["range"]["start"]["line"] + 1, text


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_checker_refuses_what_it_must_and_nothing_else(checker) -> None:  # type: ignore[no-untyped-def]  # one of the two above
    """Replies, undos, awaits, gathers, starts, failures and handlers are checked as declared."""
    found: Found = {}
    for file, line, text in checker():
        found[file, line] = f"{found.get((file, line), '')} {text.lower()}"

    wanted = expected()
    assert {place: text for place, text in found.items() if place not in wanted} == {}
    assert [place for place in wanted if place not in found] == []
    assert [(place, word) for place, word in wanted.items() if word not in found[place]] == []
