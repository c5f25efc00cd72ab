"""A room for blocking functions: bounded, and nothing is begun that nobody waits for any more."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PoolFull
from holdfast.resilience import Room, ends_late


def now() -> float:
    return asyncio.get_running_loop().time()


async def stay(room: Room, seconds: float, *, within_s: float | None = None) -> float:
    """Work for so long in the room, as a thread does that cannot be stopped; return the end."""
    deadline = None if within_s is None else now() + within_s
    await room.enter(deadline=deadline, patient=False)
    await asyncio.sleep(seconds)
    room.leave(seconds)
    return now()


@given(st.integers(0, 50), st.integers(1, 16), st.floats(0.001, 100), st.floats(0.001, 1000))
def test_nobody_is_late_by_the_estimate(
    waiting: int, places: int, typical_s: float, left_s: float
) -> None:
    """The more wait, or the less time is left, the later it ends; more places never hurt."""
    late = ends_late(waiting=waiting, places=places, typical_s=typical_s, left_s=left_s)

    if late:
        assert ends_late(waiting=waiting + 1, places=places, typical_s=typical_s, left_s=left_s)
        assert ends_late(waiting=waiting, places=places, typical_s=typical_s, left_s=left_s / 2)
    else:
        assert not ends_late(waiting=waiting, places=places + 1, typical_s=typical_s, left_s=left_s)
        assert typical_s <= left_s


async def test_sixteen_at_once_are_served_in_turn() -> None:
    """With one place they come one after the other, and none is refused."""
    room = Room("passwords", places=1, queue_max=32)
    began = now()

    ended = await asyncio.gather(*(stay(room, 0.25, within_s=10) for _ in range(16)))

    assert [end - began for end in ended] == pytest.approx([0.25 * n for n in range(1, 17)])
    assert room.stats().refused == 0


async def test_a_full_queue_refuses_at_once() -> None:
    """Who would be one too many is told so in the same moment, and when to come back."""
    room = Room("passwords", places=2, queue_max=3)
    await stay(room, 4.0)
    inside = [asyncio.create_task(stay(room, 4.0)) for _ in range(5)]
    await asyncio.sleep(0)
    began = now()

    with pytest.raises(PoolFull, match="the pool passwords is busy") as full:
        await room.enter(deadline=None, patient=False)

    assert now() == began
    assert full.value.headers == {"Retry-After": "8"}  # four share two places, 4 s each
    assert (room.stats().under_way, room.stats().waiting) == (2, 3)
    await asyncio.gather(*inside)


async def test_what_would_end_too_late_is_refused_when_it_comes() -> None:
    """Its deadline is in the future, and everybody before it takes as long as usual."""
    room = Room("passwords", places=1, queue_max=32)
    await stay(room, 1.0)
    first, second = (asyncio.create_task(stay(room, 1.0, within_s=10)) for _ in range(2))
    await asyncio.sleep(0)
    began = now()

    with pytest.raises(PoolFull, match="would not end before its deadline"):
        await stay(room, 1.0, within_s=2.9)
    third = asyncio.create_task(stay(room, 1.0, within_s=3.1))

    assert await asyncio.gather(first, second, third) == [began + 1, began + 2, began + 3]


async def test_a_turn_that_comes_too_late_is_not_taken() -> None:
    """Whoever was before it took longer than usual: it leaves at its deadline, and not later."""
    room = Room("passwords", places=1, queue_max=32)
    slow = asyncio.create_task(stay(room, 60.0))
    await asyncio.sleep(0)
    began = now()

    with pytest.raises(PoolFull, match="no place in 2 s"):
        await stay(room, 1.0, within_s=2.0)

    assert now() == began + 2
    assert room.stats().waiting == 0
    await slow
    assert room.stats().under_way == 0


async def test_what_is_late_already_is_not_begun() -> None:
    """Not even while a place is free."""
    room = Room("passwords", places=1, queue_max=1)

    with pytest.raises(PoolFull, match="its deadline has passed"):
        await room.enter(deadline=now(), patient=False)

    assert room.stats().under_way == 0


async def test_a_slow_run_shuts_nobody_out() -> None:
    """While a place is free work is begun, whatever the runs before it took."""
    room = Room("reports", places=1, queue_max=1)
    await stay(room, 3_600.0)

    assert await stay(room, 1.0, within_s=2.0)


async def test_letters_wait_however_many_wait() -> None:
    """Nobody would do their work instead, and their number is bounded elsewhere."""
    room = Room("reports", places=1, queue_max=0)
    await room.enter(deadline=None, patient=True)
    waiting = [asyncio.create_task(room.enter(deadline=now() + 60, patient=True)) for _ in range(5)]
    await asyncio.sleep(0)

    assert room.stats().waiting == 5
    for _ in range(5):
        room.leave(1.0)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    room.leave(1.0)
    assert room.stats().under_way == 0


async def test_who_gives_up_leaves_the_queue() -> None:
    """A client that hangs up makes room for the next."""
    room = Room("reports", places=1, queue_max=1)
    inside = asyncio.create_task(stay(room, 5.0))
    gone = asyncio.create_task(stay(room, 5.0))
    await asyncio.sleep(0)

    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)

    assert room.stats().waiting == 0
    assert await stay(room, 1.0) == await inside + 1.0


@pytest.mark.parametrize(
    ("left_s", "late"), [(3.0, False), (3.0 - 1e-9, True), (3.0 + 1e-9, False)]
)
def test_what_ends_exactly_in_time_is_not_late(left_s: float, late: bool) -> None:
    """Three before it on two places: two rounds of a second, and its own."""
    assert ends_late(waiting=3, places=2, typical_s=1.0, left_s=left_s) is late


@pytest.mark.parametrize(
    ("runs", "waiting", "told"),
    [
        ([], 0, "1"),
        ([0.25], 0, "1"),
        ([1.0], 0, "1"),
        ([1.001], 0, "2"),
        ([4.0], 1, "8"),
        ([4.0, 9.0], 0, "5"),  # a fifth of the newest in the mean
        ([60.0], 0, "60"),
        ([59.0], 2, "60"),
        ([600.0], 0, "60"),
    ],
)
async def test_who_is_refused_is_told_when_to_come_back(
    runs: list[float], waiting: int, told: str
) -> None:
    """After the usual time for all that wait: a second at least, a minute at most."""
    room = Room("reports", places=1, queue_max=waiting)
    for took_s in runs:
        await room.enter(deadline=None, patient=False)
        room.leave(took_s)
    await room.enter(deadline=None, patient=False)
    queue = [asyncio.create_task(room.enter(deadline=None, patient=False)) for _ in range(waiting)]
    await asyncio.sleep(0)

    with pytest.raises(PoolFull) as full:
        await room.enter(deadline=None, patient=False)

    assert full.value.headers == {"Retry-After": told}
    for _ in queue:
        room.leave(1.0)
        await asyncio.sleep(0)
    await asyncio.gather(*queue)
