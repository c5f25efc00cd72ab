"""The writer: gathers turns into one transaction, one commit.

What arrives while a commit is under way waits and shares the next one. Each turn runs in a
savepoint of its own; one that fails takes nothing of the others with it. If the transaction as a
whole is lost, each turn is run again: once more with others, and then alone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.consistency.ledger import BelowFloor, Ledger
from holdfast.contract.envelope import Kind, LetterAnswer, MessageRow, State
from holdfast.errors import CommitUnknown, DeadlineExceeded, Overloaded, TransactionLost
from holdfast.pump import is_cancelled
from holdfast.storage import Sharing, Transaction

LOOKS_MAX = 5
RUNS_MAX = 5  # of one transaction, when it is lost


class RunAgain(Exception):
    """The transaction was lost through no fault of this turn: make the turn anew."""


@dataclass(slots=True)
class Effects:
    """What leaves after the commit, and only then.

    Attributes:
        rows: letters to send. answers: [(edge of the letter, answer)] to give.
        done: callables for metrics and wake-ups.
    """

    rows: list[MessageRow] = field(default_factory=list[MessageRow])
    answers: list[tuple[int, LetterAnswer]] = field(default_factory=list[tuple[int, LetterAnswer]])
    done: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])


class Turn:
    """One piece of work inside a transaction.

    Attributes:
        deadline: loop time after which nobody waits for it; checked before it begins, not after.
        alone: it gets a transaction of its own.
        lost: how many transactions it was run in that were lost: after one its statements are no
            longer joined with others', after two it is alone.
        begun: it has been given its transaction.
    """

    deadline: float | None = None
    alone: bool = False
    lost: int = 0
    begun: bool = False

    def __init__(self) -> None:
        self.effects = Effects()

    def wanted_until(self) -> float | None:
        """Return the deadline, which may have become earlier since the turn began to wait."""
        return self.deadline

    async def run(self, tx: Transaction) -> None:
        """Do it, in a savepoint of its own. What it raises rolls that back, and `perform` raises.

        A turn that rolls back by itself opens a new savepoint, for the one who releases it.
        """
        raise NotImplementedError


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
    """

    def __init__(
        self,
        ledger: Ledger,
        after_commit: Callable[[Sequence[Turn]], None],
        *,
        waiting_max: int = 20_000,
        observe: Callable[[int, float], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._after_commit = after_commit
        self._waiting_max = waiting_max
        self._observe = observe
        self._waiting: deque[tuple[Turn, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._turns = self._commits = self._lost = 0

    async def perform(self, turn: Turn) -> None:
        """Run a turn; return when it is committed.

        Raises:
            RunAgain: the transaction was lost; nothing of the turn was kept.
            Overloaded: too many turns wait.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(
                f"{self._ledger.service} has {len(self._waiting):,} writes waiting",
                headers={"Retry-After": "1"},
            )
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name=f"{self._ledger.service} writer")
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:  # what has begun is finished, though nobody waits for it
            if not (turn.begun and self._ledger.safe.shielded):
                future.cancel()
            raise

    async def perform_own(self, function: Callable[[Transaction, Effects], object]) -> None:
        """Run a function of the framework's, again if its transaction was lost.

        Raises:
            RunAgain: it was lost each time. Overloaded: see `perform`.
        """
        for run in range(1, RUNS_MAX + 1):
            try:
                await self.perform(Own(function, lost=run - 1))
                return
            except RunAgain:
                if run == RUNS_MAX:
                    raise

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                await self._transact(self._take())
                if not self._waiting:
                    await asyncio.sleep(0)  # let those come that were waiting for this commit
        finally:
            self._task = None
            while self._waiting:  # it was cancelled: whoever still waits asks for a new one
                _fail(self._waiting.popleft()[1], RunAgain("the writer was stopped"))

    async def _gather(self) -> None:
        """Wait for those that are on their way: as long as a look finds more, at most LOOKS_MAX.

        A look is two rounds of the loop, some 20 µs when it has nothing else to do. With 32 orders
        under way it halves the commits.
        """
        for _ in range(LOOKS_MAX):
            before = len(self._waiting)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if len(self._waiting) == before:
                return

    def _take(self) -> list[tuple[Turn, asyncio.Future[None]]]:
        batch: list[tuple[Turn, asyncio.Future[None]]] = []
        while self._waiting and len(batch) < self._ledger.schedule.batch:
            sharing = _sharing(self._waiting[0][0])
            if batch and (sharing is Sharing.ALONE or sharing is not _sharing(batch[0][0])):
                break
            batch.append(self._waiting.popleft())
            if sharing is Sharing.ALONE:
                break
        return batch

    async def _transact(self, batch: list[tuple[Turn, asyncio.Future[None]]]) -> None:
        clock = self._ledger.clock  # not the loop's: uvloop's has whole milliseconds
        started = clock.monotonic()
        safe = self._ledger.safe
        early = not (safe.answer_after_commit and safe.send_after_commit)
        done: list[Turn] = []
        errors: list[Exception | None] = []
        tx: Transaction | None = None
        try:
            tx = await self._ledger.database.begin(sharing=_sharing(batch[0][0]))
            name = await self._named(tx)
            for turn, future in batch:
                errors.append(await self._in_savepoint(tx, turn, future))
                if errors[-1] is None and not future.cancelled():
                    done.append(turn)
            if clock.monotonic() - started > self._ledger.schedule.transaction_ms / 1000:
                raise TransactionLost("it took longer than T: its ids may be below the floor")
            if early:
                self._after_commit(done)
            await self._commit(tx, name)
        except BaseException as exc:  # the transaction is lost, and with it every turn of it
            self._lost += 1
            for _, future in batch:
                lost = RunAgain(f"{type(exc).__name__}: {exc}")
                lost.__cause__ = exc
                _fail(future, lost)
            if tx is not None:  # left open, it would be in the way of every later one
                await tx.abort()
            if isinstance(exc, BelowFloor):
                await self._look_at_time()
            if isinstance(exc, Exception):
                return
            raise
        self._commits += 1
        self._turns += len(done)
        if self._observe:
            self._tell(self._observe, len(done), clock.monotonic() - started)
        if not early:
            self._tell(self._after_commit, done)
        for (_, future), error in zip(batch, errors, strict=True):
            if error is not None:
                _fail(future, error)
            elif not future.done():
                future.set_result(None)

    def _tell(self, told: Callable[..., None], *args: Any) -> None:
        """Tell of a commit; whatever comes of it, those who wait for the commit have it."""
        try:
            told(*args)
        except Exception:  # a bug in what is told: the transaction is committed all the same
            logging.getLogger("holdfast").exception("%s: after a commit", self._ledger.service)

    async def _look_at_time(self) -> None:
        """Learn how far other replicas are, so that the next transaction is not before them."""
        try:
            await self._ledger.database.due_in_ms()
        except TransactionLost:
            pass  # the database is away: the next transaction fails at its beginning

    async def _named(self, tx: Transaction) -> MessageRow | None:
        """Give the transaction a name that can be asked for if its COMMIT is not answered."""
        if not (self._ledger.database.remote and self._ledger.safe.commit_asked):
            return None
        edge = self._ledger.edge_to(self._ledger.service)
        name = MessageRow(edge, self._ledger.letter_id(tx.now_ms), State.DONE, Kind.COMMIT)
        await tx.sign(name)
        return name

    async def _commit(self, tx: Transaction, name: MessageRow | None) -> None:
        """Commit, and know whether it was kept. Raises TransactionLost."""
        try:
            kept = await tx.commit()
        except CommitUnknown:
            if name is None:
                raise
            kept = await self._was_kept(name)
        if not kept and self._ledger.safe.commit_checked:
            raise TransactionLost("the COMMIT was answered by a rollback")

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

    async def _in_savepoint(
        self, tx: Transaction, turn: Turn, future: "asyncio.Future[None]"
    ) -> Exception | None:
        """Run a turn, unless nobody waits for it; return its error, told after the commit."""
        until = turn.wanted_until()
        if until is not None and asyncio.get_running_loop().time() >= until:
            return _too_late()
        if future.cancelled():
            return None
        turn.begun = True
        await tx.savepoint()
        try:
            await turn.run(tx)
            if is_cancelled():  # and a handler, or a saga, has swallowed it
                raise asyncio.CancelledError
            if self._ledger.safe.commit_checked:
                tx.check_open()
        except TransactionLost:
            raise
        except Exception as exc:  # this turn's own: the others go on
            await tx.rollback()
            return exc
        await (tx.rollback() if future.cancelled() else tx.release())
        return None

    async def idle(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        while self._task is not None:
            await asyncio.shield(self._task)

    def stats(self) -> WriterStats:
        """Return the counts."""
        return WriterStats(len(self._waiting), self._turns, self._commits, self._lost)


def _sharing(turn: Turn) -> Sharing:
    if turn.alone or turn.lost > 1:
        return Sharing.ALONE
    return Sharing.APART if turn.lost else Sharing.JOINED


def _fail(future: "asyncio.Future[None]", exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
        future.exception()  # retrieved: the waiting request may have gone away


def _too_late() -> DeadlineExceeded:
    late = DeadlineExceeded("the deadline passed before the first statement; nothing was written")
    late.effect = "none"  # type: ignore[assignment, misc]  # this one is known: the transaction never began
    return late


@dataclass(slots=True)
class Own(Turn):
    """A turn of the framework's own: one function of the transaction."""

    function: Callable[[Transaction, Effects], object]
    alone: bool = False
    lost: int = 0
    deadline: float | None = None
    begun: bool = False
    effects: Effects = field(default_factory=Effects)

    async def run(self, tx: Transaction) -> None:
        result = self.function(tx, self.effects)
        if asyncio.iscoroutine(result):
            await result
