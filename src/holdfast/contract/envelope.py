"""What travels and what is stored: letters, answers, parcels, and the rows of the four tables."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from holdfast.contract.cause import Cause

HTTP = "http"
"""The sender of the rows that remember HTTP requests with an Idempotency-Key."""


class Lane(StrEnum):
    """New work, and what must not wait behind it: undos, withdrawals and answers."""

    WORK = "work"
    URGENT = "urgent"


class Kind(StrEnum):
    """What a message row is about."""

    COMMAND = "command"
    EVENT = "event"
    UNDO = "undo"
    WITHDRAW = "withdraw"
    TIMER = "timer"  # a saga's sleep
    WAIT = "wait"  # a saga's wait for an event
    TICK = "tick"  # one run of a periodic job
    REQUEST = "request"  # an HTTP request with an Idempotency-Key
    COMMIT = "commit"  # the name of a transaction on a server


class State(StrEnum):
    """The states of a message row; `docs/protocol.md` draws the moves between them."""

    DUE = "due"
    DONE = "done"
    DEAD = "dead"
    REFUSED = "refused"
    HELD = "held"


class Letter(Cause, frozen=True, omit_defaults=True):
    """A command, event, undo or withdrawal, on the wire and in the `body` of its row.

    Attributes:
        type: the message's wire name, `Charge.v1`.
        about: the command that an undo takes back.
        known: an undo whose command is known to be done: its handler runs without looking.
    """

    id: UUID
    kind: Kind
    type: str
    body: msgspec.Raw = msgspec.Raw(b"null")
    about: UUID | None = None
    known: bool = False


Outcome = Literal["reply", "failure", "refused", "taken", "expired"]


class LetterAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the receiver says of a letter. All but `taken` are final.

    Attributes:
        id: the letter's id.
        outcome: a reply; a declared failure; refused (withdrawn before it ran); or taken:
            it is safe with the receiver, and not done yet.
        type: the failure's name.
        tries, error: of a letter that was taken and has failed so far, for whoever waits for it.
    """

    id: UUID
    outcome: Outcome
    body: msgspec.Raw = msgspec.Raw(b"null")
    type: str = ""
    tries: int = 0
    error: str = ""


class Parcel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Letters of one edge, or answers to them, that travel together.

    Attributes:
        sender: who wrote the letters; for answers, who gets the parcel.
        receiver: who handles the letters; for answers, who sends the parcel.
        lane: the lane of the letters' edge. Answers always travel on the urgent lane.
        letters: encoded `Letter`s.
        again: some of the letters may have been delivered before.
        floor: letters below it are settled; the receiver may forget them.
    """

    sender: str
    receiver: str
    lane: Lane
    letters: list[msgspec.Raw] = []
    answers: list[LetterAnswer] = []
    again: bool = False
    floor: UUID | None = None

    @property
    def address(self) -> tuple[str, Lane]:
        """The service that gets the parcel, and the broker's lane on which it goes there."""
        return (self.sender, Lane.URGENT) if self.answers else (self.receiver, self.lane)


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """Who may send to whom. `id` is local to one service's database.

    Attributes:
        events: the wire names of the events that `receiver` subscribes to.
        floor: letters below it are settled; None before the first announcement.
    """

    id: int
    sender: str
    receiver: str
    lane: Lane
    events: tuple[str, ...] = ()
    floor: UUID | None = None


@dataclass(slots=True)
class MessageRow:
    """A row of `message`: inbox, outbox, timer, retry, dead letter, tombstone or request record.

    Attributes:
        due_at: when the claim loop takes it, in ms since 1970 of the database; None: never.
        tries: tries that were started, committed before they ran.
        reached: an External was, or may have been, reached; never cleared.
        owner, path: the saga and the step that it belongs to.
        about: of an undo, the command.
        expires_at: of a saga's command, its time-out; of a reached row, the key's end of life.
        hash: of a request, what its key was first used with; of a reached row, the calls made.
        body: the encoded `Letter`.
        answer: the encoded `LetterAnswer`, or the recorded HTTP response; of a letter of ours, the
            last that was not final and told of failed tries.
        error: an entry for each failed try, newest last; its further lines are indented.
        topic: by which an event and a saga's wait for it meet.
    """

    edge: int
    id: UUID
    state: State
    kind: Kind
    due_at: int | None = None
    tries: int = 0
    reached: bool = False
    owner: UUID | None = None
    path: str | None = None
    about: UUID | None = None
    expires_at: int | None = None
    hash: bytes | None = None
    body: bytes = b""
    answer: bytes | None = None
    error: str | None = None
    topic: str | None = None

    def copy(self) -> "MessageRow":
        """Return a copy that may be changed while this one says what was."""
        return MessageRow(
            self.edge,
            self.id,
            self.state,
            self.kind,
            self.due_at,
            self.tries,
            self.reached,
            self.owner,
            self.path,
            self.about,
            self.expires_at,
            self.hash,
            self.body,
            self.answer,
            self.error,
            self.topic,
        )


SagaState = Literal["running", "completed", "failed", "parked"]


@dataclass(slots=True)
class SagaRow:
    """A row of `saga`.

    Attributes:
        version: the version of the function that advanced it last.
        input: the encoded `SagaInput`.
        error: why it is parked.
        started_at, ended_at: ms since 1970 of the database.
    """

    id: UUID
    type: str
    version: int
    state: SagaState
    input: bytes
    key: str | None = None
    error: str | None = None
    started_at: int = 0
    ended_at: int | None = None


class SagaInput(Cause, frozen=True, omit_defaults=True):
    """What a saga was started with.

    Attributes:
        version: the version of its function that began it, or restarted it last; 0: it was not
            written down then.
        cancelled: when an operator ended it, in ms since 1970: it takes no further step, and undoes
            what it did; 0: nobody did.
        restarts: how often it began again. began_at: when its last step before that ended, in ms
            since 1970; 0: it has not begun again, or had no step.
    """

    body: msgspec.Raw
    version: int = 0
    cancelled: int = 0
    restarts: int = 0
    began_at: int = 0


@dataclass(frozen=True, slots=True)
class StepRow:
    """A row of `step`: one ended step of a saga, written once.

    Attributes:
        path: "3", or "3.1" inside a gather or an undo.
        kind: what the function asked for there, such as `call Charge.v1`.
        outcome: encoded; see `consistency.steps`.
    """

    saga: UUID
    path: str
    kind: str
    outcome: bytes
    ended_at: int
