"""Service: what one service offers, handles, sends and needs. It only records; it does no I/O."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.contract.messages import Command, Event, Query
from holdfast.contract.tier import Tier, TierName
from holdfast.resilience import EdgePolicy
from holdfast.system.attempts import Attempts
from holdfast.system.deploy import Pods
from holdfast.system.external import External
from holdfast.system.measures import DURATIONS, Measure, ServiceCounter, ServiceHistogram
from holdfast.system.parameters import Tx
from holdfast.system.rhythm import Daily, Every, Rhythm
from holdfast.system.slo import Slo

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import MetaData

Function = Callable[..., Coroutine[object, None, object]]
SagaFunction = Callable[..., Coroutine[object, None, None]]
F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=SagaFunction)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError(
            f"zone={name!r} is not known; write one such as 'Europe/Berlin', and where the "
            "system has no zones, `pip install tzdata`"
        ) from exc


_VERSION = "__holdfast_version__"


def declared_version(saga: Callable[..., object]) -> int:
    """Return the version with which a saga's function was registered; 1 if it was not."""
    return int(getattr(saga, _VERSION, 1))


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP route as it was declared.

    Attributes:
        scope: what the token must allow; None: any valid token.
        public: no token is needed.
        record: whether an Idempotency-Key records the response; False if it holds secrets.
        attempts: how often it may be tried for one account and from one address.
        slo: its own; None: that of the service, or of the system.
        tier: what gives way to it, and it to what, when a process cannot serve all.
        hedge_s: after so long without an answer another process is asked as well; None: never.
    """

    method: str
    path: str
    function: Function
    status_code: int
    scope: str | None
    public: bool
    record: bool
    attempts: Attempts | None = None
    slo: Slo | None = None
    tier: Tier = Tier.NORMAL
    hedge_s: float | None = None


@dataclass(frozen=True, slots=True)
class HandlerDeclaration:
    """A handler as it was declared; `alone` keeps it out of batches."""

    function: Function
    alone: bool


@dataclass(frozen=True, slots=True)
class SagaDeclaration:
    """A saga as it was declared; `was` are names that it had in earlier versions."""

    function: SagaFunction
    version: int
    waits: tuple[type[Event], ...]
    was: tuple[str, ...] = ()
    slo: Slo | None = None

    @property
    def name(self) -> str:
        """The saga's type, the name of its function."""
        return self.function.__name__


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job: replicas run each tick once, missed ticks become one.

    Attributes:
        was: the name under which its ticks are kept, if its function was renamed.
    """

    function: Function
    rhythm: Rhythm
    was: str | None = None

    @property
    def name(self) -> str:
        """The job's name, the name of its function."""
        return self.function.__name__

    @property
    def kept_as(self) -> str:
        """The name under which its ticks are kept."""
        return self.was or self.name


def tick_of(job: str) -> str:
    """Return the type of the ticks that are kept under a job's name."""
    return f"tick {job}"


@dataclass(frozen=True, slots=True)
class Mount:
    """An ASGI app that serves everything below a path."""

    path: str
    app: Any
    public: bool


