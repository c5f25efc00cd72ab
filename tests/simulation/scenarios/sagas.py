"""Scenarios that aim at the safeguards of sagas."""

import random
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, String, Table, select

from holdfast import Command, Event, Failure, Model, Saga, Service, System, Tx, Undo
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Lever, Restart
from tests.simulation.scenario import Scenario


def log_of(metadata: MetaData) -> Table:
    """Return a table in which a service notes what it did, in order."""
    return Table(
        "note",
        metadata,
        Column("number", Integer, primary_key=True),
        Column("trip", String(40), nullable=False),
        Column("what", String(40), nullable=False),
    )


def told(world: World, service: str, table: Table) -> dict[str, list[str]]:
    """Return {trip: what was noted of it, in order}."""
    found: dict[str, list[str]] = {}
    for row in world.rows(service, select(table).order_by(table.c.number)):
        found.setdefault(row.trip, []).append(row.what)
    return found


# -- a trip: hotel, train and a guide; undone when the guide has no time -------------------------


class NoTime(Failure, status=409):
    """The guide is booked out."""


class Hotel(Command[None]):
    """Book a room."""

    trip: UUID


class LeaveHotel(Undo[Hotel]):
    """Give it back."""

    trip: UUID


class Train(Command[None]):
    """Book a seat."""

    trip: UUID


class LeaveTrain(Undo[Train]):
    """Give it back."""

    trip: UUID


class Guide(Command[None], fails=[NoTime]):
    """Book a guide, who never has time."""

    trip: UUID


class Trip(Model):
    """What a customer wants."""

    id: UUID


_booked = MetaData()
booked = log_of(_booked)
bookings = Service("bookings", tables=_booked)
_went = MetaData()
went = log_of(_went)
trips = Service("trips", tables=_went, calls=[Hotel, Train, Guide])


def note(tx: Tx, table: Table, trip: UUID, what: str) -> None:
    """Note what was done."""
    tx.insert(table, trip=str(trip), what=what)


@bookings.handles
async def hotel(command: Hotel, tx: Tx) -> None:
    """Book."""
    note(tx, booked, command.trip, "hotel")


@bookings.handles
async def leave_hotel(undo: LeaveHotel, tx: Tx) -> None:
    """Give back."""
    note(tx, booked, undo.trip, "leave hotel")


@bookings.handles
async def train(command: Train, tx: Tx) -> None:
    """Book."""
    note(tx, booked, command.trip, "train")


@bookings.handles
async def leave_train(undo: LeaveTrain, tx: Tx) -> None:
    """Give back."""
    note(tx, booked, undo.trip, "leave train")


@bookings.handles
async def guide(command: Guide, tx: Tx) -> None:
    """Refuse."""
    raise NoTime()


@trips.post("/v1/trips", status_code=202, public=True)
async def travel(body: Trip, tx: Tx) -> None:
    """Start a trip."""
    tx.start(trip, body)


async def going(tx: Tx, body: Trip, what: str) -> None:
    """Note how far it went."""
    note(tx, went, body.id, what)


@trips.saga
async def trip(saga: Saga, body: Trip) -> None:
    """Book everything; nobody catches what the guide says."""
    try:
        await saga.call(Hotel(trip=body.id), undo=LeaveHotel(trip=body.id))
        await saga.call(Train(trip=body.id), undo=LeaveTrain(trip=body.id))
        await saga.call(Guide(trip=body.id))
    finally:
        await saga.local(going, body, "over")


voyage = System("voyage", services=[bookings, trips])


@voyage.workload
async def travellers(client: Client) -> None:
    """Start some trips."""
    for number in range(client.size):
        answer = await client.post(
            "/v1/trips", json={"id": str(UUID(int=number))}, key=f"trip-{number}"
        )
        assert answer.status == 202, answer


@voyage.invariant
def undone_backwards(world: World) -> None:
    """What was booked is given back, the newest first."""
    for name, notes in told(world, "bookings", booked).items():
        assert notes == ["hotel", "train", "leave train", "leave hotel"], f"{name}: {notes}"


@voyage.invariant
def over_once(world: World) -> None:
    """A `finally` is the end of a trip, not the end of each wait."""
    for name, notes in told(world, "trips", went).items():
        assert notes == ["over"], f"{name}: {notes}"


# -- a parcel: its carrier tells of it before anybody waits ---------------------------------------


class Hand(Command[None]):
    """Hand a parcel to the carrier."""

    parcel: UUID


class TakeBack(Undo[Hand]):
    """Take it back."""

    parcel: UUID


class Carried(Event, topic="parcel"):
    """The carrier has it."""

    parcel: UUID


class Parcel(Model):
    """What is sent."""

    id: UUID


_carrying = MetaData()
carrying = log_of(_carrying)
carrier = Service("carrier", tables=_carrying, publishes=[Carried])
_sending = MetaData()
sending = log_of(_sending)
sender = Service("sender", tables=_sending, calls=[Hand])


@carrier.handles
async def hand(command: Hand, tx: Tx) -> None:
    """Take it, and say so at once."""
    note(tx, carrying, command.parcel, "hand")
    tx.publish(Carried(parcel=command.parcel))


