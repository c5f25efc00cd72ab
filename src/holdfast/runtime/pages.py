"""What a process says about itself over HTTP: to strangers little, to probes and Prometheus all."""

import msgspec

from holdfast.contract.http import Request, Response
from holdfast.contract.spiffe import MONITORING, OPERATOR
from holdfast.dispatch.openapi import DOCS_PAGE, openapi
from holdfast.gateway.door import Page
from holdfast.observability import Health, Metrics, exposition_of, in_brief
from holdfast.system import System


class GatewayPages:
    """What the gateway serves itself."""

    def __init__(self, system: System, health: Health) -> None:
        self._system = system
        self._health = health
        self._document: bytes | None = None

    def by_path(self) -> dict[str, Page]:
        """Return {path: page}."""
        return {
            "/health/live": lambda request: in_brief(self._health.live()),
            "/health/ready": self._ready,
            "/openapi.json": lambda request: _page(b"application/json", self._openapi()),
            "/docs": lambda request: _page(b"text/html; charset=utf-8", DOCS_PAGE.encode()),
        }

    async def _ready(self, request: Request) -> Response:
        return in_brief(await self._health.ready())

    def _openapi(self) -> bytes:
        """Return the OpenAPI document, made when somebody first asks for it."""
        if self._document is None:
            self._document = msgspec.json.encode(openapi(self._system))
        return self._document


READERS = (MONITORING, OPERATOR)


class OperationsPages:
    """What the operations listener serves: health and metrics.

    Args:
        proven: whoever wants more than a probe proves that he is one of READERS.
    """

    def __init__(self, health: Health, metrics: Metrics, *, proven: bool = False) -> None:
        self._health = health
        self._metrics = metrics
        self._proven = proven

    async def __call__(self, request: Request) -> Response:
        """Serve one request."""
        if self._proven and request.peer.identity not in READERS:
            return await self._brief(request.path)
        match request.path:
            case "/metrics":
                form = exposition_of((request.header(b"accept") or b"").decode("latin-1"))
                return _page(form.value.encode(), await self._metrics.scrape(form))
            case "/health/live":
                return self._health.live()
            case "/health/ready":
                return await self._health.ready(verbose=request.query == "verbose")
            case _:
                return Response(404)

    async def _brief(self, path: str) -> Response:
        """Tell a stranger whether the process is alive and ready, and nothing else."""
        match path:
            case "/health/live":
                return in_brief(self._health.live())
            case "/health/ready":
                return in_brief(await self._health.ready())
            case "/metrics":
                return Response(403)
            case _:
                return Response(404)


def _page(content_type: bytes, body: bytes) -> Response:
    return Response(200, [(b"content-type", content_type)], body)
