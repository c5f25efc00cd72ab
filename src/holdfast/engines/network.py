"""The network of the machine: TCP and Unix sockets through the running event loop."""

import asyncio
import errno
import os
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCOUTQ

from holdfast.engines.acceptor import Acceptor, bound
from holdfast.ports import Listener, Unread

BACKLOG_MAX = 1024
"""Connections that the kernel holds until they are accepted; it does not answer further ones."""
HANDSHAKE_S = 10.0
UNSENT_BYTES_MAX = 128 * 1024
"""What the kernel takes of an answer and has not sent; left alone it takes megabytes of each."""

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_UNSENT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_INFO_BYTES = 56  # of `struct tcp_info`, linux/tcp.h, up to tcpi_last_data_recv
_LAST_DATA_RECEIVED = struct.Struct("@I")
_CLOSE_WAIT = 8
_NOT_KNOWN = Unread()
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_PEER_CREDENTIALS: int | None = getattr(socket, "SO_PEERCRED", None)
_CREDENTIALS = struct.Struct("@iII")  # struct ucred: process, user, group


class SystemNetwork:
    """The `Network` port over real sockets; a TLS handshake is broken off after 10 s.

    Args:
        share_port: other processes may listen where this one does.
    """

    def __init__(self, *, share_port: bool = False) -> None:
        self._share_port = share_port or None  # None: as the loop has it by default

    async def connect(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection; with `tls` the certificate must be valid for `host`.

        Raises:
            OSError: it could not be opened; `ssl.SSLError` is one of them.
        """
        loop = asyncio.get_running_loop()
        handshake_s = HANDSHAKE_S if tls else None
        if path is not None:
            transport, protocol = await loop.create_unix_connection(
                factory,
                path,
                ssl=tls,
                server_hostname=host if tls else None,
                ssl_handshake_timeout=handshake_s,
            )
        else:
            transport, protocol = await loop.create_connection(
                factory, host, port, ssl=tls, ssl_handshake_timeout=handshake_s
            )
        return transport, protocol

    async def listen(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> Listener:
        """Listen on host and port (0: any free one), or on the Unix socket `path`.

        Raises:
            OSError: the address is in use or not ours.
        """
        loop = asyncio.get_running_loop()
        handshake_s = HANDSHAKE_S if tls else None
        if path is not None:
            _free(path)
            server = await loop.create_unix_server(
                factory, path, ssl=tls, backlog=BACKLOG_MAX, ssl_handshake_timeout=handshake_s
            )
            return _SystemListener(server.close, path, 0)
        listening = await bound(host, port, backlog=BACKLOG_MAX, share_port=self._share_port)
        _limit(listening)
        name = listening[0].getsockname()
        acceptor = Acceptor(listening, factory, tls, handshake_s)
        return _SystemListener(acceptor.close, str(name[0]), int(name[1]))

    def unread(self, transport: asyncio.BaseTransport) -> Unread:
        """Return how long what comes in has waited; Linux alone knows, of TCP alone."""
        connection = transport.get_extra_info("socket")
        if _TCP_INFO is None or connection is None or connection.family not in _TCP_FAMILIES:
            return _NOT_KNOWN
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
        except OSError:  # it was closed meanwhile
            return _NOT_KNOWN
        if len(info) < _INFO_BYTES:
            return _NOT_KNOWN
        (age_ms,) = _LAST_DATA_RECEIVED.unpack_from(info, _INFO_BYTES - 4)
        return Unread(age_ms / 1000, info[0] == _CLOSE_WAIT)

    def untaken(self, transport: asyncio.BaseTransport) -> int:
        """Return what the kernel still holds of what was written; Linux alone tells, of TCP."""
        connection = transport.get_extra_info("socket")
        if _TCP_INFO is None or connection is None or connection.family not in _TCP_FAMILIES:
            return 0
        try:
            return _unconfirmed(connection)
        except (OSError, ValueError):  # it was closed meanwhile
            return 0

    def cut(self, transport: asyncio.Transport) -> None:
        """Abort a connection with a reset: a kernel goes on for minutes with what is not taken."""
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in _TCP_FAMILIES:
            with suppress(OSError):  # it was closed meanwhile
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        transport.abort()


def _limit(listening: Iterable[socket.socket]) -> None:
    """Bound what the kernel holds of each connection; those that are accepted inherit it."""
    for one in listening:
        if _UNSENT is not None and one.family in _TCP_FAMILIES:
            one.setsockopt(socket.IPPROTO_TCP, _UNSENT, UNSENT_BYTES_MAX)


def _unconfirmed(connection: socket.socket) -> int:
    """Return how much the kernel still holds of what was written. Source: tcp(7), SIOCOUTQ."""
    return int.from_bytes(ioctl(connection.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)


def user_of(transport: asyncio.BaseTransport) -> int | None:
    """Return the number of the user whose process is at the other end of a Unix socket.

    The kernel says it, as of when the connection was made. None: not on Linux, or no such socket.
    Source: unix(7), SO_PEERCRED.
    """
    connection = transport.get_extra_info("socket")
    if _PEER_CREDENTIALS is None or connection is None or connection.family != socket.AF_UNIX:
        return None
    given = connection.getsockopt(socket.SOL_SOCKET, _PEER_CREDENTIALS, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(given)[1])


def _free(path: str) -> None:
    """Remove the socket of a process that is gone. Raises OSError: somebody listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:  # a socket without a listener
            os.unlink(path)
            return
        except BlockingIOError:  # its queue is full: somebody listens
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


class _SystemListener:
    def __init__(self, close: Callable[[], None], host: str, port: int) -> None:
        self._close = close
        self._address = (host, port)

    @property
    def address(self) -> tuple[str, int]:
        return self._address

    def close(self) -> None:
        self._close()
        if not self._address[1]:
            with suppress(FileNotFoundError):
                os.unlink(self._address[0])
