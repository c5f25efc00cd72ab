"""What a request must look like to be served: limits, refusals and the strict rules of its head.

Only decisions, no I/O. httptools (llhttp) has refused by then: bare LF, folded lines, spaces before
a colon, control characters in values, and every Content-Length that is not one plain number or
that stands beside Transfer-Encoding. What it lets through and two parsers could read differently
is refused here. Sources: RFC 9110, RFC 9112.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from math import inf

from holdfast.contract.http import HeaderList, Request, by_name
from holdfast.contract.path import may_not_be_normal, normal_path


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The maxima of a server. What exceeds one is refused and its connection closed.

    Attributes:
        header_bytes_max: request line and headers (431); trailers count too.
        body_bytes_max: one body (413), with or without a Content-Length.
        bodies_bytes_max: all bodies that are being received (503), so that many slow senders
            cannot fill the memory.
        header_deadline_s: from the first byte of a head, or from the connection, to its last (408).
        body_stall_s: how long nothing of a body may come (408).
        write_stall_s: how long nothing of an answer may be taken; the client is cut off then.
        bytes_per_s_min: each byte puts these two off by what it takes at this rate, so that a
            slower client is let go as one that stands still; see `pace`.
        idle_s: a kept connection without a request.
        age_s: a connection is kept so long; the answer to the next request is its last.
        linger_s: how long what a refused client still sends is read and dropped, so that it gets
            to see the refusal instead of a reset; also how long TLS waits for a client's goodbye.
        connections_max: open ones, and lost ones whose handler still runs; further ones get 503.
        requests_ahead_max: pipelined requests that wait for their turn; then reading pauses.
    """

    header_bytes_max: int = 16 * 1024
    headers_max: int = 100
    target_bytes_max: int = 8 * 1024
    body_bytes_max: int = 1024 * 1024
    bodies_bytes_max: int = 256 * 1024 * 1024
    header_deadline_s: float = 7.0
    body_stall_s: float = 7.0
    write_stall_s: float = 7.0
    bytes_per_s_min: int = 1024
    idle_s: float = 75.0
    age_s: float = inf
    linger_s: float = 2.0
    connections_max: int = 10_000
    requests_ahead_max: int = 16


class Refusal(Exception):
    """A request that the server answers by itself with a problem document (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail

    def document(self) -> bytes:
        """Return the problem document as JSON."""
        fields = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return json.dumps(fields, separators=(",", ":")).encode()


_LF, _CR, _NUL = b"\n\r\0"  # as numbers, which are found several times as fast as bytes
_NOT_ONE_HOST = "A request has exactly one Host header."
_BAD_HOST = "The Host header is not a host and port."
_ORIGIN_FORM = re.compile(rb'/[!"$-~]*').fullmatch
_ABSOLUTE_FORM = re.compile(rb'(?i:https?)://([^/?#]*)((?:[/?][!"$-~]*)?)').fullmatch
_HOST = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
).fullmatch


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    """Say whether these bytes are a host, or a host and port, as a Host header has them."""
    return _HOST(value) is not None


def speaks_http(method: bytes, target: bytes, raw: bytes) -> bool:
    """Say whether a request line in `raw` names HTTP; the parser takes RTSP and ICE for it."""
    if b"RTSP/" not in raw and b"ICE/" not in raw:
        return True
    line = rb"(?:^|\n)%b +%b +(?:RTSP|ICE)/" % (re.escape(method), re.escape(target))
    return re.search(line, raw) is None


def read_head(
    method: bytes,
    target: bytes,
    version: str,
    headers: HeaderList,
    limits: HttpLimits,
) -> Request:
    """Return the request that a parsed head describes, its body still empty.

    Args:
        headers: names in lower case, values without surrounding blanks.
    Raises:
        Refusal: it must not be served.
    """
    if version != "1.1" and version != "1.0":
        raise Refusal(505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are served.")
    if method == b"CONNECT":
        raise Refusal(501, "method_not_implemented", "This is no proxy.")
    sent = by_name(headers)
    length = sent.get(b"content-length")
    if length is not None and int(length) > limits.body_bytes_max:
        raise body_too_large(limits)
    if b"transfer-encoding" in sent or b"expect" in sent:
        _check_framing(sent, version)
    host = sent.get(b"host")
    if host is None:
        if version == "1.1":
            raise Refusal(400, "bad_host", _NOT_ONE_HOST)
    elif not is_host(host):
        one = sum(name == b"host" for name, _ in headers) == 1
        raise Refusal(400, "bad_host", _BAD_HOST if one else _NOT_ONE_HOST)
    if _ORIGIN_FORM(target) is None:
        target = _absolute_target(target, host or b"")
    path, _, query = target.decode("ascii").partition("?")
    if may_not_be_normal(path):
        path = _normal(path)
    # Any other method is a route's to decide; the parser let tokens alone pass.
    return Request(method.decode("latin-1"), path, query, headers, sent=sent)


def _normal(path: str) -> str:
    try:
        return normal_path(path)
    except ValueError as error:
        raise Refusal(400, "bad_target", f"The request target cannot be read: {error}.") from error


def _check_framing(sent: dict[bytes, bytes], version: str) -> None:
    coding = sent.get(b"transfer-encoding")
    if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
        raise Refusal(400, "bad_framing", "Transfer-Encoding may only be chunked, in HTTP/1.1.")
    if sent.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise Refusal(417, "expectation_failed", "Only 100-continue may be expected.")


def _absolute_target(target: bytes, host: bytes) -> bytes:
    absolute = _ABSOLUTE_FORM(target)
    if absolute is None:
        raise Refusal(400, "bad_target", "The request target is not a path or an http URL.")
    if absolute[1].lower() != host.lower():
        raise Refusal(400, "bad_host", "The request target and the Host header disagree.")
    rest = absolute[2]
    return rest if rest.startswith(b"/") else b"/" + rest


def breaks(lines: bytes) -> bool:
    """Say whether header lines, put together without their ends, would break a head in two."""
    return _LF in lines or _CR in lines or _NUL in lines


def body_too_large(limits: HttpLimits) -> Refusal:
    """Return the refusal of a body over the limit."""
    return Refusal(413, "too_large", f"A body has at most {limits.body_bytes_max} bytes.")


def head_too_large(limits: HttpLimits) -> Refusal:
    """Return the refusal of a head over the limit."""
    return Refusal(
        431,
        "headers_too_large",
        f"A head has at most {limits.headers_max} headers in {limits.header_bytes_max} bytes.",
    )


def unreadable(reason: str) -> Refusal:
    """Return the refusal for what the parser could not read; `reason` is the parser's own."""
    if reason == "Invalid HTTP version":
        return Refusal(505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are served.")
    return Refusal(400, "bad_request", f"This is not an HTTP/1.1 request: {reason}.")
