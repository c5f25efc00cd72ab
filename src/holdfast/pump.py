"""The pump: drives a coroutine by hand, with an eye on what it awaits.

Handlers and sagas may await some things and not others, and may be left where they stand. Whoever
drives one looks at each thing that it awaits, and lets it pass, stops there, or has an error raised
in its place.
"""

import asyncio
import dis
import inspect
import operator
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
_REFUSED_AT_MOST = 100  # times of one coroutine that swallows the error and awaits again, for ever

Look = Callable[[object], "BaseException | Stopped | None"]
"""Given what the coroutine awaits: None lets it pass, an error is raised there, STOPPED ends it."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """The coroutine returned `value`."""

    value: T


class Stopped:
    """The coroutine stands where it was stopped; it may be driven on, or closed."""

    __slots__ = ()


STOPPED = Stopped()


def first_step(coroutine: Coroutine[Any, Any, T]) -> Finished[T] | Awaitable[T]:
    """Run `coroutine` until it waits. Return what it returned, or what is left to be awaited.

    Most handlers end, or come to their first statement, without waiting. They need no timer, and a
    timer that is set and cancelled costs more than the step. What is left must be awaited by the
    same task. What the coroutine raises is raised here.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        return Finished(stop.value)
    return begun_by_hand(coroutine, awaited)


@types.coroutine
def begun_by_hand(coroutine: Coroutine[Any, Any, T], awaited: object) -> Generator[Any, Any, T]:
    """Go on from what is awaited; unlike a coroutine, this may be dropped before it begins."""
    pumped = pump(coroutine, _lets_pass, begun=awaited)
    end = yield from cast("Generator[Any, Any, Finished[T] | Stopped]", pumped)
    assert isinstance(end, Finished), "nothing stops it"
    return end.value


def _lets_pass(awaited: object) -> None:
    return None


_NOT_BEGUN = object()
_WAITING = ("SEND", "YIELD_VALUE")  # `await`, `async for` and `async with` come to these


@types.coroutine
def pump(
    coroutine: Coroutine[Any, Any, T],
    look: Look,
    *,
    run: Callable[..., Any] = operator.call,
    begun: object = _NOT_BEGUN,
) -> Generator[Any, Any, Finished[T] | Stopped]:
    """Drive a coroutine to its end, or to where `look` stops it. Raises what it raises.

    What it awaits is awaited by whoever awaits this; a cancellation goes into the coroutine.

    Args:
        run: calls a function with one argument, such as `Context.run`.
        begun: what it awaits already, if it has been begun by hand.
    """
    value: Any = None
    error: BaseException | None = None
    refused, awaited = 0, begun
    while True:
        if awaited is _NOT_BEGUN:
            try:
                if error is None:
                    awaited = run(coroutine.send, value)
                else:
                    awaited = run(coroutine.throw, error)
            except StopIteration as stop:
                return Finished(stop.value)
        wish = look(awaited)
        value = error = None
        if wish is None:
            try:
                value = yield awaited
            except GeneratorExit:  # everything is abandoned, the coroutine perhaps before this
                run(coroutine.close)
                raise
            except BaseException as exc:  # a cancellation or a time-out goes into the coroutine
                error = exc
        elif isinstance(wish, Stopped):
            return STOPPED
        else:
            if asyncio.isfuture(awaited):
                awaited._asyncio_future_blocking = False  # nobody will wait for it
            refused += 1
            if refused > _REFUSED_AT_MOST:
                run(coroutine.close)
                raise wish
            error = wish
        awaited = _NOT_BEGUN


def may_wait(function: Callable[..., object]) -> bool:
    """Whether a function has a place at which it may wait; what is no `async def` may.

    One that has none needs no task of its own: it ends with its first step.
    """
    if not isinstance(function, types.FunctionType):
        return True
    if not function.__code__.co_flags & inspect.CO_COROUTINE:  # it may return what waits
        return True
    return any(each.opname in _WAITING for each in dis.get_instructions(function))


def is_cancelled() -> bool:
    """Whether somebody wishes the task that runs to end, whatever the code in it made of that.

    A CancelledError alone does not say so: whoever awaits what was cancelled raises it as well.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