@carrier.handles
async def take_back(undo: TakeBack, tx: Tx) -> None:
    """Give it back."""
    note(tx, carrying, undo.parcel, "take back")


@sender.post("/v1/parcels", status_code=202, public=True)
async def send(body: Parcel, tx: Tx) -> None:
    """Send a parcel."""
    tx.start(parcel, body)


async def noted(tx: Tx, body: Parcel, what: str) -> None:
    """Note how it ended."""
    note(tx, sending, body.id, what)


@sender.saga(waits=[Carried])
async def parcel(saga: Saga, body: Parcel) -> None:
    """Hand it over, and wait for the carrier's word; nobody waits longer than a few seconds."""
    try:
        await saga.call(
            Hand(parcel=body.id), undo=TakeBack(parcel=body.id), timeout=timedelta(seconds=3)
        )
    except Failure:
        await saga.undo()
        await saga.local(noted, body, "given up")
        return
    word = await saga.wait(Carried, body.id, timeout=timedelta(hours=1))
    await saga.local(noted, body, "carried" if word else "lost")


post = System("post", services=[carrier, sender])


@post.workload
async def senders(client: Client) -> None:
    """Send some parcels."""
    for number in range(client.size):
        answer = await client.post(
            "/v1/parcels", json={"id": str(UUID(int=number))}, key=f"parcel-{number}"
        )
        assert answer.status == 202, answer
        await client.sleep(client.chance.uniform(0, 2))


@post.invariant
def each_parcel_has_one_end(world: World) -> None:
    """Carried, or given up and taken back."""
    carried = told(world, "carrier", carrying)
    for name, notes in told(world, "sender", sending).items():
        there = carried.get(name, [])
        assert notes in (["carried"], ["given up"]), f"{name}: {notes}"
        assert there in ([["hand"]] if notes == ["carried"] else [[], ["hand", "take back"]]), (
            f"{name} ended as {notes}, and the carrier did {there}"
        )


def late(chance: random.Random) -> list[AnyFault]:
    """Draw a broker that is slower than anybody waits, and then forgets to be."""
    high = chance.uniform(2, 8)
    return [
        Lever(
            engine="broker",
            lever="latency_s",
            value=(0.01, round(high, 3)),
            at_s=round(chance.uniform(0, 2), 3),
            for_s=round(chance.uniform(3, 20), 3),
        )
    ]


# -- two releases of one saga ---------------------------------------------------------------------


class First(Command[None]):
    """The first step of a job."""

    job: UUID


class Second(Command[None]):
    """The second step of a job."""

    job: UUID


class Job(Model):
    """What is to be done."""

    id: UUID


_works = MetaData()
worked = log_of(_works)
works = Service("works", tables=_works)
_jobs = MetaData()
ended = log_of(_jobs)


@works.handles
async def first(command: First, tx: Tx) -> None:
    """Do it."""
    note(tx, worked, command.job, "first")


@works.handles
async def second(command: Second, tx: Tx) -> None:
    """Do it."""
    note(tx, worked, command.job, "second")


async def job_over(tx: Tx, body: Job) -> None:
    """Note the end."""
    note(tx, ended, body.id, "over")


def release(*steps: type[First] | type[Second], version: int = 1) -> System:
    """Return a release of the system, whose saga takes these steps."""
    jobs = Service("jobs", tables=_jobs, calls=[First, Second])

    @jobs.post("/v1/jobs", status_code=202, public=True)
    async def begin(body: Job, tx: Tx) -> None:
        tx.start(job, body)

    @jobs.saga(version=version)
    async def job(saga: Saga, body: Job) -> None:
        for step in steps:
            await saga.call(step(job=body.id))
        await saga.local(job_over, body)

    made = System("works", services=[works, jobs])

    @made.workload
    async def workers(client: Client) -> None:
        for number in range(client.size):
            answer = await client.post(
                "/v1/jobs", json={"id": str(UUID(int=number))}, key=f"job-{number}"
            )
            assert answer.status == 202, answer

    @made.invariant
    def each_step_once(world: World) -> None:
        allowed = [[kind.__name__.lower() for kind in steps], ["first"]][: version or 1]
        for name, notes in told(world, "works", worked).items():
            assert notes in allowed, f"job {name}: {notes}"

    return made


def slow_and_deployed(chance: random.Random) -> list[AnyFault]:
    """Draw a slow broker, and a deployment while jobs are under way."""
    slow = Lever(engine="broker", lever="latency_s", value=(0.2, 1.0), at_s=0.0, for_s=4.0)
    restart = Restart(node="jobs-1", at_s=round(chance.uniform(0.3, 1.5), 3), for_s=0.1)
    return [slow, restart]


SCENARIOS = [
    Scenario(voyage, ("uncaught_failure_undoes", "undo_newest_first", "discard_suspended")),
    Scenario(post, ("advance_once", "keep_early_events"), faults=late),
    Scenario(
        release(First, Second),
        ("compare_steps",),
        setup=Setup(size=3, deployed=release(Second, First), operator=True),
        faults=slow_and_deployed,
    ),
    Scenario(
        release(First, Second, version=2),
        ("older_version_hands_back",),
        setup=Setup(replicas={"jobs": 2}, size=3, older=release(First)),
        faults=lambda chance: [],
    ),
]
