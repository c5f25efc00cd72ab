# error: Service('orders'): calls names Refund, no command and no query; write Charge, which brings
#   its undo
# error: Service('orders'): calls names Placed, no command and no query; remove it
# error: Service('orders'): publishes names Charge, which is no event; remove it
# error: Service('orders'): policies tunes GetPrice; add GetPrice to `calls=[…]`, or remove it

from holdfast import Command, Event, Query, Service, System, Tx, Undo
from holdfast.resilience import EdgePolicy


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Refund(Undo[Charge]): ...


class GetPrice(Query[int]): ...


class Placed(Event): ...


@payments.handles
async def refund(undo: Refund) -> None: ...


orders = Service(
    "orders",
    calls=[Refund, Placed, Charge],
    publishes=[Charge],
    policies={GetPrice: EdgePolicy()},
)

system = System("shop", [orders, payments])
