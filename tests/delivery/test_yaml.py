"""YAML comes back from its readers as what was written, and is the same bytes each time."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from holdfast.delivery.yaml import Value, dump

TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(" \n#:-'\"\\{}[]|>&*!%@`,?ab0", max_size=12),
    st.sampled_from(["on", "No", "1e3", "0o7", "1_000", "12:30:45", "2026-11-30", ".5", "~", "<<"]),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_back(value: Value) -> None:
    """Whatever stands in a text, and however deep it is."""
    assert yaml.safe_load(dump(value)) == value


@pytest.mark.parametrize(
    "text", ["on", "No", "y", "1e3", "0o7", "0x1", "30", "1_000", "5m", "~", ""]
)
def test_a_text_that_some_reader_takes_for_something_else_is_quoted(text: str) -> None:
    """YAML 1.1 and 1.2 differ in what is a number or a truth value."""
    assert dump({"key": text}) == f'key: "{text}"\n'


def test_it_is_laid_out_for_people() -> None:
    """Blocks for what has several lines, single quotes around what has quotes in it."""
    value: Value = {
        "groups": [{"name": "shop users", "rules": [], "empty": {}}, ["a", [1, True]]],
        "expr": 'up{job="shop"}\n> 0',
        "one": 'up{job="shop"}',
    }

    assert dump(value) == (
        "groups:\n"
        "  - name: shop users\n"
        "    rules: []\n"
        "    empty: {}\n"
        "  - - a\n"
        "    - - 1\n"
        "      - true\n"
        "expr: |-\n"
        '  up{job="shop"}\n'
        "  > 0\n"
        "one: 'up{job=\"shop\"}'\n"
    )
