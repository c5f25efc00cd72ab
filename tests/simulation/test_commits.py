"""A writer on a server that answers a COMMIT by a rollback, or not at all."""

import random

import pytest
from sqlalchemy import select

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.safeguards import ALL_ON
from holdfast.consistency.turn import Effects, Own, RunAgain
from holdfast.consistency.writer import Writer
from holdfast.engines.machine import MachineIds
from holdfast.simulation.clock import SimClock
from holdfast.simulation.database import SimDatabase
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.store import SimStore
from holdfast.storage import Transaction, Write
from tests.contracts.rows import EDGES, METADATA, THING


@pytest.mark.parametrize(
    ("lever", "off", "said", "kept"),
    [
        ("void", "", "lost", False),
        ("void", "commit_checked", "kept", False),
        ("lose_reply", "", "kept", True),
        ("lose_reply", "commit_asked", "lost", True),
        ("lose_commit", "", "lost", False),
    ],
)
def test_a_writer_knows_whether_its_transaction_was_kept(
    lever: str, off: str, said: str, kept: bool
) -> None:
    """It says so as it is; with its safeguard switched off it says the contrary."""
    store = SimStore("me", SimClock(), random.Random(1))
    setattr(store, lever, 1.0)

    async def insert(tx: Transaction, effects: Effects) -> None:
        await tx.write([Write(THING, {"id": 1, "name": "x"})])

    async def perform() -> str:
        database = SimDatabase(store, None)
        safe = ALL_ON.without(off) if off else ALL_ON
        ledger = Ledger("me", database, SimClock(), MachineIds(), safe=safe)
        ledger.know(await database.open(EDGES, [METADATA]), EDGES)
        try:
            await Writer(ledger, lambda turns: None).perform(Own(insert))
        except RunAgain:
            return "lost"
        return "kept"

    loop = SimLoop(random.Random(1))
    try:
        assert loop.run_until_complete(perform()) == said
        assert bool(store.query(select(THING.c.id))) is kept
    finally:
        loop.close()
        store.give_back()
