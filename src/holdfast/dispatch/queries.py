"""Queries: answered at once, from a read-only view, by whoever handles them."""

import asyncio
from typing import Protocol, TypeVar

from holdfast.consistency.ledger import Ledger
from holdfast.contract.carrier import carrier_of
from holdfast.contract.cause import Cause
from holdfast.contract.failure import Failure
from holdfast.contract.messages import AnyQuery, Query
from holdfast.dispatch.outside import OutsideView, Reach
from holdfast.dispatch.resolve import Provided, Work
from holdfast.dispatch.view import ReadView
from holdfast.errors import (
    BadAnswer,
    CallError,
    DeadlineExceeded,
    Forbidden,
    NotCarried,
    Overloaded,
    TransactionLost,
    Unreachable,
)
from holdfast.observability import Operation
from holdfast.pump import is_cancelled
from holdfast.resilience import Watch, asked_above
from holdfast.system.tables import MessageHandler

R = TypeVar("R")


class CompiledQuery:
    """One query's handler, ready to answer.

    Args:
        senders: who declares that it asks this; everybody else is refused.
    """

    def __init__(
        self,
        handler: MessageHandler,
        *,
        ledger: Ledger,
        provided: Provided,
        reach: Reach,
        operation: Operation,
        senders: frozenset[str],
    ) -> None:
        self.message: type[AnyQuery] = handler.message  # type: ignore[assignment]  # of a query
        self._function = handler.function
        self._arguments = provided.arguments(handler.signature)
        self._ledger = ledger
        self._reach = reach
        self._operation = operation
        self._senders = senders
        self._watch = Watch()
        self._reply = carrier_of(handler.message.reply_type)  # type: ignore[attr-defined]  # of a query

    def check(self, sender: str) -> None:
        """Refuse who does not declare that he asks this. Raises Forbidden: the line to add."""
        if sender not in self._senders:
            name = self.message.name
            raise Forbidden(
                f"{sender} asks {name} without declaring it; add {name} to "
                f"`calls=[…]` of Service({sender!r})"
            )

    async def answer(self, query: Query[R], *, sender: str, deadline: float, cause: Cause) -> R:
        """Answer as a remote service would: a reply, a declared failure, CallError, Overloaded."""
        self.check(sender)
        loop = asyncio.get_running_loop()
        started, outcome = loop.time(), ""
        error: BaseException | None = None
        span = self._operation.begin(cause)
        above = asked_above.set(True)
        view = ReadView(self._ledger)
        outside = OutsideView(self._reach, unit=None, deadline=deadline)
        try:
            arguments = self._arguments(Work(message=query, read=view, outside=outside))
            reply = await self._watch.run(
                lambda _: self._function(**arguments), limit_s=deadline - started, now=started
            )
            fitting: R = self._reply.fit(reply)
            self._reply.encode(fitting)  # refused here too if it could not leave the process
            return fitting
        except TimeoutError as exc:
            outcome, error = "deadline_exceeded", exc
            raise DeadlineExceeded(f"{query.name}: no answer in time") from exc
        except Failure as failure:
            outcome, error = failure.name, failure
            _check(query, failure)
            raise
        except (CallError, Overloaded) as exc:
            outcome, error = exc.code, exc
            raise
        except TransactionLost as exc:  # the database is away: another try may find it
            outcome, error = "unreachable", exc
            raise Unreachable(f"{query.name}: {exc}", edge=query.name) from exc
        except (Exception, asyncio.CancelledError) as exc:  # a bug there is a bad answer here
            if isinstance(exc, asyncio.CancelledError) and is_cancelled():
                raise  # somebody wished it
            outcome, error = type(exc).__name__, exc
            raise BadAnswer(f"{query.name}: {type(exc).__name__}") from exc
        finally:
            asked_above.reset(above)
            await view.close()
            self._operation.end(span, outcome, error)


def _check(query: AnyQuery, failure: Failure) -> None:
    """Refuse a failure that could not cross to another process. Raises BadAnswer."""
    if type(failure) not in type(query).fails:
        raise BadAnswer(f"{query.name}: {failure.name} is not declared") from failure
    try:
        carrier_of(type(failure)).encode(failure)
    except NotCarried as exc:
        raise BadAnswer(f"{query.name}: {exc}") from exc


class Answerer(Protocol):
    """Whoever answers queries."""

    message: type[AnyQuery]

    def check(self, sender: str) -> None:
        """Refuse who may not ask. Raises Forbidden."""
        ...

    async def answer(self, query: Query[R], *, sender: str, deadline: float, cause: Cause) -> R:
        """Answer one."""
        ...


class QueriesHere:
    """Finds the handlers of queries in this process."""

    def __init__(self) -> None:
        self._answerers: dict[str, Answerer] = {}

    def serve(self, wire_name: str, answerer: Answerer) -> None:
        """Register who answers a query."""
        self._answerers[wire_name] = answerer

    def type_of(self, wire_name: str) -> type[AnyQuery] | None:
        """Return the query of that name if it is answered here."""
        found = self._answerers.get(wire_name)
        return None if found is None else found.message

    def check(self, wire_name: str, sender: str) -> None:
        """Refuse who may not ask a query that is answered here. Raises Forbidden."""
        self._answerers[wire_name].check(sender)

    async def ask(self, query: Query[R], *, sender: str, deadline: float, cause: Cause) -> R:
        """See `Asks.ask`."""
        found = self._answerers.get(query.wire_name())
        if found is None:
            raise Unreachable(f"nobody in this process answers {query.name}", edge=query.name)
        return await found.answer(query, sender=sender, deadline=deadline, cause=cause)
