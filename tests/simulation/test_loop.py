"""The event loop of a simulation: virtual time, a seeded order, and no way out."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.errors import Deadlock, Livelock, NotSimulated
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.node import Node


def run(main: Callable[[], Awaitable[Any]], seed: int | None = 1) -> tuple[Any, SimLoop]:
    """Run something on a loop of its own; return its result, and the loop."""

    async def wrapped() -> Any:
        return await main()

    loop = SimLoop(random.Random(seed) if seed is not None else None)
    try:
        return loop.run_until_complete(wrapped()), loop
    finally:
        loop.close()


def test_time_passes_only_when_nothing_is_ready() -> None:
    """A year of sleep costs nothing, and timers end in their order."""
    ended: list[float] = []

    async def main() -> float:
        async def one(seconds: float) -> None:
            await asyncio.sleep(seconds)
            ended.append(seconds)

        await asyncio.gather(*map(one, (3.0, 1.0, 2.0, 31_536_000.0)))
        return asyncio.get_running_loop().time()

    assert run(main)[0] == 31_536_000.0
    assert ended == [1.0, 2.0, 3.0, 31_536_000.0]


def test_a_seed_decides_the_order() -> None:
    """Equal seeds agree, most others differ, and none keeps the order in which they came."""

    def order(seed: int | None) -> list[int]:
        came: list[int] = []

        async def main() -> None:
            async def one(number: int) -> None:
                for _ in range(5):
                    await asyncio.sleep(0)
                came.append(number)

            await asyncio.gather(*map(one, range(30)))

        run(main, seed)
        return came

    assert order(None) == list(range(30))
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 5


def test_a_deadlock_says_who_waits() -> None:
    """By name, file and line."""

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.create_task(forever(), name="one who waits")
        await task

    with pytest.raises(Deadlock, match=r"one who waits: .*test_loop\.py:\d+ in forever"):
        run(main)


def test_a_livelock_is_found() -> None:
    """Callbacks without any time passing."""

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="200,0"):
        run(main)


def in_a_thread() -> Awaitable[Any]:
    """Ask for a thread."""
    return asyncio.to_thread(lambda: 1)


async def over_a_socket() -> None:
    """Ask for a socket."""
    await asyncio.open_connection("127.0.0.1", 1)


async def by_a_subprocess() -> None:
    """Ask for a subprocess."""
    await asyncio.create_subprocess_exec("true")


async def by_a_signal() -> None:
    """Ask for a signal."""
    asyncio.get_running_loop().add_signal_handler(1, lambda: None)


@pytest.mark.parametrize(
    ("escape", "told"),
    [
        (in_a_thread, "a thread"),
        (over_a_socket, "a socket"),
        (by_a_subprocess, "a subprocess"),
        (by_a_signal, "a signal"),
    ],
)
def test_there_is_no_way_out(escape: Callable[[], Awaitable[Any]], told: str) -> None:
    """And who looked for one is named."""
    threads = threading.active_count()
    with pytest.raises(NotSimulated, match=rf"test_loop\.py:\d+ in \w+ asks for {told}"):
        run(escape)
    assert threading.active_count() == threads


def test_a_dead_node_does_nothing_more() -> None:
    """No callback, no `finally`."""
    came: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1)
            came.append("worked")
        finally:
            came.append("cleaned up")

    async def main() -> None:
        node = Node("me-1", "me")
        task = asyncio.get_running_loop().create_task(work(), context=node.context)
        await asyncio.sleep(0.5)
        node.alive = False
        await asyncio.sleep(2)
        assert not task.done()
        assert came == []

    run(main)


def test_a_paused_node_goes_on_where_it_was() -> None:
    """Its timers have run out meanwhile, as after SIGCONT."""
    came: list[float] = []

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            came.append(asyncio.get_running_loop().time())

    async def main() -> None:
        node = Node("me-1", "me")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        task = loop.create_task(work(), context=node.context)
        await asyncio.sleep(1.5)
        node.paused = True
        await asyncio.sleep(10)
        node.paused = False
        held, node.held = node.held, []
        loop.go_on(held)
        await task

    run(main)
    assert came == [1.0, 11.5, 12.5]


def test_errors_of_callbacks_are_kept() -> None:
    """A run with one of them is a failed one."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    _, loop = run(main)
    assert [type(error["exception"]) for error in loop.errors] == [ZeroDivisionError]


def test_work_holds_a_node_and_no_other() -> None:
    """What comes meanwhile waits; a pause and work each hold it, and going on twice is no harm."""

    async def main() -> list[str]:
        loop, told = asyncio.get_running_loop(), list[str]()
        busy, other = Node("busy", "busy"), Node("other", "other")
        busy.spend(2.0)
        busy.paused += 1
        busy.call_soon(lambda: told.append(f"busy {loop.time()}"))
        other.call_soon(lambda: told.append(f"other {loop.time()}"))
        await asyncio.sleep(1.0)
        busy.go_on()
        await asyncio.sleep(2.0)
        busy.go_on()
        busy.call_soon(lambda: told.append(f"busy {loop.time()}"))
        await asyncio.sleep(1.0)
        return told

    assert SimLoop().run_until_complete(main()) == ["other 0.0", "busy 2.0", "busy 3.0"]
