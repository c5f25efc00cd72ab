"""The reading half of a server connection: bytes become whole requests, or a refusal.

It holds at most one request that is not complete; complete ones go to the queue that it was given.
"""

from collections import deque
from enum import IntEnum
from typing import NoReturn, cast

import httptools

from holdfast.communication.framing import (
    HttpLimits,
    Refusal,
    body_too_large,
    head_too_large,
    read_head,
    speaks_http,
    unreadable,
)
from holdfast.contract.http import HeaderList, Peer, Request

SLICE_BYTES = 16 * 1024
"""The most that may be fed at a time, so that one read cannot overfill the queue."""


class Phase(IntEnum):
    """What an intake is in the middle of."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    ENDED = 3


class _Offer(IntEnum):
    """What became of the offer of another protocol: none, made by the head, being declined."""

    NONE = 0
    MADE = 1
    DECLINING = 2


_IDLE, _HEAD, _BODY, _ENDED = Phase
_NONE, _MADE, _DECLINING = _Offer


class Bodies:
    """The bytes of all bodies of one server that are not complete."""

    __slots__ = ("bytes_held",)

    def __init__(self) -> None:
        self.bytes_held = 0


class Intake:
    """Reads requests.

    Attributes:
        phase: what has come of the next request.
        begun: how many requests began to come.
        last: the newest request is the last one: its client said so, or it was refused.
        old: the newest request is HTTP/1.0, which knows no chunked bodies.
        headers: of the newest request, as far as they came.
        refusal: why reading ended, if the client is to blame.
    """

    def __init__(
        self,
        ahead: deque[Request],
        limits: HttpLimits,
        bodies: Bodies,
        peer: Peer,
    ) -> None:
        self.phase: Phase = _IDLE
        self.begun = 0
        self.last = False
        self.old = False
        self.headers: HeaderList = []
        self.refusal: Refusal | None = None
        self._ahead = ahead
        self._limits = limits
        self._bodies = bodies
        self._peer = peer
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._encouraged: Request | None = None
        self._target = b""
        self._offer = _NONE
        self._raw_begun = 0  # how many had begun before it
        self._raw = b""  # what the head that is being read came in
        self._body = b""
        self._more_body = bytearray()
        self._feed_bytes = 0  # the size of what is being parsed
        self._fed_bytes = 0  # at most so many since the head or a piece of the body

    def feed(self, data: bytes) -> None:
        """Parse at most SLICE_BYTES; sets `refusal` if they are not a request to be served."""
        parser = self._parser
        while data and parser is not None and self.phase is not _ENDED:
            self._feed_bytes = len(data)
            self._fed_bytes += len(data)
            if self.phase is _HEAD:
                self._raw += data
            else:
                self._raw, self._raw_begun = data, self.begun
            try:
                parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                data, parser = data[offer.args[0] :], self._decline()
            except httptools.HttpParserError as error:
                if self.phase is not _ENDED:  # bytes after the last message are not looked at
                    if self.refusal is None and isinstance(
                        error, httptools.HttpParserCallbackError
                    ):
                        raise
                    self.refuse(self.refusal or unreadable(str(error)))
                return
        # The parser keeps a header or trailer that is not complete, and says nothing of chunk
        # extensions: what was fed without another piece of body bounds both.
        if (self.phase is _HEAD or self.phase is _BODY) and self._is_overlong():
            self.refuse(head_too_large(self._limits))

    def _is_overlong(self) -> bool:
        return self._fed_bytes > self._limits.header_bytes_max + SLICE_BYTES

    def _decline(self) -> httptools.HttpRequestParser:
        """Go on in HTTP/1.1 after a head that offers another protocol (RFC 9110, 7.8).

        The parser leaves what follows a head, the body too, to that protocol. So a new one is told
        of a head that frames the same body and offers nothing, and reads on from there.
        """
        parser = cast(httptools.HttpRequestParser, self._parser)
        head = _plain_head(cast(Request, self._request), keeps=parser.should_keep_alive())
        self._offer = _DECLINING
        self._parser = parser = httptools.HttpRequestParser(self)
        parser.feed_data(head)
        self._offer = _NONE
        return parser

    def refuse(self, refusal: Refusal) -> None:
        """Read no more, because of what the client sent or did not send in time."""
        self.refusal = refusal
        self.last = True
        self.end()

    def end(self) -> None:
        """Read no more; forget what is not complete."""
        self.phase = _ENDED
        self._parser = None  # it refers to this object: break the cycle
        self._forget_body()

    @property
    def coming(self) -> Request | None:
        """The request whose body is coming."""
        return self._request if self.phase is _BODY else None

    @property
    def expected(self) -> bool:
        """Whether the client waits for a 100 before it sends the body."""
        request = self._request
        if self.phase is not _BODY or request is None or request is self._encouraged:
            return False
        return not self._body and not self.old and b"expect" in request.sent

    def take_expectation(self) -> bool:
        """Say once whether the client waits for a 100 before it sends the body."""
        expected = self.expected
        self._encouraged = self._request
        return expected

    @property
    def body_bytes(self) -> int:
        """How much has come of the body that is being read."""
        return len(self._body) + len(self._more_body)

    # -- the parser calls these

    def on_message_begin(self) -> None:
        """Start a new message; what follows the last one is not read."""
        if self._offer is _DECLINING:
            return
        if self.last:
            raise _AfterTheLast
        self.phase = _HEAD
        self.begun += 1
        self._target = b""
        self.headers = []
        self._fed_bytes = self._feed_bytes

    def on_url(self, piece: bytes) -> None:
        """Gather the target, which may come in pieces."""
        if self._offer is _DECLINING:
            return
        self._target += piece
        if len(self._target) > self._limits.target_bytes_max:
            maximum = self._limits.target_bytes_max
            self._stop(Refusal(414, "target_too_long", f"A target has at most {maximum} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Gather a header; trailers are dropped."""
        if self.phase is _HEAD:
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Decide whether the head may be served."""
        if self._offer is _DECLINING:
            return
        parser = self._parser
        assert parser is not None, "it is the one that calls"
        if parser.should_upgrade():
            self._offer = _MADE
        limits, headers, target = self._limits, self.headers, self._target
        if len(headers) > limits.headers_max or (
            self._fed_bytes > limits.header_bytes_max
            and _head_bytes(target, headers) > limits.header_bytes_max
        ):
            self._stop(head_too_large(limits))
        method, version = parser.get_method(), parser.get_http_version()
        plain = self._raw.startswith(b" HTTP/", len(method) + 1 + len(target))
        if not (plain and self.begun == self._raw_begun + 1) and not speaks_http(
            method, target, self._raw
        ):
            self._stop(Refusal(505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are served."))
        try:
            request = read_head(method, target, version, headers, limits)
        except Refusal as refusal:
            self._stop(refusal)
        request.peer = peer = self._peer
        request.client, request.scheme = peer.address, peer.scheme
        self._request = request
        self.old = version == "1.0"
        self.phase = _BODY
        self._fed_bytes = self._feed_bytes

    def on_body(self, piece: bytes) -> None:
        """Gather the body; the pieces of a chunked one may be tiny, so they are copied together."""
        self._check_overlong()
        self._fed_bytes = self._feed_bytes
        if self._body:
            self._more_body += piece
        else:
            self._body = piece
        bodies = self._bodies
        bodies.bytes_held += len(piece)
        if len(self._body) + len(self._more_body) > self._limits.body_bytes_max:
            self._stop(body_too_large(self._limits))
        if bodies.bytes_held > self._limits.bodies_bytes_max:
            self._stop(Refusal(503, "overloaded", "Too many bodies are being received."))

    def on_message_complete(self) -> None:
        """Queue the request."""
        if self._offer is _MADE:  # the parser takes the head for the whole message
            return
        self._check_overlong()
        request, parser = self._request, self._parser
        assert request is not None and parser is not None, "a head was complete"
        if self._body:
            request.body = body = self._body + self._more_body if self._more_body else self._body
            self._bodies.bytes_held -= len(body)
            self._body, self._more_body = b"", bytearray()
        self.phase = _IDLE
        if self.old or not parser.should_keep_alive():
            self.phase = _ENDED
            self.last = True
        self._ahead.append(request)

    def _check_overlong(self) -> None:
        """Refuse chunk extensions or trailers that are too long though their end has come."""
        if self._is_overlong():
            self._stop(head_too_large(self._limits))

    def _stop(self, refusal: Refusal) -> NoReturn:
        """Keep the refusal and raise: the parser gives up when a callback raises."""
        self.refusal = refusal
        raise refusal

    def _forget_body(self) -> None:
        if self._body:
            self._bodies.bytes_held -= len(self._body) + len(self._more_body)
            self._body = b""
            if self._more_body:
                self._more_body = bytearray()


def _plain_head(request: Request, *, keeps: bool) -> bytes:
    framing = [
        b"%b: %b\r\n" % pair
        for pair in request.headers
        if pair[0] in (b"content-length", b"transfer-encoding")
    ]
    closing = b"" if keeps else b"connection: close\r\n"
    return b"POST / HTTP/1.1\r\nhost: x\r\n%b%b\r\n" % (b"".join(framing), closing)


class _AfterTheLast(Exception):
    """Makes the parser give up; `feed` does not look at what comes after the last request."""


def _head_bytes(target: bytes, headers: HeaderList) -> int:
    """Return the size of a head, leaving out method and version."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)
