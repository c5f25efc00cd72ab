"""TLS on a connection that was accepted, above whatever transport the event loop has made of it.

Event loops have a TLS of their own, which tells a listener nothing before the handshake is over:
not that somebody has come, who could be counted and waited for no longer than others, nor why it
failed. And of what a client does not take it shows a part, since the rest is in a buffer below.
Here that is the only one, so that clients over TLS are held to the limits of those in clear.
"""

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, cast

from holdfast.ports import Guarded, HandshakeFailure

_READ_BYTES = 262_144  # as much as a loop reads at once
_NOBODY: Final = asyncio.Protocol()
_BY_REASON: dict[str, HandshakeFailure] = {
    "HTTP_REQUEST": "clear_text",
    "HTTPS_PROXY_REQUEST": "clear_text",
    "WRONG_VERSION_NUMBER": "clear_text",
    "UNSUPPORTED_PROTOCOL": "version",
    "UNKNOWN_PROTOCOL": "version",
    "NO_SHARED_CIPHER": "version",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "version",
}


class Secured(asyncio.Protocol):
    """What the transport below speaks to: it has a handshake, and then hands on what comes.

    Args:
        protocol: is served as if there were no TLS.
        context: of this connection.
    """

    def __init__(self, protocol: Guarded, context: ssl.SSLContext) -> None:
        self._protocol: Guarded | asyncio.Protocol = protocol
        self._guarded: Guarded | None = protocol  # until its handshake is over
        self._context = context
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._below: asyncio.Transport = cast(asyncio.Transport, None)
        self._heard = self._ended = self._said_goodbye = False

    # -- the transport below calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say that somebody has come."""
        self._below = cast(asyncio.Transport, transport)
        if self._guarded is not None:
            self._guarded.handshake_begins(self._below)

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or read."""
        if self._said_goodbye:
            return  # it is told nothing more, whatever it says
        self._incoming.write(data)
        if self._guarded is None:
            self._read()
        else:
            self._shake(self._guarded)

    def eof_received(self) -> bool:
        """Tell the end, unless TLS has; without one in TLS it is an end all the same."""
        if self._guarded is not None:
            return False
        if not self._ended:
            self._ended = True
            return bool(self._protocol.eof_received())
        return not self._below.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of who was served: what is left has no cycle, and is gone at once."""
        if self._guarded is not None and self._heard:
            self._guarded.handshake_failed("gone", "the client closed in the middle of it")
        protocol, self._protocol, self._guarded = self._protocol, _NOBODY, None
        protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Say so to who writes."""
        if self._guarded is None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Say so to who writes."""
        if self._guarded is None:
            self._protocol.resume_writing()

    def _shake(self, guarded: Guarded) -> None:
        self._heard = True
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as exc:
            self._said_goodbye = True
            self._flush()  # what the other side is to know of it
            guarded.handshake_failed(_reason(exc), str(exc.reason or exc))
            self._below.close()
            return
        self._flush()
        self._guarded = None
        guarded.connection_made(SecuredTransport(self, self._below, self._ssl, self._context))
        self._read()

    def _read(self) -> None:
        """Hand on what came, as far as it is whole."""
        came, ended = list[bytes](), True
        try:
            while piece := self._ssl.read(_READ_BYTES):
                came.append(piece)
                if not self._incoming.pending and not self._ssl.pending():
                    ended = False
                    break
        except ssl.SSLWantReadError:
            ended = False
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError:  # somebody has tampered with it
            self._flush()
            self._below.abort()
            return
        self._flush()  # such as an answer to new keys
        if came:
            self._protocol.data_received(came[0] if len(came) == 1 else b"".join(came))
        if ended and not self._ended:
            self._ended = True
            if not self._protocol.eof_received():
                self._below.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._below.write(self._outgoing.read())

    # -- the transport above calls these

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what can be read by the other side alone."""
        try:
            sent = self._ssl.write(data)
            while sent < len(data):  # a record has 16 KiB at most
                sent += self._ssl.write(memoryview(data)[sent:])
        except ssl.SSLError:
            self._below.abort()
            return
        self._below.write(self._outgoing.read())

    def say_goodbye(self) -> None:
        """Say that nothing more will come, once."""
        if not self._said_goodbye:
            self._said_goodbye = True
            with suppress(ssl.SSLError):  # it would wait for the other side's goodbye
                self._ssl.unwrap()
            self._flush()


class SecuredTransport(asyncio.Transport):
    """What is written to over TLS. Its goodbye is said, and not waited for."""

    def __init__(
        self,
        secured: Secured,
        below: asyncio.Transport,
        ssl_object: ssl.SSLObject,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__()
        self._secured, self._below = secured, below
        self._shown: dict[str, object] = {"ssl_object": ssl_object, "sslcontext": context}
        self._ended = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what TLS knows of it, or else what the transport below does."""
        if name in self._shown:
            return self._shown[name]
        found: object = self._below.get_extra_info(name, default)
        return found

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if data and not self._ended and not self._below.is_closing():
            self._secured.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send bytes."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Say that one side may end before the other."""
        return True

    def write_eof(self) -> None:
        """Send nothing more, and go on reading."""
        if not self._ended and not self._below.is_closing():
            self._ended = True
            self._secured.say_goodbye()
            self._below.write_eof()

    def close(self) -> None:
        """Close once all is sent."""
        if not self._below.is_closing():
            self._secured.say_goodbye()
            self._below.close()

    def abort(self) -> None:
        """Close now."""
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._below.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return how much the process holds for the other side."""
        return self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return when writing goes on, and when it waits."""
        return self._below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say when writing waits, and when it goes on."""
        self._below.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Read nothing more."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._below.resume_reading()

    def is_reading(self) -> bool:
        """Whether it reads."""
        return self._below.is_reading()


def _reason(error: ssl.SSLError) -> HandshakeFailure:
    why = error.reason or ""
    return "refused" if "ALERT" in why else _BY_REASON.get(why, "other")
