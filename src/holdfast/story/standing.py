"""How an open letter stands, from the rows of both sides, and what a person can do about it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from holdfast.consistency.replies import heard
from holdfast.consistency.schedule import time_of
from holdfast.consistency.transitions import entries, failed_tries, last_error
from holdfast.consistency.unknown import waits
from holdfast.contract.envelope import HTTP, Kind, Letter, MessageRow, SagaRow, State
from holdfast.story.entry import Advice, Entry, Open, when
from holdfast.story.order_rows import OrderRows, letter_of

_TRY = re.compile(r"try (\d+) at (\S+): (.*)", re.DOTALL)
_REPLAYED = re.compile(r"replayed at (\S+)")

Found = tuple[Open, list[Advice]]


@dataclass(slots=True)
class Sides:
    """The rows of one letter: in its sender's database, and in its receiver's."""

    out: tuple[OrderRows, MessageRow] | None = None
    inn: tuple[OrderRows, MessageRow] | None = None

    @property
    def some(self) -> tuple[OrderRows, MessageRow]:
        """The sender's, if it is there."""
        found = self.out or self.inn
        assert found is not None, "a letter has a row somewhere"
        return found

    @property
    def sides(self) -> tuple[str, str]:
        """Who sends it, and to whom."""
        held, row = self.some
        edge = held.edges[row.edge]
        return edge.sender, edge.receiver

    @property
    def letter(self) -> Letter | None:
        """What it holds, while one of the rows has it."""
        found = (letter_of(some[1]) for some in (self.out, self.inn) if some is not None)
        return next((letter for letter in found if letter is not None), None)


class LetterRows:
    """The message rows of all services, by letter."""

    def __init__(self, held: Sequence[OrderRows]) -> None:
        self.letters: dict[UUID, Sides] = {}
        self.requests: list[tuple[OrderRows, MessageRow]] = []
        for one in held:
            for row in sorted(one.messages.values(), key=lambda row: row.id):
                edge = one.edges[row.edge]
                if edge.sender == HTTP:
                    self.requests.append((one, row))
                    continue
                sides = self.letters.setdefault(row.id, Sides())
                if edge.receiver == one.service:
                    sides.inn = (one, row)
                else:
                    sides.out = (one, row)

    def of_saga(self, held: OrderRows, saga: UUID) -> Iterator[tuple[OrderRows, MessageRow]]:
        """Yield the open rows of a saga."""
        for row in held.messages.values():
            if row.owner == saga:
                yield held, row


def tries_of(row: MessageRow, service: str, name: str) -> Iterator[Entry]:
    """Yield the failed tries that are written down in a row."""
    for one in entries(row.error):
        letter, saga = str(row.id), str(row.owner or "")
        if (failed := _TRY.fullmatch(one)) is not None:
            what = f"{name} is tried, and fails"  # a try that is given back has no number
            error = _flat(failed[3])
            yield Entry(_ms(failed[2]), service, what, error, "", letter, saga, failed=True)
        elif (replayed := _REPLAYED.fullmatch(one)) is not None:
            what = f"{name}: an operator has it tried again"
            yield Entry(_ms(replayed[1]), service, what, "", "", letter, saga)


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def _last(errors: str) -> str:
    """Return the newest error, without its number and its time, which are told before."""
    failed = _TRY.fullmatch(last := last_error(errors))
    return _flat(failed[3] if failed else last)


def _flat(text: str) -> str:
    return " ".join(text.split())


