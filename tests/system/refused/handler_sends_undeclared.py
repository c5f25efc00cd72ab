# error: orders: place sends Charge; add Charge to `calls=[…]` of Service('orders')
# error: orders: place asks GetPrice; add GetPrice to `calls=[…]` of Service('orders')
# error: orders: place publishes Placed; add Placed to `publishes=[…]` of Service('orders')

from holdfast import Command, Event, Outside, Query, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class GetPrice(Query[int]): ...


class Place(Command[None]): ...


class Placed(Event): ...


@payments.handles
async def get_price(query: GetPrice) -> int:
    return 1


orders = Service("orders")


@orders.handles
async def place(command: Place, outside: Outside, tx: Tx) -> None:
    tx.send(Charge(amount_cents=1))
    await outside.ask(GetPrice())
    tx.publish(Placed())


system = System("shop", [orders, payments])
