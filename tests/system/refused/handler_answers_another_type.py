# error: Charge promises Receipt, the handler answers int; write `-> Receipt`
# error: Refund promises None, the handler answers Receipt; write `-> None`
# error: GetPrices promises list[int], the handler answers list[str]; write `-> list[int]`
# error: Ship promises None, the handler answers nothing that is named; write `-> None`
# error: Shipped promises None, the handler answers bool; write `-> None`

from holdfast import Command, Event, Model, Query, Service, System, Undo


class Receipt(Model): ...


class Charge(Command[Receipt]): ...


class Refund(Undo[Charge]): ...


class GetPrices(Query[list[int]]): ...


class Ship(Command[None]): ...


class Shipped(Event): ...


payments = Service("payments", publishes=[Shipped])


@payments.handles
async def charge(command: Charge) -> int:
    return 1


@payments.handles
async def refund(undo: Refund) -> Receipt:
    return Receipt()


@payments.handles
async def get_prices(query: GetPrices) -> list[str]:
    return []


@payments.handles
async def ship(command: Ship): ...


@payments.handles
async def shipped(event: Shipped) -> bool:
    return True


system = System("shop", [payments])
