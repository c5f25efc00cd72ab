# error: makes `saga.call(…)` and lets it fall, so nothing happens; write `await saga.call(…)`
# error: makes `tx.execute(…)` and lets it fall


from sqlalchemy import text

from holdfast import Command, Model, Saga, Service, System, Tx


class Pay(Command[None]):
    """Take money."""


class Order(Model):
    """What the saga works on."""


payments = Service("payments")
orders = Service("orders", calls=[Pay])


@payments.handles
async def pay(command: Pay, tx: Tx) -> None:
    """Write without waiting for it."""
    tx.execute(text("SELECT 1"))


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    """Call without waiting for it."""
    saga.call(Pay())


system = System("forgotten", [orders, payments])
