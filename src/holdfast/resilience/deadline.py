"""How long a call may still take. A deadline is a point in time on the loop's clock, in seconds."""

import math
from typing import ClassVar

from holdfast.errors import DeadlineExceeded, Effect


class DeadlinePassed(DeadlineExceeded):
    """The deadline passed before anything was sent, so the remote effect is known: none."""

    effect: ClassVar[Effect] = "none"  # type: ignore[assignment]  # mypy keeps the parent's value as its type


def remaining_s(deadline: float | None, now: float) -> float:
    """Return the seconds until `deadline`, never negative; infinity when there is none.

    This is what a call sends to the next service: clocks of two machines cannot be compared,
    durations can.
    """
    return math.inf if deadline is None else max(0.0, deadline - now)
