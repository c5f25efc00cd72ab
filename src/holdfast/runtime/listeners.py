"""The sockets of a process: of clients or of its peers, of operators, and of commands."""

import ssl
from dataclasses import replace

from holdfast.communication import LOOPBACK, HttpLimits, HttpServer, Occupancy, Origin
from holdfast.contract.http import AdmissionControl, Handler, Request
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.engines.network import user_of
from holdfast.engines.public_tls import PublicTls
from holdfast.gateway import Door
from holdfast.observability import Logger
from holdfast.ports import Clock, Identity, Network
from holdfast.runtime.drain import Drain
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.hop import inner_limits
from holdfast.runtime.options import Options
from holdfast.runtime.public_certificate import FailedHandshakes
from holdfast.system import Gateway

LAST_S = 1.0  # of the operations listener, when all else is drained


class Listeners:
    """Listens, and stops listening.

    Args:
        public: what is spoken with clients; None: HTTP in clear.

    Attributes:
        url, ops_url: where requests and probes are served; "" before.
        handshakes: those with clients that failed.
    """

    def __init__(
        self,
        options: Options,
        network: Network,
        clock: Clock,
        logger: Logger,
        identity: Identity | None = None,
        public: PublicTls | None = None,
    ) -> None:
        self._options = options
        self._identity = identity
        self._public = public
        self.handshakes = FailedHandshakes(logger, clock)
        self._network = network
        self._clock = clock
        self._logger = logger
        self._servers: list[HttpServer] = []
        self._operations: HttpServer | None = None
        self.url = self.ops_url = ""

    @property
    def front(self) -> HttpServer:
        """What serves requests, once it does: clients', or those of the other processes."""
        return self._servers[0]

    async def gateway(self, door: Door, gate: AdmissionControl, gateway: Gateway) -> None:
        """Serve clients."""
        limits = HttpLimits(body_bytes_max=gateway.body_bytes_max)
        server = HttpServer(
            door,
            gate=gate,
            network=self._network,
            clock=self._clock,
            limits=limits,
            on_error=self._failed,
            refusal_headers=door.refusal_headers,
            occupancy=Occupancy(gateway.connections_per_address, door.counted_as),
            on_handshake=self.handshakes,
        )
        self._servers.append(server)
        tls = self._public.listens() if self._public is not None else None
        self.url = str(await _bind(server, self._options.host, self._options.port, tls))

    async def inside(self, door: InnerDoor, gate: AdmissionControl, gateway: Gateway) -> None:
        """Serve the gateway and the other services; the outside comes by the gateway."""
        server = self._server(door, inner_limits(gateway), self._identity, gate)
        self._servers.append(server)
        tls = self._identity.listens() if self._identity is not None else None
        self.url = str(await _bind(server, self._options.host, self._options.port, tls))

    async def operations(self, pages: Handler) -> None:
        """Serve probes and Prometheus."""
        options, port = self._options, self._options.ops_port
        if port is None:
            port = options.port + 1 if options.port else 0
        self._operations = self._server(pages, HttpLimits(), self._identity)
        host = LOOPBACK if options.host.startswith("unix:") else options.host
        tls = self._identity.listens(strangers=True) if self._identity is not None else None
        self.ops_url = str(await _bind(self._operations, host, port, tls))

    async def commands(self, control: Handler, folder: DataFolder) -> None:
        """Serve commands in the data folder."""
        server = HttpServer(
            control,
            network=self._network,
            clock=self._clock,
            limits=HttpLimits(),
            on_error=self._failed,
            identify=user_of,
        )
        self._servers.append(server)
        folder.free_socket()
        await server.start("", 0, path=folder.socket)
        folder.guard_socket()

    def _server(
        self,
        handler: Handler,
        limits: HttpLimits,
        identity: Identity | None = None,
        gate: AdmissionControl | None = None,
    ) -> HttpServer:
        return HttpServer(
            handler,
            gate=gate,
            network=self._network,
            clock=self._clock,
            limits=limits,
            on_error=self._failed,
            identify=identity.peer if identity is not None else None,
        )

    def _failed(self, request: Request, error: BaseException) -> None:
        self._logger.error("request.failed", exc=error, method=request.method, path=request.path)

    async def drain(self, drain: Drain) -> None:
        """Stop serving, but for probes and metrics: those are served to the end."""
        for server in self._servers:
            await server.drain(drain.left_s)

    async def close(self) -> None:
        """Stop serving probes and metrics."""
        if self._operations is not None:
            await self._operations.drain(LAST_S)


async def _bind(
    server: HttpServer, host: str, port: int, tls: ssl.SSLContext | None = None
) -> Origin:
    """Listen; return where, which is what is printed."""
    wanted = Origin.of(host, port)
    listener = await server.start(wanted.host, wanted.port, path=wanted.path, tls=tls)
    found = wanted if wanted.path is not None else Origin.of(*listener.address)
    return replace(found, tls=tls is not None)
