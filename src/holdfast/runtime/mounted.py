"""Mounted apps as targets of the router: counted, logged and answered like routes."""

import asyncio

from holdfast.communication import AsgiLifespan, asgi_handler
from holdfast.contract.http import Handler, Request, Response
from holdfast.dispatch.host import ServiceHost
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.router import Router, Serve, Target
from holdfast.observability import SERVED_ERRORS, Metrics, Operation, Tracing, served


def mounted(
    app: Handler, host: ServiceHost, path: str, metrics: Metrics, tracing: Tracing
) -> Serve:
    """Return what serves an app below a path; its metrics have the path for a route."""
    route = f"{path}/"
    for method in ("GET", "POST"):  # an alarm sees the first error of what apps mostly serve
        metrics.expect(metrics.route(host.name, method, route), 200, *SERVED_ERRORS)

    async def serve(request: Request, parameters: dict[str, str]) -> Response:
        outcomes = metrics.route(host.name, request.method, route)
        sort = served(outcomes.method, route)
        operation = Operation(host.name, outcomes, sort, tracing)
        span, status = operation.part(), None
        error: Exception | None = None
        request.cause = span.context.cause
        try:
            response = await app(request)
            status = response.status
        except Exception as exc:  # a request's edge, as that of a route
            error = exc
            response = problem_of(exc, request.correlation_id)
            status = response.status
            if status >= 500:
                host.failed(request, exc)
        finally:
            operation.end(span, status, error)
        return response

    return serve


class Apps:
    """The mounted apps of one process, and what they do after their answers."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._running: set[asyncio.Task[None]] = set()  # one for each request that is served
        self.lifespans: list[AsgiLifespan] = []

    async def start(self, host: ServiceHost, router: Router) -> None:
        """Start the apps of a service, and route to them."""
        for mount in host.service.mounts:
            lifespan = AsgiLifespan(mount.app)
            with host.at_work():
                await lifespan.start()
            self.lifespans.append(lifespan)
            app = asgi_handler(
                mount.app, root_path=mount.path, state=lifespan.state, running=self._running
            )
            serve = mounted(app, host, mount.path, self._metrics, self._tracing)
            target = Target(host.name, f"{mount.path}/", serve, mount.public, None)
            router.mount(mount.path, target)

    async def idle(self) -> None:
        """Wait until no app is at work."""
        while self._running:
            await asyncio.wait(self._running)
