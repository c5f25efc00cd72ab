"""Periodic jobs: each tick once, whatever starts, stops and lies between."""

import asyncio
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, Uuid

from holdfast import External, Outside, Service, System, Tx
from holdfast.consistency.transitions import dropped
from holdfast.consistency.unknown import waits
from holdfast.contract.envelope import Kind, State
from holdfast.contract.http import Request, Response
from holdfast.storage import MessageFilter
from holdfast.testing import running, virtual_time
from tests.dispatch.hosting import Hosted, hosting, system

METADATA = MetaData()
SWEPT = Table("swept", METADATA, Column("id", Uuid, primary_key=True))
MINUTE = 60.0


def cleaner(runs: list[float], failing: int = 0) -> System:
    """Return a service that sweeps every minute; the first `failing` runs fail."""
    service = Service("cleaner", tables=METADATA)
    left = [failing]

    @service.every(timedelta(minutes=1))
    async def sweep(tx: Tx) -> None:
        runs.append(asyncio.get_running_loop().time())
        tx.insert(SWEPT, id=tx.new_id())
        if left[0]:
            left[0] -= 1
            raise RuntimeError("the broom broke")

    return system(service)


async def ticks(hosted: Hosted) -> int:
    """Return how many ticks are still to come."""
    rows = await hosted.rows("cleaner", State.DUE)
    return sum(row.kind is Kind.TICK for row in rows)


