"""What a client sends and a handler carries on: too much is the client's error, and is told so."""

from decimal import Decimal
from typing import Any

import pytest

from holdfast import Command, Model, Saga, Service, System, Tx
from holdfast.testing import running


class Note(Model):
    """What a client sends."""

    text: str


class Price(Model):
    """Numbers of a client."""

    price: float
    exact: Decimal = Decimal(0)


class Keep(Command[None]):
    """What carries it on."""

    text: str


class Set(Command[None]):
    """What carries the numbers on."""

    price: float
    exact: Decimal


front = Service("front", calls=[Keep, Set])
archive = Service("archive")
got: list[Set] = []


@archive.handles
async def keep(command: Keep) -> None: ...


@archive.handles
async def set_price(command: Set) -> None:
    got.append(command)


@front.saga
async def keeping(saga: Saga, input: Note) -> None:
    await saga.call(Keep(text=input.text))


@front.saga
async def pricing(saga: Saga, input: Price) -> None:
    await saga.call(Set(price=input.price, exact=input.exact))


@front.post("/v1/sent", status_code=202, public=True)
async def sent(body: Note, tx: Tx) -> None:
    tx.send(Keep(text=body.text))


@front.post("/v1/started", status_code=202, public=True)
async def started(body: Note, tx: Tx) -> None:
    tx.start(keeping, body)


@front.post("/v1/of-our-own", status_code=202, public=True)
async def of_our_own(body: Note, tx: Tx) -> None:
    tx.send(Keep(text="x" * 300_000))


@front.post("/v1/prices", status_code=202, public=True)
async def prices(body: Price, tx: Tx) -> None:
    tx.start(pricing, body)


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/v1/sent", 300_000, 413),
        ("/v1/started", 300_000, 413),
        ("/v1/sent", 200_000, 202),
        ("/v1/started", 200_000, 202),
        ("/v1/of-our-own", 10, 500),
    ],
)
async def test_a_body_that_nothing_can_carry_is_413(path: str, size: int, status: int) -> None:
    """With the limit; what is too large by our own doing is ours."""
    async with running(System("case", services=[front, archive])) as here:
        answer = await here.client.post(path, json={"text": "x" * size})
        await here.settled()

    problem: Any = answer.json() if answer.status >= 400 else {}
    assert answer.status == status
    assert ("at most 262,144" in problem.get("detail", "")) == (status == 413)


async def test_no_number_of_a_client_parks_a_saga() -> None:
    """An infinite one is refused at the door, and a decimal keeps its digits to the end."""
    got.clear()
    async with running(System("case", services=[front, archive])) as here:
        infinite = await here.client.post("/v1/prices", body=b'{"price": 1e400}')
        exact = await here.client.post(
            "/v1/prices", body=b'{"price": 1.5, "exact": 0.123456789012345678901}'
        )
        await here.settled()

    assert (infinite.status, exact.status) == (422, 202)
    assert [str(command.exact) for command in got] == ["0.123456789012345678901"]
