"""The benchmark of cleaning puts in what a service really forgets."""

from pathlib import Path

import pytest

from benchmarks import cleaning
from holdfast.consistency.schedule import id_before
from holdfast.contract.envelope import EdgeRow, Lane
from holdfast.engines.machine import MachineClock
from holdfast.engines.sqlite import SqliteDatabase


async def test_its_letters_are_forgotten_once_a_floor_passes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted until then."""
    monkeypatch.setattr(cleaning, "SETTLED", {"inventory": 20_000})
    database = SqliteDatabase(tmp_path / "inventory.db", MachineClock())
    await database.open([EdgeRow(0, "orders", "inventory", Lane.WORK)], [])
    inboxes = cleaning.Files(tmp_path)

    inboxes.fill()
    put_in = inboxes.left()
    tx = await database.begin()
    forgotten = await tx.set_floor(1, id_before(tx.now_ms), 512)
    await tx.commit()
    left = inboxes.left()
    await database.close()

    assert (put_in, forgotten, left) == (20_000, 512, 20_000 - 512)
