"""The consistency protocol as a model that is small enough to be searched in full.

One step of a saga: its command calls an External, and the saga may time out, fail later, undo or
withdraw. `State` is all that exists, in databases, on the wire, in memory and outside. A move is a
function from a state to the states that may come next; histories are made of the names of moves.
With every `Rule` on, no history breaks an invariant; without any one of them, some history does.

Faults are moves, or the absence of one:

- loss, delay, reordering: nothing says when a copy on the wire arrives, or that it does;
- duplication: what has arrived stays on the wire, until the broker forgets all;
- pauses: a worker may act on what it read long ago;
- crashes: memory is lost, rows are not; a sender that dies has only not sent yet.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal


class Rule(Enum):
    """What the protocol rests on; each can be left out, to see what then goes wrong."""

    REACH_IS_RECORDED_FIRST = "the row commits `reached` before the External is called"
    WHOLE_LETTER_IS_KEPT = "with the whole letter: no copy has to come for the next try"
    REACHED_IS_NEVER_CLEARED = "a failed try does not forget that an earlier call may still arrive"
    SAME_KEY = "every try calls under the same idempotency key"
    KEY_LIFE = "past the life of its key nothing is tried or requeued again"
    DROPPED_AFTER_KEY_LIFE = "a reached dead letter is dropped only when no call can be under way"
    GUARDED = "what a worker writes names the state that it read; another state: nothing is written"
    LOCKED_FIRST = "an undo or withdraw locks the row before it decides"
    TOMBSTONE = "an undo or withdraw that comes first leaves a refused row behind"
    DEAD_IS_WITHDRAWN = "an undo or withdraw refuses a dead letter too: it cannot be requeued"
    FORWARD_FINISHES_FIRST = "the undo of a reached command waits until the command is done"
    REFUSED_IS_NOT_UNDONE = "nothing is undone for a command that was refused or failed"
    UNDO_KNOWS = "the undo carries what the saga recorded; known done, it runs without looking"
    HELD = "the timed-out command holds the floor until its undo is answered"
    WRITE_ONCE = "an outcome is written once; a reply after the time-out is ignored"
    UNDO_ENDS_BY_ANSWER = "the undo ends with its final answer; being taken is not enough"
    WITHDRAW_IS_OUTCOME = "without an undo the answer of the withdraw is the outcome"
    ANSWERED_AGAIN = "a settled letter that comes again is answered again from its row"
    FLOOR_IGNORES = "a letter below the floor that has no row was settled: it is ignored"
    FLOOR_IN_INSERT = "the floor is read in the transaction that inserts the row"


# An OUT row in the saga's database: unwritten, sent until answered, kept but not sent, deleted.
Out = Literal["none", "due", "held", "gone"]
# An IN row in the receiver's database; "failed" is done with a Failure as its answer.
Row = Literal["absent", "due", "done", "failed", "refused", "dead"]
Outcome = Literal["none", "reply", "failure", "unanswered"]
# Letters, then answers. "undone" and "withdrawn" say that the command can have no effect any more.
Wire = Literal["command", "undo", "withdraw", "reply", "failure", "undone", "withdrawn"]
# The memory of one receiver process: what it read of the row, or how far its outside call is.
Worker = Literal["idle", "saw no row", "saw due", "calling", "answered"]

Rules = frozenset[Rule]
SETTLED: dict[Row, Wire] = {"done": "reply", "failed": "failure", "refused": "withdrawn"}


@dataclass(frozen=True, slots=True)
class State:
    """All that exists at one moment.

    Attributes:
        undoable: the step has an undo; a step without one is withdrawn when it times out.
        closing: the undo or the withdraw, as an OUT row of the saga's database.
        known_done: the undo says that the saga has recorded the reply.
        letter_kept: the command's IN row holds what is needed to run it.
        floor: 0; 1: the command's id is below the receiver's floor; 2: the undo's id as well.
        saw: what an undo or withdraw that takes no lock read of the command's row.
        in_flight: a request to the External is on its way, whoever sent it, dead or alive.
        charges: effects at the External, 0..2.
        declined: the External refused the call, and says so again under the same key.
        effects: commits of the handler's own writes, 0..2.
        undone: the undo handler ran; its own call has its own key, so it may run again.
    """

    undoable: bool
    workers: tuple[Worker, ...]
    command: Out = "due"
    outcome: Outcome = "none"
    closing: Out = "none"
    known_done: bool = False
    wire: frozenset[Wire] = frozenset()
    row: Row = "absent"
    reached: bool = False
    letter_kept: bool = False
    undo_row: Row = "absent"
    floor: int = 0
    saw: tuple[Row, bool] | None = None
    in_flight: bool = False
    key_expired: bool = False
    charges: int = 0
    declined: bool = False
    effects: int = 0
    undone: bool = False


# --- The saga's side ------------------------------------------------------------------------------


def command_is_sent(s: State, on: Rules) -> Iterator[State]:
    """From its row, again and again until it is answered or held."""
    if s.command == "due":
        yield replace(s, wire=s.wire | {"command"})


def answer_is_recorded(s: State, on: Rules) -> Iterator[State]:
    """Deletes the OUT row in the advancing transaction; deleting none, it is a duplicate."""
    late = s.command == "held" and Rule.WRITE_ONCE not in on
    if s.command == "due" or late:
        closing = "gone" if s.closing == "due" and not late else s.closing
        answered = replace(s, command="gone", closing=closing)
        if "reply" in s.wire:
            yield replace(answered, outcome="reply")
        if "failure" in s.wire:
            yield replace(answered, outcome="failure")


def saga_times_out(s: State, on: Rules) -> Iterator[State]:
    """At any moment. The effect is unknown: it is undone, or withdrawn and its answer awaited."""
    if s.outcome == "none" and s.closing == "none":
        if not s.undoable and Rule.WITHDRAW_IS_OUTCOME in on:
            yield replace(s, closing="due")
        else:
            command: Out = "held" if Rule.HELD in on else "gone"
            yield replace(s, outcome="unanswered", command=command, closing="due")


def later_step_fails(s: State, on: Rules) -> Iterator[State]:
    """A step that was done is undone, perhaps long after its rows were forgotten."""
    if s.undoable and s.outcome == "reply" and s.closing == "none":
        yield replace(s, closing="due", known_done=Rule.UNDO_KNOWS in on)


def closing_is_sent(s: State, on: Rules) -> Iterator[State]:
    """The undo or the withdraw, until it is answered."""
    if s.closing == "due":
        yield replace(s, wire=s.wire | {"undo" if s.undoable else "withdraw"})


def closing_is_answered(s: State, on: Rules) -> Iterator[State]:
    """Only now is the command settled: undone, or withdrawn before it had any effect."""
    if s.closing == "due" and "undone" in s.wire:
        yield replace(s, closing="gone", command="gone")
    if s.closing == "due" and "withdrawn" in s.wire:
        yield replace(s, closing="gone", command="gone", outcome="unanswered")


def broker_forgets_all(s: State, on: Rules) -> Iterator[State]:
    """An acknowledgement was never a promise."""
    yield replace(s, wire=frozenset())


# --- The receiver's side: the command -------------------------------------------------------------


def below_floor(s: State, on: Rules, floor: int = 1) -> bool:
    """Return whether a letter without a row is known to be settled; 2 asks for the undo."""
    return Rule.FLOOR_IGNORES in on and s.floor >= floor


def those(s: State, *kinds: Worker) -> list[Worker]:
    """Return the kinds that some process is in; two in one kind would do the same."""
    return [kind for kind in kinds if kind in s.workers]


def turn(s: State, old: Worker, new: Worker) -> tuple[Worker, ...]:
    """Return the workers with one of them changed; sorted, for the replicas are alike."""
    rest = list(s.workers)
    rest.remove(old)
    return tuple(sorted([*rest, new]))


def command_is_taken(s: State, on: Rules) -> Iterator[State]:
    """A first delivery is run at once; one that may not be the first becomes a row before."""
    if "command" in s.wire and s.row == "absent" and not below_floor(s, on):
        yield replace(s, row="due", letter_kept=True)
        if "idle" in s.workers:
            yield replace(s, workers=turn(s, "idle", "saw no row"))
    if "command" in s.wire and s.row in ("done", "failed") and Rule.ANSWERED_AGAIN in on:
        yield replace(s, wire=s.wire | {SETTLED[s.row]})


def row_is_tried(s: State, on: Rules) -> Iterator[State]:
    """The retry loop needs the letter, from the row or from a copy that happens to come."""
    has_letter = s.letter_kept or "command" in s.wire
    if s.row == "due" and has_letter and "idle" in s.workers:
        yield replace(s, workers=turn(s, "idle", "saw due"))


def may_write(s: State, worker: Worker, on: Rules) -> bool:
    """Return whether the row still is what the worker decided on, and its id above the floor."""
    if worker == "saw no row" and Rule.FLOOR_IN_INSERT in on and below_floor(s, on):
        return False
    return Rule.GUARDED not in on or s.row == ("absent" if worker == "saw no row" else "due")


def outside_is_called(s: State, on: Rules) -> Iterator[State]:
    """Each try first commits `due, reached`; then its request is on its way, come what may."""
    if s.reached and s.key_expired and Rule.KEY_LIFE in on:
        return
    for worker in those(s, "saw no row", "saw due"):
        workers = turn(s, worker, "calling")
        if Rule.REACH_IS_RECORDED_FIRST not in on:
            yield replace(s, workers=workers, in_flight=True)
        elif may_write(s, worker, on):
            kept = s.letter_kept or Rule.WHOLE_LETTER_IS_KEPT in on
            row = replace(s, row="due", reached=True, letter_kept=kept)
            yield replace(row, workers=workers, in_flight=True)


def call_arrives_outside(s: State, on: Rules) -> Iterator[State]:
    """The External knows a key until the key's life ends."""
    if s.in_flight:
        workers = tuple(sorted("answered" if w == "calling" else w for w in s.workers))
        answered = replace(s, in_flight=False, workers=workers)
        known = (s.charges > 0 or s.declined) and not s.key_expired and Rule.SAME_KEY in on
        if known:
            yield answered
        else:
            yield replace(answered, charges=min(2, s.charges + 1), declined=False)
            yield replace(answered, declined=True)


