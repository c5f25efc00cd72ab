"""Kubernetes's quantities, as its own grammar has them."""

import re
from collections.abc import Iterator
from decimal import Decimal

from tests.delivery.judges.objects import Object, name_of

_SUFFIXES = {
    "": Decimal(1),
    **{letter: Decimal(1000) ** n for n, letter in zip(range(-3, 0), "num", strict=True)},
    **{letter: Decimal(1000) ** n for n, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** n for n, letter in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?")

HOLDERS = frozenset(("requests", "limits", "hard", "minAllowed", "maxAllowed", "capacity"))
"""Keys whose mapping holds quantities."""
SINGLE = frozenset(("sizeLimit", "averageValue"))
"""Keys whose value is a quantity."""


def amount(value: object) -> Decimal:
    """Return the number that a quantity stands for.

    Raises:
        ValueError: it is none.
    Source: k8s.io/apimachinery/pkg/api/resource, the grammar of Quantity.
    """
    found = _QUANTITY.fullmatch(str(value))
    if found is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is no quantity")
    number, exponent, suffix = found.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def quantity_problems(items: list[Object]) -> list[str]:
    """Return values that stand for quantities and are none."""
    return [f"{name_of(item)}: {line}" for item in items for line in _walk(item)]


def _walk(value: object, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if key in HOLDERS and not isinstance(inner, dict | list):
                yield from _judged(f"{key}.{name}", inner)
            elif name in SINGLE and not isinstance(inner, dict | list):
                yield from _judged(name, inner)
            else:
                yield from _walk(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _judged(name: str, value: object) -> Iterator[str]:
    try:
        amount(value)
    except ValueError as error:
        yield f"{name}: {error}"
