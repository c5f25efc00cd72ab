"""A mounted app as a target of the router: counted, logged and answered like a route."""

from holdfast.contract.http import Handler, Request, Response
from holdfast.dispatch.host import ServiceHost
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.router import Serve
from holdfast.observability import SERVED_ERRORS, Metrics


def mounted(app: Handler, host: ServiceHost, path: str, metrics: Metrics) -> Serve:
    """Return what serves an app below a path; its metrics have the path for a route."""
    route = f"{path}/"
    for method in ("GET", "POST"):  # an alarm sees the first error of what apps mostly serve
        metrics.expect(metrics.route(host.name, method, route), 200, *SERVED_ERRORS)

    async def serve(request: Request, parameters: dict[str, str]) -> Response:
        started = host.ledger.clock.monotonic()
        outcomes = metrics.route(host.name, request.method, route)
        outcomes.active += 1
        try:
            response = await app(request)
        except Exception as exc:  # a request's edge, as that of a route
            response = problem_of(exc, request.correlation_id)
            if response.status >= 500:
                host.failed(request, exc)
        finally:
            outcomes.active -= 1
        outcomes.observe(response.status, host.ledger.clock.monotonic() - started)
        return response

    return serve
