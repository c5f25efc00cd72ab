# error: orders: two sagas are named checkout; rename one
# error: it takes (Order); write `async def checkout(saga: Saga, input: SomeModel)`
# error: it takes (Saga, int); write `async def checkout(saga: Saga, input: SomeModel)`
# error: saga chase (
# error: orders: place starts chase_elsewhere, which is no saga of orders; write `@orders.saga`
#   above it
# error: orders: place starts settle, a saga of payments; send payments a command whose handler
#   starts it
# error: orders: saga chase waits for Shipped; write `@orders.saga(waits=[Shipped])`

from datetime import timedelta

from holdfast import Command, Event, Model, Saga, Service, System, Tx


class Place(Command[None]): ...


class Order(Model): ...


class Shipped(Event, topic="order"):
    order: int


class Lost(Event): ...


orders = Service("orders", publishes=[Lost, Shipped])
payments = Service("payments")


@orders.saga
async def checkout(order: Order) -> None: ...


@orders.saga
async def checkout(saga: Saga, order: int) -> None:  # noqa: F811
    ...


@orders.saga(waits=[Lost])
async def chase(saga: Saga, order: Order) -> None:
    await saga.wait(Lost, Shipped, 1, timeout=timedelta(days=1))


@payments.saga
async def settle(saga: Saga, order: Order) -> None: ...


async def chase_elsewhere(saga: Saga, order: Order) -> None: ...


@orders.handles
async def place(command: Place, tx: Tx) -> None:
    tx.start(chase_elsewhere, Order())
    tx.start(settle, Order())
    tx.start(chase, Order())


system = System("shop", [orders, payments])
