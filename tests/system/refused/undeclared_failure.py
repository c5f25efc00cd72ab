# error: payments: charge raises CardDeclined; write `class Charge(…, fails=[…, CardDeclined])` (
# error: payments: refund raises the failure CardDeclined; an undo has none: raise an exception, it
#   is retried
# error: payments: get_price raises CardDeclined; write `class GetPrice(…, fails=[…, CardDeclined])`
# error: payments: charged raises the failure CardDeclined, which nobody hears; publish an event,
#   or just return

from holdfast import Command, Event, Failure, Query, Service, System, Undo


class CardDeclined(Failure):
    reason: str


class Expired(Failure): ...


class Charge(Command[None], fails=[Expired]): ...


class Refund(Undo[Charge]): ...


class GetPrice(Query[int]): ...


class Charged(Event): ...


payments = Service("payments", publishes=[Charged])


@payments.handles
async def charge(command: Charge) -> None:
    check(command)
    raise CardDeclined(reason="limit")


def check(command: Charge) -> None:
    raise Expired


@payments.handles
async def refund(undo: Refund) -> None:
    failure = CardDeclined(reason="limit")
    raise failure


@payments.handles
async def get_price(query: GetPrice) -> int:
    raise CardDeclined(reason="limit")


@payments.handles
async def charged(event: Charged) -> None:
    raise CardDeclined(reason="limit")


system = System("shop", [payments])
