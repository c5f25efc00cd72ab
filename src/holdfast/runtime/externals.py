"""The Externals that a process reaches: where they are, and the stand-ins that it started."""

from collections.abc import Collection
from pathlib import Path

from holdfast.communication import ClientPool, Origin, origin_and_path
from holdfast.contract.http import Request, Response
from holdfast.errors import CallError
from holdfast.observability import Metrics, SpanKind, SpanSort, Tracing, current, semconv
from holdfast.ports import Clock
from holdfast.runtime.options import Options
from holdfast.runtime.settings import external_urls
from holdfast.runtime.stand_in import StandIn
from holdfast.runtime.variables import url_variable
from holdfast.system import External, System


class Externals:
    """Sends requests to Externals.

    Args:
        hosted: the services of this process.
    Attributes:
        reached: those of the hosted services.
        stand_ins: those that were started here.
    """

    def __init__(
        self,
        system: System,
        hosted: Collection[str],
        options: Options,
        pool: ClientPool,
        clock: Clock,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._options = options
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        self._tracing = tracing
        self._urls = external_urls(system, options.environ)
        services = [service for service in system.services if service.name in hosted]
        self.reached = [external for service in services for external in service.reaches]
        self.stand_ins: list[StandIn] = []

    async def begin(self, folder: Path) -> None:
        """Start a stand-in of each that declares one and has no address; `wait` comes after it."""
        for external in self.reached:
            told = self._options.environ.get(url_variable(external.name))
            if external.local and not told:
                stand_in = StandIn(external, folder)
                self.stand_ins.append(stand_in)
                self._urls[external.name] = stand_in.url
                await stand_in.begin()

    async def wait(self) -> None:
        """Wait until all stand-ins can be reached. Raises SettingError."""
        for stand_in in self.stand_ins:
            await stand_in.wait()

    def origin(self, external: External) -> Origin:
        """Return where one is."""
        return origin_and_path(self._urls[external.name])[0]

    async def send(self, external: External, request: Request, timeout_s: float) -> Response:
        """Send a request; the trace goes with it, and no baggage. Raises CallError."""
        origin, prefix = origin_and_path(self._urls[external.name])
        path = prefix.rstrip("/") + request.path
        started = self._clock.monotonic()
        outcomes = self._metrics.client(request.method, origin.authority)
        outcome: int | str = "cancelled"
        sort = SpanSort(request.method, SpanKind.CLIENT, _attributes(request.method, origin))
        url = f"{'https' if origin.tls else 'http'}://{origin.authority}{path}"
        try:
            with self._tracing.part(sort, ((semconv.URL, url),)) as part:
                cause = part.context.cause
                state = [(b"tracestate", cause.tracestate.encode())] if cause.tracestate else []
                trace = [(b"traceparent", cause.trace.encode()), *state] if cause.trace else []
                headers = [*request.headers, *trace]
                outgoing = Request(request.method, path, request.query, headers, request.body)
                response = await self._pool.request(origin, outgoing, deadline_s=timeout_s)
                part.answered(response.status)
            outcome = response.status
        except CallError as exc:
            outcome = exc.code
            raise
        finally:
            outcomes.observe(outcome, self._clock.monotonic() - started, current.get())
        return response

    async def stop(self) -> None:
        """Stop the stand-ins."""
        for stand_in in self.stand_ins:
            await stand_in.stop()


def _attributes(method: str, origin: Origin) -> tuple[tuple[str, str | int], ...]:
    return (
        (semconv.METHOD, method),
        (semconv.SERVER_ADDRESS, origin.host),
        (semconv.SERVER_PORT, origin.port),
    )
