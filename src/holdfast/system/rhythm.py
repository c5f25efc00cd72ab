"""When a job runs: in each period, or at a time of day in a zone. Pure functions of times."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Every:
    """Once in each period; periods count from 1970, in UTC."""

    seconds: float

    def next_ms(self, now_ms: int) -> int:
        """Return the first moment after `now_ms`, in ms since 1970."""
        period = max(1, int(self.seconds * 1000))
        return (now_ms // period + 1) * period


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day, at a time of day in a zone.

    A time that the clocks skip is taken as far behind the jump as it would have been: 02:30 of
    the night in which 02:00 becomes 03:00 is 03:30. Of a time that comes twice the first one
    counts. So each day has one run, and none runs twice.
    """

    at: time
    zone: ZoneInfo

    def next_ms(self, now_ms: int) -> int:
        """Return the first moment after `now_ms`, in ms since 1970."""
        today = datetime.fromtimestamp(now_ms / 1000, self.zone).date()
        for days in (-1, 0, 1, 2):
            local = datetime.combine(today + timedelta(days=days), self.at, self.zone)
            moment = (local.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
            if moment > now_ms:
                return moment
        raise AssertionError(f"no {self.at} within two days of {now_ms}")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Rhythm = Every | Daily
