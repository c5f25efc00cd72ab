"""What a database keeps of each type, and what it refuses: the same on each kind."""

import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    Uuid,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from holdfast.errors import Refused
from holdfast.storage import Database, Transaction, Write
from tests.contracts.rows import EDGES, Opened

HERE = timezone(timedelta(hours=2))
NOON = datetime(2026, 7, 1, 12, tzinfo=HERE)


class Kind(enum.Enum):
    """An enumeration of the application."""

    SMALL = "s"
    LARGE = "l"


class Lower(TypeDecorator[str]):
    """A type of the application: a short text in lower case."""

    impl = String(5)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Write it in lower case."""
        return None if value is None else value.lower()


VALUES = MetaData()
VALUE = Table(
    "value",
    VALUES,
    Column("id", Integer, primary_key=True),
    Column("small", SmallInteger),
    Column("whole", Integer),
    Column("big", BigInteger),
    Column("text", Text),
    Column("short", String(5)),
    Column("lower", Lower),
    Column("real", Float),
    Column("double", Double),
    Column("price", Numeric(10, 2)),
    Column("exact", Numeric(30, 10)),
    Column("free", Numeric),
    Column("loose", Numeric(10, 2, asdecimal=False)),
    Column("flag", Boolean),
    Column("day", Date),
    Column("clock", Time),
    Column("local", DateTime),
    Column("moment", DateTime(timezone=True)),
    Column("span", Interval),
    Column("ref", Uuid),
    Column("raw", LargeBinary),
    Column("doc", JSON),
    Column("kind", Enum(Kind)),
    Column("word", Enum("yes", "no", name="word")),
    Column("named", String(5), key="by_key"),
)
RULED = Table(
    "ruled",
    VALUES,
    Column("id", Integer, primary_key=True),
    Column("must", Text, nullable=False),
    Column("one", Integer, unique=True),
    Column("above", Integer, CheckConstraint("above > 0", name="is_above")),
    Column("of", Integer, ForeignKey("value.id")),
)
KEPT: list[tuple[str, Any]] = [
    ("small", -(2**15)),
    ("whole", 2**31 - 1),
    ("big", -(2**63)),
    ("text", "a" * 10_000),
    ("text", "ünï 🐙"),
    ("short", "12345"),
    ("short", "äöüß🐙"),
    ("lower", "ab"),
    ("double", 0.1),
    ("double", float("inf")),
    ("price", Decimal("12345678.90")),
    ("price", Decimal("-0.01")),
    ("exact", Decimal("12345.0123456789")),
    ("free", Decimal("1234.5678")),
    ("free", Decimal("123456789012345678")),
    ("loose", 1.25),
    ("flag", True),
    ("day", date(1999, 12, 31)),
    ("clock", time(23, 59, 59, 999_999)),
    ("local", datetime(2026, 7, 1, 12, 0, 0, 1)),  # noqa: DTZ001
    ("moment", NOON),
    ("moment", datetime(1950, 1, 1, tzinfo=UTC)),
    ("moment", datetime(2026, 7, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=-9)))),
    ("span", timedelta(days=-3, microseconds=1)),
    ("ref", UUID(int=7)),
    ("raw", b"\x00\xff"),
    ("doc", {"a": [1, None, "ü"], "b": 1.5}),
    ("kind", Kind.LARGE),
    ("word", "yes"),
    ("by_key", "12345"),
]
REFUSED: list[tuple[str, Any]] = [
    ("small", 2**15),
    ("whole", 2**31),
    ("big", 2**63),
    ("whole", "7"),
    ("whole", 1.5),
    ("text", 7),
    ("text", "a\0b"),
    ("text", "\ud800"),
    ("short", "123456"),
    ("lower", "ABCDEF"),
    ("real", "1.5"),
    ("price", Decimal("100000000.00")),
    ("price", Decimal("99999999.995")),
    ("price", Decimal("Infinity")),
    ("local", NOON),
    ("moment", datetime(2026, 7, 1, 12)),  # noqa: DTZ001
    ("clock", time(12, tzinfo=UTC)),
    ("clock", "12:00"),
    ("day", NOON),
    ("day", "2026-07-01"),
    ("local", date(2026, 7, 1)),
    ("moment", date(2026, 7, 1)),
    ("raw", "text"),
    ("doc", {"a": float("nan")}),
    ("doc", {"a": object()}),
    ("word", "perhaps"),
    ("by_key", "123456"),
]


RULES: list[tuple[dict[str, Any], int, str]] = [
    ({"id": 2, "must": "x", "one": 1}, 409, r"^ruled\.one: another row has this value$"),
    ({"id": 1, "must": "x"}, 409, r"^ruled\.id: another row has this value$"),
    ({"id": 2}, 422, r"^ruled\.must: a value is missing$"),
    ({"id": 2, "must": "x", "above": 0}, 422, r"^is_above: the CHECK refuses it$"),
    ({"id": 2, "must": "x", "of": 7}, 409, "the row that it names is not there"),
]
WAYS = ["write", "execute", "values", "update", "change"]


async def put(tx: Transaction, way: str, name: str, value: Any) -> None:
    """Write a value by one of the ways that there are."""
    match way:
        case "write":
            await tx.write([Write(VALUE, {"id": 1, name: value})])
        case "execute":
            await tx.execute(insert(VALUE), [{"id": 1, name: value}])
        case "values":
            await tx.execute(insert(VALUE).values({"id": 1, name: value}))
        case "update":
            await tx.write([Write(VALUE, {"id": 1}), Write(VALUE, {name: value}, (1,))])
        case _:
            await tx.write([Write(VALUE, {"id": 1})])
            await tx.execute(update(VALUE).where(VALUE.c.id == 1).values({name: value}))


class ValueContract(Opened):
    """Values of users' columns."""

    @asynccontextmanager
    async def values(self) -> AsyncIterator[Database]:
        """Open a database with the tables for values, and close it."""
        database = await self.make()
        await database.open(EDGES, [VALUES])
        try:
            yield database
        finally:
            await database.close()

    @pytest.mark.parametrize("way", WAYS)
    async def test_what_is_written_is_read(self, way: str) -> None:
        """By every way; a time is the same instant, and has a zone if its column has one."""
        wrong: list[Any] = []
        async with self.values() as database:
            for name, value in KEPT:
                tx = await database.begin()
                await put(tx, way, name, value)
                await tx.commit()
                reader = await database.read()
                found = (await reader.execute(select(VALUE.columns[name]))).scalar_one()
                await reader.close()
                tx = await database.begin()
                seek = select(VALUE.c.id).where(VALUE.columns[name] == value)
                ids = [1] if name == "doc" else list((await tx.execute(seek)).scalars())
                await tx.execute(delete(VALUE))
                await tx.commit()
                zone = getattr(found, "tzinfo", None)
                same = found == value and isinstance(found, type(value)) and ids == [1]
                if not same or zone not in (
                    None,
                    UTC,
                ):
                    wrong.append((name, value, found, ids))

        assert wrong == [], wrong

    @pytest.mark.parametrize("way", WAYS)
    async def test_what_does_not_fit_is_refused(self, way: str) -> None:
        """With its column; nothing is kept."""
        wrong: list[Any] = []
        async with self.values() as database:
            for name, value in REFUSED:
                tx = await database.begin()
                await tx.savepoint(exact=True)
                column = "value.named" if name == "by_key" else f"value.{name}"
                told: Exception | None = None
                try:
                    await put(tx, way, name, value)
                except Exception as exc:
                    told = exc
                await tx.rollback()
                await tx.commit()
                right = isinstance(told, Refused) and (told.status, told.column) == (422, column)
                if not right or not str(told).startswith(f"{column}: "):
                    wrong.append((name, value, told))
            reader = await database.read()
            rows = (await reader.execute(select(VALUE.c.id))).all()
            await reader.close()

        assert (wrong, rows) == ([], []), (wrong, rows)

    async def test_times_are_compared_as_instants(self) -> None:
        """Whatever zone they were written in; and sorted so."""
        async with self.values() as database:
            found, times = await self._times(database)

        assert found == ({0, 2}, [2, 0, 1], times[1])

    async def _times(self, database: Database) -> Any:
        tx = await database.begin()
        times = [NOON, NOON.astimezone(UTC) + timedelta(microseconds=1), NOON - timedelta(hours=1)]
        await tx.write([Write(VALUE, {"id": n, "moment": at}) for n, at in enumerate(times)])
        moment = VALUE.c.moment
        until = await tx.execute(select(VALUE.c.id).where(moment <= NOON.astimezone(UTC)))
        ordered = await tx.execute(select(VALUE.c.id).order_by(moment))
        last = await tx.execute(select(func.max(moment)))
        found = (set(until.scalars()), list(ordered.scalars()), last.scalar_one())
        await tx.abort()
        return found, times

    async def test_decimals_are_rounded_added_and_compared(self) -> None:
        """To the scale of their column, half away from zero."""
        database = await self.make()
        await database.open(EDGES, [VALUES])
        tx = await database.begin()
        given = [Decimal("0.105"), Decimal("-0.105"), Decimal("10.10"), Decimal("9.90")]
        await tx.write([Write(VALUE, {"id": n, "price": p}) for n, p in enumerate(given)])
        price = VALUE.c.price
        all_ = list((await tx.execute(select(price).order_by(VALUE.c.id))).scalars())
        total = (await tx.execute(select(func.sum(price)))).scalar_one()
        above = await tx.execute(select(VALUE.c.id).where(price > Decimal("9.9")))
        found = (all_, total, list(above.scalars()))
        await tx.abort()
        await database.close()

        assert found == (
            [Decimal("0.11"), Decimal("-0.11"), Decimal("10.10"), Decimal("9.90")],
            Decimal("20.00"),
            [2],
        )
        assert str(all_[3]) == "9.90"

    async def test_a_longer_text_is_sought_in_vain(self) -> None:
        """What is only compared need not fit; an integer must, as Postgres casts it."""
        database = await self.make()
        await database.open(EDGES, [VALUES])
        reader = await database.read()
        found = await reader.execute(select(VALUE.c.id).where(VALUE.c.short == "123456"))
        rows = found.all()
        with pytest.raises(Refused, match="32"):
            await reader.execute(select(VALUE.c.id).where(VALUE.c.whole == 2**31))
        await reader.close()
        await database.close()

        assert rows == []

    @pytest.mark.parametrize("way", ["write", "execute"])
    async def test_a_row_that_a_constraint_refuses(self, way: str) -> None:
        """Its error is ours and SQLAlchemy's, and holds no value."""
        async with self.values() as database:
            tx = await database.begin()
            await tx.write([Write(RULED, {"id": 1, "must": "x", "one": 1})])
            for row, status, told in RULES:
                await tx.savepoint(exact=True)
                direct = insert(RULED).values(row)
                done = tx.write([Write(RULED, row)]) if way == "write" else tx.execute(direct)
                with pytest.raises(Refused, match=told) as refused:
                    await done
                await tx.rollback()

                assert isinstance(refused.value, IntegrityError)
                assert refused.value.status == status
            await tx.abort()
