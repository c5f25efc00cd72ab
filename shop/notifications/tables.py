"""The table of notifications."""

from sqlalchemy import Column, MetaData, String, Table, Text, Uuid

from shop.columns import Moment

metadata = MetaData()

notification_table = Table(
    "notification",
    metadata,
    # No constraint keeps an order from being told of twice: each event is handled once.
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False, index=True),
    Column("recipient", String(64), nullable=False),
    Column("kind", String(9), nullable=False),  # confirmed or cancelled
    Column("text", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)
