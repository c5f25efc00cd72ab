"""The virtual loop that the tests stand on."""

import asyncio
import time

import pytest

from tests.virtual_loop import run_virtual


async def test_a_day_of_sleep_takes_no_time() -> None:
    """Time passes exactly as asked for, and only on the virtual clock."""
    loop = asyncio.get_running_loop()
    begun, begun_virtual = time.monotonic(), loop.time()

    await asyncio.gather(asyncio.sleep(86_400), asyncio.sleep(30))

    assert loop.time() - begun_virtual == pytest.approx(86_400)
    assert time.monotonic() - begun < 60


async def test_timers_fire_in_the_order_of_their_times() -> None:
    """The order in which sleepers were started does not matter."""
    order: list[float] = []

    async def sleeper(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        order.append(delay_s)

    await asyncio.gather(*(sleeper(delay_s) for delay_s in (3.0, 0.5, 2.0)))

    assert order == [0.5, 2.0, 3.0]


def test_a_deadlock_is_an_error_instead_of_a_hang() -> None:
    """A future that nobody will resolve is reported."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main())
