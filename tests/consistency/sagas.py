"""The sagas that several tests run."""

from typing import Any

from holdfast.consistency.unit import Unit
from holdfast.contract.failure import Failure
from tests.consistency.messages import EFFECTS, GiveBack, Order, Pay, Refund, Take


async def write(tx: Unit, what: str) -> None:
    """Write one row in the shop."""
    tx.insert(EFFECTS["shop"], id=tx.new_id(), what=what)


async def checkout(saga: Any, order: Order) -> None:
    """Take the goods and the money, or neither."""
    try:
        await saga.call(Take(item=order.item), undo=GiveBack(item=order.item))
        await saga.call(Pay(cents=order.cents), undo=Refund(cents=order.cents))
    except Failure as failure:
        await saga.undo()
        await saga.local(write, f"cancelled: {failure.name}")
    else:
        await saga.local(write, "confirmed")
