"""A test that fails says why the system under it did."""

from datetime import timedelta

import pytest

from holdfast import Command, Model, Saga, Service, System, Tx
from holdfast.observability import troubles
from holdfast.testing import Broken, running, virtual_time

desk = Service("desk")
shelf = Service("shelf")


class Wish(Model):
    """What is wanted."""

    why: str


class Fetch(Command[None]):
    """Fetch it."""

    why: str


asking = Service("asking", calls=[Fetch])


@desk.post("/v1/wishes", public=True)
async def wish(body: Wish) -> str:
    """Have a bug."""
    return {"one": "known"}[body.why]


@asking.post("/v1/errands", public=True)
async def errand(body: Wish, tx: Tx) -> None:
    """Begin what will go wrong."""
    tx.start(go, body)


@asking.saga
async def go(saga: Saga, wanted: Wish) -> None:
    """Have a bug, or send to somebody who has."""
    if wanted.why == "saga":
        raise ValueError("no way")
    await saga.call(Fetch(why=wanted.why), timeout=timedelta(days=1))


@shelf.handles
async def fetch(command: Fetch) -> None:
    """Have a bug."""
    raise LookupError(f"no {command.why} here")


system = System("errands", services=[desk, shelf, asking])


async def failing(error: BaseException, *whys: str, path: str = "/v1/wishes") -> list[str]:
    """Run a test that wishes this and then fails; return the notes of what it fails with."""
    with pytest.raises(type(error)) as failed:
        await _fail(error, whys, path)
    return getattr(failed.value, "__notes__", [])


async def _fail(error: BaseException, whys: tuple[str, ...], path: str) -> None:
    async with running(system) as world:
        for why in whys:
            await world.client.post(path, json={"why": why})
        await world.settled()
        raise error


async def test_a_500_brings_its_cause_along() -> None:
    """Once, however often: the error, the route, and the line of the handler."""
    [note] = await failing(AssertionError("500"), "two", "one", "two")

    assert note.startswith("request.failed in desk POST /v1/wishes: KeyError: 'two', at ")
    assert "test_troubles.py:" in note
    assert note.endswith(" wish")


@virtual_time
@pytest.mark.parametrize(
    ("why", "told", "function"),
    [
        ("book", "letter.dead in shelf Fetch.v1: LookupError: no book here, at ", " fetch"),
        ("saga", "saga.parked in asking go: ValueError: no way, at ", " go"),
    ],
)
async def test_what_is_broken_is_noted_with_its_line(why: str, told: str, function: str) -> None:
    """Also what no client hears of."""
    notes = await failing(Broken(), why, path="/v1/errands")

    assert notes[-1].startswith(told)
    assert "test_troubles.py:" in notes[-1]
    assert notes[-1].endswith(function)


async def test_a_test_that_fails_by_itself_has_no_notes() -> None:
    """What went well is not told."""
    assert await failing(ZeroDivisionError(), "one") == []


def test_of_many_the_last_are_told() -> None:
    """And an error without a line of the user's has its innermost."""
    lines = [
        b'{"level":"error","event":"request.failed","service":"gateway","error":"E: %d",'
        b'"error_at":["/x/site-packages/a.py:1 f","/x/site-packages/b.py:2 g"]}' % number
        for number in range(9)
    ]

    told = troubles(b"\n".join(lines))

    assert len(told) == 5
    assert told[-1] == "request.failed in gateway: E: 8, at /x/site-packages/b.py:2 g"
