# error: hears OrderConfirmed, which nobody publishes; add OrderConfirmed to `publishes=[…]`
# error: hears OrderLost, which nobody publishes; add OrderLost to `publishes=[…]` of the service
#   that owns it

from holdfast import Event, Model, Saga, Service, System


class OrderConfirmed(Event): ...


class OrderLost(Event, topic="order"):
    order: int


class Order(Model): ...


mail = Service("mail")


@mail.handles
async def confirmed(event: OrderConfirmed) -> None: ...


@mail.saga(waits=[OrderLost])
async def chase(saga: Saga, order: Order) -> None: ...


system = System("shop", [mail])
