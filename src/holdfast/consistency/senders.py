"""Who may send one service what: every parcel is held against the graph before it is looked into.

Who published a parcel is known from the broker. What the parcel says of itself must agree with
that, and what its letters want must be an edge of the graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.contract.envelope import Kind, Letter, Parcel

Sent = tuple[Kind, str]
"""A letter's kind and type: a command and a withdrawal of it are two."""


class NotTaken(StrEnum):
    """Why a parcel, or a letter in it, is not taken."""

    SENDER = "sender"  # another one published it than it says
    ADDRESS = "address"  # it is for another service
    EDGE = "edge"  # the graph knows no edge between the two
    MESSAGE = "message"  # nor lets this sender send that


@dataclass(frozen=True, slots=True)
class Senders:
    """What the graph says of the letters that one service gets from others.

    Attributes:
        may_send: {sender: what it may send}; the service itself is not among them, since its
            letters to itself go by no broker.
        known: the types that this version takes, from whomever. Others wait for a version that
            knows them, and are held against its graph then.
    """

    service: str
    may_send: Mapping[str, frozenset[Sent]] = field(default_factory=dict[str, frozenset[Sent]])
    known: frozenset[str] = frozenset()

    def refusal_of_letters(self, parcel: Parcel, sender: str) -> NotTaken | None:
        """Say why a parcel of letters is not taken; None: each of them may be looked at.

        Args:
            sender: who published it; empty where the broker cannot know.
        """
        if sender and sender != parcel.sender:
            return NotTaken.SENDER
        if parcel.receiver != self.service:
            return NotTaken.ADDRESS
        return None if parcel.sender in self.may_send else NotTaken.EDGE

    def refusal_of_answers(self, parcel: Parcel, sender: str) -> NotTaken | None:
        """Say why a parcel of answers is not taken.

        Who handles the letters answers them. A time-out is the service's own word to itself.
        """
        if parcel.sender != self.service:
            return NotTaken.ADDRESS
        own = all(answer.outcome == "expired" for answer in parcel.answers)
        others = not any(answer.outcome == "expired" for answer in parcel.answers)
        allowed = (own and sender == self.service) or (others and sender == parcel.receiver)
        return None if allowed or not sender else NotTaken.SENDER

    def allows(self, sender: str, letter: Letter) -> bool:
        """Whether a sender may send a letter; one of an unknown type may be known later."""
        if (letter.kind, letter.type) in self.may_send.get(sender, ()):
            return True
        return letter.kind in _TRAVELLING and not self.knows(letter)

    def knows(self, letter: Letter) -> bool:
        """Whether this version takes letters of such a type, from anybody."""
        return letter.type in self.known


_TRAVELLING = (Kind.COMMAND, Kind.EVENT, Kind.UNDO, Kind.WITHDRAW)
