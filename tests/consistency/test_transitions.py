"""The state machine of a message row: only the arrows of the protocol, whatever the row holds."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.consistency.schedule import Schedule
from holdfast.consistency.transitions import (
    ERROR_BYTES_MAX,
    TOLD_MAX,
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
from holdfast.storage import WAITS
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


@pytest.mark.parametrize("kind", TRIED)
@pytest.mark.parametrize(("tries", "outage"), [(2, False), (3, False), (4, False), (4, True)])
def test_the_last_try_is_the_last(kind: Kind, tries: int, outage: bool) -> None:
    """The one that is as many as there may be; for others than undos and ticks."""
    schedule = Schedule(tries_max=3, retry_ms=10, retry_cap_ms=1_000)
    failed = after_failed_try(letter(1, kind=kind, tries=tries), "x", NOW, schedule, outage=outage)
    over = tries >= 3 and not outage and kind in (Kind.COMMAND, Kind.EVENT)

    assert failed.state is (State.DEAD if over else State.DUE)
    assert failed.tries == tries - outage
    assert failed.error == f"try {tries} at 1970-01-01T00:16:40.000+00:00: x"
    pause = 10 if outage else 10 << (tries - 1)
    assert failed.due_at == (None if over else NOW + pause)


@pytest.mark.parametrize(
    ("reached", "expires_in", "over"),
    [
        *((True, 0, True), (True, -1, True), (True, 1, False), (True, None, False)),
        *((False, 0, False), (False, -1, False)),
    ],
)
@pytest.mark.parametrize("kind", TRIED)
@pytest.mark.parametrize("outage", [True, False])
def test_past_its_keys_life_nothing_is_tried(
    reached: bool, expires_in: int | None, over: bool, kind: Kind, outage: bool
) -> None:
    """Not even an undo: another try could be another effect; and not a moment before."""
    expires_at = None if expires_in is None else NOW + expires_in
    row = letter(1, kind=kind, tries=1, reached=reached, expires_at=expires_at)

    failed = after_failed_try(row, "x", NOW, Schedule(), outage=outage)

    assert (failed.state is State.DEAD) is over
    assert failed.reached is reached


@pytest.mark.parametrize(
    ("state", "error", "told"),
    [
        (State.DUE, None, LetterAnswer(letter(1).id, "taken")),
        (State.DUE, "", LetterAnswer(letter(1).id, "taken")),
        (
            State.DUE,
            "a: b\nc: d\n    e",
            LetterAnswer(letter(1).id, "taken", tries=2, error="c: d\ne"),
        ),
        (State.DEAD, "c: d", LetterAnswer(letter(1).id, "taken", tries=2, error="dead: c: d")),
        (
            *(State.DEAD, "x" * (TOLD_MAX + 1)),
            LetterAnswer(letter(1).id, "taken", tries=2, error="dead: " + "x" * TOLD_MAX),
        ),
    ],
)
def test_who_waits_is_told_what_went_wrong(
    state: State, error: str | None, told: LetterAnswer
) -> None:
    """The newest error with all its lines, so much of it, and how often it was tried."""
    assert answer_again(letter(1, state=state, tries=2, error=error)) == told


def test_a_refused_letter_tells_its_sender() -> None:
    """By an answer of its own id; it is due no more, and the row itself is not changed."""
    row = letter(1, due_at=5)
    gone = refused(row)

    assert recorded_answer(gone) == LetterAnswer(row.id, "refused")
    assert (gone.state, gone.due_at, row.state, row.due_at) == (State.REFUSED, None, State.DUE, 5)


@pytest.mark.parametrize("state", [State.DUE, State.DEAD])
def test_what_is_requeued_is_written_down(state: State) -> None:
    """Below its errors, with the time; without errors there is nothing to write below."""
    row = letter(1, state=state, tries=8, error="try 8: x")

    assert requeued(row, NOW).error == "try 8: x\nreplayed at 1970-01-01T00:16:40.000+00:00"
    assert requeued(letter(1, state=state), NOW).error is None
    assert (row.tries, row.error) == (8, "try 8: x")


@pytest.mark.parametrize(
    ("kind", "state", "error", "may"),
    [
        (Kind.TICK, State.DUE, None, False),
        (Kind.TICK, State.DUE, "try 1: x", False),
        (Kind.TICK, State.DUE, f"{WAITS}x", True),
        (Kind.TICK, State.DEAD, None, True),
        (Kind.COMMAND, State.DUE, None, True),
    ],
)
def test_a_jobs_next_run_is_not_dropped(
    kind: Kind, state: State, error: str | None, may: bool
) -> None:
    """Without it the job would never run again; unless no version knows the job."""
    row = letter(1, kind=kind, state=state, error=error)

    if may:
        assert dropped(row, NOW).state is State.REFUSED
    else:
        with pytest.raises(Conflict, match="a job's next run"):
            dropped(row, NOW)


@pytest.mark.parametrize(
    ("reached", "expires_in", "may"),
    [(True, 1_500, False), (True, 1, False), (True, 0, True), (True, None, True), (False, 9, True)],
)
def test_what_may_still_have_an_effect_is_not_dropped(
    reached: bool, expires_in: int | None, may: bool
) -> None:
    """Until its key's life is over, to the millisecond; the text says for how long."""
    expires_at = None if expires_in is None else NOW + expires_in
    row = letter(1, state=State.DEAD, reached=reached, expires_at=expires_at)

    if may:
        assert dropped(row, NOW).state is State.REFUSED
    else:
        with pytest.raises(Conflict, match=rf"for another {(expires_in or 0) / 1000:.0f} s"):
            dropped(row, NOW)


@pytest.mark.parametrize(
    ("tries", "age", "pause"), [(0, 0, 500), (1, 4_000, 2_000), (5, 500_000, 60_000)]
)
def test_what_waits_for_a_version_gives_its_try_back(tries: int, age: int, pause: int) -> None:
    """Due after half its age, at most a minute; one line says why, below what was tried."""
    row = letter(NOW - age, tries=tries, error=f"try 1: x\n{WAITS}older", state=State.DEAD)
    found = waiting(row, "nobody handles it", NOW, Schedule())

    assert (found.state, found.tries, found.due_at) == (State.DUE, max(0, tries - 1), NOW + pause)
    assert found.error == f"try 1: x\n{WAITS}nobody handles it"
    assert waits(found) and not waits(row)
