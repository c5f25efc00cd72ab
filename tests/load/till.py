"""A system without sagas: a till sells, says what it sold, and keeps a list that few want."""

from sqlalchemy import Column, Integer, MetaData, String, Table, func, select

from holdfast import Gateway, Model, Rate, Read, Service, System, Tx

metadata = MetaData()
sale_table = Table(
    "sale",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("item", String, nullable=False),
)
desk = Service("desk", tables=metadata)


class Sale(Model):
    """What is sold."""

    item: str


class Sold(Model):
    """How many were sold."""

    count: int


@desk.post("/v1/sales", status_code=201, public=True, tier="critical")
async def sell(body: Sale, tx: Tx) -> Sale:
    """Sell."""
    tx.insert(sale_table, item=body.item)
    return body


@desk.get("/v1/sales", public=True, tier="bulk")
async def sold(read: Read) -> Sold:
    """Count."""
    found = await read.execute(select(func.count()).select_from(sale_table))
    return Sold(count=found.scalar_one())


HIGH = Rate(per_s=100_000, burst=100_000)
till = System("till", services=[desk], gateway=Gateway(per_caller=HIGH, per_address=HIGH))
