# error: orders: saga checkout passes undo=Refund, which nobody handles; add `@service.handles`
#   with `async def …(undo: Refund, …)` to payments
# error: orders: saga checkout passes undo=Release with Charge, but it undoes Reserve; pass an undo
#   that is declared as `Undo[Charge]`
# error: orders: saga checkout sends Reserve; add Reserve to `calls=[…]`
# error: orders: saga checkout undoes Reserve; add Reserve to `calls=[…]`

from holdfast import Command, Model, Saga, Service, System, Tx, Undo


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Order(Model): ...


class Refund(Undo[Charge]): ...


class Reserve(Command[None]): ...


class Release(Undo[Reserve]): ...


@payments.handles
async def reserve(command: Reserve) -> None: ...


@payments.handles
async def release(undo: Release) -> None: ...


orders = Service("orders", calls=[Charge])


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    await saga.call(Charge(amount_cents=1), undo=Refund())
    await saga.call(Charge(amount_cents=1), undo=Release())
    await saga.call(Reserve(), undo=Release())


system = System("shop", [orders, payments])
