"""The tables of orders."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
)

from shop.columns import Moment

metadata = MetaData()

order_table = Table(
    "customer_order",  # `order` is a reserved word in SQL
    metadata,
    Column("id", Uuid, primary_key=True),  # ids grow with time: newest first is by id
    Column("owner", String(64), nullable=False),
    Column("state", String(9), nullable=False),  # placed, then confirmed or cancelled
    Column("why", Text),  # of a cancelled order
    Column("total_cents", BigInteger, nullable=False),
    Column("placed_at", Moment, nullable=False),
    Index("customer_order_owner", "owner", "id"),
)

order_line_table = Table(
    "order_line",
    metadata,
    Column("order_id", Uuid, ForeignKey(order_table.c.id), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("sku", String(40), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_cents", Integer, nullable=False),
)
