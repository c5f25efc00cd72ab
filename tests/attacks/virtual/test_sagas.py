"""Many sagas at once, on a bad day, over restarts: each ends, and the books agree."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid

from holdfast import Command, Event, Failure, Model, Saga, Service, System, Tx, Undo
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import State
from holdfast.storage import SagaFilter
from tests.dispatch.hosting import Hosted, hosting, system

QUICK = Schedule(retry_ms=50, retry_cap_ms=500, tries_max=30)
TRIPS, HOTELS = MetaData(), MetaData()
TRIP = Table(
    "trip", TRIPS, Column("id", Uuid, primary_key=True), Column("state", String, nullable=False)
)
ROOM = Table(
    "room",
    HOTELS,
    Column("id", Uuid, primary_key=True),
    Column("trip", Uuid, nullable=False),
    Column("kind", String, nullable=False),
    Column("pieces", Integer, nullable=False),
)


class Full(Failure, status=409):
    """There is none left."""


class Book(Command[int], fails=[Full]):
    """Book one thing of a trip."""

    trip: UUID
    kind: str
    luck: int


class Unbook(Undo[Book]):
    """Give it back."""

    trip: UUID
    kind: str
    luck: int


class Paid(Event, topic="trip"):
    """The customer paid for a trip."""

    trip: UUID


class Trip(Model):
    """What a saga works on; `luck` decides what goes wrong."""

    id: UUID
    luck: int
    round: int = 0


class Hotel:
    """Books; fails as the letter's luck says, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.tries: Counter[tuple[str, UUID, str]] = Counter()
        self.service = Service("hotel", tables=HOTELS, publishes=[Paid])

        @self.service.handles
        async def book(command: Book, tx: Tx) -> int:
            self.tries["book", command.trip, command.kind] += 1
            tries = self.tries["book", command.trip, command.kind]
            tx.insert(ROOM, id=tx.new_id(), trip=command.trip, kind=command.kind, pieces=1)
            if command.luck % 5 == 1 and command.kind == "meal":
                raise Full
            if command.luck % 3 == 1 and tries <= 3:
                raise RuntimeError("the book is stuck")
            return tries

        @self.service.handles
        async def unbook(undo: Unbook, tx: Tx) -> None:
            self.tries["unbook", undo.trip, undo.kind] += 1
            if undo.luck % 2 and self.tries["unbook", undo.trip, undo.kind] <= 20:
                raise RuntimeError("the book is stuck")
            tx.insert(ROOM, id=tx.new_id(), trip=undo.trip, kind=undo.kind, pieces=-1)

        @self.service.post("/v1/payments/{trip}")
        async def pay(trip: UUID, tx: Tx) -> None:
            tx.publish(Paid(trip=trip))


def travel(hotel: Hotel) -> System:
    """Return the travel agency and its hotel."""
    agency = Service("agency", tables=TRIPS, calls=[Book])

    @agency.post("/v1/trips")
    async def plan(body: Trip, tx: Tx) -> None:
        tx.insert(TRIP, id=body.id, state="planned")
        tx.start(trip, body, key=str(body.id))

    @agency.saga(waits=[Paid])
    async def trip(saga: Saga, want: Trip) -> None:
        try:
            await saga.gather(
                *(
                    saga.call(
                        Book(trip=want.id, kind=kind, luck=want.luck),
                        undo=Unbook(trip=want.id, kind=kind, luck=want.luck),
                    )
                    for kind in ("bed", "meal", "boat")
                )
            )
        except Failure:
            await saga.undo()
            await saga.local(close, want.id, "cancelled")
            return
        await saga.sleep(timedelta(seconds=5))
        paid = await saga.wait(Paid, want.id, timeout=timedelta(minutes=2))
        if paid is None:
            await saga.undo()
            await saga.local(close, want.id, "unpaid")
        elif want.luck % 7 == 0 and want.round < 3:
            await saga.undo()
            await saga.restart(Trip(id=want.id, luck=want.luck, round=want.round + 1))
        else:
            await saga.local(close, want.id, "confirmed")

    return system(agency, hotel.service)


async def close(tx: Tx, trip: UUID, state: str) -> None:
    """Write down how a trip ended."""
    tx.update(TRIP, trip, state=state)


async def test_two_hundred_sagas_on_a_bad_day_all_end_well(tmp_path: Path) -> None:
    """Refusals, stuck handlers, undos that fail 20 times, events in both orders, restarts."""
    chance = random.Random(5)
    hotel = Hotel()
    trips = [Trip(id=UUID(int=chance.getrandbits(128), version=4), luck=n) for n in range(200)]
    paying = [trip for trip in trips if trip.luck % 4 != 3]
    async with hosting(travel(hotel), tmp_path, schedule=QUICK) as hosted:
        for trip in trips:
            assert (await hosted.post("/v1/trips", json=trip.model_dump())).status == 200
            if trip.luck % 2:  # before the saga waits
                await pay(hosted, trip, paying)
        await asyncio.sleep(3)
    async with hosting(travel(hotel), tmp_path, schedule=QUICK) as hosted:
        await asyncio.sleep(30)
        for trip in trips:
            if not trip.luck % 2:
                await pay(hosted, trip, paying)
        await asyncio.sleep(600)

        ended = {row.id: row.state for row in await hosted.table("agency", TRIP)}
        assert ended == {trip.id: _expected(trip, paying) for trip in trips}
        pieces: Counter[UUID] = Counter()
        for row in await hosted.table("hotel", ROOM):
            pieces[row.trip] += row.pieces
        for trip in trips:
            assert pieces[trip.id] == (3 if ended[trip.id] == "confirmed" else 0), trip
        for service in ("agency", "hotel"):
            assert await hosted.rows(service, State.DUE, State.DEAD, State.HELD) == []


