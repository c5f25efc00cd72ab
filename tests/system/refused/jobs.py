# error: payments: job sweep (
# error: payments: two jobs are named remind; rename one
# error: parameter 'command': a message comes to a handler alone
# error: parameter 'caller': only a route knows its Caller; put `caller.subject` into the message

from datetime import timedelta

from holdfast import Caller, Command, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


@payments.every(timedelta(0))
async def sweep(tx: Tx) -> None: ...


@payments.every(timedelta(hours=1))
async def remind(tx: Tx, command: Charge) -> None: ...


@payments.every(timedelta(hours=2))
async def remind(tx: Tx, caller: Caller) -> None:  # noqa: F811
    ...


system = System("shop", [payments])
