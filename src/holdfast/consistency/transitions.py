"""The state machine of a message row: pure functions from what is stored to what is stored next.

`docs/protocol.md` draws it. A caller that writes the result names the old state, so that two
replicas at one row cannot both succeed.
"""

import re
from datetime import UTC, datetime
from enum import Enum

import msgspec

from holdfast.consistency.schedule import Schedule, retry_at
from holdfast.contract.envelope import Kind, LetterAnswer, MessageRow, State
from holdfast.errors import Conflict
from holdfast.storage import WAITS

ERROR_BYTES_MAX = 8_000
TOLD_MAX = 1_000  # characters of an error that travel to whoever waits


class Meeting(Enum):
    """What an undo (or a withdrawal) finds at the command's own row."""

    NOTHING = "nothing"  # refused now, refused before, or ended in a failure: nothing to undo
    DONE = "done"  # it replied: the undo handler runs; a withdrawal passes the reply on
    WAIT = "wait"  # it may have reached outside: the forward finishes first
    REFUSE = "refuse"  # it has not run: it is refused, for good


def meet(command: MessageRow) -> Meeting:
    """Return what an undo must do, given the command's locked row."""
    match command.state:
        case State.REFUSED:
            return Meeting.NOTHING
        case State.DONE:
            answer = recorded_answer(command)
            return Meeting.DONE if answer.outcome == "reply" else Meeting.NOTHING
        case State.DUE | State.DEAD if command.reached:
            return Meeting.WAIT
        case State.DUE | State.DEAD:
            return Meeting.REFUSE
        case State.HELD:
            raise AssertionError(f"an undo met {command.id}, which is a letter of ours")


def refused(command: MessageRow) -> MessageRow:
    """Return the command's row, refused: a tombstone that keeps a late copy from running."""
    row = command.copy()
    row.state, row.due_at = State.REFUSED, None
    row.answer = msgspec.json.encode(LetterAnswer(command.id, "refused"))
    return row


def settled(row: MessageRow, answer: LetterAnswer) -> MessageRow:
    """Return the row with its final answer; the letter itself is not needed any more."""
    done = row.copy()
    done.state, done.due_at, done.expires_at = State.DONE, None, None
    done.answer = msgspec.json.encode(answer)
    if row.kind is not Kind.EVENT or row.topic is None:
        done.body = b""
    return done


def after_failed_try(
    row: MessageRow,
    error: str,
    now_ms: int,
    schedule: Schedule,
    *,
    outage: bool = False,
) -> MessageRow:
    """Return the row after a handler raised: due again, or dead after the last try.

    Undos and ticks are never dead: they are tried for ever, at the longest pause. Neither is a
    letter whose handler failed because somebody else is away (`outage`), until its key's life
    ends: its try is given back, and the pause grows with the errors that are written down.
    """
    failed = row.copy()
    if outage:
        failed.tries = max(0, row.tries - 1)
    failed.error = _written_down(row.error, f"try {row.tries} at {at_time(now_ms)}: {error}")
    over = row.tries >= schedule.tries_max and not outage
    if row.reached and row.expires_at is not None and row.expires_at <= now_ms:
        over = True  # past the key's life another try could be another effect
    elif row.kind in (Kind.TICK, Kind.UNDO):
        over = False
    failed.state = State.DEAD if over else State.DUE
    pauses = _errors_in(failed.error) if outage else row.tries
    failed.due_at = None if over else retry_at(pauses, now_ms, schedule)
    return failed


