"""Pool: blocking functions of one kind, how many of them run at once and how many may wait."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
_MARK = "__holdfast_pool__"


@dataclass(frozen=True, slots=True)
class Pool:
    """Blocking functions that share threads of their own, so that they starve nothing else.

    `outside.run(function, …)` runs a function in the pool that it was marked with:

        reports = Pool("reports", threads=2)

        @reports.runs
        def render(order: Order) -> bytes: ...

    A function without a mark shares `HOLDFAST_THREADS` threads with the others of its service.

    Attributes:
        name: of the pool in metrics and errors; one process has one pool for each.
        threads: how many functions run at once. None: for functions that compute, all cores but
            one, so that requests are still read and answered; `HOLDFAST_COMPUTE_THREADS`.
        queue_max: how many more may wait for a thread. A request over it, and one that would
            not get its turn before its deadline, is refused at once: 503 with Retry-After.
    """

    name: str
    threads: int | None = None
    queue_max: int = 32

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a pool needs a name")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be >= 1, got {self.threads}")
        if self.queue_max < 0:
            raise ValueError(f"queue_max must be >= 0, got {self.queue_max}")

    def runs(self, function: F) -> F:
        """Mark a function as one of this pool; `outside.run` looks for the mark."""
        setattr(function, _MARK, self)
        return function


def pool_of(function: Callable[..., object]) -> Pool | None:
    """Return the pool that a function is marked with, also through `functools.partial`."""
    while isinstance(function, functools.partial):
        function = function.func
    found = getattr(function, _MARK, None)
    return found if isinstance(found, Pool) else None
