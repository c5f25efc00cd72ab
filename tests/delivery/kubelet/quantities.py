"""Quantities: `128Mi`, `250m`, `1e3`."""

import re
from decimal import Decimal

_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
_FORM = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")


def quantity(text: str | int | float) -> Decimal:
    """Return how much a quantity is.

    Raises:
        ValueError: it is none, such as `128mb`.
    """
    match = _FORM.fullmatch(str(text))
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(match[1]) * _FACTORS[match[2]]


def whole(text: str | int | float) -> int:
    """Return a quantity of bytes or of things, rounded up. Raises ValueError."""
    return int(quantity(text).to_integral_value(rounding="ROUND_CEILING"))


def share(text: str | int, of: int, *, up: bool) -> int:
    """Return an int-or-percent, such as `maxSurge: 25%`, of so many; rounded up or down."""
    if not (isinstance(text, str) and text.endswith("%")):
        return int(text)
    product = int(text[:-1]) * of
    return -(-product // 100) if up else product // 100
