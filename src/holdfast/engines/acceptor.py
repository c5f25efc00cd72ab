"""Accepts connections, all that wait: uvloop takes one in each round of its loop.

A loop that has much to do makes long rounds, and whoever comes by a new connection would stand in
the kernel's backlog for as many rounds as there are others before him.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from holdfast.engines.newest_context import PublicContext
from holdfast.engines.secured import Secured
from holdfast.ports import AddressRefused, Guarded

ACCEPTED_MAX = 256  # in one round; further ones wait for the next
_PAUSE_S = 0.5  # after which it is tried again, when this process may open no more files
_FULL = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])


async def bound(
    host: str, port: int, *, backlog: int, share_port: bool | None
) -> list[socket.socket]:
    """Return sockets that listen on all addresses of a host; "" is all of the machine.

    Raises:
        AddressRefused: an address is in use or not ours.
        OSError: there is no such host.
    """
    loop, made = asyncio.get_running_loop(), list[socket.socket]()
    found = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    try:
        for family, kind, proto, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, proto)
            made.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(backlog)
    except OSError as exc:
        for one in made:
            one.close()
        raise AddressRefused(exc, host, port) from exc
    return made


class Acceptor:
    """Listens on sockets that are bound, until it is closed.

    Args:
        factory: makes the protocol of a connection.
        tls: with a `PublicContext` it makes a `Guarded` one, which bounds its handshake by itself.
        handshake_s: how long another TLS handshake may take.
    """

    def __init__(
        self,
        listening: list[socket.socket],
        factory: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        handshake_s: float | None,
    ) -> None:
        self._listening, self._factory = listening, factory
        self._tls, self._handshake_s = tls, handshake_s
        if isinstance(tls, PublicContext):
            self._factory = _secured(factory, tls)
            self._tls = self._handshake_s = None
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        for one in listening:
            self._loop.add_reader(one.fileno(), self._accept, one)

    def close(self) -> None:
        """Stop accepting; connections stay."""
        self._closed = True
        for one in self._listening:
            self._loop.remove_reader(one.fileno())
            one.close()
        self._listening = []

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_MAX):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in _FULL:
                    raise
                self._pause(listening)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._take(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pause(self, listening: socket.socket) -> None:
        """Let those wait who come, as long as no file can be opened."""
        self._loop.remove_reader(listening.fileno())
        self._loop.call_later(_PAUSE_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    async def _take(self, connection: socket.socket) -> None:
        with suppress(OSError):  # it is gone, or its handshake failed: its context has told
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_s,
            )


def _secured(
    factory: Callable[[], asyncio.Protocol], tls: PublicContext
) -> Callable[[], asyncio.Protocol]:
    def made() -> Secured:
        protocol = factory()
        assert isinstance(protocol, Guarded), "who is served in public is counted from the start"
        return Secured(protocol, tls)

    return made