class Standing:
    """Says how things stand.

    Args:
        typed: what commands are given for this system.
    """

    def __init__(self, typed: str) -> None:
        self._typed = typed

    def parked(self, service: str, row: SagaRow, since: int) -> Found:
        """Say why a saga is parked."""
        open_ = Open(
            service, f"saga {row.type} is parked", since, _flat(row.error or ""), saga=str(row.id)
        )
        return open_, [
            self._does("sagas retry", row.id, "runs it again from its steps, once it is mended"),
            self._does("sagas cancel", row.id, "gives it up: what it did is undone"),
        ]

    def stranger(self, service: str, row: SagaRow, since: int, why: str) -> Found:
        """Say that a saga waits for another version of the code."""
        what = f"saga {row.type} waits for a version that knows it"
        return Open(service, what, since, why, saga=str(row.id)), []

    def letter(self, sides: Sides) -> Found | None:
        """Say how a letter, a timer or a wait stands; None if nobody waits for it."""
        held, row = sides.some
        if row.state in (State.DONE, State.REFUSED):
            return None
        sender, receiver = sides.sides
        letter, saga = str(row.id), str(row.owner or "")
        if row.kind in (Kind.TIMER, Kind.WAIT):
            return self._pause(held, row)
        name = letter_type(sides)
        step = step_of(row)
        why, advice = self._why(sides, receiver)
        open_ = Open(
            sender, f"{step}{name}", time_of(row.id), why, _until(row), receiver, letter, saga
        )
        if advice and row.owner is not None and row.kind is Kind.COMMAND:
            advice.append(
                self._does("sagas cancel", row.owner, "gives it up: what it did is undone")
            )
        return open_, advice

    def _pause(self, held: OrderRows, row: MessageRow) -> Found:
        until, saga = when(row.due_at or 0), str(row.owner or "")
        if row.kind is Kind.TIMER:
            what, why, advice = f"step {row.path}, sleep", "it sleeps", list[Advice]()
        else:
            events = row.body.decode().partition(" ")[2]
            what, why = f"step {row.path}, wait {events}", "the event has not come"
            event = events.partition("|")[0].partition(".")[0]
            command = f"holdfast send {self._typed} {event} '{{…}}'"
            advice = [Advice(command, "publishes it by hand, if it is lost elsewhere")]
        open_ = Open(held.service, what, time_of(row.id), why, f"goes on at {until}", saga=saga)
        return open_, advice

    def _why(self, sides: Sides, receiver: str) -> tuple[str, list[Advice]]:
        if sides.inn is not None:
            return self._there(sides.inn[1], receiver)
        assert sides.out is not None
        row = sides.out[1]
        if row.state is State.HELD:
            return "it timed out, and is kept until its undo is answered", []
        again = f", sent again at {when(row.due_at)}" if row.due_at else ""
        said = heard(row)
        if said is not None:
            error = f"; {receiver} last said, after {said.tries} tries: {_flat(said.error)}"
            return f"sent {_times(row.tries)}{again}{error}", [self._now(row.id)]
        if row.tries <= 1:
            return f"sent {_times(row.tries)}{again}", []
        look = Advice(f"holdfast status {self._typed}", f"shows whether {receiver} runs")
        return (
            f"sent {_times(row.tries)}{again}; {receiver} has not taken it",
            [look, self._now(row.id)],
        )

    def _there(self, row: MessageRow, receiver: str) -> tuple[str, list[Advice]]:
        error = f"; the last error: {_last(row.error)}" if row.error else ""
        if row.state is State.DEAD:
            return f"dead in {receiver} after {_times(row.tries, 'try')}{error}", [
                self._does("dead-letters replay", row.id, "has it tried again, once it is mended"),
                self._does("dead-letters drop", row.id, "gives it up: its sender is refused"),
            ]
        if row.state in (State.DONE, State.REFUSED):
            return f"settled in {receiver}; the answer is on its way", []
        again = f", tried again at {when(row.due_at)}" if row.due_at else ""
        if waits(row):
            return f"in {receiver}{again}{error}", []
        outside = ", and may have had an effect outside" if row.reached else ""
        if failed := failed_tries(row.error):
            why = f"{_times(failed, 'try')} failed in {receiver}{outside}{again}{error}"
            return why, [self._now(row.id)]
        number = f"its {_ordinal(row.tries)} try" if row.tries else "its first try"
        return f"in {receiver}{outside}; {number} is under way{again}", []

    def _now(self, letter: UUID) -> Advice:
        return self._does("letters retry-now", letter, "has it tried now, once it is mended")

    def _does(self, verb: str, id_: UUID, effect: str) -> Advice:
        return Advice(f"holdfast {verb} {self._typed} {id_}", effect)


def step_of(row: MessageRow) -> str:
    """Return which step of a saga a row belongs to, before its name."""
    step = f"step {row.path}, " if row.path else ""
    return f"{step}undo " if row.kind is Kind.UNDO else step


def letter_type(sides: Sides) -> str:
    """Return a letter's type, or that nobody knows it any more."""
    letter = sides.letter
    if letter is None:
        return sides.some[1].topic or "a letter"
    return f"withdrawal of {letter.type}" if letter.kind is Kind.WITHDRAW else letter.type


def _until(row: MessageRow) -> str:
    if row.expires_at is None:
        return ""
    at = when(row.expires_at)
    match row.kind:
        case Kind.UNDO:
            return f"tried for ever; the undo before it is waited for until {at}"
        case Kind.COMMAND if row.owner is not None:
            return f"counts as unanswered at {at}"
        case _:
            return ""


def _ordinal(count: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(count, f"{count}th")


def _times(count: int, of: str = "") -> str:
    if of:
        return f"{count} {'tries' if count != 1 else of}"
    return f"{count} time{'s' * (count != 1)}"
