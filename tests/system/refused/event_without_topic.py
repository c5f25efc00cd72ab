# error: waits for Shipped, which has no topic; write `class Shipped(Event, topic="…")`

from holdfast import Event, Model, Saga, Service, System


class Shipped(Event): ...


class Order(Model): ...


orders = Service("orders", publishes=[Shipped])


@orders.saga(waits=[Shipped])
async def chase(saga: Saga, order: Order) -> None: ...


system = System("shop", [orders])
