"""Notifications: tells customers how their orders ended. Here it keeps what it would send."""

from uuid import UUID

from holdfast import Service, Tx
from shop.notifications.tables import metadata, notification_table
from shop.orders.messages import OrderCancelled, OrderConfirmed

notifications = Service(
    "notifications", tables=metadata, migrations="shop.notifications:migrations"
)


@notifications.handles
async def tell_confirmed(event: OrderConfirmed, tx: Tx) -> None:
    """Tell the good news."""
    euros = f"{event.total_cents // 100}.{event.total_cents % 100:02}"
    keep(tx, event.order_id, event.owner, "confirmed", f"Your order is on its way: {euros} EUR.")


@notifications.handles
async def tell_cancelled(event: OrderCancelled, tx: Tx) -> None:
    """Tell the bad news, and why."""
    keep(tx, event.order_id, event.owner, "cancelled", f"Your order was cancelled: {event.why}.")


def keep(tx: Tx, order_id: UUID, recipient: str, kind: str, text: str) -> None:
    """Keep one notification."""
    tx.insert(
        notification_table,
        id=tx.new_id(),
        order_id=order_id,
        recipient=recipient,
        kind=kind,
        text=text,
        created_at=tx.now,
    )
