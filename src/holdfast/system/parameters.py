"""What handlers take: Tx, Read, Outside, Saga and Caller.

These are the shapes that users program against; `consistency` and `dispatch` implement them.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)
from uuid import UUID

from holdfast.contract.messages import AnyCommand, Command, Event, Query, Undo
from holdfast.contract.model import Model
from holdfast.system.external import External, ExternalAnswer

if TYPE_CHECKING:
    from sqlalchemy import Executable, Result, Table

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C", bound=AnyCommand)
C_co = TypeVar("C_co", covariant=True)
E = TypeVar("E", bound=Event)
E2 = TypeVar("E2", bound=Event)
E3 = TypeVar("E3", bound=Event)
R = TypeVar("R")
Q = TypeVar("Q", bound=Model)
P = ParamSpec("P")


class Caller(NamedTuple):
    """Who was authenticated.

    Attributes:
        subject: the `sub` of the token, or the name of a calling service.
        scopes: what the token allows.
        client: the application that calls in the subject's name; "" if the token names none.
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    client: str = ""


@dataclass(frozen=True, slots=True)
class Mounted:
    """What the gateway found out about a request to a mounted app.

    It comes from the gateway and not from a header, so that no client can forge it. In a FastAPI
    app, `Mounted.of(request.scope)` in a dependency.

    Attributes:
        caller: who was authenticated, with scopes; None below a public mount.
        correlation_id: finds all logs of what this request caused; also `X-Correlation-Id`.
        traceparent: the W3C trace context; also the header `traceparent`.
    """

    caller: Caller | None
    correlation_id: str
    traceparent: str

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> "Mounted":
        """Return what an ASGI scope carries.

        Raises:
            LookupError: the app is not mounted in a service, so there is no gateway before it.
        """
        found = scope.get("state", {}).get("holdfast")
        if not isinstance(found, cls):
            raise LookupError("this request came by no gateway: mount the app in a Service")
        return found


class Read(Protocol):
    """A read-only view of the service's own committed data.

    Beside `tx` it is a look before the transaction: it leaves `outside` open, and the first
    statement on `tx` shuts it. What it has shown may be old by then.
    """

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, object] | None = None
    ) -> "Result[Any]":
        """Run a SQLAlchemy SELECT."""
        ...

    @property
    def now(self) -> datetime:
        """The database's time, UTC."""
        ...


