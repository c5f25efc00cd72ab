"""A `Response` as bytes: an answer and its head, with what the server adds to it."""

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from holdfast.communication.framing import breaks
from holdfast.contract.http import Response

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in HTTPStatus
    if status >= 200
}
_OURS = frozenset(  # the server's own, and what ends at this connection: RFC 9110, section 7.6.1
    [
        *(b"content-length", b"date", b"connection", b"keep-alive", b"transfer-encoding"),
        *(b"upgrade", b"te", b"trailer", b"proxy-connection", b"proxy-authenticate"),
        b"proxy-authorization",
    ]
)
BODILESS = frozenset([204, 304])
"""Answers of these statuses never have a body."""


class Heads:
    """Makes the heads of one server's answers; the Date line is formatted once a second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._date = b""

    def encode(
        self, response: Response, *, bare: bool = False, closing: bool, chunked: bool = False
    ) -> bytes:
        """Return a whole answer, or the head of a stream's.

        Args:
            bare: it answers HEAD, and has a head alone.
            closing: it is the connection's last one.
            chunked: how a stream of unknown length is sent; otherwise its connection ends it.
        Raises:
            ValueError: the status is not a final one, or a header would break the head in two.
        """
        status, body = response.status, response.body
        if response.head and not (bare or closing):
            return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (
                _STATUS_LINES.get(status) or _status_line(status),
                response.head,
                self._date_line(),
                len(body),
                body,
            )
        lines = [b": ".join(pair) for pair in response.headers if pair[0] not in _OURS]
        if breaks(b"".join(lines)):
            raise ValueError("a response header holds a line break or NUL")
        lines.append(b"")
        if bare or response.stream is not None or status in BODILESS:
            framing, body = _framing(response, bare=bare, chunked=chunked), b""
        else:
            framing = b"content-length: %d\r\n" % len(body)
        return b"%b%b%b%b%b\r\n%b" % (
            _STATUS_LINES.get(status) or _status_line(status),
            b"\r\n".join(lines),
            self._date_line(),
            b"connection: close\r\n" if closing else b"",
            framing,
            body,
        )

    def _date_line(self) -> bytes:
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._date = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._date


def declared_length(response: Response) -> int | None:
    """Return what an answer's own content-length header says; None without a usable one."""
    value = response.header(b"content-length")
    return int(value) if value is not None and value.isdigit() and len(value) < 19 else None


def _framing(response: Response, *, bare: bool, chunked: bool) -> bytes:
    """Return the line that says where an answer ends whose body does not follow its head."""
    if response.status in BODILESS:
        return b""
    length: int | None = len(response.body)
    if response.stream is not None:
        length = declared_length(response)
    elif bare and not length:
        length = declared_length(response) or 0
    if length is not None:
        return b"content-length: %d\r\n" % length
    return b"transfer-encoding: chunked\r\n" if chunked else b""


def _status_line(status: int) -> bytes:
    if not 200 <= status <= 599:
        raise ValueError(f"a response's status must be from 200 to 599, got {status}")
    return b"HTTP/1.1 %d \r\n" % status
