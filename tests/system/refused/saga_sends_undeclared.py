# error: orders: saga checkout sends Charge; add Charge to `calls=[…]` of Service('orders')

from holdfast import Command, Model, Saga, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Order(Model): ...


orders = Service("orders")


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    await saga.call(Charge(amount_cents=1))


system = System("shop", [orders, payments])
