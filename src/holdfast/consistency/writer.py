"""The writer: gathers turns into one transaction, one commit.

What arrives while a commit is under way waits and shares the next one. Each turn runs in a
savepoint of its own; one that fails takes nothing of the others with it. If the transaction as a
whole is lost, each turn is run again: once more with others, and then alone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from holdfast.consistency.ledger import BelowFloor, Ledger
from holdfast.consistency.turn import Effects, Own, RunAgain, Turn
from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.errors import (
    CommitUnknown,
    DeadlineExceeded,
    Overloaded,
    Refused,
    TransactionLost,
)
from holdfast.storage import Sharing, Transaction

LOOKS_MAX = 5
RUNS_MAX = 5  # of one turn, when its transaction is lost
BESIDE_S = 0.05  # that a turn waits at most for a transaction that others make

Waiting = tuple[Turn, "asyncio.Future[None]", float]
"""A turn, what is done with it, and since when it waits, on the clock's monotonic scale."""
Sent = Callable[[Sequence[Turn]], None]
Waited = Callable[[float, float, int], None]


@dataclass(frozen=True, slots=True)
class WriterStats:
    """Counts since the start; `waiting` is now."""

    waiting: int
    turns: int
    commits: int
    lost: int


class Writer:
    """Runs turns in shared transactions, in the order in which they came.

    Args:
        after_commit: gets the turns of a committed transaction, before their callers go on.
        waiting_max: more turns than this are refused with Overloaded.
        observe: told how many turns a commit had, how many seconds it took, and how many of them
            it waited for its transaction.
        waited: told how many seconds the turns of a batch waited for it, the time, and their count.
    """

    pause_s: ClassVar[tuple[float, float]] = (0.1, 5.0)  # of a patient turn: the first, the longest

    def __init__(
        self,
        ledger: Ledger,
        after_commit: Sent,
        *,
        waiting_max: int = 20_000,
        observe: Callable[[int, float, float], None] | None = None,
        waited: Waited | None = None,
    ) -> None:
        self._ledger = ledger
        self._after_commit = after_commit
        self._waiting_max = waiting_max
        self._observe, self._waited = observe, waited
        self._waiting: deque[Waiting] = deque()
        self._beside: list[tuple[Turn, asyncio.Future[None]]] = []
        self._beside_ends: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._context = copy_context()  # its task serves everybody, not the one who woke it
        self._turns = self._commits = self._lost = 0

    async def perform(self, turn: Turn, submitted: "asyncio.Future[None] | None" = None) -> None:
        """Run a turn, again if its transaction was lost; return when it is committed.

        Args:
            submitted: its first run, if that was prepared and submitted already.
        Raises:
            RunAgain: it was lost each time; nothing of the turn was kept.
            Overloaded: too many turns wait.
        """
        pause_s, longest_s = self.pause_s
        while True:
            try:
                if submitted is None:
                    if turn.prepares and not await turn.prepare():
                        return  # it needs no transaction
                    submitted = self.submit(turn)
                await submitted
                return
            except (RunAgain, Overloaded) as exc:
                turn.lost += 1
                over = isinstance(exc, Overloaded) or turn.lost >= RUNS_MAX
                if over and not turn.patient:
                    raise
            finally:
                submitted = None
                turn.close()
            if over:
                await asyncio.sleep(pause_s)
                pause_s = min(longest_s, pause_s * 2)

    def perform_own(
        self, function: Callable[[Transaction, Effects], object]
    ) -> Coroutine[object, None, None]:
        """Run a function of the framework's: see `perform`."""
        return self.perform(Own(function))

    def submit(self, turn: Turn) -> "asyncio.Future[None]":
        """Have a turn run once; what is returned is done when it is committed.

        To cancel that is to leave the turn: one that has begun is finished all the same.

        Raises:
            Overloaded: too many turns wait. What is returned raises RunAgain if the transaction was
                lost, and nothing of the turn was kept.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(
                f"{self._ledger.service} has {len(self._waiting):,} writes waiting",
                headers={"Retry-After": "1"},
            )
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn.begun = False
        self._waiting.append((turn, future, self._ledger.clock.monotonic()))
        self._begin()
        return future

    def beside(self, turn: Turn) -> "asyncio.Future[None]":
        """Have a turn run that can wait: in a transaction that others make, or soon in its own.

        See `submit` for what is returned.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._beside.append((turn, future))
        if self._beside_ends is None:
            self._beside_ends = loop.call_later(BESIDE_S, self._wait_no_longer)
        return future

    def _wait_no_longer(self) -> None:
        """Let what waits for others' transactions have one."""
        self._waiting += self._taken_along()
        if self._waiting:
            self._begin()

    def _taken_along(self) -> list[Waiting]:
        now = self._ledger.clock.monotonic()  # what it waited until now it did not wait for a turn
        along = [(turn, future, now) for turn, future in self._beside]
        self._beside = []
        if self._beside_ends is not None:
            self._beside_ends.cancel()
            self._beside_ends = None
        return along

    def _begin(self) -> None:
        if self._task is None:
            loop, name = asyncio.get_running_loop(), f"{self._ledger.service} writer"
            self._task = loop.create_task(self._drain(), name=name, context=self._context)

    async def _drain(self) -> None:
        """Run batches as long as turns wait.

        Before each, wait for those that are on their way: as long as a look finds more. A look is
        two rounds of the loop (one until the event is set, one until that is heard), some 20 µs
        when it has nothing else to do. With 32 orders under way it halves the commits.
        """
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                for _ in range(LOOKS_MAX):
                    before, looked = len(self._waiting), asyncio.Event()
                    loop.call_soon(looked.set)
                    await looked.wait()
                    if len(self._waiting) == before:
                        break
                await self._transact(*self._take())
                if not self._waiting:
                    await asyncio.sleep(0)  # let those come that were waiting for this commit
        finally:
            self._task = None
            while self._waiting:  # it was cancelled: whoever still waits asks for a new one
                _fail(self._waiting.popleft()[1], RunAgain("the writer was stopped"))

    def _take(self) -> tuple[list[Waiting], Sharing]:
        """Take the next turns that may share a transaction, and how they do."""
        waiting, batch = self._waiting, [self._waiting.popleft()]
        sharing = batch[0][0].sharing
        if sharing is not Sharing.ALONE:
            limit = self._ledger.schedule.batch
            while waiting and len(batch) < limit and waiting[0][0].sharing is sharing:
                batch.append(waiting.popleft())
        if sharing is Sharing.JOINED:
            batch += self._taken_along()
        return batch, sharing

    async def _transact(self, batch: list[Waiting], sharing: Sharing) -> None:
        clock = self._ledger.clock  # not the loop's: uvloop's has whole milliseconds
        started = clock.monotonic()
        if self._waited is not None:
            self._tell([partial(self._waited, started - batch[0][2], started, len(batch))])
        safe, database = self._ledger.safe, self._ledger.database
        done: list[Turn] = []
        errors: list[Exception | None] = []
        tx: Transaction | None = None
        try:
            tx = await database.begin(sharing=sharing)
            waited_s = clock.monotonic() - started
            name = await self._sign(tx) if database.remote and safe.commit_asked else None
            for turn, future, _ in batch:
                errors.append(await self._in_savepoint(tx, turn, future))
                if errors[-1] is None and (turn.begun or not future.cancelled()):
                    done.append(turn)
            if clock.monotonic() - started > self._ledger.schedule.transaction_ms / 1000:
                raise TransactionLost("it took longer than T: its ids may be below the floor")
            try:
                kept = await tx.commit()
            except CommitUnknown:
                if name is None:
                    raise
                kept = await self._was_kept(name)
            if not kept and safe.commit_checked:
                raise TransactionLost("the COMMIT was answered by a rollback")
        except BaseException as exc:  # the transaction is lost, and with it every turn of it
            await self._lose(tx, batch, exc)
            if isinstance(exc, Exception):
                return
            raise
        self._commits += 1
        self._turns += len(done)
        told = [partial(self._after_commit, done)]
        if self._observe is not None:
            took_s = clock.monotonic() - started
            told.append(partial(self._observe, len(done), took_s, waited_s))
        self._tell(told)
        for (_, future, _), error in zip(batch, errors, strict=True):
            if error is not None:
                _fail(future, error)
            elif not future.done():
                future.set_result(None)

    def _tell(self, told: Sequence[Callable[[], None]]) -> None:
        """Tell of a transaction; whatever comes of it, those who wait for the commit have it."""
        for tell in told:
            try:
                tell()
            except Exception:  # a bug in what is told: the transaction is committed all the same
                logging.getLogger("holdfast").exception("%s: after a commit", self._ledger.service)

    async def _lose(
        self, tx: Transaction | None, batch: Sequence[Waiting], exc: BaseException
    ) -> None:
        self._lost += 1
        if isinstance(exc, Refused) and len(batch) == 1:  # a deferred constraint: it is this turn's
            batch[0][0].unkept = exc
        for _, future, _ in batch:
            lost = RunAgain(f"{type(exc).__name__}: {exc}")
            lost.__cause__ = exc
            _fail(future, lost)
        if tx is not None:  # left open, it would be in the way of every later one
            await tx.abort()
        if isinstance(exc, BelowFloor):
            await self._look_at_time()

    async def _in_savepoint(
        self, tx: Transaction, turn: Turn, future: "asyncio.Future[None]"
    ) -> Exception | None:
        """Run a turn, unless nobody waits for it; return its error, told after the commit."""
        until = None if turn.wanted_until is None else turn.wanted_until()
        if until is not None and asyncio.get_running_loop().time() >= until:
            return _too_late()
        if future.cancelled():
            return None
        turn.begun, turn.effects = True, Effects()
        task = self._task
        await tx.savepoint()
        try:
            try:
                if turn.unkept is not None:
                    raise turn.unkept
                await turn.run(tx)
            except TransactionLost:
                raise
            except Exception as exc:  # raised again, unless the turn answers for it
                if not turn.answers_for(exc):
                    raise
                await tx.rollback()
                await tx.savepoint()
                turn.effects = Effects()
                await turn.failed(tx, exc)
            if task is not None and task.cancelling():  # and a handler, or a saga, swallowed it
                raise asyncio.CancelledError
            if self._ledger.safe.commit_checked:
                tx.check_open()
        except TransactionLost:
            raise
        except Exception as exc:  # this turn's own: the others go on
            await tx.rollback()
            return exc
        await tx.release()
        return None

    async def _look_at_time(self) -> None:
        """Learn how far other replicas are, so that the next transaction is not before them."""
        try:
            await self._ledger.database.due_in_ms()
        except TransactionLost:
            pass  # the database is away: the next transaction fails at its beginning

    async def _sign(self, tx: Transaction) -> MessageRow:
        """Give the transaction a name that can be asked for if its COMMIT is not answered."""
        edge = self._ledger.edge_to(self._ledger.service)
        name = MessageRow(edge, self._ledger.ids.uuid7(tx.now_ms), State.DONE, Kind.COMMIT)
        await tx.sign(name)
        return name

    async def _was_kept(self, name: MessageRow) -> bool:
        """Insert a transaction's name again: a conflict means that it was committed.

        The statement waits while the old connection may still commit; to read would not. It is
        tried as long as the database is away: nothing can be written meanwhile.
        """
        pause_s = 0.05
        while True:
            try:
                tx = await self._ledger.database.begin()
                try:
                    return not await tx.insert_messages([name])
                finally:
                    await tx.abort()
            except TransactionLost:
                await asyncio.sleep(pause_s)
                pause_s = min(5.0, pause_s * 2)

    async def idle(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        while self._beside or self._task is not None:
            self._wait_no_longer()
            if self._task is not None:
                await asyncio.shield(self._task)

    def stats(self) -> WriterStats:
        """Return the counts."""
        return WriterStats(len(self._waiting), self._turns, self._commits, self._lost)


def _fail(future: "asyncio.Future[None]", exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
        future.exception()  # retrieved: the waiting request may have gone away


def _too_late() -> DeadlineExceeded:
    late = DeadlineExceeded("the deadline passed before the first statement; nothing was written")
    late.effect = "none"  # type: ignore[assignment, misc]  # this one is known: the transaction never began
    return late
