"""How fast requests are to come: as a number a second, or as a multiple of the capacity."""

import math
from dataclasses import dataclass

from holdfast.errors import Invalid

USUAL = "0.8x,1x,2x,5x,10x"


@dataclass(frozen=True, slots=True)
class Pace:
    """One level of load.

    Attributes:
        number: requests a second, or with `is_multiple` that many times the capacity.
    """

    number: float
    is_multiple: bool

    def __str__(self) -> str:
        return f"{self.number:g}{'x' if self.is_multiple else ''}"

    def per_s(self, capacity: float) -> float:
        """Return the requests a second."""
        return self.number * capacity if self.is_multiple else self.number


def paces(text: str) -> tuple[Pace, ...]:
    """Read `0.8x,1x,300`: multiples of the capacity, and requests a second.

    Raises:
        Invalid: one of them is neither.
    """
    return tuple(_pace(part.strip()) for part in text.split(","))


def _pace(text: str) -> Pace:
    try:
        number = float(text.removesuffix("x"))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise Invalid(
            f"--rate: {text!r} is no rate; write 300 for 300 requests a second, 2x for twice the "
            f"capacity, or several: {USUAL}"
        )
    return Pace(number, text.endswith("x"))
