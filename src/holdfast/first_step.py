"""Runs a coroutine's first step at once, and says whether there is anything left to wait for.

Most handlers end, or come to their first statement, without waiting. They need no timer, and a
timer that is set and cancelled costs more than the step.
"""

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """The coroutine returned `value` without waiting."""

    value: T


def first_step(coroutine: Coroutine[Any, Any, T]) -> Finished[T] | Awaitable[T]:
    """Run `coroutine` until it waits. Return what it returned, or what is left to be awaited.

    What is left must be awaited by the same task. What the coroutine raises is raised here.
    """
    try:
        yielded = coroutine.send(None)
    except StopIteration as stop:
        return Finished(stop.value)
    return _rest(coroutine, yielded)


def is_cancelled() -> bool:
    """Whether somebody wishes the task that runs to end, whatever the code in it made of that.

    A CancelledError alone does not say so: whoever awaits what was cancelled raises it as well.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, T], yielded: Any) -> Generator[Any, Any, T]:
    while True:
        error: BaseException | None = None
        value: Any = None
        try:
            value = yield yielded
        except BaseException as exc:  # a cancellation goes into the coroutine
            error = exc
        try:
            yielded = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # a StopIteration is untyped
