"""The deadlines of exchanges: one timer for all, and each ends at its own time."""

import asyncio
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest

from holdfast.resilience.deadlines import Deadlines
from tests.virtual_loop import run_virtual


@dataclass(eq=False)
class Exchange:
    """Notes when its time was over."""

    loop: asyncio.AbstractEventLoop
    ended: list[float] = field(default_factory=list[float])

    def expire(self) -> None:
        """See `deadlines.Expires`."""
        self.ended.append(self.loop.time())


def test_each_ends_at_its_own_time_whatever_came_before_it() -> None:
    """Later ones, earlier ones, and two at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, begun = Deadlines(loop), loop.time()
        wanted = [5.0, 2.0, 9.0, 2.0, 0.0, 7.0]
        exchanges = [Exchange(loop) for _ in wanted]
        for exchange, at in zip(exchanges, wanted, strict=True):
            deadlines.add(exchange, begun + at)

        await asyncio.sleep(20)

        assert [[at - begun for at in one.ended] for one in exchanges] == [[at] for at in wanted]

    run_virtual(main())


def test_what_ended_in_time_is_not_ended_again() -> None:
    """Nor what came when the timer had been set for it; the next one has its own time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, begun = Deadlines(loop), loop.time()
        done, next_one = Exchange(loop), Exchange(loop)
        deadlines.add(done, begun + 3)
        await asyncio.sleep(1)
        deadlines.remove(done)
        deadlines.add(next_one, begun + 8)

        await asyncio.sleep(20)

        assert not done.ended
        assert next_one.ended == [begun + 8]

    run_virtual(main())


def test_what_has_no_end_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it comes nor when another one has ended."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, endless, exchange = Deadlines(loop), Exchange(loop), Exchange(loop)
        end, call_at, timers = loop.time() + 2, loop.call_at, list[float]()

        def noted(at: float, *rest: Any, **named: Any) -> asyncio.TimerHandle:
            timers.append(at)
            return call_at(at, *rest, **named)

        monkeypatch.setattr(loop, "call_at", noted)
        deadlines.add(endless, inf)
        deadlines.add(exchange, end)

        await asyncio.sleep(20)

        assert exchange.ended and not endless.ended
        assert end in timers and inf not in timers

    run_virtual(main())


def test_an_expired_one_may_begin_another() -> None:
    """While the others are looked through."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, begun = Deadlines(loop), loop.time()
        second = Exchange(loop)

        class First:
            def expire(self) -> None:
                deadlines.add(second, begun + 4)

        deadlines.add(First(), begun + 1)
        await asyncio.sleep(20)

        assert second.ended == [begun + 4]

    run_virtual(main())


def test_closed_they_end_nothing() -> None:
    """The connections are closed by then, and tell their callers so."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadlines, exchange = Deadlines(loop), Exchange(loop)
        deadlines.add(exchange, loop.time() + 1)
        deadlines.close()

        await asyncio.sleep(5)

        assert not exchange.ended

    run_virtual(main())