def may_end(s: State, worker: Worker, on: Rules) -> bool:
    """Return whether the handler can end now; one that need not reach out ends without."""
    return may_write(s, worker, on) and (worker == "answered" or not s.reached)


def command_is_done(s: State, on: Rules) -> Iterator[State]:
    """Writes, row and answer commit together."""
    for worker in those(s, "saw no row", "saw due", "answered"):
        if may_end(s, worker, on) and not (worker == "answered" and s.declined):
            done = replace(s, row="done", wire=s.wire | {"reply"})
            effects = min(2, s.effects + 1)
            yield replace(done, effects=effects, workers=turn(s, worker, "idle"))


def command_fails(s: State, on: Rules) -> Iterator[State]:
    """A business refusal is recorded and answered; the handler's writes are rolled back."""
    for worker in those(s, "saw no row", "saw due", "answered"):
        if may_end(s, worker, on) and (worker != "answered" or s.declined):
            failed = replace(s, row="failed", wire=s.wire | {"failure"})
            yield replace(failed, workers=turn(s, worker, "idle"))


def a_worker_stops(s: State, on: Rules) -> Iterator[State]:
    """Its host dies, its handler raises or its write is refused: only rows remain."""
    for worker in those(s, "saw no row", "saw due", "calling", "answered"):
        stopped = replace(s, workers=turn(s, worker, "idle"))
        yield stopped
        if s.row == "due" and s.reached and Rule.REACHED_IS_NEVER_CLEARED not in on:
            yield replace(stopped, reached=False)


