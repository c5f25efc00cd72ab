"""One letter's way through its handler, and the transaction in which it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from holdfast.consistency.ledger import MESSAGE_BYTES_MAX, Ledger, encode
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.told import place_of, told
from holdfast.consistency.transitions import after_failed_try, settled, taken
from holdfast.consistency.unit import Driver, Unit
from holdfast.consistency.unknown import NotKnown, waiting
from holdfast.consistency.writer import Effects, RunAgain, Turn
from holdfast.contract.carrier import carrier_of
from holdfast.contract.envelope import EdgeRow, Kind, Letter, LetterAnswer, MessageRow, State
from holdfast.contract.failure import Failure
from holdfast.contract.messages import Message
from holdfast.errors import CallError, HoldfastError, MessageTooLarge, TransactionLost
from holdfast.pump import Finished, first_step
from holdfast.storage import Transaction

NOT_MADE = bytes(8)  # instead of the digest of a call


class Superseded(HoldfastError):
    """Another copy of the letter was settled first; nothing of this run was kept."""

    code = "superseded"


class LeaseLost(Superseded):
    """Another process has claimed the letter while its handler worked here."""

    code = "lease_lost"


@dataclass(slots=True)
class Delivery:
    """One letter on its way through its handler.

    Attributes:
        row: its inbox row as it is stored; None while it has none. Its `due_at` is the token of
            the claim: whoever claims the row later writes another one.
        kept: what `outside` answered, kept over a re-run of the transaction.
        reach: commits `reached` before the first call to an External; given the call's digest,
            how many calls came before, and how long the External remembers its key; says
            whether an earlier try had committed it.
    """

    letter: Letter
    edge: EdgeRow
    unit: Unit
    reach: Callable[[bytes, int, float], Awaitable[bool]]
    row: MessageRow | None = None
    kept: dict[int, Any] = field(default_factory=dict[int, Any])

    def made(self, number: int) -> bytes:
        """Return the stored digest of a call, or NOT_MADE."""
        calls = b"" if self.row is None or self.row.hash is None else self.row.hash
        return calls[8 * number : 8 * number + 8] or NOT_MADE

    def with_made(self, number: int, digest: bytes) -> bytes:
        """Return the digests of all calls, with that of one replaced."""
        calls = b"" if self.row is None or self.row.hash is None else self.row.hash
        calls = calls.ljust(8 * number + 8, b"\0")
        return calls[: 8 * number] + digest + calls[8 * number + 8 :]

    def not_sent(self, number: int) -> None:
        """Take back that a call was made: it is known that nothing of it left.

        Stored with the failed try; a process that dies before leaves the call as made.
        """
        assert self.row is not None, "a call is stored before it is made"
        self.row.hash = self.with_made(number, NOT_MADE)
        if not self.row.hash.strip(b"\0"):
            self.row.expires_at = None  # no key is known to anybody


class Handled(Protocol):
    """A compiled handler, as `dispatch` makes it."""

    message: type[Message]
    alone: bool

    def invoke(self, delivery: Delivery) -> Coroutine[Any, Any, Any]:
        """Parse the letter, resolve the parameters, and run the handler."""
        ...

    def encode_reply(self, value: Any) -> bytes:
        """Encode what the handler returned. Raises if it is not what the message promises."""
        ...

    def next_row(self, now_ms: int) -> MessageRow | None:
        """Return what comes after it though it is dead: of a job, its next run."""
        ...

    def observe(self, outcome: str, seconds: float) -> None:
        """Count one run."""
        ...


async def insert_next(tx: Transaction, handled: Handled | None) -> None:
    """Let what comes after a letter that is dead come all the same."""
    row = None if handled is None else handled.next_row(tx.now_ms)
    if row is not None:
        await tx.insert_messages([row])


class Hopeless(HoldfastError):
    """No further try can help: the letter is dead at once."""

    code = "hopeless"


class OtherBytes(Hopeless):
    """A later try would send other bytes under the same idempotency key."""

    code = "other_bytes"


class Noticed(Protocol):
    """Where the inbox reports what an operator may want to know."""

    def __call__(self, event: str, **fields: Any) -> None: ...


class Desk(Protocol):
    """What a handler's transaction needs of the inbox."""

    ledger: Ledger
    sagas: Sagas
    notice: Noticed

    def keep(self, delivery: Delivery, limit: asyncio.Timeout) -> AbstractContextManager[None]:
        """Keep a letter to this process as long as the block lasts."""
        ...

    def new_row(self, edge: EdgeRow, letter: Letter) -> MessageRow:
        """Return the inbox row of a letter."""
        ...

    def record_later(self, row: MessageRow) -> None:
        """Write a row after the commit; only without the safeguard that forbids it."""
        ...

    def answer(self, effects: Effects, edge: EdgeRow, answer: LetterAnswer) -> None:
        """Have an answer given after the commit."""
        ...

    def met_unknown(self) -> None:
        """Leave what waits for another version to it for a while."""
        ...

    async def wake_waits(self, tx: Transaction, row: MessageRow, effects: Effects) -> None:
        """Let the sagas go on that wait for this event."""
        ...


