# error: Charged.v1 has two handlers: payments: note (
# error: Charge.v1 has two handlers: payments: charge (

from holdfast import Command, Event, Service, System, Tx


class Charge(Command[None]):
    amount_cents: int


payments = Service("payments")


@payments.handles
async def charge(command: Charge, tx: Tx) -> None: ...


class Charged(Event): ...


payments.publishes = [Charged]
ledger = Service("ledger")


@ledger.handles
async def charge_again(command: Charge) -> None: ...


@payments.handles
async def note(event: Charged) -> None: ...


@payments.handles
async def note_again(event: Charged) -> None: ...


@ledger.handles
async def note_elsewhere(event: Charged) -> None: ...


system = System("shop", [payments, ledger])