def last_try_fails(s: State, on: Rules) -> Iterator[State]:
    """Poison is put aside."""
    for worker in those(s, "saw due", "calling", "answered"):
        if s.row == "due":
            yield replace(s, row="dead", workers=turn(s, worker, "idle"))


def key_life_ends(s: State, on: Rules) -> Iterator[State]:
    """The edge declares a life shorter than the real one by the longest call: none is under way."""
    if s.reached and not s.in_flight and not s.key_expired:
        dead = Rule.KEY_LIFE in on and s.row == "due"
        yield replace(s, key_expired=True, row="dead" if dead else s.row)


def operator_requeues(s: State, on: Rules) -> Iterator[State]:
    """At any time later, perhaps after the saga was undone."""
    too_late = s.reached and s.key_expired and Rule.KEY_LIFE in on
    if s.row == "dead" and not too_late:
        yield replace(s, row="due")


def operator_drops(s: State, on: Rules) -> Iterator[State]:
    """What had reached out was looked up at the External, and given back there by hand."""
    certain = not s.reached or s.key_expired or Rule.DROPPED_AFTER_KEY_LIFE not in on
    if s.row == "dead" and certain:
        yield replace(s, row="refused", undone=s.undone or s.charges > 0)


# --- The receiver's side: undo and withdraw meet the command at its own row -----------------------


