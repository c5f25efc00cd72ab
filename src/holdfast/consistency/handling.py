"""Handling: a letter's handler runs once; its row, its effect and its answer commit together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any, Protocol
from uuid import UUID

import msgspec

from holdfast.consistency.delivery import Delivery, Hopeless, Superseded
from holdfast.consistency.leases import Leases
from holdfast.consistency.ledger import Ledger, bounded, encode
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.schedule import postponed_to, time_of
from holdfast.consistency.told import place_of, told
from holdfast.consistency.transitions import after_failed_try, settled, taken
from holdfast.consistency.turn import Effects, Own, RunAgain, Turn
from holdfast.consistency.unit import Driver, Unit, Units
from holdfast.consistency.unknown import NotKnown, UnknownWork, waiting
from holdfast.consistency.waits import SagaWaits
from holdfast.consistency.writer import Writer
from holdfast.contract.carrier import carrier_of
from holdfast.contract.envelope import EdgeRow, Kind, Letter, LetterAnswer, MessageRow, State
from holdfast.contract.failure import Failure
from holdfast.contract.messages import Message
from holdfast.errors import CallError, MessageTooLarge, NotCarried, Overloaded
from holdfast.pump import Finished, first_step
from holdfast.storage import Transaction


class Handled(Protocol):
    """A compiled handler, as `dispatch` makes it.

    Attributes:
        waits: it may wait for something, its own transaction included.
    """

    message: type[Message]
    alone: bool
    waits: bool

    def invoke(self, delivery: Delivery) -> Coroutine[object, None, Any]:
        """Parse the letter, resolve the parameters, and run the handler."""
        ...

    def encode_reply(self, value: object) -> bytes:
        """Encode what the handler returned. Raises if it is not what the message promises."""
        ...

    def next_row(self, now_ms: int) -> MessageRow | None:
        """Return what comes after it though it is dead: of a job, its next run."""
        ...

    def observe(
        self, delivery: Delivery, outcome: str, seconds: float, error: Exception | None
    ) -> None:
        """Count one run, in the context that `invoke` made."""
        ...


async def _is_kept(submitted: "asyncio.Future[None]") -> bool:
    """Whether a turn was committed; why it was not is raised where it is waited for again."""
    try:
        await submitted
    except Exception:  # whatever it was: `Writer.perform` meets it again
        return False
    return True


async def insert_next(tx: Transaction, handled: Handled | None) -> None:
    """Let what comes after a letter that is dead come all the same."""
    row = None if handled is None else handled.next_row(tx.now_ms)
    if row is not None:
        await tx.insert_messages([row])


Begun = tuple["HandlerTurn", "asyncio.Future[None] | None"]
"""A turn, and its first run if that was prepared and submitted."""


class Handling:
    """Runs the handlers of one service on letters, each letter once at a time in this process.

    Args:
        find: returns the handler of a message's wire name.
    """

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        sagas: Sagas,
        units: Units,
        received: Received,
        leases: Leases,
        waits: SagaWaits,
        unknown: UnknownWork,
        find: Callable[[str], Handled | None],
        notice: Noticed,
    ) -> None:
        self.ledger = ledger
        self.writer = writer
        self.sagas = sagas
        self._units = units
        self.received = received
        self.leases = leases
        self.waits = waits
        self.unknown = unknown
        self.notice = notice
        self.find = find
        self._running: dict[tuple[int, UUID], Delivery] = {}

    def is_running(self, row: MessageRow) -> bool:
        """Whether a handler of this process works on a letter."""
        return (row.edge, row.id) in self._running

    async def run(
        self, edge: EdgeRow, letter: Letter, row: MessageRow | None, *, alone: bool = False
    ) -> None:
        """Run a letter's handler in its transaction, again if the transaction was lost."""
        turn = self._turn_of(edge, letter, row, alone=alone)
        if turn is not None:
            await self._perform(turn)

    async def run_new(self, edge: EdgeRow, letters: Sequence[Letter]) -> None:
        """Run the handlers of letters that have no rows, all at once.

        If none of them waits for anything, they are through before the loop gets its turn, and need
        no task. Otherwise each has its own, and their turns come in the order of the letters.
        """
        turns = [turn for letter in letters if (turn := self._turn_of(edge, letter, None))]
        if any(turn.waits for turn in turns):
            work = [self._perform(turn) for turn in turns]
        else:
            work = [self._finish_all([(turn, self._try_begin(turn)) for turn in turns])]
        await (work[0] if len(work) == 1 else asyncio.gather(*work))

    def _turn_of(
        self, edge: EdgeRow, letter: Letter, row: MessageRow | None, *, alone: bool = False
    ) -> "HandlerTurn | None":
        """Return the turn of a letter; None: a copy of it is under way in this process."""
        key = (edge.id, letter.id)
        if key in self._running:
            return None
        unit = self.unit_of(letter)
        delivery = Delivery(letter, edge, unit, self.ledger, self.writer, self.received, row)
        turn = HandlerTurn(self, delivery, self.find(letter.type), alone=alone)
        self._running[key] = delivery  # last: what raises above leaves nothing under way
        return turn

    def _try_begin(self, turn: "HandlerTurn") -> "asyncio.Future[None] | None":
        """Prepare a turn that waits for nothing, and submit it; None: it has to begin anew."""
        try:
            prepared = first_step(turn.prepare())
            assert isinstance(prepared, Finished), "it waits for nothing"
            return self.writer.submit(turn)
        except (RunAgain, Superseded, Overloaded):
            turn.lost += 1
            turn.close()
            return None

    async def _finish_all(self, begun: Sequence[Begun]) -> None:
        """Wait for turns that were submitted; those that were not, or were lost, run again."""
        lost: list[Begun] = []
        left = deque(begun)
        try:
            while left:
                turn, submitted = left[0]
                if submitted is None or not await _is_kept(submitted):
                    lost.append(left[0])
                else:
                    turn.close()
                    del self._running[turn.key]
                    turn.observe()
                left.popleft()
        except BaseException:  # raised again: nobody waits for them any more
            for turn, submitted in (*left, *lost):
                if submitted is not None:
                    submitted.cancel()
                turn.close()
                del self._running[turn.key]
            raise
        if lost:
            await asyncio.gather(*(self._perform(turn, was) for turn, was in lost))

    async def _perform(
        self, turn: "HandlerTurn", submitted: "asyncio.Future[None] | None" = None
    ) -> None:
        delivery = self._running[turn.key]
        edge, letter = delivery.edge, delivery.letter
        try:
            await self.writer.perform(turn, submitted)
        except Superseded:
            await self._say_again(edge, letter)
        except (RunAgain, Overloaded) as exc:
            if isinstance(exc, Overloaded) and delivery.row is None:
                raise  # it comes again
            self.notice("letter.postponed", cause=letter, type=letter.type, letter=str(letter.id))
            if delivery.row is not None:
                await self._give_back_try(delivery)
            return
        finally:
            del self._running[turn.key]
        turn.observe()

    def unit_of(self, letter: Letter) -> Unit:
        """Return what one run of a letter's handler writes with."""
        return Unit(
            self._units,
            letter.id,
            time_of(letter.id),
            what=letter.type,
            cause=letter,
        )

    def claimed_again(self, rows: Sequence[MessageRow]) -> None:
        """Leave rows to the handlers of this process that work on them; called after the claim.

        One came again while it had no row yet, or could not be renewed for the time of a lease.
        """
        for row in rows:
            delivery = self._running.get((row.edge, row.id))
            if delivery is None:
                continue
            if delivery.row is None:
                delivery.row = row
            else:  # the claim has counted a try that is none
                delivery.row = delivery.row.copy()
                delivery.row.due_at = row.due_at

    async def _say_again(self, edge: EdgeRow, letter: Letter) -> None:
        async def answer(tx: Transaction, effects: Effects) -> None:
            await self.received.answer_again(tx, edge, letter, effects)

        await self.writer.perform_own(answer)

    async def _give_back_try(self, delivery: Delivery) -> None:
        """Write a claimed row with one try less, and a pause.

        The claim counted a try that the database, not the handler, has ended; left counted, a busy
        database would make letters dead. While it is busy the lease may end, and the row be claimed
        by this process again: `claimed_again` puts the new token into the delivery.
        """

        tried, written = delivery.row, False

        async def write(tx: Transaction, effects: Effects) -> None:
            nonlocal tried, written
            tried = row = delivery.row
            assert row is not None, "it was claimed"
            untried = row.copy()
            untried.tries = max(0, row.tries - 1)
            untried.due_at = postponed_to(row, tx.now_ms, self.ledger.schedule)
            written = await tx.update_message(untried, State.DUE, held=self.received.token(row))

        while True:
            await self.writer.perform(Own(write, patient=True))
            if written or delivery.row is tried:
                return  # otherwise it was claimed again in the same transaction


