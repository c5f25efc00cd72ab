"""A wall clock that jumps: no letter is lost, nothing stands still, nothing happens twice."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Uuid

from holdfast import Command, Model, Service, System, Tx
from tests.ablations.off import switch_off
from tests.dispatch.hosting import Hosted, hosting, system

HOUR_S, DAY_S = 3_600.0, 86_400.0
METADATA = MetaData()
DONE = Table("done", METADATA, Column("id", Uuid, primary_key=True), Column("number", Integer))


@dataclass
class JumpingClock:
    """A wall clock that tests set; the monotonic one is the loop's."""

    shift_s: float = 1_700_000_000.0

    def now(self) -> float:
        """Return the wall clock's time."""
        return asyncio.get_running_loop().time() + self.shift_s

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()


class Do(Command[None]):
    """Do one thing."""

    number: int


class Wish(Model):
    """What a client wants done."""

    number: int


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    """Return the clock that the hosts will use."""
    made = JumpingClock()
    monkeypatch.setattr("tests.dispatch.hosting.LoopClock", lambda: made)
    return made


def office(ticks: list[float] | None = None, broken: list[int] | None = None) -> System:
    """Return a front that sends to a back, and a back that fails as often as `broken` says."""
    front = Service("front", tables=MetaData(), calls=[Do])
    back = Service("back", tables=METADATA)
    failures = broken if broken is not None else []

    @front.post("/v1/wishes", status_code=202)
    async def wish(body: Wish, tx: Tx) -> None:
        tx.send(Do(number=body.number))

    @back.handles
    async def do(command: Do, tx: Tx) -> None:
        if failures:
            raise RuntimeError(f"not yet: {failures.pop()}")
        tx.insert(DONE, id=tx.new_id(), number=command.number)

    if ticks is not None:

        @back.every(timedelta(seconds=10))
        async def tick(tx: Tx) -> None:
            ticks.append(asyncio.get_running_loop().time())

    return system(front, back)


async def done(hosted: Hosted) -> list[int]:
    """Return what was done, in order of its numbers."""
    return sorted(row.number for row in await hosted.table("back", DONE))


async def wish(hosted: Hosted, number: int, *, wait_s: float) -> None:
    """Ask for one thing, and let time pass."""
    assert (await hosted.post("/v1/wishes", json={"number": number})).status == 202
    await asyncio.sleep(wait_s)


@pytest.mark.parametrize("back_s", [HOUR_S, DAY_S, 120.0])
async def test_letters_after_a_restart_on_an_earlier_clock_are_not_taken_for_settled(
    clock: JumpingClock, tmp_path: Path, back_s: float
) -> None:
    """New ids stay above every floor that was announced, whatever the wall clock says."""
    async with hosting(office(), tmp_path) as hosted:
        for number in range(15):
            await wish(hosted, number, wait_s=10)
    clock.shift_s -= back_s
    async with hosting(office(), tmp_path) as hosted:
        for number in range(15, 18):
            await wish(hosted, number, wait_s=10)

        assert await done(hosted) == list(range(18))
        assert await hosted.rows("front") == []


async def test_without_it_new_letters_are_ignored_and_counted(
    clock: JumpingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the receiver takes for settled is in its log and its metrics, by edge."""
    for safeguard in ("time_goes_on", "sent_above_floor"):
        switch_off(monkeypatch, safeguard)
    async with hosting(office(), tmp_path) as hosted:
        for number in range(3):
            await wish(hosted, number, wait_s=30)
    clock.shift_s -= HOUR_S
    async with hosting(office(), tmp_path) as hosted:
        await wish(hosted, 3, wait_s=3)

        assert await done(hosted) == [0, 1, 2]
        assert len(await hosted.rows("front")) == 1, "its sender waits for an answer"
        text = hosted.metrics.render().decode()
        edge = 'lane="work",sender="front",service="back"'
        assert f"holdfast_letters_ignored_total{{{edge}}} 1" in text
        assert 'lane="urgent",sender="front",service="back"} 0' in text
        assert b"letter.ignored" in hosted.log.getvalue()


async def test_a_day_forward_and_back_again_loses_nothing(
    clock: JumpingClock, tmp_path: Path
) -> None:
    """The floors of the wrong day stay; ids that come after them are made above."""
    async with hosting(office(), tmp_path) as hosted:
        await wish(hosted, 0, wait_s=30)
        clock.shift_s += DAY_S
        await wish(hosted, 1, wait_s=100)
        clock.shift_s -= DAY_S
        await wish(hosted, 2, wait_s=30)
    async with hosting(office(), tmp_path) as hosted:
        await wish(hosted, 3, wait_s=30)

        assert await done(hosted) == [0, 1, 2, 3]


@pytest.mark.parametrize("jump_s", [-HOUR_S, DAY_S])
async def test_a_running_system_goes_on_when_the_clock_jumps(
    clock: JumpingClock, tmp_path: Path, jump_s: float
) -> None:
    """Retries and jobs keep their pace: an hour back is not an hour without them."""
    ticks: list[float] = []
    broken = list(range(5))
    async with hosting(office(ticks, broken), tmp_path) as hosted:
        await asyncio.sleep(30)
        clock.shift_s += jump_s
        jumped = len(ticks)
        await wish(hosted, 1, wait_s=120)

        assert await done(hosted) == [1]
        assert 9 <= len(ticks) - jumped <= 14
