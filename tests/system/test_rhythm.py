"""When jobs run: also in the nights in which the clocks are set."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Service
from holdfast.system.rhythm import Daily, Every

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86_400_000


def ms(text: str) -> int:
    """Return a moment of UTC in ms."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def runs(rhythm: Every | Daily, start: str, count: int) -> list[str]:
    """Return the next moments, in UTC."""
    found, now_ms = list[str](), ms(start)
    for _ in range(count):
        now_ms = rhythm.next_ms(now_ms)
        found.append(datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%m-%d %H:%M"))
    return found


def test_periods_count_from_1970() -> None:
    """Whenever the process started."""
    assert runs(Every(3600), "2026-01-01T00:30", 2) == ["01-01 01:00", "01-01 02:00"]


def test_a_time_of_day_follows_the_clock_on_the_wall() -> None:
    """03:00 in Berlin is 02:00 UTC in winter and 01:00 in summer."""
    at_three = Daily(time(3), BERLIN)

    assert runs(at_three, "2026-03-27T12:00", 3) == ["03-28 02:00", "03-29 01:00", "03-30 01:00"]
    assert runs(at_three, "2026-10-23T12:00", 3) == ["10-24 01:00", "10-25 02:00", "10-26 02:00"]


def test_an_hour_that_is_skipped_runs_behind_the_jump() -> None:
    """02:30 does not come on the night of March 29: it is 03:30 there, 01:30 UTC."""
    assert runs(Daily(time(2, 30), BERLIN), "2026-03-27T12:00", 3) == [
        "03-28 01:30",
        "03-29 01:30",
        "03-30 00:30",
    ]


def test_an_hour_that_comes_twice_runs_once() -> None:
    """The first 02:30 of October 25 counts."""
    assert runs(Daily(time(2, 30), BERLIN), "2026-10-23T12:00", 3) == [
        "10-24 00:30",
        "10-25 00:30",
        "10-26 01:30",
    ]


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.times(),
    st.integers(ms("2020-01-01"), ms("2030-01-01")),
)
def test_a_day_has_one_run(zone: str, at: time, now_ms: int) -> None:
    """In each zone, at each time of day: the next one is later, and at most a day and an hour."""
    daily = Daily(at, ZoneInfo(zone))
    first = daily.next_ms(now_ms)
    second = daily.next_ms(first)
    days = [datetime.fromtimestamp(m / 1000, ZoneInfo(zone)).date() for m in (first, second)]

    assert now_ms < first <= now_ms + DAY + 3_600_000
    assert days[1] - days[0] == timedelta(days=1)
    assert daily.next_ms(first - 1) == first


def test_a_rhythm_that_cannot_be_meant_is_refused_where_it_stands() -> None:
    """An unknown zone, a time with a zone of its own, or nothing at all."""
    service = Service("s")

    with pytest.raises(ValueError, match="zone='Europe/Nowhere' is not known"):
        service.every(at=time(3), zone="Europe/Nowhere")
    with pytest.raises(ValueError, match="a time that has no zone of its own"):
        service.every(at=time(3, tzinfo=UTC))
    with pytest.raises(ValueError, match=r"write `every\(timedelta"):
        service.every()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # a mistake
