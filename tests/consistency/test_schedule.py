"""Pauses, floors and the window: pure functions, bounded and monotone."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.consistency.schedule import (
    Schedule,
    expired,
    floor_of,
    floors_lag_ms,
    id_before,
    postponed_to,
    resend_at,
    retry_at,
    time_of,
    window_room,
)
from holdfast.engines.machine import MachineIds
from tests.contracts.rows import letter

NOW = 1_700_000_000_000
_SCHEDULES = st.builds(
    Schedule,
    resend_ms=st.integers(1, 10_000),
    resend_cap_ms=st.integers(10_000, 1_000_000),
    taken_ms=st.integers(1, 100_000),
    retry_ms=st.integers(1, 10_000),
    retry_cap_ms=st.integers(10_000, 1_000_000),
    transaction_ms=st.integers(1, 100_000),
)


@given(_SCHEDULES, st.integers(0, 10_000), st.none() | st.integers(-10_000, 10_000_000))
def test_a_letter_is_sent_again_in_bounds(
    schedule: Schedule, tries: int, expires_in: int | None
) -> None:
    """Later than now, at most after the cap, and at its time-out if that comes first."""
    row = letter(1, tries=tries, expires_at=None if expires_in is None else NOW + expires_in)
    due = resend_at(row, NOW, schedule)

    assert NOW < due <= NOW + max(schedule.resend_cap_ms, schedule.resend_ms)
    if row.expires_at is not None and row.expires_at > NOW:
        assert due <= row.expires_at
    assert expired(row, due) or not expired(row, NOW)


@given(_SCHEDULES, st.integers(0, 100))
def test_pauses_never_shrink(schedule: Schedule, tries: int) -> None:
    """Of re-sending and of retrying; a letter that was taken is not sent earlier for it."""
    row, next_row = letter(1, tries=tries), letter(1, tries=tries + 1)

    assert resend_at(row, NOW, schedule) <= resend_at(next_row, NOW, schedule)
    assert retry_at(tries, NOW, schedule) <= retry_at(tries + 1, NOW, schedule)
    assert resend_at(row, NOW, schedule, taken=True) >= NOW + schedule.taken_ms
    assert retry_at(tries, NOW, schedule) - NOW <= schedule.retry_cap_ms


@given(_SCHEDULES, st.lists(st.integers(-500_000, 0), max_size=8))
def test_a_floor_is_never_above_an_open_letter(schedule: Schedule, ages: list[int]) -> None:
    """Neither above one that is stored, nor above one of a transaction that is still open."""
    ids = MachineIds()
    stored = [ids.uuid7(NOW + age) for age in sorted(ages)]
    floor = floor_of(min(stored, default=None), NOW, schedule)

    assert all(floor <= id_ for id_ in stored)
    assert floor <= id_before(NOW - schedule.transaction_ms), "an open transaction's ids"
    assert stored or floor == id_before(NOW - 2 * schedule.transaction_ms)


@given(st.integers(0, (1 << 48) - 2), st.integers(0, (1 << 74) - 1))
def test_the_smallest_id_of_a_millisecond(ms: int, chance: int) -> None:
    """Every UUIDv7 of that millisecond is at or above it, every earlier one below."""
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    some = UUID(int=(ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)

    assert id_before(ms) <= some < id_before(ms + 1)
    assert time_of(some) == ms


def test_ids_of_one_process_grow() -> None:
    """Within a millisecond, and when the clock goes back."""
    ids = MachineIds()
    made = [ids.uuid7(NOW - n // 100) for n in range(10_000)]

    assert made == sorted(set(made))


@given(st.integers(0, 1_000))
def test_the_window_has_room_for_so_many(in_flight: int) -> None:
    """Never less than none."""
    assert window_room(in_flight, Schedule(window=256)) == max(0, 256 - in_flight)


EXACT = Schedule(resend_ms=5, resend_cap_ms=300, taken_ms=60, retry_ms=7, retry_cap_ms=100)


@pytest.mark.parametrize(
    ("tries", "taken", "expires_in", "pause"),
    [
        *((0, False, None, 5), (1, False, None, 5), (2, False, None, 10), (3, False, None, 20)),
        *((6, False, None, 160), (7, False, None, 300), (10_000, False, None, 300)),
        *((1, True, None, 60), (4, True, None, 60), (5, True, None, 80), (9, True, None, 300)),
        *((1, False, 1, 1), (1, False, 4, 4), (1, False, 5, 5), (1, False, 6, 5)),
        *((1, False, 0, 5), (1, False, -1, 5), (1, True, 10, 10)),
    ],
)
def test_when_a_letter_is_sent_again(
    tries: int, taken: bool, expires_in: int | None, pause: int
) -> None:
    """To the millisecond: doubled with each try, capped, and cut by a time-out that is to come."""
    row = letter(1, tries=tries, expires_at=None if expires_in is None else NOW + expires_in)

    assert resend_at(row, NOW, EXACT, taken=taken) == NOW + pause


@pytest.mark.parametrize(
    ("tries", "pause"), [(0, 7), (1, 7), (2, 14), (4, 56), (5, 100), (10_000, 100)]
)
def test_when_a_handler_runs_again(tries: int, pause: int) -> None:
    """To the millisecond."""
    assert retry_at(tries, NOW, EXACT) == NOW + pause


@pytest.mark.parametrize(
    ("age", "pause"),
    [(-9, 7), (0, 7), (14, 7), (15, 7), (16, 8), (199, 99), (200, 100), (202, 100)],
)
def test_when_a_lost_transaction_runs_again(age: int, pause: int) -> None:
    """After half the letter's age: at least the shortest pause, at most the longest."""
    row = letter(1)
    row.id = id_before(NOW - age)

    assert postponed_to(row, NOW, EXACT) == NOW + pause


def test_doubling_has_an_end() -> None:
    """No number of tries makes a number that takes long to reckon with."""
    wide = Schedule(resend_ms=1, resend_cap_ms=1 << 62, retry_ms=1, retry_cap_ms=1 << 62)

    assert resend_at(letter(1, tries=21), NOW, wide) == NOW + (1 << 20)
    assert resend_at(letter(1, tries=22), NOW, wide) == NOW + (1 << 20)
    assert retry_at(21, NOW, wide) == retry_at(22, NOW, wide) == NOW + (1 << 20)


@pytest.mark.parametrize(("expires_in", "over"), [(None, False), (1, False), (0, True), (-1, True)])
def test_when_a_time_out_is_over(expires_in: int | None, over: bool) -> None:
    """In its millisecond."""
    row = letter(1, expires_at=None if expires_in is None else NOW + expires_in)

    assert expired(row, NOW) is over


def test_before_any_time_there_is_no_id() -> None:
    """A lag longer than the clock has run is none."""
    assert id_before(-1) == id_before(0)
    assert floor_of(None, 5, Schedule(transaction_ms=10)) == id_before(0)
    assert floors_lag_ms(Schedule(transaction_ms=10)) == 20