class HandlerTurn(Turn):
    """The transaction of one handler: its writes, its answer, its inbox row.

    Attributes:
        waits: its first run may wait for something before its transaction.
        key: of its letter, among those that are under way.
    """

    prepares = True

    def __init__(
        self, handling: Handling, delivery: Delivery, handled: Handled | None, *, alone: bool
    ) -> None:
        self.alone = alone or (handled is not None and handled.alone)
        self.waits = handled is not None and handled.waits
        self.key = delivery.edge.id, delivery.letter.id
        self._handling = handling
        self._ledger = handling.ledger
        self._delivery = delivery
        self._handled = handled
        self._driver: Driver | None = None
        self._error: Exception | None = None
        self._is_settling = False
        self._outcome = "reply"
        self._ended_by: Exception | None = None
        self._started = 0.0

    async def prepare(self) -> bool:
        """Run the handler up to its first statement; what it raises is kept for the turn."""
        delivery, handled = self._delivery, self._handled
        self._started = self._ledger.clock.monotonic()
        self._error, self._is_settling, self._outcome = None, False, "reply"
        self._ended_by = None
        if handled is None:
            wire, service = delivery.letter.type, self._ledger.service
            if wire not in self._handling.received.waited:
                self._error = NotKnown(f"nobody handles {wire} in {service}; another version may")
            return True
        if self.lost:
            delivery.unit = self._handling.unit_of(delivery.letter)
            if not await self._handling.leases.holds(delivery):  # else it would reach out once more
                raise Superseded(f"{delivery.letter.type} was claimed by another process")
        self._driver = Driver(handled.invoke(delivery), delivery.unit)
        try:
            begun = first_step(self._driver.to_first_statement())
            if not isinstance(begun, Finished):
                await self._work(begun)
        except (Superseded, RunAgain):
            raise
        except Exception as exc:  # the handler's own: recorded in the turn
            self._error = exc
        return True

    async def _work(self, begun: Awaitable[None]) -> None:
        """Wait for what the handler reaches before its first statement, and keep its letter."""
        limit_s = self._ledger.schedule.work_ms / 1000
        limit = asyncio.timeout(limit_s)
        with self._handling.leases.keep(self._delivery, limit):
            try:
                async with limit:
                    await begun
            except TimeoutError as exc:
                if limit.expired():
                    raise TimeoutError(
                        f"{self._delivery.letter.type} worked for {limit_s:g} s before its first "
                        "statement; let it do less in one letter, and send itself the rest"
                    ) from exc
                raise

    async def run(self, tx: Transaction) -> None:
        """Run the handler to its end, and settle its letter with the answer."""
        delivery, handled, driver = self._delivery, self._handled, self._driver
        unit, letter = delivery.unit, delivery.letter
        unit.tx = tx
        if self._error is not None:
            raise self._error
        body = b"null"
        if driver is not None and handled is not None:
            result = driver.result if driver.finished else await driver.to_end()
            body = bounded(handled.encode_reply(result), f"the answer to {letter.type}")
        await self._handling.sagas.settle(unit, self.effects)
        if letter.kind is Kind.EVENT:
            await self._handling.waits.meet(tx, self._row(), self.effects)
        await self._settle(tx, LetterAnswer(letter.id, "reply", msgspec.Raw(body)))

    def answers_for(self, error: Exception) -> bool:
        """Whether it is the handler's: poison, a bug, an outage or a refusal; all are recorded."""
        return not self._is_settling

    async def failed(self, tx: Transaction, error: Exception) -> None:
        """Record a refusal as the answer, anything else as a failed try: due again, or dead."""
        self._delivery.unit.discard()
        self._ended_by, letter = error, self._delivery.letter
        if not (isinstance(error, Failure) and self._declares(error)):
            await self._try_failed(tx, error)
            return
        try:
            body = bounded(carrier_of(type(error)).encode(error), f"the refusal of {letter.type}")
        except (MessageTooLarge, NotCarried) as exc:  # no answer could say so
            self._ended_by = exc
            await self._try_failed(tx, exc)
            return
        self._outcome = error.name
        await self._settle(tx, LetterAnswer(letter.id, "failure", msgspec.Raw(body), error.name))

    def _declares(self, failure: Failure) -> bool:
        if self._handled is None:
            return False
        return type(failure) in getattr(self._handled.message, "fails", ())

    def _row(self) -> MessageRow:
        delivery = self._delivery
        return delivery.row or self._handling.received.new_row(delivery.edge, delivery.letter)

    async def _settle(self, tx: Transaction, answer: LetterAnswer) -> None:
        self._is_settling = True
        row = settled(self._row(), answer)
        if row.topic is not None:
            row.due_at = tx.now_ms + self._ledger.schedule.event_kept_ms
        if not await self._write(tx, row):
            raise Superseded(f"{row.kind} {row.id} was settled by another copy")
        self._handling.received.answer(self.effects, self._delivery.edge, answer)

    async def _write(self, tx: Transaction, row: MessageRow) -> bool:
        """Insert the row with its effect, or move it on from `due`; False if another was first."""
        stored = self._delivery.row
        if stored is None:
            return bool(await tx.insert_messages([row], above_floor=True, sure=True))
        held = self._handling.received.token(stored)
        return await tx.update_message(row, State.DUE, sure=True, held=held)

    async def _try_failed(self, tx: Transaction, error: Exception) -> None:
        handling, ledger, letter = self._handling, self._ledger, self._delivery.letter
        self._is_settling, self._outcome = True, type(error).__name__
        row = self._row()
        row.tries = max(row.tries, 1)
        if not row.body:
            row.body = encode(letter)
        unknown = isinstance(error, NotKnown)
        if unknown:
            failed = waiting(row, str(error), tx.now_ms, ledger.schedule)
        else:
            failed = after_failed_try(
                row,
                told(error, ledger.describe),
                tx.now_ms,
                ledger.schedule,
                outage=isinstance(error, CallError),
            )
        if isinstance(error, Hopeless):
            failed.state, failed.due_at = State.DEAD, None
        if not await self._write(tx, failed):
            raise Superseded(f"{row.kind} {row.id} was settled by another copy") from error
        event = "letter.failed"
        if failed.state is State.DEAD:
            event = "letter.dead"
            await insert_next(tx, self._handled)
        if unknown:
            event = "letter.waits"
            self.effects.done.append(handling.unknown.met)
        tried = self._driver is not None  # then it has a context of its own
        context = self._driver.context if self._driver is not None else copy_context()
        context.run(
            handling.notice,
            event,
            cause=None if tried else letter,
            type=letter.type,
            letter=str(row.id),
            tries=self._delivery.number,
            error=ledger.describe(error),
            at=place_of(error),
        )
        handling.received.answer(self.effects, self._delivery.edge, taken(failed))

    def observe(self) -> None:
        """Have the run counted and logged, in the handler's own context."""
        if self._handled is not None and self._driver is not None:
            seconds = self._ledger.clock.monotonic() - self._started
            observe = self._handled.observe
            self._driver.context.run(
                observe, self._delivery, self._outcome, seconds, self._ended_by
            )

    def close(self) -> None:
        """Abandon the handler if its turn never came."""
        if self._driver is not None and not self._driver.finished:
            self._driver.close()
