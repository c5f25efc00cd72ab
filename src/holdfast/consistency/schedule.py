"""When a row is due again, what may still be tried, and below which id nothing is open.

Pure functions of rows and times; times are milliseconds of the database's clock.
"""

from dataclasses import dataclass
from uuid import UUID

from holdfast.contract.envelope import MessageRow


@dataclass(frozen=True, slots=True)
class Schedule:
    """The protocol's times and counts.

    Attributes:
        resend_ms: the first pause before an unanswered letter is sent again; doubled each time.
        resend_cap_ms: the longest such pause. taken_ms: the pause once it was taken.
        lease_ms: how long a claimed row is left to the one who runs it; renewed while it does.
        work_ms: how long a handler may work before its first statement.
        retry_ms, retry_cap_ms: the first and the longest pause before a failed handler's next try.
        version_ms: the longest pause of a letter that this version does not know.
        tries_max: tries of a handler before its letter is dead.
        saga_timeout_ms: how long a saga's command may stay unanswered.
        undo_parks_ms: how long an undo holds up the next one.
        transaction_ms: T, the longest transaction; ids older than T are refused, floors lag 2T.
        event_kept_ms: how long an event is kept for a saga that waits later.
        saga_kept_ms: how long an ended saga is kept.
        request_kept_ms: how long the response to an Idempotency-Key is kept.
        anonymous_kept_ms: the same for a caller without a token, of whom there is no end.
        window: unanswered letters in flight per edge.
        batch: turns in one transaction.
        poll_ms: how often a table is looked at for what another process has left there.
        keep_ms: how often floors are announced and what is settled is forgotten.
        out_bytes_max: high water: HTTP writes are refused over it; letters and ticks are not.
    """

    resend_ms: int = 5_000
    resend_cap_ms: int = 300_000
    taken_ms: int = 60_000
    lease_ms: int = 30_000
    work_ms: int = 3_600_000
    retry_ms: int = 500
    retry_cap_ms: int = 300_000
    version_ms: int = 60_000
    tries_max: int = 8
    saga_timeout_ms: int = 86_400_000
    undo_parks_ms: int = 3_600_000
    transaction_ms: int = 30_000
    event_kept_ms: int = 86_400_000
    saga_kept_ms: int = 86_400_000
    request_kept_ms: int = 86_400_000
    anonymous_kept_ms: int = 3_600_000
    window: int = 256
    batch: int = 128
    poll_ms: int = 500
    keep_ms: int = 10_000
    out_bytes_max: int = 256 << 20


def resend_at(row: MessageRow, now_ms: int, schedule: Schedule, *, taken: bool = False) -> int:
    """Return when an unanswered letter is due again: back-off, and not after its time-out.

    resend_ms * 2**(tries - 1), at most resend_cap_ms; at least taken_ms if the receiver has it.
    """
    pause = min(schedule.resend_cap_ms, schedule.resend_ms << min(max(row.tries - 1, 0), 20))
    if taken:
        pause = max(pause, schedule.taken_ms)
    due = now_ms + pause
    if row.expires_at is not None and row.expires_at > now_ms:
        due = min(due, row.expires_at)
    return due


def retry_at(tries: int, now_ms: int, schedule: Schedule) -> int:
    """Return when a handler that failed `tries` times runs again: exponential, capped."""
    return now_ms + min(schedule.retry_cap_ms, schedule.retry_ms << min(max(tries - 1, 0), 20))


def postponed_to(row: MessageRow, now_ms: int, schedule: Schedule) -> int:
    """Return when a letter runs again whose transactions were lost, a full disk's among them.

    Half its age later, which grows like a back-off and needs no room to be counted in.
    """
    age_ms = max(0, now_ms - time_of(row.id))
    return now_ms + min(schedule.retry_cap_ms, max(schedule.retry_ms, age_ms // 2))


def expired(row: MessageRow, now_ms: int) -> bool:
    """Whether a saga's command waited for its answer as long as it may."""
    return row.expires_at is not None and row.expires_at <= now_ms


def id_before(ms: int) -> UUID:
    """Return the smallest UUIDv7 of a millisecond: every earlier id is below it."""
    return UUID(int=(max(ms, 0) << 80) | (7 << 76) | (2 << 62))


def time_of(letter: UUID) -> int:
    """Return the millisecond in which a UUIDv7 was made."""
    return letter.int >> 80


def floors_lag_ms(schedule: Schedule) -> int:
    """Return how far floors are behind the time at which they are announced: 2T."""
    return 2 * schedule.transaction_ms


def floor_of(oldest_unsettled: UUID | None, now_ms: int, schedule: Schedule) -> UUID:
    """Return the floor that a sender announces: below it every letter is settled, for ever.

    min(its oldest unsettled id, now - 2T): a transaction that is still open may hold ids that are
    younger than T, and nobody sees them yet.
    """
    lag = id_before(now_ms - floors_lag_ms(schedule))
    return lag if oldest_unsettled is None else min(oldest_unsettled, lag)


def window_room(in_flight: int, schedule: Schedule) -> int:
    """Return how many more letters of an edge may be sent now."""
    return max(0, schedule.window - in_flight)
