# error: payments: saga settle calls Charge, which payments handles itself; a saga calls other
#   services: do your own work with `saga.local(function, …)`

from holdfast import Command, Model, Saga, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Order(Model): ...


payments.calls = [Charge]


@payments.saga
async def settle(saga: Saga, order: Order) -> None:
    await saga.call(Charge(amount_cents=1))
    await saga.local(forward)


async def forward(tx: Tx) -> None:
    tx.send(Charge(amount_cents=1))


system = System("shop", [payments])
