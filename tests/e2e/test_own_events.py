"""A saga that waits for an event which its own service publishes."""

from datetime import timedelta

from sqlalchemy import Column, MetaData, String, Table, select

from holdfast import Event, Model, Saga, Service, System, Tx
from holdfast.testing import running


class Paid(Event, topic="order"):
    """Somebody paid for an order."""

    order: str


class Order(Model):
    """What the saga works on."""

    name: str


metadata = MetaData()
went_on = Table("went_on", metadata, Column("what", String, nullable=False))
orders = Service("orders", tables=metadata, publishes=[Paid])


@orders.saga(waits=[Paid])
async def follow(saga: Saga, order: Order) -> None:
    """Wait for the payment."""
    paid = await saga.wait(Paid, order.name, timeout=timedelta(hours=1))
    await saga.local(note, order.name if paid else "nothing")


async def note(tx: Tx, what: str) -> None:
    """Write down how far the saga came."""
    tx.insert(went_on, what=what)


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
        for path, name in (
            ("/orders", "late"),
            ("/payments", "late"),
            ("/payments", "early"),
            ("/orders", "early"),
        ):
            assert (await run.client.post(path, json={"name": name})).status == 200
        await run.settled()
        reader = await run.process.hosts[0].ledger.database.read()
        rows = await reader.execute(select(went_on.c.what).order_by(went_on.c.what), None)
        await reader.close()

    assert [row.what for row in rows] == ["early", "late"]
