"""What is answered while a service's database is away."""

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select

from holdfast import Outside, Query, Read, Service, Tx
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.errors import TransactionLost
from tests.dispatch.hosting import hosting, system

METADATA = MetaData()
THING = Table("thing", METADATA, Column("id", Integer, primary_key=True))


class Count(Query[int]):
    """Count the things."""


store = Service("store", tables=METADATA)
front = Service("front", tables=MetaData(), calls=[Count])


@store.handles
async def count(query: Count, read: Read) -> int:
    """Count."""
    return len((await read.execute(select(THING))).all())


@store.get("/v1/things")
async def things(read: Read) -> int:
    """Count."""
    return len((await read.execute(select(THING))).all())


@store.post("/v1/things")
async def add(tx: Tx) -> int:
    """Add one."""
    tx.insert(THING)
    return 1


@front.get("/v1/count")
async def counted(outside: Outside) -> int:
    """Ask for the count."""
    return await outside.ask(Count())


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/v1/things", None, 503),
        ("POST", "/v1/things", None, 503),
        ("POST", "/v1/things", "k", 503),
        ("GET", "/v1/count", None, 502),
    ],
)
async def test_it_is_no_500_and_may_be_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    key: str | None,
    status: int,
) -> None:
    """It is no bug of ours, so it is no 500."""

    async def away(*args: object, **kwargs: object) -> None:
        raise TransactionLost("the server is away")

    async with hosting(system(store, front), tmp_path) as hosted:
        with monkeypatch.context() as patched:
            for name in ("begin", "read", "messages"):
                patched.setattr(SqliteDatabase, name, away)
            answer = await hosted.request(method, path, key=key)
        again = await hosted.request(method, path, key=key)

    assert answer.status == status
    assert (b"retry-after" in dict(answer.headers)) == (status == 503)
    assert again.status == 200
