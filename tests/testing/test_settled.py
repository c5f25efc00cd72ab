"""A test whose saga has a bug does not go on as if all were well."""

import asyncio
from datetime import timedelta

import pytest

from holdfast import Command, Event, Model, Saga, Service, System, Tx
from holdfast.consistency.schedule import Schedule
from holdfast.errors import Unreachable
from holdfast.testing import Broken, running, virtual_time


class Job(Model):
    """What to do."""

    what: str


class Print(Command[None]):
    """Print."""

    what: str


office = Service("office", calls=[Print])
press = Service("press")
system = System("paper", services=[office, press])


@office.post("/jobs", public=True)
async def take(body: Job, tx: Tx) -> None:
    """Take a job."""
    tx.start(work, body)


@office.saga
async def work(saga: Saga, job: Job) -> None:
    """Do it."""
    if job.what == "bug":
        raise RuntimeError("a bug\nof two lines")
    await saga.call(Print(what=job.what))


@press.handles
async def print_it(command: Print, tx: Tx) -> None:
    """Print, if there is paper."""
    if command.what == "poster":
        raise RuntimeError("no paper")


async def test_a_parked_saga_is_raised() -> None:
    """With its error and its line, though nothing is open any more."""
    async with running(system) as paper:
        await paper.client.post("/jobs", json={"what": "bug"})
        with pytest.raises(Broken, match=r"saga work .* is parked: RuntimeError: a bug") as caught:
            await paper.settled()
        await paper.settled(broken_ok=True)

    assert f"at {__file__}:" in str(caught.value)
    assert "settled(broken_ok=True)" in str(caught.value)


async def test_a_dead_letter_is_raised_at_once() -> None:
    """The saga that waits for it would wait for a day."""
    schedule = Schedule(tries_max=1)
    async with running(system, schedule=schedule) as paper:
        await paper.client.post("/jobs", json={"what": "poster"})
        with pytest.raises(Broken, match=r"press: command Print\.v1 .* is dead: .*no paper"):
            await paper.settled()


async def test_where_all_is_well_nothing_is_raised() -> None:
    """A letter that is tried again is no reason yet."""
    async with running(system) as paper:
        await paper.client.post("/jobs", json={"what": "card"})
        await paper.settled()

        assert await paper.broken() == []


class Errands(Model):
    """What the shop is to do: so many errands for tomorrow, and one now that fails first."""

    tomorrow: int


class Errand(Command[None]):
    """One errand of the shop's own."""

    what: str


shop = Service("shop", calls=[Errand])
street = System("street", services=[shop])
done: list[str] = []
fails: list[Exception] = []


@shop.post("/errands", public=True)
async def run_errands(body: Errands, tx: Tx) -> None:
    """Send them to oneself."""
    for number in range(body.tomorrow):
        tx.send(Errand(what=f"tomorrow {number}"), delay=timedelta(days=1))
    tx.send(Errand(what="now"))


@shop.handles
async def errand(command: Errand, tx: Tx) -> None:
    """Do one, if nothing is in the way."""
    if fails:
        raise fails.pop()
    done.append(command.what)


@pytest.mark.parametrize(
    ("tomorrow", "error"),
    [
        (0, LookupError("a bug")),
        (0, Unreachable("away", edge="printer")),
        (1_200, Unreachable("away", edge="printer")),
    ],
)
@virtual_time
async def test_a_letter_to_oneself_that_failed_is_waited_for(
    tomorrow: int, error: Exception
) -> None:
    """Though its try is given back, and though more are in the table that are for later."""
    done.clear()
    fails[:] = [error]
    async with running(street) as place:
        await place.client.post("/errands", json={"tomorrow": tomorrow})
        await place.settled()

        assert done == ["now"]


class Opened(Event):
    """The shop has opened."""


press_room = Service("press-room", publishes=[Opened])
reader = Service("reader")


@press_room.post("/open", public=True)
async def open_shop(tx: Tx) -> None:
    """Say it."""
    tx.publish(Opened())


@reader.handles
async def hear(event: Opened, tx: Tx) -> None:
    """Hear it, if nothing is in the way."""
    if fails:
        raise fails.pop()
    done.append("heard")


@pytest.mark.parametrize("error", [LookupError("a bug"), Unreachable("away", edge="printer")])
@virtual_time
async def test_an_event_whose_handler_failed_is_waited_for(error: Exception) -> None:
    """Its sender has its answer: the event is taken, and is the receiver's from there on."""
    done.clear()
    fails[:] = [error]
    async with running(System("news", services=[press_room, reader])) as place:
        await place.client.post("/open")
        await place.settled()

        assert done == ["heard"]


yard = Service("yard", calls=[Errand])
for number in range(12):

    async def sweep(tx: Tx) -> None:
        """Never well."""
        raise LookupError("no broom")

    sweep.__name__ = f"sweep_{number}"
    yard.every(timedelta(seconds=10))(sweep)


@yard.post("/errands", public=True)
async def send_errand(tx: Tx) -> None:
    """Send one."""
    tx.send(Errand(what="now"))


@yard.handles
async def yard_errand(command: Errand, tx: Tx) -> None:
    """Never done."""
    raise LookupError("no broom either")


@virtual_time
async def test_a_dead_letter_is_found_behind_what_only_fails() -> None:
    """More of those need a person, and are older, than are shown of a list."""
    schedule = Schedule(tries_max=1, retry_cap_ms=500)
    async with running(System("place", services=[yard]), schedule=schedule) as place:
        control = place.process.control
        while len(await control.dead_letters()) < 12:
            await asyncio.sleep(1)
        failing = {letter["attention"] for letter in await control.dead_letters()}
        await place.client.post("/errands")
        with pytest.raises(Broken, match=r"Errand\.v1 .* is dead: .*no broom either"):
            await place.settled()

    assert failing == {"fails"}
