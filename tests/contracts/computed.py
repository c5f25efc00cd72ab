"""What a statement computes, or brings in another form than `values(name=…)`, must fit as well."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Enum,
    Executable,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import registry

from holdfast.errors import Refused
from holdfast.storage import Database, Transaction, Write
from tests.contracts.rows import EDGES, Opened

COMPUTED = MetaData()
ROW = Table(
    "row",
    COMPUTED,
    Column("id", Integer, primary_key=True),
    Column("short", String(5), key="by_key"),
    Column("quoted text", String(5), key="quoted"),
    Column("long", Text),
    Column("small", SmallInteger),
    Column("whole", Integer),
    Column("big", BigInteger),
    Column("price", Numeric(6, 2)),
    Column("word", Enum("yes", "no", name="answer", native_enum=False)),
)
DEFAULTED = Table(
    "defaulted",
    COMPUTED,
    Column("id", Integer, primary_key=True),
    Column("other", Integer),
    Column("short", String(5), default=lambda: "123456", onupdate=lambda: "123456"),
)
WIDE = Table("wide", COMPUTED, Column("id", Integer), Column("short", Text, key="by_key"))
FIRST = {
    "id": 1,
    "by_key": "123",
    "quoted": "12345",
    "small": 2**15 - 1,
    "whole": 2**31 - 1,
    "big": 2**63 - 1,
    "price": Decimal("9999.99"),
    "word": "yes",
}
LONG = "123456"


class Mapped:
    """A class that SQLAlchemy's ORM maps."""

    id: int
    by_key: str


registry().map_imperatively(Mapped, ROW)


def upsert(postgres: bool, row: dict[str, Any]) -> Any:
    """Return an INSERT that knows ON CONFLICT."""
    return (postgresql.insert if postgres else sqlite.insert)(ROW).values(row)


def change(**values: Any) -> Executable:
    """Return an UPDATE of the first row."""
    return update(ROW).where(ROW.c.id == 1).values(values)


Make = Callable[[bool], Executable]
"""Makes a statement; True: for Postgres."""

MISFITS: dict[str, tuple[str, Make]] = {
    "literal": ("short", lambda _: insert(ROW).values(id=2, by_key=literal(LONG))),
    "case": ("short", lambda _: change(by_key=case((ROW.c.id == 1, LONG), else_="x"))),
    "coalesce": ("short", lambda _: change(by_key=func.coalesce(null(), LONG))),
    "function": ("quoted text", lambda _: change(quoted=func.replace(ROW.c.quoted, "1", "11"))),
    "joined": ("short", lambda _: change(by_key=ROW.c.by_key + "456")),
    "cast": ("short", lambda _: change(by_key=cast(LONG, Text))),
    "coerced": ("short", lambda _: change(by_key=type_coerce(LONG, Text))),
    "column": ("short", lambda _: change(by_key=ROW.c.long)),
    "other table": (
        "short",
        lambda _: update(ROW).where(ROW.c.id == WIDE.c.id).values(by_key=WIDE.c.by_key),
    ),
    "subquery": ("short", lambda _: change(by_key=select(WIDE.c.by_key).scalar_subquery())),
    "parameter": ("short", lambda _: change(by_key=bindparam("given", LONG))),
    "ordered": (
        "short",
        lambda _: update(ROW).ordered_values((ROW.c.long, "x"), (ROW.c.by_key, literal(LONG))),
    ),
    "many rows": (
        "short",
        lambda _: insert(ROW).values([{"id": 2, "by_key": "x"}, {"id": 3, "by_key": LONG}]),
    ),
    "many computed rows": (
        "short",
        lambda _: insert(ROW).values([{"id": n, "by_key": literal(LONG)} for n in (2, 3)]),
    ),
    "from select": (
        "short",
        lambda _: insert(ROW).from_select(["id", "by_key"], select(literal(2), literal(LONG))),
    ),
    "conflict": (
        "short",
        lambda p: upsert(p, {"id": 1}).on_conflict_do_update(
            index_elements=["id"], set_={"by_key": LONG}
        ),
    ),
    "conflict, computed": (
        "short",
        lambda p: upsert(p, {"id": 1}).on_conflict_do_update(
            index_elements=["id"], set_={"by_key": func.upper(ROW.c.long)}
        ),
    ),
    "excluded": (
        "short",
        lambda p: (new := upsert(p, {"id": 1, "long": LONG})).on_conflict_do_update(
            index_elements=["id"], set_={"by_key": new.excluded.long}
        ),
    ),
    "returned": (
        "short",
        lambda _: insert(ROW).values(id=2, by_key=literal(LONG)).returning(ROW.c.id),
    ),
    "mapped": ("short", lambda _: insert(Mapped).values(id=2, by_key=LONG)),
    "mapped, computed": ("short", lambda _: update(Mapped).values(by_key=func.upper(LONG))),
    "small": ("small", lambda _: change(small=ROW.c.small + 1)),
    "whole": ("whole", lambda _: change(whole=ROW.c.whole + 1)),
    "below": ("whole", lambda _: change(whole=-ROW.c.whole - 2)),
    "big": ("big", lambda _: change(big=ROW.c.big + 1)),
    "price": ("price", lambda _: change(price=ROW.c.price + Decimal("0.01"))),
}
"""{what it is: the column that it does not fit, the statement}"""

