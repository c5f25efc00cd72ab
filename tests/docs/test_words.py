"""One word for one thing: classes have names of their own, made of words that are explained."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import holdfast
from tests.docs.glossary import entries, parts, words

PACKAGE = Path(holdfast.__file__).parent

TWICE = {"Answer", "Client"}
"""Public in `holdfast.testing` and in `holdfast.simulation`: each is the one of its world."""

_ORDINARY = """
abandoned advice again already amnesia apps asgi asks below blocking bodies body broken broker
bucket buffer bytes cache cached call chance claims clock connection connections context control
counter counts cut daily database databases date declaration declared dialect difference discover
dollar driver due engines entry every exposition failed family fault fetcher filter finished fixed
forwarded gate health here histogram history host http input inputs jump killed kind lag life
lifespan line listener listeners live loaded log logger loop lost matching memory metric metrics
moment mounted nats network not one only open operation operations options order other owner pages
parameter parent passed pause phase places postgres process proxies queries question random reader
reading ready recent record redis request requests response restart rewrite route router rules run
running runs sample savepoints secret send sent server servers setup signals signature signed signer
signing sim simulated sleep source span split sqlite start state statements stats stays stopped
store stored stream streams tables tail taken tally threads ticks tracer tx type unread url use
verbatim verified verifier verifiers verifying view wanted watch watches where while workers write
writes writing
"""
ORDINARY = frozenset(_ORDINARY.split())
"""Words of classes that mean in Holdfast what they mean elsewhere."""


def classes() -> dict[str, list[str]]:
    """Return {name: the files that have a class of that name}; private ones are their files'."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(file.relative_to(PACKAGE)))
    return found


def test_a_name_is_one_class() -> None:
    """Whoever reads a name knows which class is meant, without its import."""
    twice = {name: files for name, files in classes().items() if len(files) > 1}

    assert set(twice) == TWICE, twice


def test_every_word_of_a_class_is_explained() -> None:
    """The glossary has it, inside or outside; errors explain themselves."""
    known = words("public") | words("inside") | ORDINARY
    unknown = {
        (word, name)
        for name, files in classes().items()
        for word in parts(name)
        if files != ["errors.py"] and word not in known
    }

    assert unknown == set(), "explain it in docs/glossary.md, below Inside"


@pytest.mark.parametrize("part", ["public", "inside"])
def test_the_glossary_is_sorted(part: str) -> None:
    """A word is found where the alphabet puts it, and stands in its table once."""
    for table in entries(part):
        found = [word.lower() for word in table]

        assert found == sorted(set(found))
