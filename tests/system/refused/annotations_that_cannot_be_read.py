# error: name 'Mailer' is not defined; import what they name
# error: orders: place (
# error: name 'Order' is not defined; import what they name

from typing import TYPE_CHECKING

from holdfast import Command, Saga, Service, System

if TYPE_CHECKING:
    from somewhere import Mailer, Order


class Place(Command[None]): ...


orders = Service("orders")


@orders.provides
def mailer() -> "Mailer": ...


@orders.handles
async def place(command: "Order") -> None: ...


@orders.saga
async def checkout(saga: Saga, order: "Order") -> None: ...


system = System("shop", [orders])
