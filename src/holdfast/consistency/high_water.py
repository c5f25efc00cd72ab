"""High water: how much waits in one service's tables, and whether that is too much."""

from dataclasses import dataclass, field

from holdfast.storage import Backlog


@dataclass(slots=True)
class HighWater:
    """What the last housekeeping measured.

    Attributes:
        out_bytes_max: above it HTTP writes and ticks are refused.
        backlog: what waits.
    """

    out_bytes_max: int
    backlog: Backlog = field(default_factory=lambda: Backlog(0, 0, 0, 0))

    def is_reached(self) -> bool:
        """Whether no new work is taken; letters are taken all the same."""
        return self.backlog.out_bytes > self.out_bytes_max