class HandlerTurn(Turn):
    """The transaction of one handler: its writes, its answer, its inbox row."""

    def __init__(
        self, desk: Desk, delivery: Delivery, handled: Handled | None, alone: bool
    ) -> None:
        super().__init__()
        self.alone = alone or (handled is not None and handled.alone)
        self.delivery = delivery
        self._desk = desk
        self._handled = handled
        self.error: Exception | None = None
        self._driver: Driver | None = None
        self.outcome = "reply"

    async def prepare(self) -> None:
        """Run the handler up to its first statement; what it raises is kept for the turn."""
        if self._handled is None:
            return
        unit = self.delivery.unit
        self._driver = Driver(self._handled.invoke(self.delivery), unit)
        try:
            begun = first_step(self._driver.to_first_statement())
            if not isinstance(begun, Finished):
                await self._work(begun)
        except (Superseded, RunAgain):
            raise
        except Exception as exc:  # the handler's own: recorded in the turn
            self.error = exc

    async def _work(self, begun: Awaitable[None]) -> None:
        """Wait for what the handler reaches before its first statement, and keep its letter."""
        limit_s = self._desk.ledger.schedule.work_ms / 1000
        limit = asyncio.timeout(limit_s)
        with self._desk.keep(self.delivery, limit):
            try:
                async with limit:
                    await begun
            except TimeoutError as exc:
                if limit.expired():
                    raise TimeoutError(
                        f"{self.delivery.letter.type} worked for {limit_s:g} s before its first "
                        "statement; let it do less in one letter, and send itself the rest"
                    ) from exc
                raise

    async def run(self, tx: Transaction) -> None:
        """Run the handler to its end. The savepoint that a refusal undoes is the turn's own."""
        delivery, safe = self.delivery, self._desk.ledger.safe
        delivery.unit.tx = tx
        try:
            answer = await self._reply(tx)
        except TransactionLost:
            raise
        except Failure as failure:
            if not self._declares(failure):
                await _undo_writes(tx)
                await self._failed(tx, failure)
                return
            if safe.failure_rolls_back:
                await _undo_writes(tx)
            self._forget_effects()
            answer = self._refusal(failure)
        except Exception as exc:  # poison, a bug, or an outage: counted in the table
            await _undo_writes(tx)
            await self._failed(tx, exc)
            return
        await self._settle(tx, answer)

    async def _reply(self, tx: Transaction) -> LetterAnswer:
        if self.error is not None:
            raise self.error
        delivery = self.delivery
        body = b"null"
        if self._driver is not None and self._handled is not None:
            body = self._handled.encode_reply(await self._driver.to_end())
            if len(body) > MESSAGE_BYTES_MAX:
                raise MessageTooLarge(
                    f"the answer to {delivery.letter.type} is {len(body):,} bytes; the maximum "
                    f"is {MESSAGE_BYTES_MAX:,}"
                )
        await self._desk.sagas.settle(delivery.unit, self.effects)
        if delivery.letter.kind is Kind.EVENT:
            await self._desk.wake_waits(tx, self._row(), self.effects)
        return LetterAnswer(delivery.letter.id, "reply", msgspec.Raw(body))

    def _declares(self, failure: Failure) -> bool:
        if self._handled is None:
            return False
        message = self._handled.message
        if self.delivery.letter.kind is Kind.UNDO and (
            not self._desk.ledger.safe.undo_failure_is_a_try
        ):
            return True
        return type(failure) in getattr(message, "fails", ())

    def _refusal(self, failure: Failure) -> LetterAnswer:
        self.outcome = failure.name
        body = msgspec.Raw(carrier_of(type(failure)).encode(failure))
        return LetterAnswer(self.delivery.letter.id, "failure", body, failure.name)

    def _forget_effects(self) -> None:
        self.delivery.unit.discard()
        self.effects = Effects()

    def _row(self) -> MessageRow:
        return self.delivery.row or self._desk.new_row(self.delivery.edge, self.delivery.letter)

    async def _settle(self, tx: Transaction, answer: LetterAnswer) -> None:
        row = settled(self._row(), answer)
        if row.topic is not None:
            row.due_at = tx.now_ms + self._desk.ledger.schedule.event_kept_ms
        if not await self._write(tx, row):
            raise Superseded(f"{row.kind} {row.id} was settled by another copy")
        self._desk.answer(self.effects, self.delivery.edge, answer)

    async def _write(self, tx: Transaction, row: MessageRow) -> bool:
        """Insert the row with its effect, or move it on from `due`; False if another was first."""
        safe = self._desk.ledger.safe
        if not safe.record_with_effect:
            self.effects.done.append(lambda: self._desk.record_later(row))
            return True
        if self.delivery.row is None:
            return bool(await tx.insert_messages([row], above_floor=safe.floor_check, sure=True))
        held = self.delivery.row.due_at if safe.lease_fenced else None
        if await tx.update_message(row, State.DUE, sure=safe.guarded_states, held=held):
            return True
        return not safe.guarded_states

    async def _failed(self, tx: Transaction, exc: Exception) -> None:
        """Record a failed try in the same transaction: due again, or dead."""
        self._forget_effects()
        self.outcome = type(exc).__name__
        ledger = self._desk.ledger
        row = self._row()
        row.tries = max(row.tries, 1)
        if not row.body:
            row.body = encode(self.delivery.letter)
        unknown = isinstance(exc, NotKnown) and ledger.safe.unknown_waits
        if unknown:
            failed = waiting(row, str(exc), tx.now_ms, ledger.schedule)
        else:
            failed = after_failed_try(
                row,
                told(exc, ledger.describe),
                tx.now_ms,
                ledger.schedule,
                outage=isinstance(exc, CallError),
                safe=ledger.safe,
            )
        if isinstance(exc, Hopeless):
            failed.state, failed.due_at = State.DEAD, None
        if not await self._write(tx, failed):
            raise Superseded(f"{row.kind} {row.id} was settled by another copy") from exc
        event = "letter.failed"
        if failed.state is State.DEAD:
            event = "letter.dead"
            await insert_next(tx, self._handled)
        if unknown:
            event = "letter.waits"
            self.effects.done.append(self._desk.met_unknown)
        context = self._driver.context if self._driver is not None else copy_context()
        context.run(
            self._desk.notice,
            event,
            type=self.delivery.letter.type,
            letter=str(row.id),
            tries=row.tries,
            error=ledger.describe(exc),
            at=place_of(exc),
        )
        self._desk.answer(self.effects, self.delivery.edge, taken(failed))

    def observe(self, seconds: float) -> None:
        """Have the run counted and logged, in the handler's own context."""
        if self._handled is not None and self._driver is not None:
            self._driver.context.run(self._handled.observe, self.outcome, seconds)

    def close(self) -> None:
        """Abandon the handler if its turn never came."""
        if self._driver is not None and not self._driver.finished:
            self._driver.close()


async def _undo_writes(tx: Transaction) -> None:
    """Undo what the turn wrote so far, and go on in a fresh savepoint."""
    await tx.rollback()
    await tx.savepoint()
