"""The processes of a campaign: Ctrl-C ends them after the run that they are in, which counts."""

import signal
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

_stop: Event | None = None  # the event of the campaign, in each of its processes


class Workers:
    """Processes that run seeds.

    Attributes:
        stopped: somebody pressed Ctrl-C; nothing new is begun.
    """

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        self.stopped = False
        self._event = context.Event()
        self._pool = ProcessPoolExecutor(
            count, mp_context=context, initializer=_begin, initargs=(self._event,)
        )

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.stop()
        self._pool.shutdown(cancel_futures=error is not None)

    def submit(self, work: Callable[..., T], *arguments: object) -> "Future[T]":
        """Have something done."""
        return self._pool.submit(work, *arguments)

    def stop(self) -> None:
        """Begin nothing new; what is under way ends early, as `is_stopped` tells it."""
        self.stopped = True
        self._event.set()

    def first(self, under_way: "Iterable[Future[T]]") -> "Future[T]":
        """Return one that is done; Ctrl-C meanwhile stops the others, a second one is raised."""
        futures = list(under_way)
        while True:
            try:
                done, _ = wait(futures, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                if self.stopped:
                    raise
                self.stop()
            else:
                return next(future for future in futures if future in done)


def is_stopped() -> bool:
    """Whether the campaign of this process has been stopped."""
    return _stop is not None and _stop.is_set()


def _begin(event: Event) -> None:
    """Leave Ctrl-C, which the terminal sends to everybody, to the one who counts."""
    global _stop
    _stop = event
    signal.signal(signal.SIGINT, signal.SIG_IGN)
