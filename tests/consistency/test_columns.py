"""What a handler gives to `tx` names columns of the table, or its own line raises."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select

from holdfast import Service, System, Tx
from holdfast.testing import running

METADATA = MetaData()
THING = Table(
    "thing",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("price", Integer),
    Column("note", Integer, key="remark"),
)
PAIR = Table(
    "pair",
    METADATA,
    Column("a", Integer, primary_key=True),
    Column("b", Integer, primary_key=True),
    Column("n", Integer),
)
BARE = Table("bare", METADATA, Column("n", Integer))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (
            lambda tx: tx.insert(THING, id=1, prise=5),
            r"tx.insert\(thing, …\): there is no column 'prise'; did you mean 'price'\?",
        ),
        (
            lambda tx: tx.update(THING, 1, prise=5),
            r"tx.update\(thing, …\): there is no column 'prise'; did you mean 'price'\?",
        ),
        (lambda tx: tx.insert(THING, id=1, zzz=5), "there are id, price, remark"),
        (lambda tx: tx.insert(THING, id=1, note=5), "there is no column 'note'"),
        (lambda tx: tx.update(PAIR, 1, n=5), "its primary key has 2 columns"),
        (lambda tx: tx.update(PAIR, (1, 2, 3), n=5), "its primary key has 2 columns"),
        (lambda tx: tx.update(BARE, 1, n=5), "its primary key has 0 columns"),
        (lambda tx: tx.update(THING, 1), "name the columns to change"),
    ],
)
async def test_what_is_no_column_is_refused(write: Any, told: str) -> None:
    """In the line that gives it, and nothing of the handler is kept."""
    service = Service("svc", tables=METADATA)
    raised: list[str] = []

    @service.post("/v1/things", public=True)
    async def add(tx: Tx) -> None:
        tx.insert(THING, id=1)
        try:
            write(tx)
        except TypeError as exc:
            raised.append(str(exc))
            raise

    async with running(System("case", services=[service])) as here:
        status = (await here.client.post("/v1/things")).status
        async with service.begin() as tx:
            rows = (await tx.execute(select(THING.c.id))).all()

    assert (status, rows) == (500, [])
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(raised[0])


async def test_a_key_of_a_column_is_its_name_here() -> None:
    """As everywhere in SQLAlchemy."""
    service = Service("svc", tables=METADATA)
    async with running(System("case", services=[service])):
        async with service.begin() as tx:
            tx.insert(THING, id=1, remark=5)
        async with service.begin() as tx:
            found = (await tx.execute(select(THING.c.remark))).scalar_one()

    assert found == 5
