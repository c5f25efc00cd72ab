# error: orders: job remind sends Charge; add Charge to `calls=[…]`
# error: orders: saga checkout sends Charge; add Charge to `calls=[…]`
# error: orders: saga checkout publishes Paid; add Paid to `publishes=[…]`

from datetime import timedelta

from holdfast import Command, Event, Model, Saga, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Order(Model): ...


class Paid(Event): ...


orders = Service("orders")


async def pay(saga: Saga) -> None:
    command = Charge(amount_cents=1)
    await saga.call(command)


async def confirm(tx: Tx) -> None:
    tx.publish(Paid())


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    await pay(saga)
    await saga.local(confirm)


@orders.every(timedelta(hours=1))
async def remind(tx: Tx) -> None:
    forward(tx, Charge(amount_cents=1))


def forward(tx: Tx, command: Charge) -> None:
    tx.send(command)


system = System("shop", [orders, payments])
