"""Where a client's requests go: scheme, host and port, and how a request to it looks in bytes."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from holdfast.contract.http import Request

_HOP_BY_HOP = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"content-length",
    ]
)
_HAS_BODY = frozenset(["POST", "PUT", "PATCH"])
_TARGET = re.compile(r'/[!"$-~]*').fullmatch
_TOKEN = re.compile(r"[A-Z]+").fullmatch


@dataclass(frozen=True, slots=True)
class Origin:
    """One server: TCP host and port, or the Unix socket `path`; encrypted with `tls`."""

    host: str
    port: int
    tls: bool = False
    path: str | None = None

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Read `http://host:port`, `https://host` or `unix:/run/a.sock`.

        Raises:
            ValueError: it is none of these, or names more than an origin.
        """
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return cls("localhost", 0, path=parts.path)
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or not host.isascii() or extra:
            raise ValueError(f"an origin is http(s)://host[:port] or unix:/path, got {url!r}")
        tls = parts.scheme == "https"
        return cls(host, parts.port or (443 if tls else 80), tls)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """The Host header: the port is left out when it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.path is not None or self.port == (443 if self.tls else 80)
        return host if usual else f"{host}:{self.port}"


def encode_request(request: Request, host_line: bytes) -> bytes:
    """Return a request's bytes, made from its parsed fields alone.

    Headers that belong to one hop are left out, with those that its Connection header names.

    Args:
        host_line: the Host header to use when the request has none.
    Raises:
        ValueError: a field would break the request in two.
    """
    target = f"{request.path}?{request.query}" if request.query else request.path
    if _TARGET(target) is None or _TOKEN(request.method) is None:
        raise ValueError(f"cannot be sent as a request line: {request.method} {target!r}")
    lines = [f"{request.method} {target} HTTP/1.1\r\n".encode("ascii")]
    dropped: set[bytes] | None = None
    hosted = False
    for name, value in request.headers:
        if name in _HOP_BY_HOP:
            if name == b"connection":
                named = {word.strip().lower() for word in value.split(b",")}
                dropped = named if dropped is None else dropped | named
        else:
            hosted = hosted or name == b"host"
            lines.append(b"%b: %b\r\n" % (name, value))
    if dropped is not None:
        dropped.discard(b"host")
        lines = [line for line in lines if line.partition(b":")[0] not in dropped]
    if not hosted:
        lines.append(host_line)
    body = request.body
    if body or request.method in _HAS_BODY:
        lines.append(b"content-length: %d\r\n" % len(body))
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
        raise ValueError("a request header holds a line break or NUL")
    return b"%b\r\n%b" % (head, body)
