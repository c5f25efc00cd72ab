"""What a simulated event loop is to call: at once, or when its time comes."""

from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context


class Callback(TimerHandle):
    """A callback that waits for its turn, or for its time.

    It is asyncio's handle without what that does for debugging, since a run makes thousands.

    Attributes:
        function: None once it was called off.
    """

    __slots__ = ("args", "context", "due_s", "function")

    def __init__(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        context: Context,
        due_s: float,
    ) -> None:
        self.function: Callable[..., object] | None = function
        self.args = args
        self.context = context
        self.due_s = due_s

    def __repr__(self) -> str:
        return f"<Callback {self.function!r}>"

    def cancel(self) -> None:
        """Call it off."""
        self.function = None
        self.args = ()

    def cancelled(self) -> bool:
        """Return whether it was called off."""
        return self.function is None

    def when(self) -> float:
        """Return when it is due, in the loop's time."""
        return self.due_s
