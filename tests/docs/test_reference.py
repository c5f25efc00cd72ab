"""docs/reference.md is what the code says, and misses nothing that a reader needs."""

import re
from pathlib import Path

import pytest

import holdfast
from tests.docs import reference
from tests.docs.glossary import entries, parts, words
from tests.docs.snippets import PAGES, ROOT, blocks

_IMPORT = re.compile(
    r"^from (holdfast(?:\.\w+)*) import (?:\(([^)]*)\)|([^\n(]+))$", re.MULTILINE | re.DOTALL
)
INSIDE = ("shop/processor", "shop/demo")
"""Parts of the shop that are built from Holdfast's own parts: a third party, and its auditor."""


def imported(text: str) -> set[tuple[str, str]]:
    """Return {(module, name)} of what a text imports from Holdfast."""
    return {
        (module, name)
        for module, many, one in _IMPORT.findall(text)
        for name in re.split(r"[,\s]+", re.sub(r" as \w+", "", many or one).strip(" ,\n"))
    }


def known() -> set[tuple[str, str]]:
    """Return {(module, name)} of what the page explains."""
    names = {("holdfast", name) for _, group in reference.groups() for name in group}
    for module, _, places in reference.PLACES.values():
        names |= {(module, name) for name in places}
    return names | {("holdfast.errors", name) for name in vars(reference.errors)}


def test_the_page_is_the_code() -> None:
    """Whoever changes a signature or a docstring writes the page again."""
    same = reference.PAGE.read_text() == reference.page()

    assert same, "docs/reference.md is older than the code: run `make reference`, and commit it"


def test_every_public_name_is_there() -> None:
    """The groups of `holdfast/__init__.py` hold what it exports, and each has its heading."""
    text = reference.PAGE.read_text()

    grouped = [name for _, names in reference.groups() for name in names]
    assert sorted(grouped) == sorted(holdfast.__all__)
    for module, name in known():
        if module != "holdfast.errors":
            assert f"\n### {name}\n" in text, f"{module}.{name}"


@pytest.mark.parametrize("source", PAGES, ids=lambda page: page.stem)
def test_what_a_page_imports_is_explained(source: Path) -> None:
    """No page shows a name of Holdfast's that the reference does not have."""
    for block in blocks(source):
        if block.language == "python":
            assert imported(block.text) <= known(), block.where


def test_what_the_shop_imports_is_explained() -> None:
    """The shop is written with names that a user may use."""
    for file in (ROOT / "shop").rglob("*.py"):
        if not str(file.relative_to(ROOT)).startswith(INSIDE):
            assert imported(file.read_text()) <= known(), file.name


def test_everything_that_is_declared_has_its_meaning() -> None:
    """Each field has a line in its class's docstring, each method and function a sentence."""
    text = reference.PAGE.read_text()

    assert re.findall(r"^\| `\w+` \| .* \|  \|$", text, re.MULTILINE) == []
    assert re.findall(r"```py\n((?:(?!```).)*)```\n\n(?:```|#)", text, re.DOTALL) == []


EVERYDAY = {
    *(
        "broken",
        "clock",
        "counter",
        "hash",
        "histogram",
        "is",
        "matches",
        "outcome",
        "outdated",
        "password",
        "play",
        "public",
    ),
    *("run", "running", "setup", "signer", "signing"),
}
"""Words of public names that mean what they mean elsewhere."""


def test_every_word_of_a_public_name_is_explained() -> None:
    """The glossary has it; errors explain themselves."""
    explained = words("public") | {"tx", "mounted"} | EVERYDAY

    for module, name in sorted(known()):
        if module != "holdfast.errors":
            assert set(parts(name)) <= explained, f"explain {parts(name)} in docs/glossary.md"


ORDINARY = {
    *("budget", "bulkhead", "client", "data folder", "effect", "field", "header", "key", "model"),
    *("outside", "port", "reached", "read", "retry", "system", "token", "transaction"),
    *("cancelled", "environment", "offer", "unanswered"),
}
"""Words that a reader brings along, or that come in code or in another sense first."""


def test_the_guide_explains_its_words_where_they_come() -> None:
    """A word of the glossary is marked, or stands in a heading, where it comes first."""
    guide = (ROOT / "docs" / "guide.md").read_text().partition("\n## Words\n")[2]
    begun, _, rest = guide.partition("\n## ")
    first_words = {word.lower() for word in re.findall(r"\*\*(.+?)\*\*", begun)}
    prose = re.sub(r"```.*?```|\]\([^)\s]+\)", "", "\n## " + rest, flags=re.DOTALL)
    for word in (word for table in entries("public") for word in table):
        first = re.search(rf"(?<!-)\b{word}(?:s|es)?\b", prose, re.IGNORECASE)
        if first is None or word.lower() in first_words | ORDINARY:
            continue
        line = prose[prose.rfind("\n", 0, first.start()) + 1 : first.end() + 2]
        marked = re.search(rf"\*{word}(?:s|es)?\*", line, re.IGNORECASE)
        assert marked or line.startswith("#"), f"{word!r} is not explained in {line!r}"
