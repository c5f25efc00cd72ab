"""What is stopped when a client goes, and what is not."""

import asyncio

import pytest

from holdfast.contract.http import Request
from holdfast.dispatch.gone import WhileClientStays
from holdfast.errors import ClientGone


async def test_the_wait_ends_when_the_client_goes() -> None:
    """And the task goes on: it was not cancelled by anybody else."""
    request = Request("GET", "/")
    asyncio.get_running_loop().call_soon(request.leave)
    with pytest.raises(ClientGone), WhileClientStays(request):
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert (task.cancelling(), request.on_gone) == (0, None)


async def test_nothing_is_begun_for_who_has_gone() -> None:
    """It may go while its token is looked at."""
    request = Request("GET", "/")
    request.leave()
    with pytest.raises(ClientGone), WhileClientStays(request):
        pytest.fail("it was begun")


async def test_who_goes_after_the_end_disturbs_nobody() -> None:
    """What comes after the part that may be stopped is not stopped."""
    request = Request("GET", "/")
    with WhileClientStays(request):
        await asyncio.sleep(0)
    request.leave()
    await asyncio.sleep(0)


async def test_a_drain_is_not_taken_for_a_client() -> None:
    """Whoever cancels the task as well gets what they asked for."""
    request, begun = Request("GET", "/"), asyncio.Event()

    async def work() -> None:
        with WhileClientStays(request):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    request.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