FITS: list[tuple[Executable, str, Any]] = [
    (change(by_key=ROW.c.by_key + "45"), "by_key", "12345"),
    (change(by_key=func.nullif(ROW.c.by_key, "123")), "by_key", None),
    (change(quoted=func.upper("ünï🐙x")), "quoted", None),
    (change(small=-ROW.c.small - 1), "small", -(2**15)),
    (change(whole=-ROW.c.whole - 1), "whole", -(2**31)),
    (change(big=-ROW.c.big - 1), "big", -(2**63)),
    (change(big=null()), "big", None),
    (change(price=-ROW.c.price), "price", Decimal("-9999.99")),
    (change(word=case((ROW.c.id == 1, "no"), else_="yes")), "word", "no"),
]


class ComputedContract(Opened):
    """Values that are not simply given."""

    async def first(self) -> tuple[Database, Transaction]:
        """Return a transaction that has written the first row, and its database."""
        database = await self.make()
        await database.open(EDGES, [COMPUTED])
        tx = await database.begin()
        await tx.write([Write(ROW, {**FIRST, "long": LONG})])
        await tx.write([Write(WIDE, {"id": 1, "by_key": LONG})])
        return database, tx

    @pytest.mark.parametrize("form", MISFITS)
    async def test_no_form_of_a_statement_keeps_what_does_not_fit(self, form: str) -> None:
        """However often it is tried; and the next good value is kept."""
        column, make = MISFITS[form]
        database, tx = await self.first()
        statement = make("Postgres" in type(database).__name__)
        for _ in range(2):  # the second time a savepoint has been undone
            await tx.savepoint(exact=True)
            with pytest.raises(Refused) as refused:
                await tx.execute(statement)
            await tx.rollback()
        await tx.execute(change(by_key=func.upper("ab")))
        found = (await tx.execute(select(ROW))).all()
        await tx.commit()
        await database.close()

        told = refused.value
        assert told.status == 422
        assert told.column in (f"row.{column}", "")  # Postgres names none of what it computed
        assert [row.short for row in found] == ["AB"]

    async def test_what_fits_is_kept(self) -> None:
        """Up to the last value that does."""
        database, tx = await self.first()
        wrong: list[Any] = []
        for statement, name, value in FITS:
            await tx.savepoint(exact=True)
            await tx.execute(statement)
            found = (await tx.execute(select(ROW.c[name]))).scalar_one()
            if value is not None and found != value:
                wrong.append((name, value, found))
            await tx.rollback()
        await tx.abort()
        await database.close()

        assert wrong == []

    async def test_what_callables_make_is_looked_at(self) -> None:
        """A default and an `onupdate` of Python are values like others."""
        database, tx = await self.first()
        row = insert(DEFAULTED).values(id=1, short="x")
        await tx.execute(row)
        for statement in (insert(DEFAULTED).values(id=2), update(DEFAULTED).values(other=1)):
            await tx.savepoint(exact=True)
            with pytest.raises(Refused, match=r"^defaulted\.short: ") as refused:
                await tx.execute(statement)
            await tx.rollback()
            assert refused.value.column == "defaulted.short"
        await tx.abort()
        await database.close()
