"""When a system has done what it was asked, in virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from holdfast.consistency.schedule import Schedule
from holdfast.engines.machine import MachineClock
from holdfast.live import Said, ask, read_sample
from holdfast.load.quiet import MEASURED_S, SETTLE_S, Quiet, starts_work, work_of
from holdfast.testing import running
from shop.system import shop
from tests.cli import tiny
from tests.load.till import till
from tests.virtual_loop import LoopClock, run_virtual


def said(handled: float = 0, in_flight: float = 0, in_tables: float = 0) -> Sequence[Said]:
    """Return what two processes say, the second nothing of interest."""
    metrics = (
        f'messaging_process_duration_seconds_count{{service="a"}} {float(handled)}\n'
        f'holdfast_letters_in_flight{{service="a"}} {float(in_flight)}\n'
        f'holdfast_open_sagas{{service="a"}} {float(in_tables)}\n'
    )
    return [Said("one", "ready", (), {}, read_sample(metrics)), Said("two")]


def settled(tell: Callable[[float], Sequence[Said]], *, before: float = 0) -> float | None:
    """Return how long a system works of which `tell` says how it does after so many seconds."""

    async def main() -> float | None:
        begun = asyncio.get_running_loop().time()

        async def ask() -> Sequence[Said]:
            return tell(asyncio.get_running_loop().time() - begun)

        quiet = Quiet(ask, LoopClock(), work_of(said(in_tables=before)))
        return await quiet.settled_s()

    return run_virtual(main())


def test_it_has_settled_with_the_last_letter_that_was_handled() -> None:
    """The time to make sure is not counted."""
    assert settled(lambda passed: said(handled=min(passed, 7.0))) == pytest.approx(7.0, abs=0.2)
    assert settled(lambda passed: said(handled=5)) == 0


def test_letters_in_flight_are_work() -> None:
    """Also while nothing is handled."""
    found = settled(lambda passed: said(in_flight=passed < 20))

    assert found == pytest.approx(20, abs=0.2)


def test_what_is_in_the_tables_is_waited_for() -> None:
    """A letter that is tried again in some seconds is neither in flight nor handled meanwhile."""
    found = settled(lambda passed: said(handled=passed >= 9, in_tables=passed < 9))

    assert found == pytest.approx(9, abs=0.2)


def test_what_waited_before_may_wait_on() -> None:
    """Sagas that wait for a person are no work."""
    assert settled(lambda passed: said(in_tables=3), before=3) == 0


def test_what_moves_no_more_is_not_waited_for() -> None:
    """Sagas of the load that wait for a day: once the tables were measured again, it is quiet."""

    async def main() -> list[float]:
        async def ask() -> Sequence[Said]:
            return said(in_tables=3)

        loop, quiet = asyncio.get_running_loop(), Quiet(ask, LoopClock(), work_of(said()))
        took = list[float]()
        for _ in range(2):
            begun = loop.time()
            assert await quiet.settled_s() == 0
            took.append(loop.time() - begun)
        return took

    first, second = run_virtual(main())
    assert MEASURED_S <= first < MEASURED_S + 1
    assert second < 2  # it is known now


def test_it_is_not_waited_for_without_end() -> None:
    """A system that is never quiet has no such time."""
    assert settled(lambda passed: said(handled=passed)) is None
    assert SETTLE_S < 1_000


def test_only_what_sends_letters_can_leave_work_behind() -> None:
    """The others are quiet with their last answer."""
    assert starts_work(shop) and starts_work(tiny.tiny)
    assert not starts_work(till)


async def test_a_real_system_is_quiet_when_its_sagas_have_ended(tmp_path: Path) -> None:
    """It tells so itself: before that letters are in flight, or wait in its tables."""
    schedule = Schedule(keep_ms=100)
    async with running(tiny.tiny, data=tmp_path, schedule=schedule) as run:
        before = work_of(await ask(tmp_path))
        for kg in range(25, 35):  # some are too heavy, and are undone
            answer = await run.client.post("/v1/parcels", json={"note": "a", "kg": kg})
            assert answer.status == 202

        quiet = Quiet(lambda: ask(tmp_path), MachineClock(), before)

        assert await quiet.settled_s() is not None
        assert await run.open() == []
        assert work_of(await ask(tmp_path)).handled >= before.handled + 20
