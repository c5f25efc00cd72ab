"""What ends a process runs to its end, whatever one part of it does."""

import asyncio

import pytest

from holdfast.runtime.drain import BEGUN_S, LEAST_S, Drain
from tests.virtual_loop import run_virtual


def test_every_hook_runs_and_what_failed_is_raised_together() -> None:
    """One raises, one hangs for longer than it may, and the last one runs all the same."""
    ran: list[str] = []

    async def broken() -> None:
        ran.append("broken")
        raise OSError("the disk is full")

    async def hanging() -> None:
        ran.append("hanging")
        await asyncio.sleep(3600)

    async def well() -> None:
        ran.append("well")

    async def main() -> None:
        drain = Drain(20.0)
        await drain.end("orders", broken)
        await drain.end("payments", hanging)
        await drain.end("users", well)
        drain.finish()

    with pytest.raises(ExceptionGroup, match="the drain was not clean") as caught:
        run_virtual(main())

    assert ran == ["broken", "hanging", "well"]
    assert [str(error) for error in caught.value.exceptions] == [
        "the disk is full",
        "payments did not end within 20 s",
    ]


def test_all_that_hangs_shares_one_time() -> None:
    """Whoever waits for the end of the process waits so long for all of it, and then kills it."""
    took_s: list[float] = []

    async def hanging() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun, drain = loop.time(), Drain(20.0)
        for name in ("requests", "letters", "orders", "payments"):
            await drain.end(name, hanging)
        took_s.append(loop.time() - begun)
        with pytest.raises(ExceptionGroup):
            drain.finish()

    run_virtual(main())

    assert took_s == [20.0 + 3 * LEAST_S]


def test_what_has_begun_to_write_ends_after_its_request() -> None:
    """Requests used up all the time; a transaction has seconds more, but all of them the same."""
    ended: list[str] = []

    async def transaction() -> None:
        await asyncio.sleep(BEGUN_S - 0.5)
        ended.append("orders")

    async def hanging() -> None:
        await asyncio.sleep(3600)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        begun, drain = loop.time(), Drain(20.0)
        await drain.end("requests", hanging)
        await drain.end("orders", transaction, BEGUN_S)
        for name in ("payments", "users"):
            await drain.end(name, hanging, BEGUN_S)
        return loop.time() - begun

    assert run_virtual(main()) == 20.0 + BEGUN_S + LEAST_S
    assert ended == ["orders"]


async def test_a_clean_drain_raises_nothing() -> None:
    """Nothing to tell."""
    drain = Drain(1.0)

    await drain.end("orders", lambda: asyncio.sleep(0))

    drain.finish()
