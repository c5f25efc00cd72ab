"""The table of payments."""

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Uuid

metadata = MetaData()

payment_table = Table(
    "payment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False, unique=True),
    Column("charge_id", String(64), nullable=False, unique=True),  # the processor's name for it
    Column("amount_cents", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),  # charged, then perhaps refunded
)
