"""Places tell how full they are."""

import asyncio

from holdfast.engines.places import Places


async def test_places_count_who_has_one_and_who_waits() -> None:
    """Also when one who waited has given up."""
    places = Places(2)
    await places.take()
    await places.take()
    waiting = [asyncio.create_task(places.take()) for _ in range(2)]
    await asyncio.sleep(0)
    full = (places.max, places.used, places.waiting)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    left = (places.used, places.waiting)
    places.give()
    await waiting[1]
    handed_on = (places.used, places.waiting)
    places.give()
    places.give()

    assert (full, left, handed_on) == ((2, 2, 2), (2, 1), (2, 0))
    assert (places.used, places.waiting) == (0, 0)
