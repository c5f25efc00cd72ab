"""What one service has received: the rows of its inbox, made, found again, and answered."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.transitions import answer_again
from holdfast.consistency.turn import Effects
from holdfast.contract.carrier import carrier_of
from holdfast.contract.cause import Cause
from holdfast.contract.envelope import EdgeRow, Kind, Letter, LetterAnswer, MessageRow, State
from holdfast.contract.messages import Event, Message
from holdfast.storage import Transaction


class Noticed(Protocol):
    """Where the core reports what an operator may want to know.

    Args:
        cause: what it is about, such as a letter; by default, what is under way.
    """

    def __call__(self, event: str, *, cause: Cause | None = None, **fields: object) -> None: ...


class Received:
    """The inbox rows of one service.

    Args:
        waited: {wire name: event} of those that sagas of this service may wait for.
    Attributes:
        ignored_below_floor: how many letters were ignored, by edge.
    """

    def __init__(
        self, ledger: Ledger, waited: Mapping[str, type[Message]], notice: Noticed
    ) -> None:
        self._ledger = ledger
        self.waited = waited
        self._notice = notice
        self.ignored_below_floor = Counter[int]()

    def new_row(self, edge: EdgeRow, letter: Letter, *, due_at: int | None = None) -> MessageRow:
        """Return the row of a letter."""
        row = MessageRow(
            edge.id,
            letter.id,
            State.DUE,
            letter.kind,
            due_at=due_at,
            tries=1,
            about=letter.about,
            body=encode(letter),
        )
        if letter.kind is Kind.EVENT:
            row.topic = self.topic_of(letter)
        return row

    def topic_of(self, letter: Letter) -> str | None:
        """Return the topic of an event that sagas of this service may wait for."""
        waited = self.waited.get(letter.type)
        if waited is None:
            return None
        event = carrier_of(waited).decode(bytes(letter.body))
        return event.topic_key() if isinstance(event, Event) else None

    def answer(self, effects: Effects, edge: EdgeRow, answer: LetterAnswer) -> None:
        """Have an answer given after the commit; nobody waits for letters to oneself."""
        if edge.sender != self._ledger.service:
            effects.answers.append((edge.id, answer))

    async def answer_again(
        self, tx: Transaction, edge: EdgeRow, letter: Letter, effects: Effects
    ) -> None:
        """A letter that is known already: say again what was said."""
        row = await tx.lock_message(edge.id, letter.id)
        if row is None:  # settled long ago, and forgotten by evidence
            self.ignore(edge, letter, effects)
        elif self._ledger.safe.answer_again:
            self.answer(effects, edge, answer_again(row))

    def ignore(self, edge: EdgeRow, letter: Letter, effects: Effects) -> None:
        """Count and tell a letter below the floor, once that is committed.

        It is a late copy, as a rule. If its sender still waits for an answer, floors or clocks
        have gone wrong, and this is the only trace that it leaves here.
        """

        def tell() -> None:
            self.ignored_below_floor[edge.id] += 1
            self._notice(
                "letter.ignored",
                cause=letter,
                sender=edge.sender,
                lane=edge.lane.value,
                letter=str(letter.id),
                reason="it is below its sender's floor: settled long ago",
            )

        effects.done.append(tell)

    async def write(self, tx: Transaction, row: MessageRow, stored: MessageRow | None) -> bool:
        """Insert a letter's row, or move its stored one on; False if another was first."""
        if stored is None:
            return bool(await tx.insert_messages([row], above_floor=True))
        return await tx.update_message(row, State.DUE, held=self.token(stored))

    def token(self, row: MessageRow) -> int | None:
        """Return what shows that a claimed row has not been claimed by another since."""
        return row.due_at
