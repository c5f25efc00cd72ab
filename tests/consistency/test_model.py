"""Every state of two models is visited: the saga step of `model`, and the plain letter below.

Run with `-s` to see how many states each search visited.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic, Literal, TypeVar

import pytest

from tests.consistency import model
from tests.consistency.model import Rule, Rules, State, Worker

S = TypeVar("S", bound=Hashable)
R = TypeVar("R", bound=Enum)


# --- The search -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Model(Generic[S, R]):
    """What is searched, and what must hold. Promises are named after their functions.

    Attributes:
        invariants: hold in every state.
        ends: {function: moves that may not help}: from every state, the other moves can lead to
            a state for which the function holds; so nothing is stuck for ever.
    """

    moves: Sequence[Callable[[S, frozenset[R]], Iterator[S]]]
    invariants: Sequence[Callable[[S], bool]]
    ends: dict[Callable[[S], bool], Sequence[Callable[[S, frozenset[R]], Iterator[S]]]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a search found.

    Attributes:
        moved: the moves that changed some state.
        broken: {promise: the shortest history that breaks it}.
    """

    states: int
    moved: frozenset[str]
    broken: dict[str, tuple[str, ...]]


def explore(searched: Model[S, R], start: S, on: frozenset[R]) -> Report:
    """Visit all states that can follow, nearest first; then walk back from each kind of end."""
    came: dict[S, tuple[S, str] | None] = {start: None}
    before: dict[S, list[tuple[S, str]]] = {}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for move in searched.moves:
            for after in move(state, on):
                if after == state:
                    continue
                before.setdefault(after, []).append((state, move.__name__))
                if after not in came:
                    came[after] = (state, move.__name__)
                    waiting.append(after)
    broken: dict[str, tuple[str, ...]] = {}
    for holds in searched.invariants:
        for state in came:
            if not holds(state):
                broken[holds.__name__] = history(came, state)
                break
    for end, helpless in searched.ends.items():
        fine = leading_to([s for s in came if end(s)], before, {m.__name__ for m in helpless})
        for state in came:
            if state not in fine:
                broken[end.__name__] = history(came, state)
                break
    moved = frozenset(name for arrows in before.values() for _, name in arrows)
    return Report(len(came), moved, broken)


def leading_to(ends: list[S], before: dict[S, list[tuple[S, str]]], helpless: set[str]) -> set[S]:
    """Return the states from which one of the ends can be reached without the helpless moves."""
    found, waiting = set(ends), deque(ends)
    while waiting:
        for state, name in before.get(waiting.popleft(), ()):
            if name not in helpless and state not in found:
                found.add(state)
                waiting.append(state)
    return found


def history(came: dict[S, tuple[S, str] | None], state: S) -> tuple[str, ...]:
    """Return the names of the moves from the start to this state."""
    names: list[str] = []
    while (step := came[state]) is not None:
        state, name = step
        names.append(name)
    return tuple(reversed(names))


# --- What a step promises -------------------------------------------------------------------------


def survives(s: State) -> bool:
    """Return whether something happened that nobody took back."""
    return (s.charges > 0 or s.effects > 0) and not s.undone


def committed_at_most_once(s: State) -> bool:
    """The handler's own writes."""
    return s.effects <= 1


def charged_at_most_once(s: State) -> bool:
    """The effect at the External."""
    return s.charges <= 1


def undone_leaves_nothing(s: State) -> bool:
    """An answered undo is final: no effect comes up after it."""
    return not (s.undoable and s.closing == "gone" and survives(s))


def only_the_happened_is_undone(s: State) -> bool:
    """No refund without a charge."""
    return not s.undone or s.charges + s.effects > 0


def withdrawn_means_nothing(s: State) -> bool:
    """A step without an undo that ends `Unanswered` has told the saga: effect none."""
    return s.undoable or s.outcome != "unanswered" or not survives(s)


def failed_means_nothing(s: State) -> bool:
    """A recorded Failure has told the saga that there is nothing to undo."""
    return s.outcome != "failure" or not survives(s)


def settled_is_never_run_again(s: State) -> bool:
    """Once the sender has deleted its row, the receiver holds none that could still run."""
    return s.command != "gone" or s.row not in ("due", "dead")


def ends_with_an_operator(s: State) -> bool:
    """The step has its outcome, what had to be undone is undone, and no row is left anywhere."""
    settled = s.command == "gone" and s.closing in ("none", "gone")
    return settled and (s.row, s.undo_row) == ("absent", "absent")


def ends_by_itself(s: State) -> bool:
    """Only a dead letter that had reached out ever waits for a human."""
    return ends_with_an_operator(s) or (s.row == "dead" and s.reached)


