"""YAML as its many readers read it: texts that one of them takes for something else."""

import re
from collections.abc import Iterator

import yaml

_NUMBER = re.compile(
    r"[-+]?(\d[\d_]*)?\.?\d[\d_]*([eE][-+]?\d+)?|[-+]?\.(inf|nan)|0[oOxXbB][\da-fA-F_]+", re.I
)
_SIXTY = re.compile(r"[-+]?\d+(:[0-5]?\d)+(\.\d*)?")
"""Base 60 of YAML 1.1: `22:22` is a number to some."""
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "none"))


def spelling_problems(text: str, *, keys: frozenset[str] = frozenset()) -> list[str]:
    """Return plain scalars that are a text to one reader of YAML and something else to another.

    PyYAML (YAML 1.1), Go's readers of kubectl and Helm, and Kustomize differ on `on`, `08`,
    `1234567e8`, `22:22` and dates. What is quoted, or plainly a whole number, is read alike.

    Args:
        keys: words that may stand as plain keys, such as `on` in a workflow.
    """
    return [
        f"line {node.start_mark.line + 1}: {node.value!r} is not quoted: {why}"
        for node in _plain(text)
        for why in _doubts(node)
        if node.value not in keys
    ]


def _plain(text: str) -> Iterator[yaml.ScalarNode]:
    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        stack = [document]
        while stack:
            node = stack.pop()
            if isinstance(node, yaml.MappingNode):
                stack += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                stack += node.value
            elif isinstance(node, yaml.ScalarNode) and node.style is None:
                yield node


def _doubts(node: yaml.ScalarNode) -> Iterator[str]:
    word = node.value
    if word.lower() in _WORDS and word not in ("true", "false", "null"):
        yield "a truth value or nothing to some readers"
    elif _DATE.fullmatch(word):
        yield "a date to some readers"
    elif _SIXTY.fullmatch(word):
        yield "a number of base 60 to some readers"
    elif _NUMBER.fullmatch(word) and not _is_plainly_a_number(word):
        yield "a number to some readers"


def _is_plainly_a_number(word: str) -> bool:
    """Whether it is an integer or a decimal that all readers take for the same number."""
    return bool(re.fullmatch(r"-?(0|[1-9]\d{0,17})(\.\d+)?", word))
