"""A test whose saga has a bug does not go on as if all were well."""

import pytest

from holdfast import Command, Model, Saga, Service, System, Tx
from holdfast.consistency.schedule import Schedule
from holdfast.testing import Broken, running


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
