"""Safeguards that nothing else misses: each is switched off, and a promise breaks."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Uuid

from holdfast import Command, External, Model, Outside, Query, Read, Service, System, Tx
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import Kind, Lane, Letter, Parcel, State
from holdfast.contract.http import Request, Response
from holdfast.engines.machine import MachineIds
from holdfast.engines.memory import MemoryBroker
from tests.ablations.off import switch_off
from tests.dispatch.hosting import Hosted, hosting, system

METADATA = MetaData()
DONE = Table("done", METADATA, Column("id", Uuid, primary_key=True), Column("number", Integer))
bank = External("bank", url="https://bank.example")


class Do(Command[None]):
    """Do one thing over there."""

    number: int


class DoBack(Command[None]):
    """Do one thing over here."""

    number: int


class Rate(Query[int]):
    """Ask for the bank's rate."""


class Wish(Model):
    """What a client wants done."""

    number: int


def pair() -> System:
    """Return two services that send to each other."""
    here = Service("here", tables=MetaData(), calls=[Do])
    there = Service("there", tables=METADATA, calls=[DoBack])

    @here.post("/v1/there")
    async def send_there(body: Wish, tx: Tx) -> None:
        tx.send(Do(number=body.number))

    @there.post("/v1/here")
    async def send_here(body: Wish, tx: Tx) -> None:
        tx.send(DoBack(number=body.number))

    @there.handles
    async def do(command: Do, tx: Tx) -> None:
        tx.insert(DONE, id=tx.new_id(), number=command.number)

    @here.handles
    async def do_back(command: DoBack, tx: Tx) -> None:
        return None

    return system(here, there)


@pytest.fixture
def safe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Safeguards:
    """Switch the safeguard of a parameter off; "" is none."""
    return switch_off(monkeypatch, request.param) if request.param else ALL_ON


async def done(hosted: Hosted) -> list[int]:
    """Return what was done."""
    return sorted(row.number for row in await hosted.table("there", DONE))


@pytest.mark.parametrize(
    ("safe", "expected"),
    [
        pytest.param("", ([1], 0), id="on"),
        pytest.param("tolerant_letters", ([], 1), id="off"),
    ],
    indirect=["safe"],
)
async def test_a_newer_senders_field_is_not_poison(
    tmp_path: Path, safe: Safeguards, expected: tuple[list[int], int]
) -> None:
    """During a rolling release the receiver may be the older one; strict, it would bury letters."""
    async with hosting(pair(), tmp_path, safe=safe, schedule=Schedule(tries_max=2)) as hosted:
        body = msgspec.Raw(b'{"number": 1, "priority": "high"}')
        letter = Letter(MachineIds().uuid7(1_000_000), Kind.COMMAND, Do.wire_name(), body)
        raw = msgspec.Raw(msgspec.json.encode(letter))
        parcel = Parcel("here", "there", Lane.WORK, letters=[raw])
        await hosted.hosts["there"].core.inbox.deliver(msgspec.json.encode(parcel), False, "here")
        await asyncio.sleep(10)

        dead = await hosted.rows("there", State.DEAD)
        assert (await done(hosted), len(dead)) == expected


@pytest.mark.parametrize(
    ("safe", "open_rows"),
    [
        pytest.param("", 0, id="on"),
        pytest.param("high_water_spares_letters", 2, id="off"),
    ],
    indirect=["safe"],
)
async def test_two_full_services_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: Safeguards, open_rows: int
) -> None:
    """Each has a letter for the other; refusing letters at high water, both would keep it."""
    publish = MemoryBroker.publish
    away = True

    async def lossy(
        broker: MemoryBroker, to: str, lane: str, parcel: bytes, *, sender: str
    ) -> None:
        if not away:
            await publish(broker, to, lane, parcel, sender=sender)

    monkeypatch.setattr(MemoryBroker, "publish", lossy)
    full = Schedule(out_bytes_max=0)
    async with hosting(pair(), tmp_path, safe=safe, schedule=full) as hosted:
        assert (await hosted.post("/v1/there", json={"number": 1})).status == 200
        assert (await hosted.post("/v1/here", json={"number": 2})).status == 200
        await asyncio.sleep(12)  # both have seen how full they are
        assert (await hosted.post("/v1/here", json={"number": 3})).status == 503
        away = False
        await asyncio.sleep(600)

        left = len(await hosted.rows("here", State.DUE)) + len(
            await hosted.rows("there", State.DUE)
        )
        assert left == open_rows


@pytest.mark.parametrize(
    ("safe", "limit_s"),
    [
        pytest.param("", 0.3, id="on"),
        pytest.param("remaining_time_on_hops", 2.0, id="off"),
    ],
    indirect=["safe"],
)
async def test_a_hop_has_no_more_time_than_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: Safeguards, limit_s: float
) -> None:
    """A third party two hops away is asked for no longer than the client will wait."""
    given: list[float] = []

    async def send(
        hosted: Hosted, external: External, request: Request, timeout_s: float
    ) -> Response:
        given.append(timeout_s)
        return Response(200, [], b"3")

    monkeypatch.setattr(Hosted, "send", send)
    shop = Service("shop", tables=MetaData(), calls=[Rate])
    money = Service("money", tables=MetaData(), reaches=[bank])

    @shop.get("/v1/rate")
    async def rate(outside: Outside) -> int:
        return await outside.ask(Rate())

    @money.handles
    async def answer(query: Rate, read: Read, outside: Outside) -> int:
        return (await outside.get(bank, "/v1/rate")).parse(int)

    async with hosting(system(shop, money), tmp_path, safe=safe) as hosted:
        deadline = asyncio.get_running_loop().time() + 0.3
        assert (await hosted.request("GET", "/v1/rate", deadline=deadline)).body == b"3"

    assert given == [pytest.approx(limit_s)]


@pytest.mark.parametrize(
    ("safe", "runs"),
    [
        pytest.param("", 1, id="on"),
        pytest.param("derived_ticks", 4, id="off"),
    ],
    indirect=["safe"],
)
async def test_restarts_within_one_period_make_one_tick(
    tmp_path: Path, safe: Safeguards, runs: int
) -> None:
    """Every start makes the next tick; only its derived id tells that it is there already."""
    ticks: list[Any] = []
    clockwork = Service("clockwork", tables=MetaData())

    @clockwork.every(timedelta(minutes=10))
    async def tick(tx: Tx) -> None:
        ticks.append(tx.now)

    loop = asyncio.get_running_loop()
    await asyncio.sleep(600 - loop.time() % 600 + 1)
    for _ in range(3):
        async with hosting(system(clockwork), tmp_path, safe=safe):
            await asyncio.sleep(10)
    async with hosting(system(clockwork), tmp_path, safe=safe):
        await asyncio.sleep(600)

    assert len(ticks) == runs
