"""How fast a budget is spent: the windows and factors of burn-rate alerts.

A factor of 1 spends the budget of 30 days in 30 days. Source: The Site Reliability Workbook,
chapter 5, "Multiwindow, multi-burn-rate alerts".
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

PERIOD_H: Final = 30 * 24
"""Hours over which a promise is kept."""
Severity = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Burn:
    """A row of the table: alert when both windows burn faster than the factor.

    The long window says that it matters, the short one that it still goes on.

    Attributes:
        budget: the share of the budget that is spent when the alert fires.
    """

    severity: Severity
    budget: Decimal
    long_h: int
    short_m: int

    @property
    def factor(self) -> Decimal:
        """How many times too fast: `budget * 720 h / long window`."""
        return self.budget * PERIOD_H / self.long_h

    @property
    def long(self) -> str:
        """The long window, as PromQL writes it."""
        return f"{self.long_h // 24}d" if self.long_h % 24 == 0 else f"{self.long_h}h"

    @property
    def short(self) -> str:
        """The short window, as PromQL writes it."""
        return f"{self.short_m // 60}h" if self.short_m % 60 == 0 else f"{self.short_m}m"


BURNS: Final = (
    Burn("page", Decimal("0.02"), 1, 5),
    Burn("page", Decimal("0.05"), 6, 30),
    Burn("ticket", Decimal("0.1"), 24, 120),
    Burn("ticket", Decimal("0.1"), 72, 360),
)
FAST: Final = BURNS[0]
"""What a new release is held to, over the short window alone: the burn of the first page."""
ERRORS_MIN: Final = 5
"""So many errors in the long window, at least: one of fifteen requests of a night is no outage."""


def budget_of(share: float) -> Decimal:
    """Return the share that may go wrong, exactly: 0.001 of 0.999."""
    return 1 - Decimal(repr(share))


def plain(number: Decimal) -> str:
    """Return a number without an exponent and without noughts at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
