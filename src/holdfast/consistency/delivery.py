"""One letter on its way through its handler, and the calls that it has made outside."""

import asyncio
from dataclasses import dataclass, field

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.received import Received
from holdfast.consistency.transitions import failed_tries
from holdfast.consistency.turn import Effects, Own, RunAgain
from holdfast.consistency.unit import Unit
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import EdgeRow, Letter, MessageRow
from holdfast.errors import HoldfastError
from holdfast.storage import Transaction

NOT_MADE = bytes(8)  # instead of the digest of a call


class Superseded(HoldfastError):
    """Another copy of the letter was settled first; nothing of this run was kept."""

    code = "superseded"


class LeaseLost(Superseded):
    """Another process has claimed the letter while its handler worked here."""

    code = "lease_lost"


class Hopeless(HoldfastError):
    """No further try can help: the letter is dead at once."""

    code = "hopeless"


class OtherBytes(Hopeless):
    """A later try would send other bytes under the same idempotency key."""

    code = "other_bytes"


@dataclass(slots=True)
class Delivery:
    """One letter on its way through its handler.

    Attributes:
        unit: what this run of the handler writes; the next run has another one.
        row: its inbox row as it is stored; None while it has none. Its `due_at` is the token of
            the claim: whoever claims the row later writes another one.
        kept: what `outside` answered, kept over a re-run of the transaction.
    """

    letter: Letter
    edge: EdgeRow
    unit: Unit
    ledger: Ledger
    writer: Writer
    received: Received
    row: MessageRow | None = None
    kept: dict[int, object] = field(default_factory=dict[int, object])
    _in_turn: asyncio.Lock | None = None

    @property
    def number(self) -> int:
        """Which try this is, from 1; those that were given back count."""
        if self.row is None:
            return 1
        return max(self.row.tries, failed_tries(self.row.error) + 1)

    @property
    def claim(self) -> int:
        """What no other try of this letter has: 1 for the first, then the end of its lease.

        The number is no such thing: a try that is given back, or a replay, lowers what is counted.
        """
        due_at = None if self.row is None else self.row.due_at
        return 1 if self.number == 1 or due_at is None else due_at

    def made(self, number: int) -> bytes:
        """Return the stored digest of a call, or NOT_MADE."""
        calls = b"" if self.row is None or self.row.hash is None else self.row.hash
        return calls[8 * number : 8 * number + 8] or NOT_MADE

    def _with_made(self, number: int, digest: bytes) -> bytes:
        """Return the digests of all calls, with that of one replaced."""
        calls = b"" if self.row is None or self.row.hash is None else self.row.hash
        calls = calls.ljust(8 * number + 8, b"\0")
        return calls[: 8 * number] + digest + calls[8 * number + 8 :]

    def not_sent(self, number: int) -> None:
        """Take back that a call was made: it is known that nothing of it left.

        Stored with the failed try; a process that dies before leaves the call as made.
        """
        assert self.row is not None, "a call is stored before it is made"
        self.row.hash = self._with_made(number, NOT_MADE)
        if not self.row.hash.strip(b"\0"):
            self.row.expires_at = None  # no key is known to anybody

    async def reach(self, digest: bytes, number: int, key_life_s: float) -> bool:
        """Commit `due, reached` before an External is called.

        Args:
            digest: of the call. number: how many calls came before.
            key_life_s: how long the External remembers its key.
        Returns:
            whether an earlier try had committed it.
        Raises:
            OtherBytes: the earlier one sent others. Superseded: another copy has the letter.
            RunAgain: the transaction was lost.
        """
        if self._in_turn is None:
            self._in_turn = asyncio.Lock()
        async with self._in_turn:  # a handler may gather its calls; each adds to what is stored
            return await self._reach(digest, number, key_life_s)

    async def _reach(self, digest: bytes, number: int, key_life_s: float) -> bool:
        sent = self.made(number)
        if sent != NOT_MADE:
            if sent != digest:
                raise OtherBytes(
                    f"{self.letter.type} {self.letter.id}: this try would send other bytes under "
                    "the same key; make the request from the command alone"
                )
            return True  # an earlier try; the key's life was checked by the claim
        was = self.row

        async def commit(tx: Transaction, effects: Effects) -> None:
            nonlocal was
            was = row = self.row  # as it is now: its lease may have been renewed
            marked = self.received.new_row(self.edge, self.letter) if row is None else row.copy()
            marked.reached, marked.hash = True, self._with_made(number, digest)
            marked.due_at = tx.now_ms + self.ledger.schedule.lease_ms
            forgotten_at = tx.now_ms + int(key_life_s * 1000)  # of several, the first
            marked.expires_at = min(marked.expires_at or forgotten_at, forgotten_at)
            if not await self.received.write(tx, marked, row):
                raise Superseded(f"{marked.kind} {marked.id} was taken over by another copy")
            self.row = marked

        try:
            await self.writer.submit(Own(commit))
        except (RunAgain, Superseded):
            self.row = was  # nothing of it was kept
            raise
        return False
