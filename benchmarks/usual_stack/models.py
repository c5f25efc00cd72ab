"""The ORM classes of the four services; each has a database of its own."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


def now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


class _Outbox:
    __tablename__ = "outbox"
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    id: Mapped[UUID] = mapped_column(default=uuid4)
    subject: Mapped[str] = mapped_column(String(80))
    body: Mapped[str] = mapped_column(Text)


class _Inbox:
    __tablename__ = "inbox"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    handled_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)


class Orders(DeclarativeBase):
    """The database of orders."""


class OrdersOutbox(_Outbox, Orders):
    """What is still to be published."""


class OrdersInbox(_Inbox, Orders):
    """What was handled."""


class Customer(Orders):
    """Who may order."""

    __tablename__ = "customer"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)


class Order(Orders):
    """An order, and how far it has come."""

    __tablename__ = "customer_order"
    __table_args__ = (Index("order_owner", "owner", "id"),)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(10), default="placed")
    why: Mapped[str | None] = mapped_column(Text)
    card: Mapped[str] = mapped_column(String(64))
    total_cents: Mapped[int] = mapped_column(BigInteger)
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    lines: Mapped[list["OrderLine"]] = relationship(lazy="selectin", cascade="all")


class OrderLine(Orders):
    """A line at the price that was agreed."""

    __tablename__ = "order_line"
    order_id: Mapped[UUID] = mapped_column(ForeignKey("customer_order.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]
    unit_cents: Mapped[int]


class Inventory(DeclarativeBase):
    """The database of inventory."""


class InventoryOutbox(_Outbox, Inventory):
    """What is still to be published."""


class InventoryInbox(_Inbox, Inventory):
    """What was handled."""


class Stock(Inventory):
    """An article on the shelf."""

    __tablename__ = "stock"
    __table_args__ = (CheckConstraint("available >= 0 AND reserved >= 0 AND sold >= 0"),)
    sku: Mapped[str] = mapped_column(String(40), primary_key=True)
    price_cents: Mapped[int]
    available: Mapped[int]
    reserved: Mapped[int] = mapped_column(default=0)
    sold: Mapped[int] = mapped_column(default=0)


class Reservation(Inventory):
    """Pieces that are held for an order."""

    __tablename__ = "reservation"
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(40), primary_key=True)
    quantity: Mapped[int]
    state: Mapped[str] = mapped_column(String(8), default="held")


class Payments(DeclarativeBase):
    """The database of payments."""


class PaymentsOutbox(_Outbox, Payments):
    """What is still to be published."""


class PaymentsInbox(_Inbox, Payments):
    """What was handled."""


class Payment(Payments):
    """A charge."""

    __tablename__ = "payment"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(unique=True)
    charge_id: Mapped[str] = mapped_column(String(64), unique=True)
    amount_cents: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(8), default="charged")


class Notifications(DeclarativeBase):
    """The database of notifications."""


class NotificationsOutbox(_Outbox, Notifications):
    """What is still to be published: nothing."""


class NotificationsInbox(_Inbox, Notifications):
    """What was handled."""


class Notification(Notifications):
    """What a customer was told."""

    __tablename__ = "notification"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(index=True)
    recipient: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(9))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
