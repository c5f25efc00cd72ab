"""The tree of errors that a reader sees first is the tree of the classes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from holdfast import errors

LEVEL = 4
"""Characters by which the drawing is indented for each level."""


def drawn() -> dict[str, str]:
    """Return {error: its parent} as drawn at the top of the file."""
    assert errors.__doc__ is not None
    above: list[str] = ["Exception"]
    found: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        art, names = re.fullmatch(r"([│├└─ ]*)(.*?)", line).groups()  # type: ignore[union-attr]  # it matches all
        if not names or (not art and names.split()[0] != "HoldfastError"):
            continue
        level = len(art) // LEVEL
        kinds = re.split(r"\s{2,}", names)[0].split(" · ")
        found |= dict.fromkeys(kinds, above[level])
        above[level + 1 :] = [kinds[-1]]
    return found


def test_the_drawing_is_the_tree() -> None:
    """Every class stands below its parent, and nothing else is drawn."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.HoldfastError)
    ]

    assert drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in kinds}


def test_every_code_is_one_errors() -> None:
    """A client that looks at the code knows which error it was."""
    codes = [
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.HoldfastError)
        and "code" in vars(kind)
    ]

    assert sorted(codes) == sorted(set(codes))


OTHER_WORDS = {
    "HoldfastError": "internal",
    "CallError": "call_failed",
    "RequestError": "bad_request",
    "Stray": "stray_cancellation",
}
"""Codes that do not say what the class is called."""


def coded() -> Iterator[tuple[str, str]]:
    """Return (class, code) of every class in the source that says its code."""
    for file in Path(errors.__file__).parent.rglob("*.py"):
        for kind in ast.walk(ast.parse(file.read_text())):
            for line in kind.body if isinstance(kind, ast.ClassDef) else ():
                match kind, line:
                    case ast.ClassDef(name), ast.Assign([ast.Tuple(names)], ast.Tuple(values)):
                        given = dict(zip(map(ast.unparse, names), values, strict=True))
                    case ast.ClassDef(name), ast.Assign([one], value):
                        given = {ast.unparse(one): value}
                    case ast.ClassDef(name), ast.AnnAssign(target=one, value=ast.expr() as value):
                        given = {ast.unparse(one): value}
                    case _:
                        continue
                match given.get("code"):
                    case ast.Constant(str() as code):
                        yield name, code


def test_every_code_is_the_name_of_its_class() -> None:
    """So whoever reads a code in a span, a log or an answer finds the class, also one beside."""
    found = dict(coded())
    words = {kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower() for kind in found}

    assert len(found) > 60
    assert found == {
        kind: OTHER_WORDS.get(kind, said.removesuffix("_error")) for kind, said in words.items()
    }