def undo_is_taken(s: State, on: Rules) -> Iterator[State]:
    """It becomes a row that is tried for ever; done, it is answered again."""
    if "undo" in s.wire and s.undo_row == "absent" and not below_floor(s, on, 2):
        early: set[Wire] = set() if Rule.UNDO_ENDS_BY_ANSWER in on else {"undone"}
        yield replace(s, undo_row="due", wire=s.wire | early)
    if "undo" in s.wire and s.undo_row == "done" and Rule.ANSWERED_AGAIN in on:
        yield replace(s, wire=s.wire | {"undone"})


def row_is_looked_at(s: State, on: Rules) -> Iterator[State]:
    """Without the lock time passes between the look and the act."""
    if Rule.LOCKED_FIRST not in on and (s.undo_row == "due" or "withdraw" in s.wire):
        yield replace(s, saw=(s.row, s.reached))


def meeting(s: State, on: Rules) -> tuple[Row, bool] | None:
    """Return (new state of the command's row, run the undo handler), or None: wait."""
    row, reached = s.saw or (s.row, s.reached)
    if row in SETTLED:
        return s.row, row == "done" or Rule.REFUSED_IS_NOT_UNDONE not in on
    if reached and Rule.FORWARD_FINISHES_FIRST in on:
        return None
    needed = {"absent": Rule.TOMBSTONE, "dead": Rule.DEAD_IS_WITHDRAWN}.get(row)
    return ("refused" if needed is None or needed in on else s.row), False


def undo_acts(s: State, on: Rules) -> Iterator[State]:
    """Whichever comes second, command or undo, obeys the first."""
    if s.undo_row == "due":
        met = (s.row, True) if s.known_done else meeting(s, on)
        if met is not None:
            row, runs = met
            acted = replace(s, row=row, undo_row="done", saw=None, undone=s.undone or runs)
            yield replace(acted, wire=s.wire | {"undone"})


def withdraw_acts(s: State, on: Rules) -> Iterator[State]:
    """A command that is done answers with its reply; one that has not begun never will."""
    if "withdraw" in s.wire and not (s.row == "absent" and below_floor(s, on)):
        met = meeting(s, on)
        if met is not None:
            answer = SETTLED.get(met[0], "withdrawn")
            yield replace(s, row=met[0], saw=None, wire=s.wire | {answer})


def floor_passes(s: State, on: Rules) -> Iterator[State]:
    """The sender has settled the id; the receiver stores the floor and deletes below it at once."""
    floor = 0 if s.command != "gone" else 2 if s.closing == "gone" else 1
    if floor > s.floor:
        row = "absent" if s.row in SETTLED else s.row
        undo_row = "absent" if floor == 2 and s.undo_row == "done" else s.undo_row
        passed = replace(s, floor=floor, row=row, undo_row=undo_row)
        yield passed if row == s.row else replace(passed, reached=False, letter_kept=False)


MOVES: tuple[Callable[[State, Rules], Iterator[State]], ...] = (
    command_is_sent, answer_is_recorded, saga_times_out, later_step_fails, closing_is_sent,
    closing_is_answered, broker_forgets_all, command_is_taken, row_is_tried, outside_is_called,
    call_arrives_outside, command_is_done, command_fails, a_worker_stops, last_try_fails,
    key_life_ends, operator_requeues, operator_drops, undo_is_taken, row_is_looked_at, undo_acts,
    withdraw_acts, floor_passes,
)  # fmt: skip
