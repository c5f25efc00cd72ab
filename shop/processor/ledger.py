"""The ledger: charges, refunds and the answers that keys remember, in one SQLite file.

Entries that arrive together share one transaction, and nobody is answered before it is on the
disk. An answer commits with what it says, so that a key never outlives or precedes its effect.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

KEY_LIFE_MS = 24 * 3600 * 1000
WAITING_MAX = 10_000

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -256;
CREATE TABLE IF NOT EXISTS charge (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  reference TEXT NOT NULL,
  card TEXT NOT NULL,
  amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
  refunded_cents INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cents IN (0, amount_cents)),
  at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS charge_reference ON charge (reference);
CREATE TABLE IF NOT EXISTS answer (
  key TEXT PRIMARY KEY, request BLOB NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
  at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_at ON answer (at_ms);
"""
_CHARGE = "SELECT number, reference, card, amount_cents, refunded_cents FROM charge"


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return seconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON body."""

    status: int
    body: bytes

    @classmethod
    def of(cls, status: int, /, **fields: object) -> "Answer":
        """Return the answer with these fields."""
        return cls(status, json.dumps(fields, separators=(",", ":")).encode())


Entry = Callable[[], Answer]
"""What is done inside the transaction; it refuses before it writes, or not at all."""


class LedgerUnavailable(Exception):
    """The entry was not booked."""


class Ledger:
    """One ledger file. Reads see what is committed; writes go through `book`."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._sql = sqlite3.connect(path, isolation_level=None)
        self._sql.executescript(_SCHEMA)
        self._clock = clock
        self._waiting: list[tuple[Entry, asyncio.Future[Answer]]] = []

    async def book(self, entry: Entry) -> Answer:
        """Run an entry in the next transaction; return its answer once it is on the disk.

        Raises:
            LedgerUnavailable: the disk refused it, or more than WAITING_MAX entries wait.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise LedgerUnavailable(f"{WAITING_MAX} entries wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._commit)
        self._waiting.append((entry, future))
        return await future

    def once(self, key: str, request: bytes, entry: Entry) -> Entry:
        """Return an entry that runs once for each key; later ones get the answer of the first.

        Args:
            request: what the key stands for; the same key with another request gets a 409.
        """

        def run() -> Answer:
            found = self._sql.execute(
                "SELECT request, status, body FROM answer WHERE key = ?", (key,)
            ).fetchone()
            if found is None:
                answer = entry()
                self._sql.execute(
                    "INSERT INTO answer VALUES (?, ?, ?, ?, ?)",
                    (key, request, answer.status, answer.body, self._now_ms()),
                )
                return answer
            if found[0] != request:
                return Answer.of(409, reason="key_reused")
            return Answer(found[1], found[2])

        return run

    def charge(self, *, reference: str, card: str, amount_cents: int) -> Answer:
        """Take money. Only inside `book`."""
        number = self._sql.execute(
            "INSERT INTO charge (reference, card, amount_cents, at_ms) VALUES (?, ?, ?, ?)",
            (reference, card, amount_cents, self._now_ms()),
        ).lastrowid
        return Answer.of(201, id=f"ch_{number}", amount_cents=amount_cents)

    def refund(self, number: int) -> Answer:
        """Give back all of a charge, once. Only inside `book`."""
        self._sql.execute(
            "UPDATE charge SET refunded_cents = amount_cents WHERE number = ?", (number,)
        )
        row = self._sql.execute(f"{_CHARGE} WHERE number = ?", (number,)).fetchone()
        return Answer.of(200, **_shown(row)) if row else Answer.of(404, reason="no_such_charge")

    def find(self, reference: str) -> list[dict[str, Any]]:
        """Return the charges under a reference."""
        rows = self._sql.execute(f"{_CHARGE} WHERE reference = ?", (reference,))
        return [_shown(row) for row in rows]

    def page(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return up to `limit` charges that come after one number."""
        rows = self._sql.execute(
            f"{_CHARGE} WHERE number > ? ORDER BY number LIMIT ?",
            (after, limit),
        )
        return [_shown(row) for row in rows]

    def totals(self) -> dict[str, int]:
        """Return how many charges there are, and the sums of what was taken and given back."""
        count, charged, refunded = self._sql.execute(
            "SELECT count(*), total(amount_cents), total(refunded_cents) FROM charge"
        ).fetchone()
        return {"count": count, "charged_cents": int(charged), "refunded_cents": int(refunded)}

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            self._sql.execute("DELETE FROM answer WHERE at_ms < ?", (self._now_ms() - KEY_LIFE_MS,))
            answers = [entry() for entry, _ in batch]
            self._sql.execute("COMMIT")
        except Exception as exc:  # whatever it was, nothing of the batch is kept
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            print(f"ledger: {exc!r}", file=sys.stderr, flush=True)
            for _, future in batch:
                if not future.done():
                    future.set_exception(LedgerUnavailable(str(exc)))
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _shown(row: tuple[int, str, str, int, int]) -> dict[str, Any]:
    number, reference, card, amount_cents, refunded_cents = row
    return {
        "id": f"ch_{number}",
        "reference": reference,
        "card": card,
        "amount_cents": amount_cents,
        "refunded_cents": refunded_cents,
    }