def at_time(ms: int) -> str:
    """Return milliseconds since 1970 as a time that people read, with its zone."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


_FURTHER = "\n    "  # before the further lines of one entry
_ENTRY = re.compile(r"\n(?! )")
_SHORT = 200  # characters of an older entry, where all of it has no room
_REQUEUED = "replayed at "


def entries(text: str | None) -> list[str]:
    """Return what is written down of a letter: its errors, oldest first, with all their lines."""
    return [entry for entry in _ENTRY.split(text or "") if entry]


def failed_tries(text: str | None) -> int:
    """Count the failed tries that are written down, also those that were given back."""
    return sum(1 for one in entries(text) if one.startswith("try "))


def _written_down(before: str | None, entry: str) -> str:
    """Return what was written down and one entry more.

    Where there is no room, of the older ones the first lines stay, so that they are still counted;
    then the oldest go. That the letter waited for a version goes: it was tried by one that knows.
    """
    kept = [one for one in entries(before) if not one.startswith(WAITS)]
    kept.append(entry.replace("\n", _FURTHER)[: ERROR_BYTES_MAX // 2])
    size = len("\n".join(kept))
    for number, one in enumerate(kept[:-1]):
        if size > ERROR_BYTES_MAX:
            kept[number] = one.partition("\n")[0][:_SHORT]
            size -= len(one) - len(kept[number])
    while size > ERROR_BYTES_MAX:
        size -= len(kept.pop(0)) + 1
    return "\n".join(kept)


def _errors_in(text: str) -> int:
    """Count the errors that are written down since the letter was requeued, one line or many."""
    written = entries(text)
    requeues = (n for n, one in enumerate(written, 1) if one.startswith(_REQUEUED))
    return len(written) - max(requeues, default=0)


def recorded_answer(row: MessageRow) -> LetterAnswer:
    """Return the final answer that a settled row holds."""
    assert row.answer is not None, f"row {row.id} is {row.state} and has no answer"
    return msgspec.json.decode(row.answer, type=LetterAnswer)


def answer_again(row: MessageRow) -> LetterAnswer:
    """Return what to say when a letter comes again: the recorded answer, or that it is taken."""
    if row.state in (State.DONE, State.REFUSED):
        return recorded_answer(row)
    return taken(row)


def taken(row: MessageRow) -> LetterAnswer:
    """Return that a letter is safe here, and how often its handler has failed, and why."""
    if not row.error:
        return LetterAnswer(row.id, "taken")
    dead = "dead: " if row.state is State.DEAD else ""
    return LetterAnswer(
        row.id, "taken", tries=row.tries, error=dead + last_error(row.error)[:TOLD_MAX]
    )


def last_error(text: str) -> str:
    """Return the newest of the errors that are written down, with all its lines."""
    return "\n".join(line.strip() for line in entries(text)[-1].split("\n"))


def requeued(dead: MessageRow, now_ms: int) -> MessageRow:
    """Return a letter that gave up, or waits, due again with its tries counted from zero."""
    assert dead.state in (State.DEAD, State.DUE)
    row = dead.copy()
    row.state, row.due_at, row.tries = State.DUE, now_ms, 0
    if row.error:
        row.error = _written_down(row.error, f"{_REQUEUED}{at_time(now_ms)}")
    return row


def exhausted(row: MessageRow, schedule: Schedule) -> bool:
    """Whether a claimed letter's tries are used up, though none of them ended.

    A try that fails is written down, and the last one ends in `dead`; a claim beyond it means
    that the handler took its process with it each time.
    """
    return row.tries > schedule.tries_max and row.kind not in (Kind.UNDO, Kind.TICK)


def dropped(dead: MessageRow, now_ms: int) -> MessageRow:
    """Return a letter that an operator gave up: its sender learns that it is refused.

    Raises:
        Conflict: it has reached an External that still knows its key: a try that is under way
            may yet have its effect, which nothing would undo; or it is a job's tick.
    """
    assert dead.state in (State.DEAD, State.DUE)
    if dead.kind is Kind.TICK and dead.state is State.DUE and WAITS not in (dead.error or ""):
        raise Conflict(f"{dead.id} is a job's next run, without which it would never run again")
    if dead.reached and dead.expires_at is not None and dead.expires_at > now_ms:
        raise Conflict(
            f"letter {dead.id} may still have an effect outside for another "
            f"{(dead.expires_at - now_ms) / 1000:.0f} s, its key's life; replay it, or drop it "
            "after that"
        )
    return refused(dead)
