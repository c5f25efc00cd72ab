"""Annotations as text, and a module of messages under an alias."""

from __future__ import annotations

import tests.system.payments_messages as pay
from holdfast import Model, Saga, Service, System, Tx
from tests.system import payments_messages


class Order(Model):
    amount_cents: int


payments = Service("payments")
orders = Service("orders", calls=[pay.Charge])


@payments.handles
async def charge(command: pay.Charge, tx: Tx) -> None:
    if command.amount_cents < 0:
        raise pay.CardDeclined(reason="negative")


@payments.handles
async def refund(undo: payments_messages.Refund) -> None: ...


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    await saga.call(payments_messages.Charge(amount_cents=order.amount_cents), undo=pay.Refund())


system = System("shop", [payments, orders])
