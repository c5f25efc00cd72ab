"""Connections from the networks of a cluster, for tests: whether they come through, and clients."""

import asyncio
import errno
import ssl
from collections.abc import Callable

from holdfast.engines.network import SystemNetwork
from holdfast.ports import Listener
from tests.delivery.kubelet.node import Node

REACH_S = 3.0


class FromNetwork(SystemNetwork):
    """Holdfast's `Network` port, from one of them."""

    def __init__(self, node: Node, network: str) -> None:
        super().__init__()
        self._node, self._network = node, network

    async def connect(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection to an address. Raises OSError."""
        assert path is None
        made = await self._node.connected(self._network, host, port)
        name = host if tls else None
        loop = asyncio.get_running_loop()
        return await loop.create_connection(factory, sock=made, ssl=tls, server_hostname=name)

    async def listen(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> Listener:
        """Listen on an address of the network. Raises OSError."""
        assert path is None
        made = self._node.socket(self._network)
        made.bind((host, port))
        loop = asyncio.get_running_loop()
        return _Listening(await loop.create_server(factory, sock=made, ssl=tls), (host, port))


class _Listening:
    """Implements `ports.Listener`."""

    def __init__(self, server: asyncio.Server, address: tuple[str, int]) -> None:
        self._server, self.address = server, address

    def close(self) -> None:
        """Stop accepting."""
        self._server.close()


async def reaches(node: Node, network: str, host: str, port: int) -> bool:
    """Return whether a connection comes to an address, whether or not somebody listens there."""
    try:
        async with asyncio.timeout(REACH_S):
            (await node.connected(network, host, port)).close()
        return True
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    except OSError as exc:
        if exc.errno == errno.EHOSTUNREACH:  # a policy refused it
            return False
        raise
