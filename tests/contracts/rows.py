"""Tables, edges and rows for the database's contract, and how its tests open a database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, select

from holdfast.consistency.schedule import id_before
from holdfast.contract.envelope import (
    HTTP,
    EdgeRow,
    Kind,
    Lane,
    MessageRow,
    State,
)
from holdfast.storage import Database, Transaction

METADATA = MetaData()
THING = Table(
    "thing",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("amount", Integer),
)
PAIR = Table(
    "pair",
    METADATA,
    Column("left", Integer, primary_key=True),
    Column("right", Integer, primary_key=True),
    Column("ref", Uuid),
)
EDGES = [
    EdgeRow(0, "me", "other", Lane.WORK, ("Shipped.v1", "Lost.v1")),
    EdgeRow(0, "other", "me", Lane.WORK),
    EdgeRow(0, "other", "me", Lane.URGENT),
    EdgeRow(0, HTTP, "me", Lane.WORK),
    EdgeRow(0, "me", "me", Lane.WORK),
]
_MS = st.none() | st.integers(0, 1 << 50)
_BYTES = st.binary(max_size=300)
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)


def letter(number: int, edge: int = 1, state: State = State.DUE, **columns: object) -> MessageRow:
    """Return a command's row whose id grows with `number`, a millisecond."""
    columns = {"kind": Kind.COMMAND, "body": b"{}", **columns}
    id_ = UUID(int=id_before(number).int | number)
    return MessageRow(edge, id_, state, **columns)  # type: ignore[arg-type]  # columns are the test's


def message_rows() -> st.SearchStrategy[MessageRow]:
    """Rows with every column anywhere in its range."""
    return st.builds(
        MessageRow,
        edge=st.integers(1, 4),
        id=st.uuids(),
        state=st.sampled_from(State),
        kind=st.sampled_from(Kind),
        due_at=_MS,
        tries=st.integers(0, 10_000),
        reached=st.booleans(),
        owner=st.none() | st.uuids(),
        path=st.none() | _TEXT,
        about=st.none() | st.uuids(),
        expires_at=_MS,
        hash=st.none() | _BYTES,
        body=_BYTES,
        answer=st.none() | _BYTES,
        error=st.none() | _TEXT,
        topic=st.none() | _TEXT,
    )


class Opened:
    """What the parts of the contract have in common: how a test gets its database."""

    async def make(self) -> Database:
        """Return a database without any table, not opened yet."""
        raise NotImplementedError

    async def end_transaction(self, database: Database, tx: Transaction) -> None:
        """End the open transaction behind its back, as a failing server would."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        """Open a fresh database, and close it."""
        database = await self.make()
        await database.open(EDGES, [METADATA])
        try:
            yield database
        finally:
            await database.close()

    async def insert(self, database: Database, *rows: MessageRow) -> None:
        """Commit rows."""
        tx = await database.begin()
        assert len(await tx.insert_messages(rows)) == len(rows)
        await tx.commit()

    async def things(self, database: Database) -> list[tuple[int, str, int | None]]:
        """Return the committed things."""
        reader = await database.read()
        found = await reader.execute(select(THING).order_by(THING.c.id))
        rows = [(row.id, row.name, row.amount) for row in found]
        await reader.close()
        return rows
