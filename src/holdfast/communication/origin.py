"""Where a client's requests go: scheme, host and port, and how a request to it looks in bytes."""

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, urlsplit

from holdfast.communication.framing import breaks
from holdfast.contract.http import HeaderList, Request
from holdfast.contract.secret_names import plain_url

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
_APART = _HOP_BY_HOP | {b"host"}
_HAS_BODY = frozenset(["POST", "PUT", "PATCH"])
_TARGET = re.compile(r'/[!"$-~]*').fullmatch
_TOKEN = re.compile(r"[A-Z][A-Z-]*").fullmatch  # M-SEARCH is the one with a dash

LOOPBACK: Final = "127.0.0.1"
"""What a process listens on, unless it is told otherwise."""
PORT: Final = 8000
"""Its port then, and that of the processes of a service in a network."""

_EVERY = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}  # noqa: S104  # listened on


@dataclass(frozen=True, slots=True)
class Origin:
    """One server: TCP host and port, or the Unix socket `path`; encrypted with `tls`.

    Wherever an address is read, printed or reached, it is one of these: a text that was put
    together from a host and a port is wrong for IPv6, for sockets and for "every address".

    Attributes:
        host: a name or an address; an IPv6 address has no brackets here.
        workload: who must be there, inside the system; "": whoever its certificate says.
    """

    host: str
    port: int
    tls: bool = False
    path: str | None = None
    workload: str = ""

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Read `http://host:port`, `https://host`, `http://[::1]:8000` or `unix:/run/a.sock`.

        Raises:
            ValueError: it is none of these, or names more than an origin.
        """
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return cls("localhost", 0, path=parts.path)
        extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        host, port = parts.hostname or "", _port(parts)
        if ":" in host:
            host = host.replace("%25", "%", 1)  # a zone, RFC 6874
        bad = not host or not host.isascii() or port == 0
        if parts.scheme not in ("http", "https") or bad or extra:
            raise ValueError(
                f"an origin is http(s)://host[:port] or unix:/path, got {plain_url(url)!r}"
            )
        tls = parts.scheme == "https"
        return cls(host, port or (443 if tls else 80), tls)

    @classmethod
    def of(cls, host: str, port: int) -> "Origin":
        """Return what listens on a host and a port; the host may be `unix:/run/a.sock`.

        Raises:
            ValueError: the path of a socket is not absolute.
        """
        if host.startswith("unix:"):
            return cls.parse(host)
        return cls(host.removeprefix("[").removesuffix("]"), port)

    @property
    def reachable(self) -> "Origin":
        """Where a client on this machine finds it: nobody connects to "every address"."""
        return replace(self, host=_EVERY.get(self.host, self.host))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{'https' if self.tls else 'http'}://{self._location(self.host, '%25')}"

    @property
    def authority(self) -> str:
        """The Host header: the port is left out when it is the scheme's own, and a zone always."""
        return self._location(self.host.partition("%")[0], "")

    @property
    def place(self) -> str:
        """Host and port, or the path: what a person is told of a listener."""
        return self.path or f"{_bracketed(self.host)}:{self.port}"

    def _location(self, host: str, zone: str) -> str:
        host = _bracketed(host.replace("%", zone, 1))
        usual = self.path is not None or self.port == (443 if self.tls else 80)
        return host if usual else f"{host}:{self.port}"


def origin_and_path(url: str) -> tuple[Origin, str]:
    """Return `https://host/a/b` as its origin and `/a/b`; the path is at least `/`.

    Raises:
        ValueError: it is no URL of HTTP.
    """
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    try:
        return Origin.parse(f"{scheme}://{authority}"), f"/{path}"
    except ValueError:  # it was shown a part, which may end within a password
        raise ValueError(f"it is no http(s)://host[:port]/path: {plain_url(url)!r}") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # its own words would show what may be a part of a password
        raise ValueError(
            f"its port is no number, 1..65535: {plain_url(parts.geturl())!r}"
        ) from None


def encode_request(request: Request, host_line: bytes) -> bytes:
    """Return a request's bytes, made from its parsed fields alone.

    Headers that belong to one hop are left out, with those that its Connection header names.

    Args:
        host_line: the Host header to use when the request has none.
    Raises:
        ValueError: a field would break the request in two.
    """
    method, headers, body = request.method, request.headers, request.body
    target = f"{request.path}?{request.query}" if request.query else request.path
    if _TARGET(target) is None or (method not in _HAS_BODY and _TOKEN(method) is None):
        raise ValueError(f"cannot be sent as a request line: {method} {target!r}")
    kept = [pair for pair in headers if pair[0] not in _APART]
    if len(kept) < len(headers):
        hosts = [pair for pair in headers if pair[0] == b"host"]
        host_line = b"" if hosts else host_line
        kept = hosts + _without_named(headers, kept)
    lines = [b": ".join(pair) for pair in kept]
    if breaks(b"".join(lines)):
        raise ValueError("a request header holds a line break or NUL")
    if body or method in _HAS_BODY:
        lines.append(b"content-length: %d" % len(body))
    lines.append(b"\r\n")
    first = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
    return b"%b%b%b%b" % (first, host_line, b"\r\n".join(lines), body)


def _without_named(headers: HeaderList, kept: HeaderList) -> HeaderList:
    """Leave out what Connection headers name."""
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named.update(word.strip().lower() for word in value.split(b","))
    return [pair for pair in kept if pair[0] not in named] if named else kept