@dataclass(slots=True)
class Service:
    """One service: a name, its data, what it may send, and what it handles.

    Args:
        name: its one name, in settings, databases, addresses and metrics: small letters, digits and
            hyphens.
        tables: the SQLAlchemy MetaData of its own tables, or several.
        calls: the commands and queries of others that it may send; their undos are included.
        publishes: the events that it may publish.
        reaches: the third parties that it may call.
        migrations: the folder of its tables' revisions, such as `shop.orders:migrations` or a
            path; `holdfast migrate` writes and runs them. Without one its first start makes the
            tables, and nothing changes them.
        gone: names of jobs that it does not have any more: what ticks they have left is dropped.
        policies: {query: EdgePolicy}, to tune the edge over which it is asked.
        slo: what is promised of its routes and sagas; None: what the system promises.
        deploy: how its pods run on a cluster.
    """

    name: str
    tables: "MetaData | Sequence[MetaData]" = ()
    calls: Sequence[type[Command[Any]] | type[Query[Any]]] = ()
    publishes: Sequence[type[Event]] = ()
    reaches: Sequence[External] = ()
    migrations: "Path | str | None" = None
    gone: Sequence[str] = ()
    policies: dict[type[Query[Any]], EdgePolicy] = field(
        default_factory=dict[type[Query[Any]], EdgePolicy]
    )
    slo: Slo | None = None
    deploy: Pods = field(default_factory=Pods)
    routes: list[Route] = field(default_factory=list[Route], init=False)
    handlers: list[HandlerDeclaration] = field(default_factory=list[HandlerDeclaration], init=False)
    sagas: list[SagaDeclaration] = field(default_factory=list[SagaDeclaration], init=False)
    jobs: list[Job] = field(default_factory=list[Job], init=False)
    providers: list[Callable[..., object]] = field(
        default_factory=list[Callable[..., object]], init=False
    )
    measures: list[Measure] = field(default_factory=list[Measure], init=False)
    mounts: list[Mount] = field(default_factory=list[Mount], init=False)
    _begin: Callable[[], AbstractAsyncContextManager[Tx]] | None = field(
        default=None, init=False, repr=False
    )

    @overload
    def handles(self, function: F, /) -> F: ...
    @overload
    def handles(self, /, *, alone: bool = False) -> Callable[[F], F]: ...

    def handles(self, function: F | None = None, /, *, alone: bool = False) -> F | Callable[[F], F]:
        """Register the handler of the command, undo, query or event that its annotation names."""

        def register(function: F) -> F:
            self.handlers.append(HandlerDeclaration(function, alone))
            return function

        return register if function is None else register(function)

    @overload
    def saga(self, function: S, /) -> S: ...
    @overload
    def saga(
        self,
        /,
        *,
        version: int = 1,
        waits: Sequence[type[Event]] = (),
        was: str | Sequence[str] = (),
        slo: Slo | None = None,
    ) -> Callable[[S], S]: ...

    def saga(
        self,
        function: S | None = None,
        /,
        *,
        version: int = 1,
        waits: Sequence[type[Event]] = (),
        was: str | Sequence[str] = (),
        slo: Slo | None = None,
    ) -> S | Callable[[S], S]:
        """Register a saga.

        Args:
            version: count it up whenever the steps change; `saga.version` tells a saga that is
                under way which one it began with.
            waits: the events that it waits for.
            was: names that its function had, until the sagas of that name have ended.
            slo: its own; `Slo(settled_s=30, share=0.99)`.
        """
        names = (was,) if isinstance(was, str) else tuple(was)

        def register(function: S) -> S:
            self.sagas.append(SagaDeclaration(function, version, tuple(waits), names, slo))
            setattr(function, _VERSION, version)
            return function

        return register if function is None else register(function)

    @overload
    def every(self, period: timedelta, /, *, was: str | None = None) -> Callable[[F], F]: ...
    @overload
    def every(
        self, /, *, at: time, zone: str = "UTC", was: str | None = None
    ) -> Callable[[F], F]: ...

    def every(
        self,
        period: timedelta | None = None,
        /,
        *,
        at: time | None = None,
        zone: str = "UTC",
        was: str | None = None,
    ) -> Callable[[F], F]:
        """Run the function once in each `period`, or once a day, whatever the number of replicas.

        Args:
            at: the time of day, instead of a period.
            zone: where it is that time, such as `Europe/Berlin`.
            was: the name of the function when the job was first deployed, if it had another one.
        Raises:
            ValueError: the zone is not known, or neither a period nor a time is given.
        """
        rhythm: Rhythm
        if at is not None and period is None and at.tzinfo is None:
            rhythm = Daily(at, _zone(zone))
        elif period is not None and at is None:
            rhythm = Every(period.total_seconds())
        else:
            raise ValueError(
                'write `every(timedelta(hours=1))`, or `every(at=time(3), zone="Europe/Berlin")` '
                "with a time that has no zone of its own"
            )

        def register(function: F) -> F:
            self.jobs.append(Job(function, rhythm, was))
            return function

        return register

    def counter(self, name: str, help: str, /, *, labels: Sequence[str] = ()) -> ServiceCounter:
        """Declare a counter, shown at `/metrics` with a `service` label.

        Args:
            name: as Prometheus asks for it, so that it ends in `_total`.
            help: one sentence that says what is counted.
            labels: names of its labels, each with few values: never an id.
        """
        counter = ServiceCounter(name, help, tuple(labels))
        self.measures.append(counter)
        return counter

    def histogram(
        self,
        name: str,
        help: str,
        /,
        *,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = DURATIONS,
    ) -> ServiceHistogram:
        """Declare a histogram; the rest as for `counter`.

        Args:
            name: with its unit at the end, such as `_seconds`, `_bytes` or `_euros`.
            buckets: their upper bounds; those of durations in seconds by default.
        """
        histogram = ServiceHistogram(name, help, tuple(labels), tuple(buckets))
        self.measures.append(histogram)
        return histogram

    def provides(self, function: F) -> F:
        """Register what makes a value of the annotated return type, once per process.

        An async generator yields the value and cleans up after its `yield` when the service stops.
        """
        self.providers.append(function)
        return function

    def _route(
        self,
        method: str,
        path: str,
        *,
        status_code: int,
        scope: str | None,
        public: bool,
        record: bool = True,
        attempts: Attempts | None = None,
        slo: Slo | None = None,
        tier: TierName = "normal",
        hedge: timedelta | None = None,
    ) -> Callable[[F], F]:
        hedge_s = None if hedge is None else hedge.total_seconds()
        if hedge_s is not None and hedge_s <= 0:
            raise ValueError(f"hedge={hedge} of {method} {path}: no time at all; raise it over 0")

        def register(function: F) -> F:
            options = (status_code, scope, public, record, attempts, slo, Tier.named(tier), hedge_s)
            route = Route(method, path, function, *options)
            self.routes.append(route)
            return function

        return register

    def get(
        self,
        path: str,
        *,
        status_code: int = 200,
        scope: str | None = None,
        public: bool = False,
        slo: Slo | None = None,
        tier: TierName = "normal",
        hedge: timedelta | None = None,
    ) -> Callable[[F], F]:
        """Serve GET. Any valid token may call it; `scope` asks for more, `public` for none.

        `slo=Slo(latency_ms=2_000)` promises something else of it than of the service. Under too
        much load `tier="bulk"` gives way to what is `"normal"`, and that to what is `"critical"`.
        With `hedge=timedelta(milliseconds=80)` a gateway that has no answer by then asks another
        process of the service as well.
        """
        return self._route(
            "GET",
            path,
            status_code=status_code,
            scope=scope,
            public=public,
            slo=slo,
            tier=tier,
            hedge=hedge,
        )

    def post(
        self,
        path: str,
        *,
        status_code: int = 200,
        scope: str | None = None,
        public: bool = False,
        record: bool = True,
        attempts: Attempts | None = None,
        slo: Slo | None = None,
        tier: TierName = "normal",
    ) -> Callable[[F], F]:
        """Serve POST. `record=False` keeps a response with secrets out of the key's record.

        `attempts=Attempts(of="email")` limits how often it is tried: for log-ins and other guesses.
        """
        return self._route(
            "POST",
            path,
            status_code=status_code,
            scope=scope,
            public=public,
            record=record,
            attempts=attempts,
            slo=slo,
            tier=tier,
        )

    def put(
        self,
        path: str,
        *,
        status_code: int = 200,
        scope: str | None = None,
        public: bool = False,
        record: bool = True,
        slo: Slo | None = None,
        tier: TierName = "normal",
    ) -> Callable[[F], F]:
        """Serve PUT; options as for `post`."""
        return self._route(
            "PUT",
            path,
            status_code=status_code,
            scope=scope,
            public=public,
            record=record,
            slo=slo,
            tier=tier,
        )

    def patch(
        self,
        path: str,
        *,
        status_code: int = 200,
        scope: str | None = None,
        public: bool = False,
        record: bool = True,
        slo: Slo | None = None,
        tier: TierName = "normal",
    ) -> Callable[[F], F]:
        """Serve PATCH; options as for `post`."""
        return self._route(
            "PATCH",
            path,
            status_code=status_code,
            scope=scope,
            public=public,
            record=record,
            slo=slo,
            tier=tier,
        )

    def delete(
        self,
        path: str,
        *,
        status_code: int = 204,
        scope: str | None = None,
        public: bool = False,
        record: bool = True,
        slo: Slo | None = None,
        tier: TierName = "normal",
    ) -> Callable[[F], F]:
        """Serve DELETE, which answers nothing (204) by default; options as for `post`."""
        return self._route(
            "DELETE",
            path,
            status_code=status_code,
            scope=scope,
            public=public,
            record=record,
            slo=slo,
            tier=tier,
        )

    def mount(self, path: str, app: object, *, public: bool = False) -> None:
        """Serve an existing ASGI app below `path`; the gateway still asks for a token."""
        self.mounts.append(Mount(path.rstrip("/"), app, public))

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """Open a transaction from code that Holdfast does not call, such as a mounted app.

        Raises:
            RuntimeError: the service is not running in this process.
        """
        if self._begin is None:
            raise RuntimeError(
                f"service {self.name!r} is not running in this process; "
                "run it with `holdfast run`, or with `holdfast.testing.running()` in a test"
            )
        return self._begin()

    @property
    def metadata(self) -> tuple["MetaData", ...]:
        """Its tables, as a tuple of MetaData."""
        if isinstance(self.tables, (list, tuple)):
            return tuple(self.tables)
        return (self.tables,)  # type: ignore[return-value]  # a MetaData, which is no Sequence

    def __hash__(self) -> int:
        return hash(self.name)
