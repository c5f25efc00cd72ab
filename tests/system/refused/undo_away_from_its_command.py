# error: it undoes Charge, which payments handles; move it to payments
# error: it undoes Reserve, which nobody handles; handle it here too

from holdfast import Command, Service, System, Tx, Undo


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Refund(Undo[Charge]): ...


class Reserve(Command[None]): ...


class Release(Undo[Reserve]): ...


ledger = Service("ledger")


@ledger.handles
async def refund(undo: Refund) -> None: ...


@ledger.handles
async def release(undo: Release) -> None: ...


system = System("shop", [payments, ledger])
