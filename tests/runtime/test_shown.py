"""What an operator is shown: what needs a person, why, where in the code, and no secrets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from holdfast.storage import SagaFilter
from holdfast.testing import Running, running
from tests.runtime import ferry
from tests.runtime.ferry import QUICK


@pytest.fixture
async def line() -> AsyncIterator[Running]:
    """The ferry line, which loses patience soon."""
    ferry.mended.clear()
    async with running(ferry.ferry, schedule=QUICK) as line:
        yield line


async def needed(line: Running) -> list[Any]:
    """Wait until a letter needs a person."""
    while not (found := await line.process.control.dead_letters()):
        await asyncio.sleep(0)  # the test's time-out is the bound
    return found


async def test_an_undo_that_fails_for_ever_needs_a_person(line: Running) -> None:
    """It is listed with its error, though it is tried on; readiness and a metric say so."""
    await line.client.post("/bookings", json={"who": "stuck"})
    [undo] = await needed(line)
    host = next(host for host in line.process.hosts if host.name == "harbour")
    while not (said := host.attention()):
        await asyncio.sleep(0)
    ready = msgspec.json.decode((await line.process.health.ready()).body)

    assert (undo["type"], undo["state"], undo["attention"]) == ("Free.v1", "due", "fails")
    assert undo["tries"] > QUICK.tries_max
    assert said == "letters: 1 failing for long; see `holdfast dead-letters list`"
    assert ready["checks"]["letters of harbour"] == {"ok": False, "why": said}
    assert ready["checks"]["letters of desk"] == {"ok": True}
    assert 'holdfast_failing_letters{service="harbour"} 1' in line.process.metrics.render().decode()


async def test_every_try_says_when_what_and_where(line: Running) -> None:
    """A time with its zone, all lines of the error, file and line; nothing secret."""
    await line.client.post("/bookings", json={"who": "stuck"})
    [undo] = await needed(line)
    first, password, place, second, *_ = undo["error"].splitlines()

    assert first.startswith("try 1 at 20")
    assert "+00:00: RuntimeError: the ramp is stuck" in first
    assert password == "    password=[redacted] did not help"
    assert place.startswith(f"    at {ferry.__file__}:")
    assert place.endswith(" in free")
    assert second.startswith("try 2 at 20")


async def test_the_log_says_where(line: Running) -> None:
    """`letter.failed` and `saga.parked` name the user's line."""
    await line.client.post("/bookings", json={"who": "stuck"})
    await line.client.post("/bookings", json={"who": "bug"})
    await needed(line)
    while not await line.process.control.sagas(state="parked"):
        await asyncio.sleep(0)
    line.process.logger.flush()
    lines = [msgspec.json.decode(raw) for raw in line.log.getvalue().splitlines()]
    failed = next(said for said in lines if said["event"] == "letter.failed")
    parked = next(said for said in lines if said["event"] == "saga.parked")

    assert failed["at"].startswith(f"{ferry.__file__}:")
    assert failed["at"].endswith(" in free")
    assert parked["error"] == "RuntimeError: a bug"
    assert parked["at"].endswith(" in travel")


async def test_a_saga_shows_how_its_letter_fares_there(line: Running) -> None:
    """The receiver's tries and its last error, not only how often it was sent."""
    await line.client.post("/bookings", json={"who": "driverless"})
    await needed(line)
    control = line.process.control
    [saga] = await control.sagas()
    [letter] = (await control.saga(saga["id"]))["waiting"]
    there = letter["receiver_says"]

    assert (letter["type"], letter["receiver"]) == ("Load.v1", "harbour")
    assert (there["state"], there["tries"]) == ("dead", QUICK.tries_max)
    assert "LookupError: no driver" in there["error"]


async def test_what_the_receiver_said_is_kept_by_the_sender(line: Running) -> None:
    """Where the receiver is another process, its last word is shown."""
    await line.client.post("/bookings", json={"who": "driverless"})
    await needed(line)
    control = line.process.control
    del control._hosts["harbour"]
    [saga] = await control.sagas()
    while (there := (await control.saga(saga["id"]))["waiting"][0]["receiver_says"]) is None or (
        there["tries"] < QUICK.tries_max
    ):
        await asyncio.sleep(0)

    assert there["error"].startswith("dead: try 3 at 20")
    assert "LookupError: no driver" in there["error"]
    assert f"at {ferry.__file__}:" in there["error"]


async def test_secrets_are_not_shown(line: Running) -> None:
    """By their names, or as `Field(repr=False)`, in inputs, steps and letters."""
    body = {"who": "driverless"}
    await line.client.post("/bookings", json=body)
    await needed(line)
    control = line.process.control
    [saga] = await control.sagas()
    shown = await control.saga(saga["id"])
    host = line.process.hosts[0]
    stored = (await host.ledger.database.sagas(SagaFilter()))[0].input

    assert b"open-sesame" in stored
    assert b"t0ps3cret" in stored
    assert shown["input"] == {
        "who": "driverless",
        "api_token": "[redacted]",
        "door": "[redacted]",
    }
    assert b"open-sesame" not in msgspec.json.encode([shown, await control.dead_letters()])
    assert b"t0ps3cret" not in msgspec.json.encode([shown, await control.dead_letters()])
