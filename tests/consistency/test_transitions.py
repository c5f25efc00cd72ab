"""The state machine of a message row: only the arrows of the protocol, whatever the row holds."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.consistency.safeguards import ALL_ON
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.transitions import (
    ERROR_BYTES_MAX,
    Meeting,
    after_failed_try,
    answer_again,
    dropped,
    entries,
    exhausted,
    meet,
    recorded_answer,
    refused,
    requeued,
    settled,
)
from holdfast.consistency.unknown import waiting, waits
from holdfast.contract.envelope import Kind, LetterAnswer, MessageRow, State
from holdfast.errors import Conflict
from tests.contracts.rows import letter, message_rows

NOW = 1_000_000
TRIED = [Kind.COMMAND, Kind.EVENT, Kind.UNDO, Kind.TICK]
_ANSWERS = st.builds(
    LetterAnswer, st.uuids(), st.sampled_from(["reply", "failure", "refused", "taken"])
)


def identity(row: MessageRow) -> tuple[object, ...]:
    """Return what no transition changes."""
    return row.edge, row.id, row.kind, row.owner, row.path, row.about, row.hash


@given(message_rows(), st.sampled_from(TRIED), st.booleans(), st.integers(1, 20))
def test_a_failed_try_is_due_again_or_dead(
    row: MessageRow, kind: Kind, outage: bool, tries_max: int
) -> None:
    """due → due | dead, with the error; `reached` is never cleared, the row itself not changed."""
    row.kind, row.state = kind, State.DUE
    schedule = Schedule(tries_max=tries_max)
    before = row.copy()
    failed = after_failed_try(row, "Boom", NOW, schedule, outage=outage)
    key_over = row.reached and row.expires_at is not None and row.expires_at <= NOW

    assert row == before
    assert identity(failed) == identity(row)
    assert failed.reached == row.reached
    assert failed.error is not None and failed.error.endswith("Boom")
    assert len(failed.error) <= ERROR_BYTES_MAX
    if failed.state is State.DEAD:
        assert failed.due_at is None
        assert key_over or (row.tries >= tries_max and not outage)
        assert key_over or kind in (Kind.COMMAND, Kind.EVENT)
    else:
        assert failed.state is State.DUE and not key_over
        assert failed.due_at is not None
        assert NOW < failed.due_at <= NOW + schedule.retry_cap_ms


@given(message_rows())
def test_an_outage_gives_its_try_back(row: MessageRow) -> None:
    """However long it lasts, the tries are there when it is over."""
    row.kind, row.state, row.reached = Kind.COMMAND, State.DUE, False
    failed = after_failed_try(row, "away", NOW, Schedule(), outage=True)

    assert failed.state is State.DUE
    assert failed.tries == max(0, row.tries - 1)
    assert not exhausted(failed, Schedule()) or row.tries > Schedule().tries_max + 1


def test_the_pauses_of_an_outage_grow() -> None:
    """By what is written down, as the tries do not; up to the longest pause."""
    row = letter(1, tries=1)
    pauses = []
    for _ in range(14):
        row = after_failed_try(row, "away", NOW, Schedule(), outage=True)
        row.tries += 1  # the next claim
        assert row.due_at is not None
        pauses.append(row.due_at - NOW)

    assert pauses == sorted(pauses)
    assert pauses[0] == Schedule().retry_ms
    assert pauses[-1] == Schedule().retry_cap_ms


@given(message_rows(), _ANSWERS)
def test_a_settled_row_gives_its_answer_again(row: MessageRow, answer: LetterAnswer) -> None:
    """due → done: the letter is let go of, except an event that a saga may wait for."""
    assume(answer.outcome != "taken")
    done = settled(row, answer)

    assert (done.state, done.due_at, done.expires_at) == (State.DONE, None, None)
    assert identity(done) == identity(row)
    assert done.reached == row.reached
    assert answer_again(done) == recorded_answer(done) == answer
    kept = row.kind is Kind.EVENT and row.topic is not None
    assert done.body == (row.body if kept else b"")


@given(message_rows(), _ANSWERS)
def test_an_undo_meets_every_row(row: MessageRow, answer: LetterAnswer) -> None:
    """done(reply): undo; refused or done(failure): nothing; reached: wait; otherwise refuse."""
    row.kind = Kind.COMMAND
    row.answer = msgspec.json.encode(answer)
    assume(row.state is not State.HELD)  # that is a state of our own letters
    meeting = meet(row)
    expected = {
        State.REFUSED: Meeting.NOTHING,
        State.DONE: Meeting.DONE if answer.outcome == "reply" else Meeting.NOTHING,
        State.DUE: Meeting.WAIT if row.reached else Meeting.REFUSE,
        State.DEAD: Meeting.WAIT if row.reached else Meeting.REFUSE,
        State.HELD: None,
    }

    assert meeting is expected[row.state]
    if meeting is Meeting.REFUSE:
        tombstone = refused(row)
        assert tombstone.state is State.REFUSED
        assert meet(tombstone) is Meeting.NOTHING
        assert answer_again(tombstone).outcome == "refused"


def test_without_that_safeguard_an_undo_refuses_what_has_reached() -> None:
    """Switched off: the charge stands, and nobody gives it back."""
    row = letter(1, reached=True)

    assert meet(row, ALL_ON.without("forward_finishes_first")) is Meeting.REFUSE


@pytest.mark.parametrize("state", [State.DUE, State.DEAD, State.HELD])
def test_what_is_not_settled_is_taken(state: State) -> None:
    """Nothing else can be said of it yet, not even of a dead letter."""
    assert answer_again(letter(1, state=state)).outcome == "taken"


@given(message_rows())
def test_a_dead_letter_is_requeued_or_dropped(row: MessageRow) -> None:
    """dead → due with all its tries, or refused; reached, only after the life of its key."""
    row.state = State.DEAD
    again = requeued(row, NOW)

    assert (again.state, again.due_at, again.tries) == (State.DUE, NOW, 0)
    assert identity(again) == identity(row)
    assert again.reached == row.reached
    if row.reached and row.expires_at is not None and row.expires_at > NOW:
        with pytest.raises(Conflict, match="its key's life"):
            dropped(row, NOW)
    else:
        assert dropped(row, NOW).state is State.REFUSED


@pytest.mark.parametrize("kind", TRIED)
def test_a_row_beyond_its_tries_is_exhausted(kind: Kind) -> None:
    """None of its tries ended; undos and ticks are tried for ever."""
    schedule = Schedule()
    row = letter(1, kind=kind, tries=schedule.tries_max)

    assert not exhausted(row, schedule)
    row.tries += 1
    assert exhausted(row, schedule) == (kind in (Kind.COMMAND, Kind.EVENT))


_ERRORS = st.lists(
    st.one_of(
        st.lists(st.text(max_size=30), min_size=1, max_size=20).map("\n".join),
        st.sampled_from(["x" * 9_000, "two\nlines " * 900]),
    ),
    min_size=1,
    max_size=9,
)


@given(_ERRORS)
def test_the_pauses_of_an_outage_grow_with_its_errors_not_with_their_lines(
    errors: list[str],
) -> None:
    """However an error is written; and a letter that is requeued begins anew."""
    schedule = Schedule()
    row = letter(1, tries=1)
    for number, error in enumerate(errors, 1):
        row = after_failed_try(row, error, NOW, schedule, outage=True)
        assert row.due_at == NOW + schedule.retry_ms * 2 ** (number - 1)
        row.tries += 1
    row.state = State.DEAD
    row = requeued(row, NOW)
    row.tries += 1

    assert row.error is not None and "replayed at" in row.error
    row = after_failed_try(row, errors[0], NOW, schedule, outage=True)
    assert row.due_at == NOW + schedule.retry_ms


@given(st.lists(st.integers(1, 3_000), min_size=10, max_size=30))
def test_what_is_written_down_ends_with_whole_errors(sizes: list[int]) -> None:
    """The oldest go first; the newest is always there, and what is kept begins with an entry."""
    row = letter(1, tries=1)
    for number, size in enumerate(sizes, 1):
        row.tries = number
        row = after_failed_try(row, "one\n" * size, NOW, Schedule(), outage=True)

        assert row.error is not None and len(row.error) <= ERROR_BYTES_MAX
        assert row.error.startswith("try ")
        assert f"try {number} at " in row.error


@given(st.lists(st.sampled_from(["short", "x" * 9_000, "two\nlines " * 900]), min_size=12))
def test_an_outage_comes_to_its_longest_pause_however_long_its_errors_are(
    errors: list[str],
) -> None:
    """Of each error enough is kept to count it."""
    schedule = Schedule()
    row = letter(1, tries=1)
    for error in errors:
        row = after_failed_try(row, error, NOW, schedule, outage=True)
        row.tries += 1

    assert row.due_at == NOW + schedule.retry_cap_ms


@pytest.mark.parametrize("outage", [True, False])
def test_a_letter_that_was_tried_waits_for_no_version(outage: bool) -> None:
    """Neither is it shown so, nor left to other processes, nor does its pause count that."""
    schedule = Schedule()
    row = after_failed_try(letter(1, tries=1), "a bug", NOW, schedule)
    row.tries += 1
    row = waiting(row, "nobody handles Note.v2", NOW, schedule)
    waited = waits(row)
    row.tries += 1
    row = after_failed_try(row, "another bug", NOW, schedule, outage=outage)

    assert waited and not waits(row)
    assert row.error is not None and [one.partition(": ")[2] for one in entries(row.error)] == [
        "a bug",
        "another bug",
    ]
    assert row.due_at == NOW + 2 * schedule.retry_ms
