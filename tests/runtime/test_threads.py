"""Blocking functions run in threads of their own, as many as there are places and no more."""

import asyncio
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Pool
from holdfast.dispatch.outside import Blocking
from holdfast.errors import PoolFull
from holdfast.resilience import Room
from holdfast.runtime.threads import Threads, cores
from holdfast.security import hash_password, password_matches
from holdfast.security.passwords import PASSWORDS
from holdfast.system import pool_of

LIMIT_S = 300.0  # of what takes no time; only a mistake waits so long


class Gate:
    """A function that tells when it has begun, and ends when it may."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        self.begun.release()
        assert self.open.wait(LIMIT_S)
        return self.runs

    async def entered(self) -> None:
        """Wait until a thread runs it."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=LIMIT_S)


def work(function: Callable[[], Any], pool: Pool | None = None, service: str = "users") -> Blocking:
    return Blocking(function, service, pool)


async def test_a_full_pool_leaves_the_others_alone() -> None:
    """Its next function is refused; those of other pools and other services run."""
    threads, gate = Threads(1), Gate()
    pool = Pool("reports", threads=1, queue_max=0)
    held = asyncio.create_task(threads(work(gate, pool)))
    await gate.entered()

    with pytest.raises(PoolFull, match="the pool reports is busy"):
        await threads(work(gate, pool))

    assert await threads(work(lambda: 1)) == 1
    assert await threads(work(lambda: 2, service="orders")) == 2
    assert await threads(work(lambda: 3, Pool("images", threads=1, queue_max=0))) == 3
    gate.open.set()
    assert await held == 1


async def test_services_do_not_share_their_threads() -> None:
    """What blocks all threads of one service blocks none of another."""
    threads, gate = Threads(1), Gate()
    held = asyncio.create_task(threads(work(gate)))
    await gate.entered()
    waits = asyncio.create_task(threads(work(lambda: "in turn")))

    assert await threads(work(lambda: "at once", service="orders")) == "at once"

    assert not waits.done()
    gate.open.set()
    assert await waits == "in turn"
    await held


async def test_a_place_is_free_when_the_function_has_ended() -> None:
    """Not when its caller gave up: otherwise every impatient client would start one more."""
    rooms: list[Room] = []
    threads, gate = Threads(1, on_room=lambda name, room: rooms.append(room)), Gate()
    pool = Pool("passwords", threads=1, queue_max=0)
    impatient = asyncio.create_task(threads(work(gate, pool)))
    await gate.entered()

    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)

    with pytest.raises(PoolFull, match="busy"):
        await threads(work(gate, pool))
    gate.open.set()
    async with asyncio.timeout(LIMIT_S):
        while rooms[0].stats().under_way:
            await asyncio.sleep(0)
    assert await threads(work(lambda: "free", pool)) == "free"
    assert gate.runs == 1


async def test_work_whose_deadline_has_passed_is_not_begun() -> None:
    """Neither when it comes nor when its turn comes."""
    threads, ran = Threads(1), list[str]()
    late = asyncio.get_running_loop().time() - 1

    with pytest.raises(PoolFull, match="its deadline has passed"):
        await threads(Blocking(lambda: ran.append("late"), "users", deadline=late))

    assert ran == []


@pytest.mark.parametrize("error", [LookupError("a bug"), StopIteration(1), SystemExit(1)])
async def test_what_a_function_raises_is_raised(error: BaseException) -> None:
    """Its place is free again, and what a future cannot carry comes as a RuntimeError."""
    threads, pool = Threads(1), Pool("reports", threads=1, queue_max=0)

    def fail() -> None:
        raise error

    for _ in range(2):
        with pytest.raises((LookupError, RuntimeError), match=r"a bug|the function raised"):
            await threads(work(fail, pool))


async def test_a_thread_that_cannot_be_started_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system may be out of threads for a moment."""
    threads, pool = Threads(1), Pool("reports", threads=1, queue_max=0)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await threads(work(lambda: 1, pool))

    assert await threads(work(lambda: 1, pool)) == 1


@pytest.mark.parametrize(("computing", "expected"), [(0, max(1, cores() - 1)), (5, 5)])
async def test_what_computes_leaves_a_core(computing: int, expected: int) -> None:
    """A pool without a number has one thread for each core but one, and at least one."""
    threads, gate = Threads(1, computing), Gate()
    pool = Pool("compute", queue_max=0)
    running = [asyncio.create_task(threads(work(gate, pool))) for _ in range(expected)]
    for _ in running:
        await gate.entered()

    with pytest.raises(PoolFull, match="busy"):
        await threads(work(gate, pool))

    gate.open.set()
    await asyncio.gather(*running)
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_passwords_have_a_pool() -> None:
    """Whoever hashes with `outside.run` gets it without a word, also through a partial."""
    assert pool_of(hash_password) is pool_of(password_matches) is PASSWORDS
    assert pool_of(functools.partial(hash_password, "x", salt=b"y" * 16)) is PASSWORDS
    assert pool_of(hashlib.sha256) is None
    assert PASSWORDS.threads is None


@pytest.mark.parametrize("wrong", [{"name": ""}, {"threads": 0}, {"queue_max": -1}], ids=str)
def test_a_pool_has_a_name_and_room(wrong: dict[str, Any]) -> None:
    """A pool in which nothing could run is refused where it is written."""
    with pytest.raises(ValueError, match=r"name|must be >="):
        Pool(**{"name": "reports", **wrong})
