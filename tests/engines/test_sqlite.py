"""SQLite keeps the database's contract; and what is its own."""

import re
from pathlib import Path

import pytest
from sqlalchemy import DDL, func, select, text, update

from holdfast.contract.envelope import State
from holdfast.engines.backlogs import FLOORS, SAGAS_OPEN, to_handle
from holdfast.engines.lists import which_messages, which_sagas
from holdfast.engines.machine import MachineClock
from holdfast.engines.sqlite import CACHE_BYTES_MAX, SqliteDatabase
from holdfast.engines.sqlite_rows import FAILED, WAITING, QuestionMarks, holds
from holdfast.errors import TransactionControl
from holdfast.storage import Database, Failing, MessageFilter, SagaFilter, Transaction
from tests.contracts.computed import COMPUTED, ROW
from tests.contracts.database import DatabaseContract
from tests.contracts.rows import EDGES, METADATA, letter


class TestSqlite(DatabaseContract):
    """The contract, on a file."""

    made = 0

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        """Keep the test's folder."""
        self.path = tmp_path

    async def make(self) -> Database:
        """Return a database on a fresh file."""
        self.made += 1
        return SqliteDatabase(self.path / f"{self.made}.db", MachineClock())

    async def end_transaction(self, database: Database, tx: Transaction) -> None:
        """SQLite ends it by itself when a disk is full; here somebody rolls it back."""
        assert isinstance(database, SqliteDatabase)
        database.writer.execute("ROLLBACK")


async def test_who_only_looks_neither_writes_nor_waits(tmp_path: Path) -> None:
    """Beside the process that has it open, and in its transaction; a file is not made."""
    path = tmp_path / "a.db"
    writer = SqliteDatabase(path, MachineClock())
    await writer.open(EDGES, [METADATA])
    tx = await writer.begin()
    await tx.insert_messages([letter(1)])
    looks = SqliteDatabase(path, MachineClock())
    edges = await looks.look()
    before = await looks.messages(MessageFilter())
    await tx.commit()
    after = await looks.messages(MessageFilter())
    new = await SqliteDatabase(tmp_path / "none.db", MachineClock()).look()
    await looks.close()
    await writer.close()

    assert (len(edges), before, after) == (len(EDGES), [], [letter(1)])
    assert new == []
    assert not (tmp_path / "none.db").exists()


async def test_what_it_keeps_of_a_file_does_not_grow_with_it(tmp_path: Path) -> None:
    """A process has many connections; SQLite would let each of them keep 2 MB."""
    database = SqliteDatabase(tmp_path / "a.db", MachineClock())
    await database.open(EDGES, [METADATA])
    view = await database.read()
    rows = await view.execute(text("SELECT cache_size FROM pragma_cache_size"))
    kept = [*rows.one(), *database.writer.execute("PRAGMA cache_size").fetchone()]
    await view.close()
    await database.close()

    assert kept == [-(CACHE_BYTES_MAX >> 10)] * 2


async def test_a_process_that_was_killed_is_looked_at_as_it_left(tmp_path: Path) -> None:
    """Its log is read, and stays as it is, for whoever starts next."""
    path = tmp_path / "a.db"
    writer = SqliteDatabase(path, MachineClock())
    await writer.open(EDGES, [METADATA])
    tx = await writer.begin()
    await tx.insert_messages([letter(1)])
    await tx.commit()
    left = tmp_path / "left"
    left.mkdir()
    for name in ("a.db", "a.db-wal"):
        (left / name).write_bytes((tmp_path / name).read_bytes())
    logged = (left / "a.db-wal").read_bytes()
    looks = SqliteDatabase(left / "a.db", MachineClock())
    edges, found = await looks.look(), await looks.messages(MessageFilter())
    await looks.close()
    await writer.close()

    assert (len(edges), found) == (len(EDGES), [letter(1)])
    assert (left / "a.db-wal").read_bytes() == logged != b""


