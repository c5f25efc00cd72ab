"""What the documents show is what happens: every block is run, or compared with its source."""

import re
import shlex
from pathlib import Path

import pytest

from holdfast.cli.main import COMMANDS
from tests.docs.conftest import Page
from tests.docs.snippets import PAGES, ROOT, Block, blocks

READY = {"bash", "cd", "cp", "curl", "export", "git", "kill", "rm", "sqlite3"}
READY |= {"docker", "helm", "kubectl", "terraform"}
"""Programs that a reader has."""

SUBCOMMANDS = {
    "sagas": {"list", "show", "retry", "cancel"},
    "letters": {"retry-now"},
    "dead-letters": {"list", "show", "replay", "drop"},
}
HARMLESS = {"check", "graph", "sim"}
"""Commands of ours that are run, and whose output is compared."""

SLOW = {"shop"}
"""Systems that are run elsewhere."""


@pytest.mark.parametrize("source", PAGES, ids=lambda page: page.stem)
def test_blocks_do_what_they_show(source: Path, page: Page) -> None:
    """Python blocks run, in order, in one namespace; a text block after one is what it prints."""
    printed = ""
    for block in blocks(source):
        if block.language == "python" and not _is_quoted(block):
            printed = page.run(block)
        elif block.language == "text" and block.follows:
            assert printed.strip() == block.text.strip(), block.where
        elif block.language in ("console", "sh"):
            _check_commands(block, page)


@pytest.mark.parametrize("source", PAGES, ids=lambda page: page.stem)
def test_quoted_code_is_verbatim(source: Path) -> None:
    """A block that names a file of the repository is a piece of that file."""
    for block in blocks(source):
        if block.language == "python" and _is_quoted(block):
            code = block.text.partition("\n")[2].strip()
            assert block.path is not None
            assert code in (ROOT / block.path).read_text(), block.where


@pytest.mark.parametrize("source", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(source: Path) -> None:
    """Every relative link names a file of the repository, and its heading if it has one."""
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", source.read_text()):
        name, _, heading = target.partition("#")
        file = source.parent / name if name else source
        assert file.exists(), f"{source.name}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {_anchor(title) for title in headings}
            assert heading in anchors, f"{source.name}: {target}"


def _is_quoted(block: Block) -> bool:
    return block.path is not None and (ROOT / block.path).exists()


def _check_commands(block: Block, page: Page) -> None:
    """Check that each `$ ` line names something that exists; run what only reads."""
    commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not commands[0].strip(), f"{block.where}: a console block begins with `$ `"
    for command in commands[1:]:
        line, _, output = command.replace("\\\n", " ").partition("\n")
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        _check_words(words, block.where)
        if words and words[0] == "holdfast" and words[1] in HARMLESS and words[2] not in SLOW:
            code, printed = page.command(*words[1:])
            expected = int(line.endswith("# exits 1"))
            assert code == expected, f"{block.where}: {printed}"
            assert printed.strip() == output.strip() or not output.strip(), block.where


def _check_words(words: list[str], where: str) -> None:
    if not words:
        return
    program, *rest = [word for word in words if not word.startswith("-")]
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert rest[0] in targets, f"{where}: make {rest[0]}"
    elif program == "holdfast":
        assert rest[0] in COMMANDS, f"{where}: holdfast {rest[0]}"
        if rest[0] in SUBCOMMANDS:
            assert rest[1] in SUBCOMMANDS[rest[0]], f"{where}: holdfast {rest[0]} {rest[1]}"
    elif program.startswith(".venv/bin/"):
        assert (ROOT / program).exists(), f"{where}: {program}"
    else:
        assert program in READY, f"{where}: {program}"


def _anchor(title: str) -> str:
    """Return a heading as GitHub's anchor."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
