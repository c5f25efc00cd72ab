"""The host of one service: its core, its compiled handlers and routes, its start and its stop."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from holdfast.consistency.advance import SagaType
from holdfast.consistency.core import Core, Duties, Observers
from holdfast.consistency.interventions import Interventions
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule, floors_lag_ms
from holdfast.consistency.told import parted
from holdfast.consistency.turn import Effects
from holdfast.consistency.unit import Unit
from holdfast.consistency.unknown import unknown_work
from holdfast.contract.cause import Cause
from holdfast.contract.failure import Failure
from holdfast.contract.http import Request
from holdfast.contract.messages import Query, known_as
from holdfast.dispatch.addresses import addresses_of, edges_of, known_of, senders_of
from holdfast.dispatch.attempts import AttemptLimits
from holdfast.dispatch.handlers import (
    Compiled,
    CompiledHandler,
    CompiledJob,
    GoneJob,
)
from holdfast.dispatch.opened import opened
from holdfast.dispatch.outside import Asks, Blocking, Reach, Send, asked
from holdfast.dispatch.queries import CompiledQuery, QueriesHere
from holdfast.dispatch.resolve import Provided
from holdfast.dispatch.routes import CompiledRoute
from holdfast.dispatch.trail import ServiceTrail, about
from holdfast.dispatch.watches import watch_core, watch_edge
from holdfast.observability import (
    SAGA_ENDS,
    SERVED_ERRORS,
    Audit,
    Context,
    Logger,
    Metrics,
    Operation,
    SpanKind,
    Tracing,
    catalogue,
    served,
    within,
)
from holdfast.observability.redact import describe
from holdfast.ports import Broker, Clock, Ids, Limits, Random
from holdfast.resilience import (
    AdaptivePrefetch,
    ConcurrencyLimits,
    DeadlinePassed,
    Edge,
    EdgePolicy,
)
from holdfast.storage import Database, Transaction
from holdfast.system import Service, System
from holdfast.system.checks import PATH_NAME
from holdfast.system.measures import Measure, Record
from holdfast.system.service import Route, SagaDeclaration, tick_of
from holdfast.system.signature import Signature, Source, read_signature
from holdfast.system.tables import MessageHandler, handlers_of, provided_types


@dataclass(frozen=True, slots=True)
class Ports:
    """The world, as the hosts of one process share it.

    Attributes:
        room: where it is told how long turns wait.
        witness: see `consistency.unit.Units`.
    """

    clock: Clock
    ids: Ids
    random: Random
    broker: Broker
    send: Send
    run: Callable[[Blocking], Awaitable[object]]
    limits: Limits
    room: ConcurrencyLimits
    environ: Mapping[str, str] = field(repr=False)
    metrics: Metrics
    logger: Logger
    tracing: Tracing
    audit: Audit
    current: ContextVar[Context]
    schedule: Schedule = field(default_factory=Schedule)
    safe: Safeguards = ALL_ON
    witness: Callable[[Unit], None] | None = None


class ServiceHost:
    """Runs one service in this process.

    Args:
        asks: where it answers queries. everywhere: where it asks; the same by default.

    Attributes:
        edges: over which it asks and reaches.
    """

    def __init__(
        self,
        service: Service,
        system: System,
        database: Database,
        ports: Ports,
        asks: QueriesHere,
        everywhere: Asks | None = None,
    ) -> None:
        self.edges: list[Edge] = []
        graph = system.graph()
        self.service = service
        self.name = service.name
        self.routes: list[CompiledRoute] = []
        self._system = system
        self._graph = graph
        self._known = known_of(service, graph)
        self._ports = ports
        self._asks = asks
        self.ledger = Ledger(
            service.name,
            database,
            ports.clock,
            ports.ids,
            ports.schedule,
            ports.safe,
            describe,
        )
        self.provided = Provided(service, ports.environ, self._notice)
        self._compiled: dict[str, Compiled] = {}
        with self.at_work():
            self.core = self._core()
        self.interventions = Interventions(self.core)
        self.strangers: list[str] = []
        self._looked = False
        self._records: dict[Measure, Record] = {}
        self.reach = Reach(
            service,
            everywhere or asks,
            ports.send,
            ports.run,
            self._edge,
            ports.tracing,
            ports.audit,
        )

    def _core(self) -> Core:
        service, ports = self.service, self._ports
        return Core(
            self.ledger,
            ports.broker,
            Duties(
                addresses_of(service, self._system, self._graph),
                senders_of(service, self._graph),
                self._compiled.get,
                self._saga_types(),
                {event.wire_name(): event for saga in service.sagas for event in saga.waits},
            ),
            Observers(
                self._notice,
                self._commits(),
                ports.room.waited,
                self._saga_ended,
                self._saga_parked,
                self._keep_looking,
                self._refused,
                ports.witness,
                ServiceTrail(service.name, ports.tracing),
            ),
            AdaptivePrefetch(ports.room, ports.clock.monotonic),
        )

    def at_work(self) -> AbstractContextManager[None]:
        """Let the lines of a block, and of the tasks that it makes, be of the service."""
        return within(Context(service=self.name))

    def _commits(self) -> Callable[[int, float, float], None]:
        metrics = self._ports.metrics
        batches, commits = metrics.batch_size(self.name), metrics.commit_duration(self.name)
        waits = metrics.gate_wait(self.name)

        def observe(turns: int, seconds: float, waited_s: float) -> None:
            batches.observe(turns)
            commits.observe(seconds)
            waits.observe(waited_s)

        return observe

    def _saga_types(self) -> dict[str, SagaType]:
        types: dict[str, SagaType] = {}
        for saga in self.service.sagas:
            input_type = read_signature(saga.function).parameters[1].kind
            kind = SagaType(
                saga.name, saga.function, saga.version, input_type, self._settings_of(saga)
            )
            types |= dict.fromkeys((saga.name, *saga.was), kind)
        return types

    def _settings_of(self, saga: SagaDeclaration) -> dict[str, object]:
        """Read the settings that a saga's function takes. Raises SettingError."""
        taken = read_signature(saga.function).of(Source.SETTINGS)
        return {parameter.name: self.provided.settings(parameter.kind) for parameter in taken}

    def _saga_ended(self, saga: str, outcome: str, took_ms: int) -> None:
        self._ports.metrics.saga(self.name, saga).observe(outcome, took_ms / 1000)

    def _saga_parked(self, saga: str, id: UUID, error: str) -> None:
        self._ports.metrics.saga(self.name, saga).observe("parked", 0.0)
        said, place = parted(error)
        self._notice("saga.parked", saga=saga, id=str(id), error=said, at=place)

    def _notice(self, event: str, *, cause: Cause | None = None, **fields: Any) -> None:
        context = msgspec.structs.replace(self._ports.current.get(), service=self.name)
        with within(context if cause is None else about(cause, self.name)):
            self._ports.logger.warning(event, **fields)

    def _refused(self, sender: str, what: str, why: str) -> None:
        self._ports.audit.record(
            "letter.refused", who=f"service {sender}", on=what, outcome=f"refused: {why}"
        )

    def _edge(self, name: str, policy: EdgePolicy | None) -> Edge:
        edge = Edge(name, policy or EdgePolicy(), self._ports.clock, self._ports.random)
        watch_edge(self._ports.metrics, edge)
        self.edges.append(edge)
        return edge

    # -- start and stop ---------------------------------------------------------------------------

    async def open(self, *, made: bool = False) -> None:
        """Open the database; make its tables, unless they were made."""
        tables = None if made else self.service.metadata
        edges = edges_of(self.name, self._graph)
        lag_ms = floors_lag_ms(self.ledger.schedule)
        self.ledger.know(await self.ledger.database.open(edges, tables, lag_ms=lag_ms), edges)

    async def start(self) -> None:
        """Compile everything, and begin to take letters."""
        with self.at_work():
            await self._start()

    async def _start(self) -> None:
        metrics = self._ports.metrics
        self._records = {one: metrics.declare(self.name, one) for one in self.service.measures}
        for measure, record in self._records.items():
            measure.bind(record)
        await self.provided.make()
        self._compile_handlers()
        self._compile_routes()
        self._expect()
        await self._first_ticks()
        await self.look_for_strangers()
        await self.core.start()
        self.service._begin = self.begin  # pyright: ignore[reportPrivateUsage]  # its other half
        self._watch()

    def _expect(self) -> None:
        """Make the series of what is declared: an alarm sees the first error of each."""
        metrics = self._ports.metrics
        for saga in self.service.sagas:
            metrics.expect(metrics.saga(self.name, saga.name), *SAGA_ENDS)
        for query in self.service.calls:
            if issubclass(query, Query):
                self.reach.edge(query.wire_name(), self.service.policies.get(query))
        for external in self.service.reaches:
            self.reach.edge(external.name, external.policy)

    def _compile_handlers(self) -> None:
        ports = self._ports
        for wire, handler in handlers_of(self.service).by_wire_name.items():
            destination = f"{self.name}.{known_as(handler.message)}"
            fails: Sequence[type[Failure]] = getattr(handler.message, "fails", ())
            failures = [failure.name for failure in fails]
            outcomes = ports.metrics.process(self.name, "process", destination, failures)
            ports.metrics.expect(outcomes, "", *failures)
            if issubclass(handler.message, Query):
                compiled = CompiledQuery(
                    handler,
                    ledger=self.ledger,
                    provided=self.provided,
                    reach=self.reach,
                    operation=Operation(
                        self.name, outcomes, asked(wire, SpanKind.SERVER), ports.tracing
                    ),
                    senders=self._askers(wire, handler),
                )
                self._asks.serve(wire, compiled)
            else:
                self._compiled[wire] = CompiledHandler(
                    handler,
                    self.provided,
                    self.reach,
                    outcomes,
                    ports.tracing,
                    ports.logger,
                )
        for job in self.service.jobs:
            outcomes = ports.metrics.process(self.name, "process", f"{self.name}.{job.name}")
            ports.metrics.expect(outcomes, "")
            tick = CompiledJob(job, self.ledger, self.provided, self.reach, outcomes, ports.tracing)
            self._compiled[tick.name] = tick
        for name in self.service.gone:
            self._compiled.setdefault(tick_of(name), GoneJob())

    def _askers(self, wire: str, handler: MessageHandler) -> frozenset[str]:
        asking = {
            e.sender
            for e in self._graph.edges
            if (e.receiver, e.kind, e.message) == (self.name, "query", wire)
        }
        if any(tokens.keys is handler.message for tokens in self._system.gateway.issuers):
            asking.add("gateway")
        return frozenset(asking)

    def _compile_routes(self) -> None:
        provided = provided_types(self.service)
        for route in self.service.routes:
            signature = read_signature(
                route.function, path_names=PATH_NAME.findall(route.path), provided=provided
            )
            slo = self._system.slo_of_route(self.service, route)
            outcomes = self._ports.metrics.route(self.name, route.method, route.path)
            self._ports.metrics.expect(outcomes, route.status_code, *SERVED_ERRORS)
            compiled = CompiledRoute(
                route,
                signature,
                core=self.core,
                provided=self.provided,
                reach=self.reach,
                operation=Operation(
                    self.name,
                    outcomes,
                    served(route.method, route.path, slow_s=slo.latency_s),
                    self._ports.tracing,
                ),
                on_error=self.failed,
                attempts=self._attempts(route, signature),
            )
            self.routes.append(compiled)

    def _attempts(self, route: Route, signature: Signature) -> AttemptLimits | None:
        if route.attempts is None:
            return None
        (body,) = signature.of(Source.BODY)
        return AttemptLimits(
            route.attempts,
            place=f"{self.name} {route.method} {route.path}",
            body=body.name,
            limits=self._ports.limits,
            refused=self._ports.metrics.rate_limited(self.name),
        )

    def failed(self, request: Request, error: BaseException) -> None:
        """Record what a route raised and the client was not told."""
        if isinstance(error, DeadlinePassed):  # nothing broke: where it was found out tells nothing
            self._ports.logger.warning(
                "request.late", method=request.method, route=request.route, error=str(error)
            )
            return
        self._ports.logger.error(
            "request.failed",
            exc=error,
            method=request.method,
            route=request.route,
        )

    async def _first_ticks(self) -> None:
        jobs = [job for job in self._compiled.values() if isinstance(job, CompiledJob)]
        if not jobs:
            return

        async def insert(tx: Transaction, effects: Effects) -> None:
            await tx.insert_messages([job.next_row(tx.now_ms) for job in jobs])

        await self.core.writer.perform_own(insert)

    async def look_for_strangers(self) -> None:
        """Find out what the database holds that this version does not know, and say it."""
        found = await unknown_work(self.ledger.database, self.name, self._known)
        for line in found:
            if line not in self.strangers:
                self._notice("work.unknown", why=line)
        self.strangers, self._looked = found, True

    async def is_strange(self) -> bool:
        """Whether the database may hold sagas that this version does not know."""
        if self._looked:
            return bool(self.strangers)
        return bool(await unknown_work(self.ledger.database, self.name, self._known))

    async def _keep_looking(self) -> None:
        """Look again while something may be there that this version does not know."""
        if self.strangers or self.core.high_water.backlog.waiting:
            await self.look_for_strangers()

    def _watch(self) -> None:
        metrics = self._ports.metrics
        metrics.watch(catalogue.UNKNOWN_NAMES, lambda: len(self.strangers), service=self.name)
        watch_core(metrics, self.name, self.core, self.service.sagas)

    def attention(self) -> str | None:
        """Return which letters need a person, or None; as of the last housekeeping."""
        backlog = self.core.high_water.backlog
        counts = {"dead": backlog.dead, "failing for long": backlog.failing}
        found = [f"{count} {what}" for what, count in counts.items() if count]
        return f"letters: {', '.join(found)}; see `holdfast dead-letters list`" if found else None

    async def stop(self) -> None:
        """Finish what is under way; what is not begun stays in the tables."""
        self.leave()
        with self.at_work():
            await self.core.stop()
            await self.provided.close()
        for measure, record in self._records.items():
            if measure.is_bound(record):
                measure.bind(None)

    def leave(self) -> None:
        """Be the host of the service no longer: `Service.begin` is refused."""
        self.service._begin = None  # pyright: ignore[reportPrivateUsage]  # its other half

    def begin(self) -> AbstractAsyncContextManager[Unit]:
        """See `Service.begin`."""
        return opened(self.core, self._ports.current)

    async def close(self) -> None:
        """Close the database."""
        await self.ledger.database.close()
