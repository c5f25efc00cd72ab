"""Every promise names the tests behind it, and they exist."""

import re

import pytest

from tests.docs.snippets import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
PROMISES, NOT_PROMISED = PAGE.split("\n## Not promised\n")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("section", PROMISES.split("\n## ")[1:], ids=lambda s: s.split("\n")[0])
def test_a_promise_has_tests(section: str) -> None:
    """Each section names at least one test, and each named test is defined in its file."""
    named = _TEST.findall(section)

    assert named
    for file, name in named:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text()), f"{file}::{name}"


def test_what_is_not_promised_is_said() -> None:
    """The page ends with what a reader might expect and does not get."""
    items = re.findall(r"^- \*\*(.+?)\*\*", NOT_PROMISED, re.MULTILINE)

    assert len(items) >= 10
