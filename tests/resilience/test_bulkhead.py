"""The bulkhead."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BulkheadFull
from holdfast.resilience import Bulkhead, BulkheadPolicy

# When a visitor comes, how long it stays, and after which time it is cancelled (None: never).
VISITS = st.tuples(st.integers(0, 20), st.integers(1, 30), st.one_of(st.none(), st.integers(0, 40)))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(VISITS, max_size=25),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.5, 100.0]),
)
async def test_places_and_queue_are_bounded_and_fair(
    visits: list[tuple[int, int, int | None]], calls_max: int, queue_max: int, wait_s: float
) -> None:
    """For any arrivals, stays and cancellations: never too many inside, and no overtaking."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=calls_max, queue_max=queue_max, wait_s=wait_s))
    inside, arrived, entered = 0, list[int](), list[int]()
    most = [0, 0]

    async def visit(number: int, at: int, stay: int) -> None:
        nonlocal inside
        await asyncio.sleep(at / 10)
        arrived.append(number)
        async with bulkhead:
            entered.append(number)
            inside += 1
            most[0] = max(most[0], inside, bulkhead.stats().under_way)
            most[1] = max(most[1], bulkhead.stats().waiting)
            try:
                await asyncio.sleep(stay / 10)
            finally:
                inside -= 1

    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(visit(n, at, stay)) for n, (at, stay, _) in enumerate(visits)]
    for task, (_, _, cancel_after) in zip(tasks, visits, strict=True):
        if cancel_after is not None:
            loop.call_later(cancel_after / 10, task.cancel)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert most[0] <= calls_max
    assert most[1] <= queue_max
    assert [number for number in arrived if number in entered] == entered
    assert all(isinstance(o, BulkheadFull | asyncio.CancelledError | None) for o in outcomes)
    assert (bulkhead.stats().under_way, bulkhead.stats().waiting) == (0, 0)
    assert all(bulkhead.try_enter() for _ in range(calls_max))


async def test_a_full_queue_refuses_at_once() -> None:
    """Who comes after `queue_max` others is turned away without waiting."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1, queue_max=1, wait_s=9.0), "processor")
    loop = asyncio.get_running_loop()
    await bulkhead.enter()
    waiting = asyncio.create_task(bulkhead.enter())
    await asyncio.sleep(0)
    begun = loop.time()

    with pytest.raises(BulkheadFull, match=r"processor: 1 calls are under way, 1 wait already"):
        await bulkhead.enter()

    assert loop.time() == begun
    bulkhead.leave()
    await waiting
    assert bulkhead.stats().refused == 1


async def test_a_wait_ends_with_the_shorter_limit() -> None:
    """The caller's own limit counts when it is shorter than the policy's."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1, queue_max=5, wait_s=3.0))
    loop = asyncio.get_running_loop()
    await bulkhead.enter()
    begun = loop.time()

    with pytest.raises(BulkheadFull, match=r"no place in 0\.5 s"):
        await bulkhead.enter(0.5)
    assert loop.time() - begun == pytest.approx(0.5)
    with pytest.raises(BulkheadFull, match="no place in 3 s"):
        await bulkhead.enter()
    assert loop.time() - begun == pytest.approx(3.5)
    assert bulkhead.stats().waiting == 0


async def test_a_place_given_to_a_cancelled_waiter_goes_on_to_the_next() -> None:
    """Cancelling at the very moment of the hand-over loses no place."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1, queue_max=2))
    await bulkhead.enter()
    first, second = asyncio.create_task(bulkhead.enter()), asyncio.create_task(bulkhead.enter())
    await asyncio.sleep(0)

    bulkhead.leave()  # hands the place to the first
    first.cancel()  # before it could run
    await second

    assert first.cancelled()
    assert bulkhead.stats().under_way == 1


async def test_a_place_is_given_back_after_an_error() -> None:
    """Leaving by an exception is leaving."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1))

    with pytest.raises(KeyError, match="inside"):
        async with bulkhead:
            raise KeyError("inside")

    assert bulkhead.stats().under_way == 0


async def test_a_place_that_comes_as_the_wait_ends_is_taken() -> None:
    """In the same moment: whichever is first counts, and the other is no error."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1, queue_max=1, wait_s=1.0))
    loop = asyncio.get_running_loop()
    wrong: list[object] = []
    loop.set_exception_handler(lambda _, context: wrong.append(context))
    for is_first in (True, False):
        await bulkhead.enter()
        at = loop.time() + 1.0
        if is_first:
            loop.call_at(at, bulkhead.leave)
        waiting = asyncio.create_task(bulkhead.enter())
        await asyncio.sleep(0)
        if not is_first:
            loop.call_at(at, bulkhead.leave)
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]

        assert loop.time() == at
        await asyncio.sleep(0)
        assert isinstance(outcome, BulkheadFull) is (bulkhead.stats().under_way == 0)
        if outcome is None:
            bulkhead.leave()
        assert (bulkhead.stats().under_way, bulkhead.stats().waiting, wrong) == (0, 0, [])


@pytest.mark.parametrize("patient", [False, True])
async def test_who_is_patient_waits_for_its_own_limit(patient: bool) -> None:
    """However many wait already, and however short the others' wait is; the others do not."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1, queue_max=0, wait_s=0.1), "processor")
    loop = asyncio.get_running_loop()
    await bulkhead.enter()
    begun = loop.time()

    with pytest.raises(BulkheadFull) as full:
        await bulkhead.enter(2.0, patient=patient)

    assert full.value.edge == "processor"
    assert loop.time() - begun == pytest.approx(2.0 if patient else 0.0)