class Tx(Protocol):
    """The handler's one local transaction.

    It begins with the first statement, and from there the handler may await `tx` alone. What is
    inserted, updated, sent, published and started is kept if, and only if, the handler returns.
    """

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, object] | None = None
    ) -> "Result[Any]":
        """Run a SQLAlchemy statement; buffered inserts and updates are flushed first."""
        ...

    def insert(self, table: "Table", /, **values: object) -> None:
        """Insert one row, at the latest when the handler returns."""
        ...

    def update(self, table: "Table", key: object, /, **values: object) -> None:
        """Update the row with this primary key (a tuple if it has several columns).

        Raises (at the flush): StatementFailed if there is no such row.
        """
        ...

    def publish(self, event: Event) -> None:
        """Tell every subscriber, once, after the commit."""
        ...

    def send(self, command: Command[Any], *, delay: timedelta | None = None) -> None:
        """Send a command whose answer nobody waits for, after the commit."""
        ...

    @overload
    def start(
        self, saga: Callable[Concatenate["Saga", Q, ...], Coroutine[object, None, None]], input: Q
    ) -> UUID: ...
    @overload
    def start(
        self,
        saga: Callable[Concatenate["Saga", Q, ...], Coroutine[object, None, None]],
        input: Q,
        *,
        key: str,
    ) -> Awaitable[UUID]: ...

    def start(
        self,
        saga: Callable[Concatenate["Saga", Q, ...], Coroutine[object, None, None]],
        input: Q,
        *,
        key: str | None = None,
    ) -> UUID | Awaitable[UUID]:
        """Start a saga if, and only if, this transaction commits; return its id.

        `key` is unique among the sagas of this type while their rows exist: a second start with
        the same key does nothing. Then `await tx.start(…, key=…)` is the id of the saga that has
        the key; it is started all the same if nobody awaits it.
        """
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Undo only what is inside, if an exception leaves it."""
        ...

    def new_id(self) -> UUID:
        """Return a time-ordered id; the same one on every try of the same letter."""
        ...

    @property
    def now(self) -> datetime:
        """The time of this work, UTC; the same one on every try of the same letter."""
        ...

    @property
    def on_behalf_of(self) -> str:
        """The subject of the request that this work goes back to; "" for nobody, as in jobs.

        It is data that came along with letters and sagas. Nobody has proved it here, and the token
        that did may have ended long ago: nothing may be allowed because of it.
        """
        ...


class Outside(Protocol):
    """The world beyond this service's database. The first statement on `tx` shuts it."""

    async def ask(self, query: Query[R]) -> R:
        """Ask another service. Raises the query's failures, and CallError."""
        ...

    async def request(
        self,
        method: str,
        external: External,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ExternalAnswer:
        """Send a request to an External, with that edge's policies.

        Methods with an effect carry a stable Idempotency-Key and belong in a command's handler.
        """
        ...

    async def get(
        self, external: External, path: str, *, headers: Mapping[str, str] | None = None
    ) -> ExternalAnswer:
        """Read from an External."""
        ...

    async def post(
        self,
        external: External,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ExternalAnswer:
        """Post to an External; every try of this handler sends the same key."""
        ...

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread."""
        ...

    def audit(
        self, what: str, *, who: str, authority: str = "", on: str = "", outcome: str = "done"
    ) -> None:
        """Write an entry of the audit log, at once, whatever becomes of the transaction.

        The same again within a minute is counted. A handler that is run again writes it again.

        Args:
            what: a fixed name, such as `sign-in`; the service's name is put before it.
            who: an id rather than an address or a name: entries are not deleted.
            authority: by what that was proved, such as `password`.
            on: what it was done to. outcome: `accepted`, `done`, or `refused: …` with why.
        """
        ...


class Step(Protocol[C_co, R_co]):
    """A command as a saga's step: its own type, for `undo=`, and its reply's."""

    def _itself(self) -> C_co: ...

    def _reply(self) -> R_co: ...


class Saga(Protocol):
    """A saga's function is run again over its recorded steps; it awaits nothing but its saga."""

    @property
    def id(self) -> UUID:
        """The saga's id."""
        ...

    @property
    def version(self) -> int:
        """The version of the function that this saga began with, or was restarted with.

        `if saga.version >= 2: …` keeps the old steps for the sagas that are under way.
        """
        ...

    @property
    def now(self) -> datetime:
        """When the last step ended, UTC."""
        ...

    def new_id(self) -> UUID:
        """Return an id derived from the saga and the place in it."""
        ...

    async def call(
        self,
        command: Step[C, R],
        *,
        undo: Undo[C] | None = None,
        timeout: timedelta | None = None,
    ) -> R:
        """Send a command and wait for its reply.

        Raises one of the command's failures, or Unanswered after `timeout` (24 h).
        """
        ...

    async def local(
        self,
        function: Callable[Concatenate[Tx, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function(tx, …)` in the transaction that advances the saga."""
        ...

    async def sleep(self, duration: timedelta) -> None:
        """Go on after `duration`; costs a row, not memory."""
        ...

    @overload
    async def wait(self, event: type[E], key: object, /, *, timeout: timedelta) -> E | None: ...
    @overload
    async def wait(
        self, event: type[E], other: type[E2], key: object, /, *, timeout: timedelta
    ) -> E | E2 | None: ...
    @overload
    async def wait(
        self,
        event: type[E],
        other: type[E2],
        third: type[E3],
        key: object,
        /,
        *,
        timeout: timedelta,
    ) -> E | E2 | E3 | None: ...

    async def wait(self, *events_and_key: Any, timeout: timedelta) -> Any:
        """Wait for an event, or the first of several, whose topic field equals `key`.

        Returns None after `timeout`. An event that came before the wait counts too, for as long
        as it is kept (24 h); of several, the one that was published first.
        """
        ...

    @overload
    async def gather(
        self, one: Coroutine[object, None, T1], two: Coroutine[object, None, T2], /
    ) -> tuple[T1, T2]: ...
    @overload
    async def gather(
        self,
        one: Coroutine[object, None, T1],
        two: Coroutine[object, None, T2],
        three: Coroutine[object, None, T3],
        /,
    ) -> tuple[T1, T2, T3]: ...
    @overload
    async def gather(self, *calls: Coroutine[object, None, T]) -> tuple[T, ...]: ...

    async def gather(self, *calls: Coroutine[object, None, object]) -> object:
        """Make calls at the same time, and return their replies in order.

        Raises the first failure by position, when all have ended.
        """
        ...

    async def undo(self) -> None:
        """Undo what was done and what may have been done, newest first, each until it succeeds."""
        ...

    async def restart(self, input: Model) -> None:
        """Begin again from the top with a new input and no recorded steps; does not return."""
        ...
