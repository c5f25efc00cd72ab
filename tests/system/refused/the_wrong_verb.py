# error: orders: place passes the query GetPrice to `send`; ask it with `outside.ask(GetPrice(…))`
# error: orders: place passes the event Placed to `send`; publish it with `tx.publish(Placed(…))`
# error: orders: place passes the undo Refund to `send`; an undo goes with its command:
#   `saga.call(Charge(…), undo=Refund(…))`
# error: orders: place passes the command Charge to `ask`, which takes Query; write
#   `tx.send(Charge(…))`, or call it in a saga

from holdfast import Command, Event, Outside, Query, Service, System, Tx, Undo


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Refund(Undo[Charge]): ...


class GetPrice(Query[int]): ...


class Place(Command[None]): ...


class Placed(Event): ...


orders = Service("orders", calls=[Charge], publishes=[Placed])


@orders.handles
async def place(command: Place, outside: Outside, tx: Tx) -> None:
    tx.send(GetPrice())
    tx.send(Placed())
    tx.send(Refund())
    await outside.ask(Charge(amount_cents=1))


system = System("shop", [orders, payments])
