"""The trail: where the core tells what belongs to a trace. What is told becomes spans elsewhere."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol
from uuid import UUID

from holdfast.contract.cause import Cause
from holdfast.contract.envelope import SagaInput, SagaRow


class Advancing(Protocol):
    """One advance of a saga; what is done in its block belongs to it.

    Attributes:
        cause: what it hands on to the letters that it sends.
        mark: its traceparent, for what links to it later; "" where nothing is recorded.
    """

    @property
    def cause(self) -> Cause: ...
    @property
    def mark(self) -> str: ...

    def keep(self) -> str:
        """Have the whole trace kept; return the traceparent that says so, "" if it is kept."""
        ...

    def committed(self) -> None:
        """Told once, when what it wrote is committed."""
        ...

    def __enter__(self) -> "Advancing": ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Trail(Protocol):
    """Told of letters that are sent and sagas that advance."""

    def letter(
        self, cause: Cause, type: str, receiver: str, id: UUID
    ) -> tuple[Cause, Callable[[], None] | None]:
        """Return what a new letter carries as its cause, and whom to tell once it is committed."""
        ...

    def advance(self, saga: SagaRow, stored: SagaInput, links: Sequence[str]) -> Advancing:
        """Return one advance of a saga; `links` are traceparents of what let it go on."""
        ...


class UntracedAdvance:
    """A trail that nobody follows, and an advance on it."""

    mark = ""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause

    def keep(self) -> str:
        """Nothing is kept."""
        return ""

    def committed(self) -> None:
        """Nobody wants to know."""

    def __enter__(self) -> "UntracedAdvance":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class UntracedTrail:
    """Tells nobody; causes are handed on as they are."""

    def letter(self, cause: Cause, type: str, receiver: str, id: UUID) -> tuple[Cause, None]:
        """Hand the cause on."""
        return cause, None

    def advance(self, saga: SagaRow, stored: SagaInput, links: Sequence[str]) -> UntracedAdvance:
        """Hand on what the saga was started with."""
        return UntracedAdvance(stored)
