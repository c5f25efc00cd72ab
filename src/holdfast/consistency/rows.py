"""One row of `message`, seen as what it is: engines know one row, the protocol knows its kinds."""

from uuid import UUID

import msgspec

from holdfast.contract.envelope import Kind, Letter, MessageRow


class SagaStep:
    """A row that a saga waits for: a command, an undo, a timer, or a wait for an event.

    Attributes:
        saga, path: whose step it is.
    """

    __slots__ = ("_letter", "path", "row", "saga")

    def __init__(self, row: MessageRow) -> None:
        assert row.owner is not None, f"{row.kind} {row.id} belongs to no saga"
        assert row.path is not None, f"{row.kind} {row.id} belongs to no step"
        self.row, self.saga, self.path = row, row.owner, row.path
        self._letter: Letter | None = None

    @property
    def letter(self) -> Letter:
        """The command, or the undo."""
        if self._letter is None:
            self._letter = msgspec.json.decode(self.row.body, type=Letter)
        return self._letter

    @property
    def mark(self) -> str:
        """The traceparent of the advance that set a timer, "" where nothing was recorded."""
        return self.row.body.decode() if self.row.kind is Kind.TIMER else ""

    @property
    def kind(self) -> str:
        """The `kind` under which a letter's answer is recorded as a step."""
        verb = "undo" if self.row.kind is Kind.UNDO else "call"
        return f"{verb} {self.letter.type}"

    @property
    def waits_for(self) -> str:
        """The `kind` of a wait's step: `wait Shipped.v1|Lost.v1`."""
        return self.row.body.decode()

    @property
    def command(self) -> UUID:
        """The id of the command that an undo is about."""
        assert self.row.about is not None, f"undo {self.row.id} is about nothing"
        return self.row.about
