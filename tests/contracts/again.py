"""A statement that is run again does what it did when SQLAlchemy ran it: same rows, same errors."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Enum,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from holdfast.engines.known import Bound, KnownStatements
from holdfast.storage import Rows, Transaction, Write
from tests.contracts.rows import EDGES, Opened

AGAIN = MetaData()
THINGS = Table(
    "again",
    AGAIN,
    Column("id", Uuid, primary_key=True),
    Column("name", String(8), nullable=False, unique=True),
    Column("count", Integer),
    Column("kind", Enum("small", "large", name="again_kind", native_enum=False)),
    Column("known", Boolean),
    Column("at", DateTime(timezone=True)),
    Column("body", LargeBinary),
    Column("price", Numeric(6, 2)),
)
IDS = [UUID(int=n) for n in (1, 2, 3)]
C = THINGS.c
NAMED = select(C.id, C.name, C.kind, C.known, C.at, C.body).where(
    C.name.in_(bindparam("names", expanding=True))
)
COUNTED = update(THINGS).where(C.id == bindparam("which")).values(count=bindparam("counted"))
RUNS: dict[str, tuple[Executable, list[Any]]] = {
    "a list of each length": (
        NAMED.order_by(C.name),
        [{"names": ["a"]}, {"names": ["b"]}, {"names": ["a", "c"]}, {"names": ["b", "b", "x"]}],
    ),
    "an empty list, and no list": (NAMED, [{"names": []}] * 3 + [{"names": "ab"}] * 2),
    "all columns": (select(THINGS).order_by(C.id), [None, {}, None]),
    "two lists": (
        select(C.name).where(
            C.name.in_(["a", "b"]), C.count.in_(bindparam("counts", expanding=True))
        ),
        [{"counts": [1, 2]}, {"counts": [2]}, {"counts": [1]}, {"counts": [2, 3]}],
    ),
    "given beforehand, or at the time": (
        select(C.name).where(C.count > bindparam("least", 1)).order_by(C.name),
        [None, {"least": 2}, None, {"least": 0}],
    ),
    "a name that it has not": (select(C.name).where(C.count == 1), [{"other": 1}] * 3),
    "a parameter is missing": (select(C.name).where(C.id == bindparam("id_")), [None] * 3),
    "a value of another type": (
        select(C.name).where(C.id == bindparam("id_")),
        [{"id_": IDS[0]}, {"id_": IDS[1]}, {"id_": 7}, {"id_": IDS[2]}],
    ),
    "computed": (select(func.count(), func.max(C.count)), [None] * 3),
    "two of one name": (select(C.name, C.name.label("name")), [None] * 3),
    "a decimal": (select(C.price).order_by(C.id), [None] * 3),
    "an update": (COUNTED, [{"which": id_, "counted": 9} for id_ in (*IDS, UUID(int=9))]),
    "an update that does not fit": (
        COUNTED,
        [{"which": IDS[0], "counted": n} for n in (1, 2, 1 << 31, "x", None)],
    ),
    "an update that another row is in the way of": (
        update(THINGS).where(C.id == bindparam("which")).values(name=bindparam("called")),
        [{"which": IDS[0], "called": name} for name in ("d", "e", "b", "far too long", "f")],
    ),
    "an update by its parameters": (
        update(THINGS).where(C.id == bindparam("which")),
        [{"which": IDS[0], "count": 7}, {"which": IDS[1], "known": True}, {"which": IDS[2]}],
    ),
    "an update that returns": (COUNTED.returning(C.name), [{"which": IDS[0], "counted": 4}] * 3),
    "a delete": (
        delete(THINGS).where(C.id == bindparam("which")),
        [{"which": id_} for id_ in (*IDS, UUID(int=9))],
    ),
    "an insert": (
        insert(THINGS),
        [{"id": UUID(int=10 + n), "name": f"n{n}"} for n in range(3)],
    ),
}


def seen(rows: Rows) -> object:
    """Return what a handler can see of a result."""
    kind: Any = rows
    if not getattr(kind, "returns_rows", True):
        return kind.rowcount
    keys = list(rows.keys())
    found = rows.mappings().all()
    return keys, [dict(row) for row in found], [row.get(C.name) for row in found]


class AgainContract(Opened):
    """Statements that are kept, and run often."""

    async def _told(self, tx: Transaction, statement: Executable, given: Any) -> object:
        await tx.savepoint(exact=True)
        try:
            found = seen(await tx.execute(statement, given))
        except Exception as exc:  # whatever it is, it has to be the same
            found = [type(exc), getattr(exc, "told", ""), getattr(exc, "column", "")]
        await tx.rollback()
        return found

    @pytest.mark.parametrize("what", RUNS)
    async def test_a_statement_does_the_same_again(
        self, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By SQLAlchemy, and past it."""
        database = await self.make()
        await database.open(EDGES, [AGAIN])
        tx = await database.begin()
        moments = [datetime(2026, 7, day, tzinfo=UTC) for day in (1, 2, 3)]
        rows = [
            {"id": id_, "name": name, "count": n, "kind": "small", "known": n > 1, "at": at}
            for n, (id_, name, at) in enumerate(zip(IDS, "abc", moments, strict=True), 1)
        ]
        await tx.write([Write(THINGS, {**row, "body": b"\0x", "price": 1}) for row in rows])
        statement, parameters = RUNS[what]

        again = [await self._told(tx, statement, given) for given in parameters]
        with monkeypatch.context() as patch:
            patch.setattr(KnownStatements, "bound", lambda *_: None)
            by_sqlalchemy = [await self._told(tx, statement, given) for given in parameters]
        await tx.abort()
        await database.close()

        assert again == by_sqlalchemy

    async def test_what_is_run_again_passes_sqlalchemy_by(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the second time on, a statement of which all is known."""
        bound = list[Bound | None]()
        real = KnownStatements.bound

        def watched(self: KnownStatements, statement: Executable, given: Any) -> Bound | None:
            bound.append(real(self, statement, given))
            return bound[-1]

        monkeypatch.setattr(KnownStatements, "bound", watched)
        database = await self.make()
        await database.open(EDGES, [AGAIN])
        tx = await database.begin()
        find = select(THINGS.c.name).where(THINGS.c.name.in_(bindparam("names", expanding=True)))
        for _ in range(3):
            await tx.execute(find, {"names": ["a", "b"]})
        await tx.abort()
        await database.close()

        assert [one is not None for one in bound] == [False, True, True]
