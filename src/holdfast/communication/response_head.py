"""A `Response` as bytes: the head of an answer, with what the server adds to it."""

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from holdfast.contract.http import HeaderList, Response

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_OURS = frozenset(  # the server's own, and what ends at this connection: RFC 9110, section 7.6.1
    [
        *(b"content-length", b"date", b"connection", b"keep-alive", b"transfer-encoding"),
        *(b"upgrade", b"te", b"trailer", b"proxy-connection", b"proxy-authenticate"),
        b"proxy-authorization",
    ]
)
_BODILESS = frozenset([204, 304])


class DateLine:
    """The Date header, formatted once a second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        """Return the line for now, with its line end."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


def has_body(status: int) -> bool:
    """Say whether an answer of this status carries a body at all."""
    return status not in _BODILESS


def declared_length(response: Response) -> int | None:
    """Return what an answer's own content-length header says; None without a usable one."""
    value = response.header(b"content-length")
    return int(value) if value is not None and value.isdigit() and len(value) < 19 else None


def encode_head(status: int, headers: HeaderList, framing: bytes, date: bytes) -> bytes:
    """Return status line, headers and the blank line.

    Args:
        framing: complete header lines that the server decided: Content-Length and Connection.
        date: the complete Date line.
    Raises:
        ValueError: the status is not a final one, or a header would break the head in two.
    """
    line = _STATUS_LINES.get(status)
    if line is None or status < 200:
        if not 200 <= status <= 599:
            raise ValueError(f"a response's status must be from 200 to 599, got {status}")
        line = b"HTTP/1.1 %d \r\n" % status
    parts = [line]
    for name, value in headers:
        if name not in _OURS:
            parts.append(b"%b: %b\r\n" % (name, value))
    lines = len(parts)
    head = b"".join(parts)
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise ValueError("a response header holds a line break or NUL")
    return b"%b%b%b\r\n" % (head, date, framing)