STEP: Model[State, Rule] = Model(
    moves=model.MOVES,
    invariants=(
        committed_at_most_once,
        charged_at_most_once,
        undone_leaves_nothing,
        only_the_happened_is_undone,
        withdrawn_means_nothing,
        failed_means_nothing,
        settled_is_never_run_again,
    ),
    ends={
        ends_with_an_operator: (),
        ends_by_itself: (
            model.broker_forgets_all,
            model.last_try_fails,
            model.key_life_ends,
            model.operator_requeues,
            model.operator_drops,
        ),
    },
)

MISSED_BY: dict[Rule, tuple[Callable[[State], bool], str]] = {
    Rule.REACH_IS_RECORDED_FIRST: (failed_means_nothing, "undo"),
    Rule.WHOLE_LETTER_IS_KEPT: (ends_by_itself, "undo"),
    Rule.REACHED_IS_NEVER_CLEARED: (undone_leaves_nothing, "undo"),
    Rule.SAME_KEY: (charged_at_most_once, "undo"),
    Rule.KEY_LIFE: (charged_at_most_once, "undo"),
    Rule.DROPPED_AFTER_KEY_LIFE: (undone_leaves_nothing, "undo"),
    Rule.GUARDED: (undone_leaves_nothing, "undo"),
    Rule.LOCKED_FIRST: (undone_leaves_nothing, "undo"),
    Rule.TOMBSTONE: (withdrawn_means_nothing, "withdraw"),
    Rule.DEAD_IS_WITHDRAWN: (undone_leaves_nothing, "undo"),
    Rule.FORWARD_FINISHES_FIRST: (undone_leaves_nothing, "undo"),
    Rule.REFUSED_IS_NOT_UNDONE: (only_the_happened_is_undone, "undo"),
    Rule.UNDO_KNOWS: (undone_leaves_nothing, "undo"),
    Rule.HELD: (undone_leaves_nothing, "undo"),
    Rule.WRITE_ONCE: (undone_leaves_nothing, "undo"),
    Rule.UNDO_ENDS_BY_ANSWER: (undone_leaves_nothing, "undo"),
    Rule.WITHDRAW_IS_OUTCOME: (withdrawn_means_nothing, "withdraw"),
    Rule.ANSWERED_AGAIN: (ends_with_an_operator, "undo"),
    Rule.FLOOR_IGNORES: (committed_at_most_once, "undo"),
    Rule.FLOOR_IN_INSERT: (settled_is_never_run_again, "undo"),
}
"""{rule: (a promise that is broken without it, the kind of step in which this is seen)}"""

ALL_RULES: Rules = frozenset(Rule)


def search_step(on: Rules, *, kind: str, replicas: int = 1) -> Report:
    idle: Worker = "idle"
    return explore(STEP, State(undoable=kind == "undo", workers=(idle,) * replicas), on)


# --- The plain letter: outbox and inbox -----------------------------------------------------------


class LetterRule(Enum):
    """What an event or a command without a saga rests on."""

    SENT_AFTER_COMMIT = "a letter leaves only from a committed row"
    KEPT_UNTIL_ANSWER = "the OUT row ends with the answer, not with the broker's acknowledgement"
    ROW_WITH_EFFECT = "the IN row commits together with the effect"
    ANSWERED_AGAIN = "a letter that comes again is answered again from its IN row"


