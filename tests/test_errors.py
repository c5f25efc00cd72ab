"""The tree of errors that a reader sees first is the tree of the classes."""

import re

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
