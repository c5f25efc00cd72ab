"""A database's time as one process knows it: it never goes back, and never stands still."""

from uuid import UUID

from holdfast.ports import Clock

SLOWED = 0.9  # of its speed, until a wall clock that was set back has caught up


class DatabaseClock:
    """The time of a database, between two looks at the wall clock that it goes by.

    While that wall clock is behind, because it was set back, this runs on at a lower speed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_ms = self._seen_at_s = self._now_ms = self._now_at_s = 0.0

    def sees(self, wall_ms: float) -> None:
        """Take down what the database's wall clock says."""
        self._seen_ms, self._seen_at_s = wall_ms, self._clock.monotonic()

    def goes_on_from(self, floor: UUID | None, lag_ms: int | None) -> None:
        """Be no earlier than when this floor of the service's letters was announced.

        On an earlier clock new letters would be below it: taken for settled long ago, and ignored.

        Args:
            lag_ms: see `storage.Database.open`.
        """
        if floor is not None and lag_ms is not None:
            self._now_ms = max(float(self.now_ms()), (floor.int >> 80) + 1.0 + lag_ms)

    def now_ms(self, wall_ms: float | None = None) -> int:
        """Return the time, in milliseconds since 1970.

        Args:
            wall_ms: what the database's wall clock says, if it has just been looked at.
        """
        monotonic_s = self._clock.monotonic()
        if wall_ms is not None:
            self._seen_ms, self._seen_at_s = wall_ms, monotonic_s
        wall_ms = self._seen_ms + (monotonic_s - self._seen_at_s) * 1000
        ran_ms = SLOWED * (monotonic_s - self._now_at_s) * 1000
        self._now_ms = max(wall_ms, self._now_ms + ran_ms)
        self._now_at_s = monotonic_s
        return int(self._now_ms)