LetterRules = frozenset[LetterRule]


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter, from the transaction that decides it to the deletion of its row.

    Attributes:
        sender: its transaction is open, committed or rolled back.
        out_row, in_row: in the sender's and in the receiver's database.
        half: what a receiver that commits twice has still to commit; lost when it dies.
    """

    sender: Literal["open", "committed", "rolled back"] = "open"
    out_row: bool = False
    on_wire: bool = False
    in_row: bool = False
    half: Literal["", "effect", "row"] = ""
    effects: int = 0
    answer_on_wire: bool = False


def sender_commits(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """The row commits with what the sender wrote."""
    if s.sender == "open":
        yield replace(s, sender="committed", out_row=True)


def sender_rolls_back(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """Or dies before the commit."""
    if s.sender == "open":
        yield replace(s, sender="rolled back")


def letter_is_sent(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """By whichever process finds the row."""
    if s.out_row or (s.sender == "open" and LetterRule.SENT_AFTER_COMMIT not in on):
        yield replace(s, on_wire=True, out_row=s.out_row and LetterRule.KEPT_UNTIL_ANSWER in on)


def all_is_forgotten(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """The broker loses what it had acknowledged."""
    yield replace(s, on_wire=False, answer_on_wire=False)


def letter_is_taken(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """A letter with a row has had its effect; it is only answered."""
    if s.on_wire and s.in_row and LetterRule.ANSWERED_AGAIN in on:
        yield replace(s, answer_on_wire=True)
    if s.on_wire and not s.in_row and not s.half:
        effects = min(2, s.effects + 1)
        if LetterRule.ROW_WITH_EFFECT in on:
            yield replace(s, in_row=True, effects=effects, answer_on_wire=True)
        else:
            yield replace(s, in_row=True, half="effect")
            yield replace(s, effects=effects, half="row")


def other_half_commits(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """What a receiver with two transactions hopes for."""
    if s.half == "effect":
        yield replace(s, half="", effects=min(2, s.effects + 1), answer_on_wire=True)
    if s.half == "row":
        yield replace(s, half="", in_row=True, answer_on_wire=True)


def receiver_dies(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """What was committed stays."""
    yield replace(s, half="")


def letter_is_answered(s: Letter, on: LetterRules) -> Iterator[Letter]:
    """The end of the OUT row."""
    if s.answer_on_wire:
        yield replace(s, out_row=False)


def effect_at_most_once(s: Letter) -> bool:
    """However often it is sent and taken."""
    return s.effects <= 1


def only_the_committed_has_effect(s: Letter) -> bool:
    """Nobody acts on what the sender rolled back."""
    return s.effects == 0 or s.sender == "committed"


def takes_effect_and_ends(s: Letter) -> bool:
    """What is committed is not lost, and its row is not kept for ever."""
    return s.sender == "rolled back" or (s.effects > 0 and not s.out_row)


LETTER: Model[Letter, LetterRule] = Model(
    moves=(
        sender_commits,
        sender_rolls_back,
        letter_is_sent,
        all_is_forgotten,
        letter_is_taken,
        other_half_commits,
        receiver_dies,
        letter_is_answered,
    ),
    invariants=(effect_at_most_once, only_the_committed_has_effect),
    ends={takes_effect_and_ends: (all_is_forgotten, receiver_dies, sender_rolls_back)},
)


# --- The tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["undo", "withdraw"])
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_with_all_rules_no_history_breaks_a_promise(kind: str, replicas: int) -> None:
    """Whatever is lost, doubled, late, forgotten or killed, every promise of a step holds."""
    report = search_step(ALL_RULES, kind=kind, replicas=replicas)
    print(f"{kind}, {replicas} receiver processes: {report.states} states")

    assert report.broken == {}


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name.lower())
def test_each_rule_is_needed(rule: Rule) -> None:
    """Without any one of the rules, some history breaks the promise that the rule is for."""
    promise, kind = MISSED_BY[rule]
    report = search_step(ALL_RULES - {rule}, kind=kind)
    print(f"without: {rule.value}\n  {promise.__name__}: {report.broken.get(promise.__name__)}")

    assert promise.__name__ in report.broken


def test_unguarded_replicas_commit_one_letter_twice() -> None:
    """Two processes take the same first delivery; only the guarded insert stops the second."""
    report = search_step(ALL_RULES - {Rule.GUARDED}, kind="undo", replicas=2)

    assert report.broken["committed_at_most_once"] == (
        "command_is_sent",
        "command_is_taken",
        "command_is_taken",
        "command_is_done",
        "command_is_done",
    )


def test_an_undo_that_knows_nothing_misses_what_was_forgotten() -> None:
    """The shortest history reads as a story: done, recorded, cleaned, and then undone blindly."""
    report = search_step(ALL_RULES - {Rule.UNDO_KNOWS}, kind="undo")

    assert report.broken["undone_leaves_nothing"] == (
        "command_is_sent",
        "command_is_taken",
        "command_is_done",
        "answer_is_recorded",
        "later_step_fails",
        "closing_is_sent",
        "undo_is_taken",
        "floor_passes",
        "undo_acts",
        "closing_is_answered",
    )


def test_every_promise_is_at_stake() -> None:
    """A promise that no missing rule can break would be one that the model cannot see."""
    promises = {*STEP.invariants, *STEP.ends}

    assert promises == {promise for promise, _ in MISSED_BY.values()}


def test_every_move_is_made() -> None:
    """With all rules on each move happens in some history, but the look that the lock forbids."""
    moved = (
        search_step(ALL_RULES, kind="undo").moved | search_step(ALL_RULES, kind="withdraw").moved
    )

    assert {move.__name__ for move in STEP.moves} - moved == {"row_is_looked_at"}


def test_a_letter_takes_effect_exactly_once_or_was_never_committed() -> None:
    """With all rules of outbox and inbox on, nothing is lost, doubled or kept for ever."""
    report = explore(LETTER, Letter(), frozenset(LetterRule))
    print(f"plain letter: {report.states} states")

    assert report.broken == {}


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (LetterRule.SENT_AFTER_COMMIT, {"only_the_committed_has_effect"}),
        (LetterRule.KEPT_UNTIL_ANSWER, {"takes_effect_and_ends"}),
        (LetterRule.ROW_WITH_EFFECT, {"effect_at_most_once", "takes_effect_and_ends"}),
        (LetterRule.ANSWERED_AGAIN, {"takes_effect_and_ends"}),
    ],
)
def test_each_rule_of_a_plain_letter_is_needed(rule: LetterRule, broken: set[str]) -> None:
    """Without it a letter is doubled, lost, kept for ever, or acted on though rolled back."""
    report = explore(LETTER, Letter(), frozenset(LetterRule) - {rule})

    assert set(report.broken) == broken
