"""What becomes of the message rows of a service, written down by triggers of its database."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tests.docs.protocol import MOVES, Move

_SIDE = (
    "CASE (SELECT receiver FROM holdfast_edge WHERE id = {0}.edge) "
    "WHEN '{1}' THEN 'IN' ELSE 'OUT' END"
)


def watch_moves(connection: sqlite3.Connection, service: str) -> None:
    """Have a database write down each change of a message row."""
    new, old = (_SIDE.format(row, service) for row in ("new", "old"))
    connection.execute("CREATE TABLE IF NOT EXISTS moved (side TEXT, was TEXT, state TEXT)")
    for event, side, was, state in (
        ("INSERT", new, "'–'", "new.state"),
        ("UPDATE", new, "old.state", "new.state"),
        ("DELETE", old, "old.state", "'–'"),
    ):
        connection.execute(
            f"CREATE TRIGGER IF NOT EXISTS moved_{event} AFTER {event} ON holdfast_message "
            f"BEGIN INSERT INTO moved VALUES ({side}, {was}, {state}); END"
        )


def moves_in(files: Iterable[Path]) -> set[Move]:
    """Return the moves that were committed in databases."""
    found: set[Move] = set()
    for file in files:
        connection = sqlite3.connect(file)
        found.update(connection.execute("SELECT DISTINCT side, was, state FROM moved"))
        connection.close()
    return found


def check_moves(files: Iterable[Path]) -> None:
    """Fail for a move that docs/protocol.md does not have."""
    strange = moves_in(files) - MOVES
    assert not strange, f"docs/protocol.md has no row for {sorted(strange)}"
