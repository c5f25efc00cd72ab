"""Time limits of operations, with one timer for all."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.resilience import Watch
from tests.virtual_loop import run_virtual


async def answer_after(delay_s: float) -> str:
    """Stand for an other side that takes its time."""
    await asyncio.sleep(delay_s)
    return "answer"


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(0, 60)), max_size=20))
async def test_every_operation_ends_at_its_own_limit(calls: list[tuple[int, int, int]]) -> None:
    """For any starts, limits and durations, in eighths of a second: each by its own clock."""
    watch, loop = Watch(), asyncio.get_running_loop()

    async def one(start: int, limit: int, duration: int) -> None:
        await asyncio.sleep(start / 8)
        begun = loop.time()
        try:
            await watch.run(lambda _: answer_after(duration / 8), limit_s=limit / 8, now=begun)
        except TimeoutError:
            assert limit <= duration
            assert loop.time() - begun == pytest.approx(limit / 8)
        else:
            assert duration <= limit
            assert loop.time() - begun == pytest.approx(duration / 8)

    await asyncio.gather(*(one(*call) for call in calls))


async def test_the_operation_is_told_its_limit() -> None:
    """It may pass it on to a driver that has time-outs of its own."""

    async def echo(limit_s: float) -> float:
        return limit_s

    now = asyncio.get_running_loop().time()
    assert await Watch().run(echo, limit_s=0.25, now=now) == 0.25


async def test_a_cancellation_from_outside_stays_one() -> None:
    """Who cancels the caller gets CancelledError, not a time-out."""
    now = asyncio.get_running_loop().time()
    task = asyncio.create_task(Watch().run(lambda _: answer_after(9.0), limit_s=5.0, now=now))
    await asyncio.sleep(1.0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert task.cancelled()


async def test_a_cancellation_at_the_moment_of_the_limit_is_not_lost() -> None:
    """When both come together the caller is cancelled, as it was told to be."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(
        Watch().run(lambda _: answer_after(9.0), limit_s=5.0, now=loop.time())
    )
    loop.call_at(loop.time() + 5.0, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_goes_on_after_a_time_out() -> None:
    """The cancellation that ended the operation is taken back, so the task may wait again."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    with pytest.raises(TimeoutError):
        await Watch().run(lambda _: answer_after(9.0), limit_s=1.0, now=loop.time())
    await asyncio.sleep(1.0)

    assert task.cancelling() == 0


async def test_limits_nest() -> None:
    """An inner limit ends the inner operation only; the outer one goes on and may end later."""
    loop, ends = asyncio.get_running_loop(), list[float]()
    begun = loop.time()

    async def outer(_: float) -> None:
        for _ in range(9):
            with pytest.raises(TimeoutError):
                await Watch().run(lambda _: answer_after(9.0), limit_s=1.0, now=loop.time())
            ends.append(loop.time() - begun)

    with pytest.raises(TimeoutError):
        await Watch().run(outer, limit_s=3.5, now=begun)

    assert ends == [pytest.approx(n) for n in (1.0, 2.0, 3.0)]
    assert loop.time() - begun == pytest.approx(3.5)


async def test_who_cleans_up_after_the_limit_is_not_disturbed() -> None:
    """An operation is cancelled once, although the timer rings for others meanwhile."""
    watch, loop, cleaned = Watch(), asyncio.get_running_loop(), list[str]()

    async def tidy(_: float) -> None:
        try:
            await asyncio.sleep(9.0)
        finally:
            await asyncio.sleep(2.0)
            cleaned.append("tidy")

    now = loop.time()
    outcomes = await asyncio.gather(
        watch.run(tidy, limit_s=1.0, now=now),
        watch.run(lambda _: answer_after(9.0), limit_s=2.0, now=now),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [TimeoutError, TimeoutError]
    assert cleaned == ["tidy"]


def test_a_watch_may_move_to_another_loop() -> None:
    """A timer that a closed loop left behind does not keep the next loop from having its own."""
    watch = Watch()

    async def hang() -> None:
        now = asyncio.get_running_loop().time()
        await watch.run(lambda _: answer_after(9.0), limit_s=1.0, now=now)

    async def quick() -> None:
        now = asyncio.get_running_loop().time()
        await watch.run(lambda _: answer_after(0.0), limit_s=0.5, now=now)

    run_virtual(quick())
    with pytest.raises(TimeoutError):
        run_virtual(hang())
