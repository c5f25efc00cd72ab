"""What is written down of an error names the user's own line."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from pydantic import BaseModel

from holdfast.consistency.replay import Replay
from holdfast.consistency.told import first_line, parted, place_of, told


class Number(BaseModel):
    """A model of a user's."""

    n: int


async def _plain() -> None:
    raise LookupError("one\ntwo")


async def _in_the_language() -> None:
    json.loads("{")


async def _in_a_library() -> None:
    Number.model_validate({"n": "x"})


async def _in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_plain())


async def _with_a_cause() -> None:
    try:
        await _plain()
    except LookupError as exc:
        raise ValueError("three") from exc


async def _deep() -> None:
    def deeper() -> None:
        raise KeyError("x")

    deeper()


async def caught(function: Callable[[], Awaitable[None]]) -> BaseException:
    """Return what a function raises."""
    try:
        await function()
    except Exception as exc:  # whatever it is, is what the test is about
        return exc
    raise AssertionError("it raises")


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (_plain, "_plain"),
        (_in_the_language, "_in_the_language"),
        (_in_a_library, "_in_a_library"),
        (_in_a_group, "_plain"),
        (_with_a_cause, "_with_a_cause"),
        (_deep, "deeper"),
    ],
)
async def test_the_innermost_line_of_the_users_is_named(
    function: Callable[[], Awaitable[None]], where: str
) -> None:
    """Whoever is called from there: the language, a library, or a task group."""
    place = place_of(await caught(function))

    assert place.startswith(f"{__file__}:")
    assert place.endswith(f" in {where}")


async def test_of_what_we_raise_the_users_call_is_named() -> None:
    """Not the line of the framework that refused."""

    async def use(saga: Replay) -> None:
        await saga.gather(_plain())

    async def call() -> None:
        async def local(*arguments: object) -> None: ...

        await use(Replay(id=UUID(int=7), steps={}, local_runner=local))

    error = await caught(call)

    assert isinstance(error, TypeError)
    assert place_of(error).endswith(" in use")


def test_without_a_traceback_there_is_no_place() -> None:
    """The error alone is written down."""
    assert told(ValueError("a")) == "ValueError: a"
    assert parted("ValueError: a") == ("ValueError: a", "")


async def test_what_is_told_has_two_parts() -> None:
    """What it says comes first, on as many lines as it takes."""
    said, place = parted(told(await caught(_plain)))

    assert (said, first_line(said)) == ("LookupError: one\ntwo", "LookupError: one")
    assert place.endswith("in _plain")
