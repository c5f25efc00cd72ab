"""The tables of inventory, and the catalogue that a new shop opens with."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Update,
    Uuid,
    bindparam,
    event,
    insert,
    select,
    update,
)

metadata = MetaData()

stock_table = Table(
    "stock",
    metadata,
    Column("sku", String(40), primary_key=True),
    Column("price_cents", Integer, nullable=False),
    Column("received", Integer, nullable=False),  # all pieces that ever came in
    Column("available", Integer, nullable=False),
    Column("reserved", Integer, nullable=False, default=0),
    Column("sold", Integer, nullable=False, default=0),
    # No piece is sold twice, and none gets lost; the database has the last word on it.
    CheckConstraint("available >= 0 AND reserved >= 0 AND sold >= 0", name="never_negative"),
    CheckConstraint("available + reserved + sold = received", name="conserved"),
)

reservation_table = Table(
    "reservation",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("sku", String(40), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("state", String(8), nullable=False),  # held, then released or sold
)

CATALOGUE = {
    "ANCHOR-8KG": (7_900, 100_000),
    "BUOY-RED": (3_450, 100_000),
    "CHART-NORTH-SEA": (2_990, 100_000),
    "COMPASS": (4_800, 100_000),
    "KETTLE": (3_200, 100_000),
    "LANTERN": (2_750, 100_000),
    "OILSKIN-M": (11_900, 100_000),
    "ROPE-20M": (1_850, 100_000),
    "SEXTANT": (24_900, 100_000),
    "TEA-100G": (650, 100_000),
    "RARE-ASTROLABE": (189_000, 0),
}
"""{sku: (price in cents, pieces)}; the rare one is out of stock."""


@event.listens_for(stock_table, "after_create")
def open_catalogue(table: Table, connection: Connection, **_: object) -> None:
    """Fill the shelves once, together with the table."""
    rows = [
        {"sku": sku, "price_cents": price_cents, "received": pieces, "available": pieces}
        for sku, (price_cents, pieces) in CATALOGUE.items()
    ]
    connection.execute(insert(table), rows)


# What runs for every order is built once: SQLAlchemy takes longer to build it than to run it.

FIND_SHELVES = select(stock_table).where(stock_table.c.sku.in_(bindparam("skus", expanding=True)))

_held = (reservation_table.c.order_id == bindparam("order"), reservation_table.c.state == "held")


def _move_pieces(gains: Column[int]) -> Update:
    """Return what moves an order's pieces from reserved to another column."""
    quantity = reservation_table.c.quantity
    moved = {stock_table.c.reserved: stock_table.c.reserved - quantity, gains: gains + quantity}
    return (
        update(stock_table)
        .where(stock_table.c.sku == reservation_table.c.sku, *_held)
        .values(moved)
    )


RELEASE_PIECES = _move_pieces(stock_table.c.available)
SELL_PIECES = _move_pieces(stock_table.c.sold)
END_RESERVATIONS = update(reservation_table).where(*_held).values(state=bindparam("ended"))
