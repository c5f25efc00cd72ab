# error: orders: GET /v1/orders (
# error: a handler is `async def`; run blocking code with `outside.run(function, …)`
# error: orders: job sweep (
# error: a saga is `async def`; write `async def checkout`

from datetime import timedelta

from holdfast import Command, Model, Saga, Service, System


class ShowOrder(Command[None]): ...


class Order(Model): ...


orders = Service("orders")


@orders.handles
def show_order(command: ShowOrder) -> None: ...


@orders.get("/v1/orders", public=True)
def get_orders() -> list[int]:
    return []


@orders.every(timedelta(seconds=1))
def sweep() -> None: ...


@orders.saga
def checkout(saga: Saga, order: Order) -> None: ...


system = System("shop", [orders])
