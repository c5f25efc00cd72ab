"""A saga's own time-outs: those that it names hold, however short they are."""

from datetime import datetime, timedelta

from holdfast import Command, Model, Saga, Service, System, Tx, Unanswered
from holdfast.testing import running, virtual_time


class Order(Model):
    """What to ask for."""

    item: str


class Fetch(Command[None]):
    """Fetch something."""

    item: str


shop = Service("shop", calls=[Fetch])
store = Service("store")
system = System("corner", services=[shop, store])
ASKED: list[datetime] = []
ENDED: list[datetime] = []


@shop.post("/orders", public=True)
async def order(body: Order, tx: Tx) -> None:
    """Take an order."""
    ASKED.append(tx.now)
    tx.start(fetch, body)


@shop.saga
async def fetch(saga: Saga, body: Order) -> None:
    """Ask, and do not wait."""
    try:
        await saga.call(Fetch(item=body.item), timeout=timedelta(0))
    except Unanswered:
        await saga.local(note)


async def note(tx: Tx) -> None:
    """Write down when that was."""
    ENDED.append(tx.now)


@store.handles
async def hand_out(command: Fetch, tx: Tx) -> None:
    """Never manage to."""
    raise RuntimeError("the key is lost")


@virtual_time
async def test_a_timeout_of_nought_is_nought() -> None:
    """It is no missing time-out, which would be a day."""
    async with running(system) as corner:
        answer = await corner.client.post("/orders", json={"item": "tea"})
        assert answer.status < 300
        await corner.settled(broken_ok=True)

    assert ENDED[-1] - ASKED[-1] < timedelta(hours=1)