async def test_a_job_runs_once_in_each_period(tmp_path: Path) -> None:
    """At the same moments on every replica: multiples of the period."""
    runs: list[float] = []

    async with hosting(cleaner(runs), tmp_path) as hosted:
        await asyncio.sleep(5 * MINUTE)
        swept = await hosted.table("cleaner", SWEPT)
        waiting = await ticks(hosted)

    assert [int(at // MINUTE) for at in runs] == [17, 18, 19, 20, 21]
    assert all(at % MINUTE < 1 for at in runs)
    assert (len(swept), waiting) == (5, 1)


async def test_a_restart_neither_doubles_nor_skips_a_tick(tmp_path: Path) -> None:
    """The tick that was waiting is the one that the next process would make."""
    runs: list[float] = []

    for _ in range(4):
        async with hosting(cleaner(runs), tmp_path) as hosted:
            waiting = await ticks(hosted)
            await asyncio.sleep(MINUTE / 2)
        assert waiting == 1
    assert [int(at // MINUTE) for at in runs] == [17, 18]


async def test_two_processes_that_start_make_one_tick(tmp_path: Path) -> None:
    """The tick's id derives from the job and the moment, so the second insert finds it there."""
    async with hosting(cleaner([]), tmp_path), hosting(cleaner([]), tmp_path) as second:
        assert await ticks(second) == 1


async def test_a_job_runs_at_a_time_of_day(tmp_path: Path) -> None:
    """In its zone, once on each day, whatever number of replicas, and whatever lies between."""
    runs: list[float] = []
    service = Service("cleaner", tables=METADATA)

    @service.every(at=time(3), zone="Europe/Berlin")
    async def sweep(tx: Tx) -> None:
        runs.append(asyncio.get_running_loop().time())

    made = system(service)
    async with hosting(made, tmp_path), hosting(made, tmp_path):
        await asyncio.sleep(MINUTE)
    for hour in (2, 26):  # 1970: 03:00 there is 02:00 UTC
        await asyncio.sleep(hour * 60 * MINUTE - 10 * MINUTE - asyncio.get_running_loop().time())
        async with hosting(made, tmp_path), hosting(made, tmp_path):
            await asyncio.sleep(20 * MINUTE)

    assert [int(at // 3600) for at in runs] == [2, 26]
    assert all(at % 3600 < 1 for at in runs)


def keeper(runs: list[float], job: str = "sweep", **service: Any) -> System:
    """Return a service with one job of that name; `was` goes to the job, `gone` to the service."""
    was = service.pop("was", None)
    made = Service("cleaner", tables=METADATA, **service)

    async def function(tx: Tx) -> None:
        runs.append(asyncio.get_running_loop().time())

    function.__name__ = job
    made.every(timedelta(minutes=1), was=was)(function)
    return system(made)


async def test_a_tick_of_a_job_that_is_unknown_waits_and_is_told(tmp_path: Path) -> None:
    """It may be a newer version's: it is never given up, and the remedy names it."""
    runs: list[float] = []
    async with hosting(keeper(runs), tmp_path):
        pass

    async with hosting(keeper([], "tidy"), tmp_path) as hosted:
        await asyncio.sleep(60 * MINUTE)
        rows = [row for row in await hosted.rows("cleaner", State.DUE) if waits(row)]
        told = hosted.hosts["cleaner"].strangers
    async with hosting(keeper(runs), tmp_path):
        await asyncio.sleep(2 * MINUTE)

    assert [row.tries for row in rows] == [0]
    assert [line.partition(" has ")[0] for line in told] == ["cleaner: the job sweep"]
    assert b"work.unknown" in hosted.log.getvalue()
    assert len(runs) in (2, 3)


async def test_what_waits_may_be_given_up(tmp_path: Path) -> None:
    """An operator finds it beside dead letters, and drops it as one of them."""
    async with hosting(keeper([]), tmp_path):
        pass

    async with hosting(keeper([], "tidy"), tmp_path) as hosted:
        await asyncio.sleep(2 * MINUTE)
        host = hosted.hosts["cleaner"]
        shown = MessageFilter(states=(State.DEAD,), waiting=True)
        [tick] = await host.ledger.database.messages(shown)
        given_up = await host.interventions.change_dead(tick.id, dropped)
        left = await host.ledger.database.messages(shown)
        await host.look_for_strangers()

    assert given_up is not None
    assert given_up.state is State.REFUSED
    assert (left, host.strangers) == ([], [])


async def test_a_renamed_job_goes_on_with_its_ticks(tmp_path: Path) -> None:
    """Its ticks are the same rows: none is left over, none runs twice, whoever makes them."""
    runs: list[float] = []

    for rename in ("sweep", "tidy"):
        was = "sweep" if rename == "tidy" else None
        async with hosting(keeper(runs, rename, was=was), tmp_path) as hosted:
            waiting = await ticks(hosted)
            await asyncio.sleep(MINUTE)
        assert waiting == 1

    assert [int(at // MINUTE) for at in runs] == [17, 18]


async def test_what_a_job_that_is_gone_has_left_is_dropped(tmp_path: Path) -> None:
    """Its last tick ends without doing anything, and makes no other."""
    async with hosting(keeper([]), tmp_path):
        pass

    async with hosting(keeper([], "tidy", gone=["sweep"]), tmp_path) as hosted:
        await asyncio.sleep(2 * MINUTE)
        waiting = await ticks(hosted)
        told = hosted.hosts["cleaner"].strangers

    assert (waiting, told) == (1, [])


async def test_ticks_that_were_missed_become_one(tmp_path: Path) -> None:
    """After an hour's sleep the job runs once, at once, and then in its rhythm."""
    runs: list[float] = []
    async with hosting(cleaner(runs), tmp_path):
        pass
    await asyncio.sleep(60 * MINUTE)
    woken = asyncio.get_running_loop().time()

    async with hosting(cleaner(runs), tmp_path):
        await asyncio.sleep(2 * MINUTE)

    assert len(runs) == 3
    assert runs[0] - woken < 1
    assert [int(at // MINUTE) for at in runs[1:]] == [77, 78]


ONE_TRY = External("bank", url="https://bank.example", idempotent=False)
SHORT_MEMORY = External("bank", url="https://bank.example", key_life_s=3_600)


@pytest.mark.parametrize("bank", [ONE_TRY, SHORT_MEMORY])
@virtual_time
async def test_a_job_goes_on_though_one_of_its_runs_is_given_up(bank: External) -> None:
    """What may have had an effect outside is not tried again, and shown; the next run comes."""
    service = Service("payroll", reaches=[bank])
    runs: list[float] = []

    @service.every(timedelta(hours=1))
    async def pay(tx: Tx, outside: Outside) -> None:
        runs.append(asyncio.get_running_loop().time() - begun)
        await outside.post(bank, "/pay", json={"cents": 1})

    class Bank:
        """Silent for the first three hours."""

        def __init__(self, clock: Any) -> None:
            """It has no clock."""

        async def handle(self, request: Request) -> Response:
            """Answer, or not."""
            if asyncio.get_running_loop().time() < begun + 3 * 3_600:
                await asyncio.sleep(3_600)
            return Response(200)

    begun = asyncio.get_running_loop().time()
    paid = System("paid", services=[service])
    paid.stand_in(bank)(Bank)
    async with running(paid) as place:
        await asyncio.sleep(10.5 * 3_600)
        [given_up, *_] = await place.process.control.dead_letters()

    assert (given_up["kind"], given_up["state"], given_up["reached"]) == ("tick", "dead", True)
    assert len([run for run in runs if run > 4 * 3_600]) >= 6


async def test_a_job_that_fails_is_tried_again_and_goes_on(tmp_path: Path) -> None:
    """Its writes are rolled back each time, and it is never given up."""
    runs: list[float] = []

    async with hosting(cleaner(runs, failing=12), tmp_path) as hosted:
        await asyncio.sleep(60 * MINUTE)
        swept = await hosted.table("cleaner", SWEPT)
        dead = await hosted.rows("cleaner", State.DEAD)

    assert dead == []
    assert len(swept) == len(runs) - 12 > 10
