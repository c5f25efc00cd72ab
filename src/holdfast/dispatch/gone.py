"""Work for a client that has gone is stopped, as long as nothing was written."""

import asyncio
from types import TracebackType

from holdfast.contract.http import Request
from holdfast.errors import ClientGone


class WhileClientStays:
    """`with WhileClientStays(request):` cancels what its body awaits when the client goes away.

    Raises:
        ClientGone: it went, now or before.
    """

    __slots__ = ("_request", "_stopped", "_task")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._stopped = False
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        if self._request.gone:
            raise client_gone()
        self._task = asyncio.current_task()
        self._request.on_gone = self._stop

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._request.on_gone = None
        if self._stopped and self._task is not None:
            others = self._task.uncancel()  # a drain may have cancelled it too; then it is theirs
            if kind is asyncio.CancelledError and not others:
                raise client_gone() from error

    def _stop(self) -> None:
        if self._task is not None:
            self._stopped = True
            self._task.cancel()


def client_gone() -> ClientGone:
    """Return the error of a request whose client has gone, before anything was written."""
    return ClientGone("the client closed the connection; nothing was written")
