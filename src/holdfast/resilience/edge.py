"""Runs a call over an edge with all of the edge's defences, in the order that makes them agree."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from holdfast.errors import CallError, CircuitOpen, DeadlineExceeded, Overloaded
from holdfast.resilience.breaker import BreakerStats, CircuitBreaker, health
from holdfast.resilience.budget import BudgetStats, RetryBudget
from holdfast.resilience.bulkhead import Bulkhead, BulkheadStats
from holdfast.resilience.deadline import DeadlinePassed, remaining_s
from holdfast.resilience.policy import EdgePolicy
from holdfast.resilience.retry import may_repeat, pause_s
from holdfast.resilience.sources import Chance, Ticks
from holdfast.resilience.watch import Watch

T = TypeVar("T")

asked_above: ContextVar[bool] = ContextVar("holdfast_asked_above", default=False)
"""Whether what is done was asked for by a call that tries again itself.

Then nothing below it does: over a chain of calls tries would multiply.
"""


@dataclass(frozen=True, slots=True)
class EdgeStats:
    """Counts since the start; tries / calls is the amplification. None: that defence is off."""

    calls: int
    tries: int
    breaker: BreakerStats | None
    budget: BudgetStats | None
    bulkhead: BulkheadStats | None


class Begun(msgspec.Struct, frozen=True, gc=False):
    """A first try that is under way.

    Attributes:
        ticket: of the breaker.
        limit_s: what the try may take. until: when that is over, in loop time.
    """

    ticket: int
    limit_s: float
    until: float


class Edge:
    """One edge of the system, as its caller sees it: deadline → bulkhead → (breaker → try)*.

    The bulkhead is outermost, so a call keeps its place while it pauses between tries: in an
    outage the compartment fills and callers are turned away, instead of piling up asleep. Each try
    passes the breaker, so retries stop the moment it opens. The budget is asked before the pause.

    `clock` may be the standard module `time` and `rng` the module `random`, outside of Holdfast.
    """

    __slots__ = (
        "_breaker",
        "_budget",
        "_bulkhead",
        "_calls",
        "_clock",
        "_patience_s",
        "_policy",
        "_rng",
        "_tries",
        "_watch",
        "name",
    )

    def __init__(self, name: str, policy: EdgePolicy, clock: Ticks, rng: Chance) -> None:
        self.name = name
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._watch = Watch()
        breaker = policy.breaker
        self._breaker = CircuitBreaker(breaker, rng) if breaker else None
        self._patience_s = min(breaker.patience_s, policy.timeout_s) if breaker else 0.0
        self._budget = RetryBudget(policy.budget) if policy.budget else None
        self._bulkhead = Bulkhead(policy.bulkhead, name) if policy.bulkhead else None
        self._calls = self._tries = 0

    async def call(
        self,
        operation: Callable[[float], Awaitable[T]],
        *,
        deadline: float | None,
        idempotent: bool,
        patient: bool = False,
    ) -> T:
        """Return what `operation` returns, trying again where that is safe and worth it.

        Args:
            operation: gets the seconds that this try may take, and is cancelled after them. It
                raises a CallError for what went wrong on the way; any other exception is taken
                for an answer and passed on.
            deadline: loop time in seconds; nothing is sent and nobody waits after it.
            idempotent: doing it twice is the same as once. Without it only errors that say
                effect "none" are tried again.
            patient: wait for a place until the deadline, see `Bulkhead.enter`.
        Raises:
            DeadlinePassed, CircuitOpen, BulkheadFull: nothing was sent.
            CallError: the most telling one of all tries. Its effect holds for the call as a whole:
                if one try may have had an effect, a later one that had none does not hide it.
        """
        self._calls += 1
        bulkhead = self._bulkhead
        if bulkhead is None:
            return await self._repeat(operation, deadline, idempotent)
        if not bulkhead.try_enter():
            await bulkhead.enter(self._left_s(deadline), patient=patient)
        try:
            return await self._repeat(operation, deadline, idempotent)
        finally:
            bulkhead.leave()

    def begin(self, deadline: float | None) -> Begun | None:
        """Begin a call whose breaker is closed and for which there is a place; None: use `call`.

        It is for who keeps the limit of a try by itself, and saves a coroutine for each of the
        defences. What it returns is ended once, by `ended` or by `go_on`; the two do what `call`
        would.
        """
        now = self._clock.monotonic()
        limit_s = self._policy.timeout_s
        if deadline is not None and deadline - now < limit_s:
            limit_s = deadline - now
        breaker, bulkhead = self._breaker, self._bulkhead
        ticket = 0 if breaker is None else breaker.ticket
        if limit_s <= 0 or ticket is None:
            return None
        if bulkhead is not None and not bulkhead.try_enter():
            return None
        self._calls += 1
        self._tries += 1
        if self._budget is not None:
            self._budget.deposit(now)
        return Begun(ticket, limit_s, now + limit_s)

    def ended(self, begun: Begun) -> None:
        """End a first try that was answered."""
        if self._breaker is not None:
            self._breaker.succeeded(begun.ticket, self._clock.monotonic())
        if self._bulkhead is not None:
            self._bulkhead.leave()

    async def go_on(
        self,
        begun: Begun,
        error: BaseException,
        operation: Callable[[float], Awaitable[T]],
        *,
        deadline: float | None,
        idempotent: bool,
    ) -> T:
        """End a first try that raised: try again as `call` does, or raise."""
        over = isinstance(error, CallError) and self._clock.monotonic() >= begun.until
        unanswered = over or isinstance(error, TimeoutError)
        told = self._unanswered(begun.limit_s) if unanswered else error
        try:
            self._judge(begun.ticket, told, begun.limit_s)
            if not isinstance(told, CallError | Overloaded):
                raise told
            return await self._repeat(operation, deadline, idempotent, told)
        finally:
            del error, told  # see `_repeat`
            if self._bulkhead is not None:
                self._bulkhead.leave()

    def stats(self) -> EdgeStats:
        """Return the counts of the edge and of its defences."""
        return EdgeStats(
            calls=self._calls,
            tries=self._tries,
            breaker=self._breaker.stats() if self._breaker else None,
            budget=self._budget.stats(self._clock.monotonic()) if self._budget else None,
            bulkhead=self._bulkhead.stats() if self._bulkhead else None,
        )

    async def _repeat(
        self,
        operation: Callable[[float], Awaitable[T]],
        deadline: float | None,
        idempotent: bool,
        failed: CallError | Overloaded | None = None,
    ) -> T:
        """Try until it is answered or not worth it; `failed` is what the first try has raised."""
        failures = 0
        worst: CallError | Overloaded | None = None
        try:
            while True:
                try:
                    if failed is not None and not failures:
                        raise failed
                    return await self._try(operation, deadline, is_first=failures == 0)
                except (CallError, Overloaded) as error:
                    failures += 1
                    if worst is None or _weight(error) >= _weight(worst):
                        worst = error
                    pause = self._pause_s(error, failures, deadline, idempotent)
                    if pause is None:
                        if worst is error:
                            raise
                        raise worst from error
                await asyncio.sleep(pause)
        finally:
            worst = failed = (
                None  # an error keeps this frame alive, which must not keep the error alive
            )

    async def _try(
        self, operation: Callable[[float], Awaitable[T]], deadline: float | None, *, is_first: bool
    ) -> T:
        now = self._clock.monotonic()
        limit_s = self._policy.timeout_s
        if deadline is not None and deadline - now < limit_s:
            limit_s = deadline - now
            if limit_s <= 0:
                raise self._late()
        breaker = self._breaker
        ticket = 0
        if breaker is not None:
            passed = breaker.try_pass(now)
            if passed is None:
                raise CircuitOpen(
                    f"{self.name}: the circuit is open after repeated failures; nothing was sent",
                    edge=self.name,
                )
            ticket = passed
        self._tries += 1
        if is_first and self._budget is not None:
            self._budget.deposit(now)
        try:
            answer = await self._watch.run(operation, limit_s=limit_s, now=now)
        except BaseException as error:  # raised again: a cancellation gives its ticket back, too
            self._judge(ticket, error, limit_s)
            if isinstance(error, TimeoutError):
                raise self._unanswered(limit_s) from error
            raise
        if breaker is not None:
            breaker.succeeded(ticket, self._clock.monotonic())
        return answer

    def _judge(self, ticket: int, error: BaseException, limit_s: float) -> None:
        """Tell the breaker what an error says about the other side."""
        breaker = self._breaker
        if breaker is None:
            return
        verdict = health(error)
        if limit_s < self._patience_s and isinstance(error, TimeoutError | DeadlineExceeded):
            verdict = "unknown"  # its caller was in a hurry
        if verdict == "unknown":
            breaker.dropped(ticket)
        elif verdict == "ill":
            breaker.failed(ticket, self._clock.monotonic())
        else:
            breaker.succeeded(ticket, self._clock.monotonic())

    def _pause_s(
        self, error: Exception, failures: int, deadline: float | None, idempotent: bool
    ) -> float | None:
        """Return the pause before the next try, or None when there is to be none."""
        policy = self._policy.retry
        if policy is None or asked_above.get() or not may_repeat(error, idempotent=idempotent):
            return None
        pause = pause_s(error, failures, policy, self._rng)
        now = self._clock.monotonic()
        if pause is None or pause >= remaining_s(deadline, now):
            return None
        if self._budget is not None and not self._budget.try_withdraw(now):
            return None
        return pause

    def _left_s(self, deadline: float | None) -> float:
        left_s = remaining_s(deadline, self._clock.monotonic())
        if left_s <= 0:
            raise self._late()
        return left_s

    def _unanswered(self, limit_s: float) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self.name}: no answer within {limit_s:g} s", edge=self.name)

    def _late(self) -> DeadlinePassed:
        return DeadlinePassed(
            f"{self.name}: the deadline passed before anything was sent", edge=self.name
        )


def _weight(error: CallError | Overloaded) -> int:
    """Rank errors by what a caller must know: that something may have happened comes first."""
    if isinstance(error, CircuitOpen | DeadlinePassed):
        return 0  # says less than the failure before it
    return {"none": 1, "unknown": 2, "done": 3}[error.effect]
