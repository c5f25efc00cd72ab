"""What needs a person: letters that are dead, wait for a version, or fail for ever.

Undos and jobs are never dead, and neither is a letter whose External is away: they are tried on.
What has failed for long is shown all the same.
"""

from typing import Literal

from holdfast.consistency.schedule import Schedule, id_before
from holdfast.consistency.unknown import waits
from holdfast.contract.envelope import MessageRow, State
from holdfast.storage import Failing

Attention = Literal["dead", "waits", "fails"]


def failing_now(now_ms: int, schedule: Schedule) -> Failing:
    """Return which rows fail for long: after more tries than others have, or an hour."""
    return Failing(schedule.tries_max, id_before(now_ms - schedule.undo_parks_ms))


def attention(row: MessageRow, failing: Failing) -> Attention | None:
    """Return why a person must look at a letter; None if nobody must."""
    if row.state is State.DEAD:
        return "dead"
    if waits(row):
        return "waits"
    if row.state is not State.DUE or row.error is None:
        return None
    return "fails" if row.tries > failing.tries or row.id < failing.before else None
