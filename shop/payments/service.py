"""Payments: takes and returns money through the card processor."""

from sqlalchemy import update

from holdfast import External, Field, Model, Outside, Service, Tx
from shop.payments.messages import CardDeclined, Charge, Receipt, Refund
from shop.payments.tables import metadata, payment_table

processor = External(
    "processor",
    url="http://127.0.0.1:8090",
    key_life_s=86_400,
    local="python -m shop.processor --host {host} --port {port} --ledger {data}/processor.db",
)
payments = Service(
    "payments", tables=metadata, migrations="shop.payments:migrations", reaches=[processor]
)


class Charged(Model):
    """The processor's answer to a charge that went through."""

    id: str
    amount_cents: int


class Declined(Model):
    """The processor's answer to a charge that did not."""

    reason: str


class Charges(Model):
    """The processor's charges under one reference; an order that was charged has one."""

    charges: tuple[Charged, ...] = Field(min_length=1)


@payments.handles
async def charge(command: Charge, outside: Outside, tx: Tx) -> Receipt:
    """Charge the card; however often this runs, the processor sees one and the same key."""
    answer = await outside.post(
        processor,
        "/v1/charges",
        json={
            "amount_cents": command.amount_cents,
            "card": command.card,
            "reference": str(command.order_id),
        },
    )
    if answer.status == 402:
        raise CardDeclined(reason=answer.parse(Declined).reason)
    charged = answer.parse(Charged)
    receipt = Receipt(payment_id=tx.new_id())
    tx.insert(
        payment_table,
        id=receipt.payment_id,
        order_id=command.order_id,
        charge_id=charged.id,
        amount_cents=charged.amount_cents,
        state="charged",
    )
    return receipt


@payments.handles
async def refund(undo: Refund, outside: Outside, tx: Tx) -> None:
    """Refund the order's charge; only an order that was charged gets here."""
    found = await outside.get(processor, f"/v1/charges?reference={undo.order_id}")
    for charged in found.parse(Charges).charges:
        answer = await outside.post(processor, f"/v1/charges/{charged.id}/refunds")
        answer.parse(Charged)  # raises for anything else, and this runs again
    await tx.execute(
        update(payment_table)
        .where(payment_table.c.order_id == undo.order_id)
        .values(state="refunded")
    )
