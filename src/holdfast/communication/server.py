"""The HTTP/1.1 server: hands each request to a `Handler`, and drains without losing an answer.

It is an `asyncio.Protocol` on httptools, with strict framing, a deadline for every wait and a
maximum for every queue (`HttpLimits`). WebSockets and HTTP/2 are not served.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.communication.connection import (
    Connection,
    Identify,
    OnError,
    OnHandshake,
    RefusalHeaders,
    ServerState,
)
from holdfast.communication.framing import HttpLimits
from holdfast.communication.occupancy import Occupancy
from holdfast.contract.http import AdmissionControl, Handler
from holdfast.ports import Clock, Listener, Network

_CANCEL_S = 1.0
_DEFAULT_LIMITS = HttpLimits()


@dataclass(frozen=True, slots=True)
class HttpStats:
    """What a server has done so far.

    Attributes:
        connections: open ones, and lost ones whose handler still runs. idle: of these, those
            on which nothing is asked.
        in_flight: requests whose handler runs or whose answer is being streamed.
        requests: all that were handed to the handler.
        errors: handlers that raised.
        refused: {code: how many}, answered without the handler.
    """

    connections: int
    idle: int
    in_flight: int
    requests: int
    errors: int
    refused: Mapping[str, int]


class HttpServer:
    """Serves one handler on any number of listeners, under one set of limits.

    Args:
        gate: asked before anything is made for a request; None lets all in.
        on_error: told of what a handler raised; the client gets a 500 without any of it. Without
            it the event loop's exception handler is told.
        refusal_headers: what an answer that the handler did not make carries besides, by the
            headers of the request as far as they were read.
        occupancy: bounds the connections of one client address; without it none is bounded.
        identify: asked once for each connection, such as for the certificate of its peer; what it
            returns is the `peer.identity` of the connection's requests.
        on_handshake: told of clients whose TLS handshake failed.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        network: Network,
        clock: Clock,
        gate: AdmissionControl | None = None,
        limits: HttpLimits = _DEFAULT_LIMITS,
        on_error: OnError | None = None,
        identify: Identify | None = None,
        refusal_headers: RefusalHeaders | None = None,
        occupancy: Occupancy | None = None,
        on_handshake: OnHandshake | None = None,
    ) -> None:
        self._network = network
        self._state = ServerState(
            handler,
            gate,
            limits,
            clock,
            on_error,
            identify,
            refusal_headers,
            network,
            occupancy,
            on_handshake,
        )
        self._listeners: list[Listener] = []

    async def start(
        self, host: str, port: int, *, path: str | None = None, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Listen on host and port (0: any free one), or on the Unix socket `path`.

        Raises:
            OSError: the address is in use or not ours.
        """
        state = self._state
        listener = await self._network.listen(
            lambda: Connection(state), host, port, tls=tls, path=path
        )
        self._listeners.append(listener)
        return listener

    async def drain(self, timeout_s: float) -> int:
        """Stop serving; return how many connections were aborted with a request under way.

        Nothing new is accepted and idle connections close at once. Running requests have
        `timeout_s` to finish, also those whose client is gone; their answers carry
        `Connection: close`. What is left then is cancelled.
        """
        state = self._state
        state.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(state.connections):
            if connection.idle:
                connection.close()
        if not state.connections:
            return 0
        state.emptied.clear()
        try:
            await asyncio.wait_for(state.emptied.wait(), timeout_s)
        except TimeoutError:
            return await self._abort()
        return 0

    async def _abort(self) -> int:
        left = list(self._state.connections)
        tasks = [connection.task for connection in left if connection.task is not None]
        for connection in left:
            connection.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_S)
        return len(left)

    def stats(self) -> HttpStats:
        """Return the counts of this moment."""
        state = self._state
        return HttpStats(
            connections=len(state.connections),
            idle=sum(connection.idle for connection in state.connections),
            in_flight=state.in_flight,
            requests=state.requests,
            errors=state.errors,
            refused=dict(state.refused),
        )
