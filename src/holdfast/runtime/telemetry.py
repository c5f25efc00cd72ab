"""Telemetry: where the spans of one process go, when its settings name a receiver."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from random import SystemRandom
from typing import Protocol

from holdfast.communication import ClientPool
from holdfast.communication.origin import origin_and_path
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.engines.machine import MachineClock, MachineIds
from holdfast.engines.network import SystemNetwork
from holdfast.errors import DeadlineExceeded
from holdfast.observability import Metrics, Spans, Tracer, Tracing, catalogue, semconv
from holdfast.observability.exporter import Exporter, Post
from holdfast.observability.trace import ForeignSpans
from holdfast.ports import Clock, Ids, Network, Random
from holdfast.runtime.trace_settings import TraceSettings, trace_settings
from holdfast.system import System

STOP_S = 5.0


class Environs(Protocol):
    """What of the world spans and their export need; `Engines` has it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def random(self) -> Random: ...
    @property
    def network(self) -> Network: ...


class Machine:
    """The world of a command."""

    def __init__(self) -> None:
        self.clock, self.ids, self.network = MachineClock(), MachineIds(), SystemNetwork()
        self.random = SystemRandom()


@asynccontextmanager
async def traced_command(
    system: System, environ: Mapping[str, str], notice: Callable[..., None]
) -> AsyncGenerator[Tracing, None]:
    """Let a command record spans; they are exported at the end. Raises SettingError."""
    services = [service.name for service in system.services]
    telemetry = Telemetry(system.name, services, trace_settings(environ), Machine(), notice)
    telemetry.start()
    try:
        yield telemetry.tracing
    finally:
        await telemetry.stop()


class Telemetry:
    """Makes what everything that is traced is made with, and exports what is recorded.

    Args:
        services: those whose spans are recorded, the gateway included.
        notice: told when exports begin to fail, and when they go well again.
    Attributes:
        tracing: for all parts of the process; without a receiver it records nothing.
    """

    def __init__(
        self,
        system: str,
        services: Sequence[str],
        settings: TraceSettings,
        world: Environs,
        notice: Callable[..., None],
    ) -> None:
        clock, random = world.clock, world.random
        self._exporter: Exporter | None = None
        self._pool: ClientPool | None = None
        self.tracing = Tracing(Tracer(random, ratio=settings.ratio), clock)
        if not settings.url:
            return
        policy = settings.policy
        spans = Spans(clock, queue_max=policy.queue_max, full_at=policy.batch_max)
        tracer = Tracer(random, ratio=settings.ratio, foreign=_foreign(spans, random))
        self.tracing = Tracing(tracer, clock, spans)
        self._pool = ClientPool(network=world.network, clock=clock, tls=settings.tls)
        instance = str(world.ids.uuid7(int(clock.now() * 1000)))
        common = {
            semconv.SERVICE_NAMESPACE: system,
            semconv.SERVICE_INSTANCE: instance,
            **dict(settings.resource),
        }
        self._exporter = Exporter(
            spans,
            _poster(self._pool, settings.url),
            policy,
            resources={
                name: tuple({**common, semconv.SERVICE_NAME: name}.items()) for name in services
            },
            scope_version=version("holdfast"),
            clock=clock,
            random=random,
            notice=notice,
        )

    def watch(self, metrics: Metrics) -> None:
        """Show what becomes of spans."""
        exporter, spans = self._exporter, self.tracing.spans
        if exporter is None or spans is None:
            return
        metrics.watch(catalogue.SPANS_QUEUED, lambda: spans.stats().queued)
        metrics.watch(catalogue.SPANS_HELD, lambda: spans.stats().held)
        metrics.watch(catalogue.SPANS_DROPPED, lambda: spans.stats().dropped)
        metrics.watch(catalogue.SPANS_EXPORTED, lambda: exporter.stats.ends[""])

    def start(self) -> None:
        """Begin to export."""
        if self._exporter is not None:
            self._exporter.start()

    async def stop(self) -> None:
        """Export what is left, in the time that a drain has for it."""
        if self._exporter is not None:
            await self._exporter.stop(STOP_S)
        if self._pool is not None:
            await self._pool.close()


def _foreign(spans: Spans, random: Random) -> ForeignSpans | None:
    """Return what nests users' spans with ours, where OpenTelemetry's SDK is installed."""
    try:
        from holdfast.observability.foreign import OtelSpans
    except ModuleNotFoundError:
        return None
    return OtelSpans(spans, random)


def _poster(pool: ClientPool, url: str) -> Post:
    origin, path = origin_and_path(url)
    path, _, query = path.partition("?")

    async def post(body: bytes, headers: HeaderList, limit_s: float) -> Response:
        if limit_s <= 0:
            raise DeadlineExceeded("no time was left to export spans")
        return await pool.request(
            origin, Request("POST", path, query, headers, body), deadline_s=limit_s
        )

    return post