async def pay(hosted: Hosted, trip: Trip, paying: list[Trip]) -> None:
    """Pay for a trip, if its customer does."""
    if trip in paying:
        assert (await hosted.post(f"/v1/payments/{trip.id}")).status == 200


def _expected(trip: Trip, paying: list[Trip]) -> str:
    if trip.luck % 5 == 1:
        return "cancelled"
    return "confirmed" if trip in paying else "unpaid"


class Two(Model):
    """The input of a saga that is changed under way."""

    id: UUID


def changing(hotel: Hotel, body: Callable[[Saga, Two], Any], version: int) -> System:
    """Return an agency whose saga is this function, under this version."""
    agency = Service("agency", tables=TRIPS, calls=[Book])

    @agency.post("/v1/trips")
    async def plan(want: Two, tx: Tx) -> None:
        tx.start(trip, want)

    @agency.saga(version=version)
    async def trip(saga: Saga, want: Two) -> None:
        await body(saga, want)

    return system(agency, hotel.service)


async def test_a_saga_that_was_changed_under_way_is_parked_and_goes_on_after_the_fix(
    tmp_path: Path,
) -> None:
    """Nothing is done twice, nothing is undone, and the answers that came meanwhile count."""
    hotel, want = Hotel(), Two(id=UUID(int=1))

    async def first(saga: Saga, want: Two) -> None:
        await saga.call(Book(trip=want.id, kind="bed", luck=0))
        await saga.sleep(timedelta(seconds=60))
        await saga.call(Book(trip=want.id, kind="boat", luck=0))

    async def wrong(saga: Saga, want: Two) -> None:
        await saga.sleep(timedelta(seconds=60))
        await saga.call(Book(trip=want.id, kind="boat", luck=0))

    async with hosting(changing(hotel, first, 1), tmp_path) as hosted:
        await hosted.post("/v1/trips", json={"id": str(want.id)})
        await asyncio.sleep(10)
    async with hosting(changing(hotel, wrong, 1), tmp_path) as hosted:
        await asyncio.sleep(120)
        [saga] = await hosted.hosts["agency"].ledger.database.sagas(SagaFilter())
        assert saga.state == "parked"
        assert "SagaChanged" in (saga.error or "")
    async with hosting(changing(hotel, first, 1), tmp_path) as hosted:
        await hosted.hosts["agency"].interventions.retry_saga(saga.id)
        await asyncio.sleep(30)
        [saga] = await hosted.hosts["agency"].ledger.database.sagas(SagaFilter())

    assert saga.state == "completed"
    assert set(hotel.tries.values()) == {1}


async def test_an_older_version_hands_a_saga_back_and_the_newer_one_ends_it(
    tmp_path: Path,
) -> None:
    """A rollback of the deployment stops the sagas of the newer one, and harms none of them."""
    hotel, want = Hotel(), Two(id=UUID(int=1))

    async def steps(saga: Saga, want: Two) -> None:
        await saga.call(Book(trip=want.id, kind="bed", luck=0))
        await saga.sleep(timedelta(seconds=20))
        await saga.call(Book(trip=want.id, kind="boat", luck=0))

    async with hosting(changing(hotel, steps, 2), tmp_path) as hosted:
        await hosted.post("/v1/trips", json={"id": str(want.id)})
        await asyncio.sleep(5)
    async with hosting(changing(hotel, steps, 1), tmp_path) as hosted:
        await asyncio.sleep(600)
        [saga] = await hosted.hosts["agency"].ledger.database.sagas(SagaFilter())
        assert saga.state == "running"
    async with hosting(changing(hotel, steps, 3), tmp_path) as hosted:
        await asyncio.sleep(120)
        [saga] = await hosted.hosts["agency"].ledger.database.sagas(SagaFilter())

    assert saga.state == "completed"
    assert set(hotel.tries.values()) == {1}


async def test_a_saga_that_raises_cancelled_is_parked(tmp_path: Path) -> None:
    """It is a bug of its function, and no reason for the writer to stop."""
    hotel = Hotel()

    async def odd(saga: Saga, want: Two) -> None:
        await saga.call(Book(trip=want.id, kind="bed", luck=0))
        raise asyncio.CancelledError

    async with hosting(changing(hotel, odd, 1), tmp_path) as hosted:
        await hosted.post("/v1/trips", json={"id": str(UUID(int=1))})
        await asyncio.sleep(30)
        [saga] = await hosted.hosts["agency"].ledger.database.sagas(SagaFilter())

    assert saga.state == "parked"


@pytest.mark.parametrize("seconds", [0.0, -5.0])
async def test_a_sleep_of_no_time_ends(tmp_path: Path, seconds: float) -> None:
    """A duration that was computed may be zero, or in the past."""
    hotel = Hotel()

    async def nap(saga: Saga, want: Two) -> None:
        await saga.sleep(timedelta(seconds=seconds))

    async with hosting(changing(hotel, nap, 1), tmp_path) as hosted:
        await hosted.post("/v1/trips", json={"id": str(UUID(int=1))})
        await asyncio.sleep(5)
        [saga] = await hosted.hosts["agency"].ledger.database.sagas(SagaFilter())

    assert saga.state == "completed"
