"""A saga that waits for an event which its own service publishes."""

from datetime import timedelta

from holdfast import Event, Model, Saga, Service, System, Tx
from holdfast.testing import running


class Paid(Event, topic="order"):
    """Somebody paid for an order."""

    order: str


class Order(Model):
    """What the saga works on."""

    name: str


orders = Service("orders", publishes=[Paid])
went_on: list[str] = []


@orders.saga(waits=[Paid])
async def follow(saga: Saga, order: Order) -> None:
    """Wait for the payment."""
    paid = await saga.wait(Paid, order.name, timeout=timedelta(hours=1))
    await saga.local(note, order.name if paid else "nothing")


async def note(tx: Tx, what: str) -> None:
    """Remember how far the saga came."""
    went_on.append(what)


@orders.post("/orders", public=True)
async def place(body: Order, tx: Tx) -> None:
    """Start the saga."""
    tx.start(follow, body)


@orders.post("/payments", public=True)
async def pay(body: Order, tx: Tx) -> None:
    """Tell everybody, the own service included."""
    tx.publish(Paid(order=body.name))


async def test_an_event_of_the_own_service_wakes_the_saga() -> None:
    """Before the wait and after it, as with any other event."""
    async with running(System("own", [orders])) as run:
        await run.client.post("/orders", json={"name": "late"})
        await run.client.post("/payments", json={"name": "late"})
        await run.client.post("/payments", json={"name": "early"})
        await run.client.post("/orders", json={"name": "early"})
        await run.settled()

    assert sorted(went_on) == ["early", "late"]
