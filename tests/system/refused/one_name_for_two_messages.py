# error: two messages are Charge.v1 on the wire:

from holdfast import Command, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


first_charge = Charge


class Charge(Command[None]):
    another: int


ledger = Service("ledger")


@ledger.handles
async def charge_too(command: Charge) -> None: ...


system = System("shop", [payments, ledger])