class StoppedClock:
    """A wall clock that a test sets."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def now(self) -> float:
        """Return what was set."""
        return self.now_s

    def monotonic(self) -> float:
        """Stand still."""
        return 0.0


async def test_the_databases_time_never_goes_back(tmp_path: Path) -> None:
    """The wall clock may jump; rows that are due do not wait for it to come back."""
    clock = StoppedClock(1_000.0)
    database = SqliteDatabase(tmp_path / "a.db", clock)
    await database.open(EDGES, [METADATA])
    before = database.now_ms()
    clock.now_s = 900.0
    tx = await database.begin()
    await tx.abort()
    await database.close()

    assert tx.now_ms == before == 1_000_000


async def test_a_restart_hands_leases_back(tmp_path: Path) -> None:
    """What the dead process was busy with is due now; what was never tried keeps its time."""
    clock = StoppedClock(1_000.0)
    database = SqliteDatabase(tmp_path / "a.db", clock)
    await database.open(EDGES, [METADATA])
    tx = await database.begin()
    leased = letter(1, tries=1, due_at=1_030_000)
    delayed = letter(2, tries=0, due_at=1_030_000)
    later = letter(3, tries=7, due_at=1_300_000)
    await tx.insert_messages([leased, delayed, later])
    await tx.commit()
    await database.close()
    await database.open(EDGES, [METADATA])
    found = {row.id: row.due_at for row in await database.messages(MessageFilter())}
    await database.close()

    assert found == {leased.id: 1_000_000, delayed.id: 1_030_000, later.id: 1_300_000}


@pytest.mark.parametrize("sql", ["VACUUM", "ATTACH 'x' AS y", "PRAGMA journal_mode=DELETE", "END"])
async def test_more_words_are_refused(tmp_path: Path, sql: str) -> None:
    """Those that SQLite has beyond the contract, as text and as DDL."""
    database = SqliteDatabase(tmp_path / "a.db", MachineClock())
    await database.open(EDGES, [METADATA])
    tx = await database.begin()
    for statement in (text(sql), DDL(sql)):  # type: ignore[no-untyped-call]  # SQLAlchemy's
        with pytest.raises(TransactionControl, match=sql.split()[0]):
            await tx.execute(statement)
    await tx.abort()
    await database.close()


async def test_readers_are_bounded_and_reused(tmp_path: Path) -> None:
    """More readers than `readers_max` wait; a reader that was closed is given to the next."""
    database = SqliteDatabase(tmp_path / "a.db", MachineClock(), readers_max=1)
    await database.open(EDGES, [METADATA])
    for _ in range(3):
        reader = await database.read()
        found = (await reader.execute(text("SELECT 1"))).scalar()
        await reader.close()
        await reader.close()

        assert found == 1
    await database.close()


PARKED = SagaFilter(states=("parked",))
NEEDED = MessageFilter(
    states=(State.DEAD,), waiting=True, failing=Failing(tries=8, before=letter(9).id)
)


@pytest.mark.parametrize(
    ("which", "indexes"),
    [
        (PARKED, ["holdfast_saga_parked"]),
        (SagaFilter(states=("failed",)), ["holdfast_saga_failed"]),
        (MessageFilter(owner=letter(9).id), ["holdfast_message_owner"]),
        (MessageFilter(id=letter(9).id), ["(edge=? AND id=?)"]),
        (NEEDED, ["holdfast_message_dead", "holdfast_message_failed"]),
    ],
)
async def test_lists_are_found_by_an_index(
    tmp_path: Path, which: MessageFilter | SagaFilter, indexes: list[str]
) -> None:
    """However many rows there are: who looks must not hold up who works."""
    database = SqliteDatabase(tmp_path / "a.db", MachineClock())
    await database.open(EDGES, [METADATA])
    mark = QuestionMarks()
    if isinstance(which, SagaFilter):
        sql = f"FROM holdfast_saga WHERE {which_sagas(which, mark, holds)} ORDER BY id DESC"
    else:
        where = which_messages(which, mark, holds, waiting=WAITING, failed=FAILED)
        sql = f"FROM holdfast_message WHERE {where} ORDER BY id"
    plan = database.writer.execute(f"EXPLAIN QUERY PLAN SELECT * {sql}", mark.values)
    steps = " ".join(row[3] for row in plan)
    await database.close()

    assert all(index in steps for index in indexes)
    assert "SCAN holdfast_message" not in steps
    assert "SCAN holdfast_saga" not in steps.replace("SCAN holdfast_saga USING INDEX", "")


async def test_a_row_from_before_does_not_stop_what_leaves_it_alone(tmp_path: Path) -> None:
    """What SQLite has kept since before anybody looked may be changed elsewhere, and mended."""
    database = SqliteDatabase(tmp_path / "a.db", MachineClock())
    await database.open(EDGES, [COMPUTED])
    tx = await database.begin()
    await tx.execute(text("INSERT INTO row (id, short, whole) VALUES (1, '123456', 1)"))
    await tx.execute(update(ROW).values(whole=ROW.c.whole + 1))
    await tx.execute(update(ROW).values(by_key=func.substr(ROW.c.by_key, 1, 5)))
    found = (await tx.execute(select(ROW.c.by_key, ROW.c.whole))).one()
    await tx.commit()
    await database.close()

    assert tuple(found) == ("12345", 2)


@pytest.mark.parametrize(
    ("sql", "indexes"),
    [
        (SAGAS_OPEN, ["holdfast_saga_open"]),
        (FLOORS, ["COVERING INDEX sqlite_autoindex_holdfast_message_1"]),
        (
            to_handle([1], now_ms="5", oldest="min(id)"),
            ["holdfast_message_due", "holdfast_message_failed"],
        ),
    ],
)
async def test_what_waits_is_counted_by_an_index(
    tmp_path: Path, sql: str, indexes: list[str]
) -> None:
    """Each process looks every ten seconds, and most rows are of what is settled."""
    database = SqliteDatabase(tmp_path / "a.db", MachineClock())
    await database.open(EDGES, [METADATA])
    plan = [row[3] for row in database.writer.execute(f"EXPLAIN QUERY PLAN {sql}")]
    await database.close()

    assert all(index in " ".join(plan) for index in indexes)
    assert not any(re.fullmatch(r"SCAN holdfast_(message|saga)", step) for step in plan)
