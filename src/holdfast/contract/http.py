"""A request and a response as values: what the server, the gateway and the dispatch hand on."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import msgspec

from holdfast.contract.cause import NO_CAUSE, Cause

GONE_S = 0.5
"""How old a request may be that is begun though its client has gone."""

HeaderList = list[tuple[bytes, bytes]]

REQUEST_METHOD = b"access-control-request-method"
"""By which a browser asks, in a preflight, whether it may use a method."""


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of a connection: a client, a proxy, or a process of the system.

    Whose request it brings is another question: see `Request.caller`.

    Attributes:
        address: "" for a Unix socket.
        scheme: `https` where it speaks TLS.
        identity: what the server found out about it, such as the name in its certificate; None:
            it was not told to.
    """

    address: str = ""
    scheme: str = "http"
    identity: object = None


NOBODY = Peer()


def by_name(headers: HeaderList) -> dict[bytes, bytes]:
    """Return {name: value}, the values of one name joined."""
    found = dict(headers)
    if len(found) < len(headers):
        found = {}
        for name, value in headers:
            found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


class Request(msgspec.Struct):
    """One HTTP request, complete: bodies are read to the end, and bounded, before anyone sees them.

    Attributes:
        method: upper case.
        path: percent-encoded, in its normal form (`path.normal_path`), without the query; starts
            with "/".
        query: raw, without the "?"; "" when there is none.
        headers: [(lower-case name, value)], in the order sent.
        client: the address of the other end, "" for a Unix socket; behind a proxy that the gateway
            trusts, that of the proxy's client.
        scheme: `https` where the client spoke TLS, as far as is known.
        received_at: loop time in seconds when it had come to this machine, which may be long before
            anybody read it; 0.0: not known.
        deadline: loop time in seconds, after which nobody waits for the answer; None: no limit.
        cause: the span that answers it, and what the caller handed on.
        caller: whose request it is, set by the gateway when it has authenticated somebody; None
            before.
        caller_until: seconds since 1970, when what authenticated the caller is good no more.
        route: the template of the route that matched, for metrics and logs.
        gone: the client has closed the connection; nobody will read an answer.
        on_gone: called once when that happens, set by whoever can stop what it does until then.
        peer: who connected.
        found: what serves it, and its path parameters, once its gate has looked; None: it has not,
            or has to be looked for.
        places: those of its route, one of which it has; None: it passed no gate.
        sent: {lower-case name: value} of all headers that came, also of those that the gateway
            keeps from services; what came several times is joined, as RFC 9110, 5.3 has it.
    """

    method: str
    path: str
    query: str = ""
    headers: HeaderList = []
    body: bytes = b""
    client: str = ""
    scheme: str = "http"
    received_at: float = 0.0
    deadline: float | None = None
    cause: Cause = NO_CAUSE
    caller: Any = None
    caller_until: float = math.inf
    route: str = ""
    gone: bool = False
    on_gone: Callable[[], None] | None = None
    peer: Peer = NOBODY
    sent: dict[bytes, bytes] = {}
    found: Any = None
    places: object = None

    def __post_init__(self) -> None:
        """Have the headers by name, unless whoever read them has done so."""
        if self.headers and not self.sent:
            self.sent = by_name(self.headers)

    def __repr__(self) -> str:
        return f"Request({self.method!r}, {self.path!r})"  # the rest may hold tokens and passwords

    @property
    def correlation_id(self) -> str:
        """What finds all logs of what this request caused."""
        return self.cause.correlation

    def leave(self) -> None:
        """Say that the client has gone."""
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()

    def wanted_until(self) -> float | None:
        """Return when the answer is of no use any more, in loop time; None: it always is.

        That is at the deadline. For a client that has gone it is GONE_S after its request came: a
        write that is about to begin is done, one that would have to wait for others is left out.
        """
        if not self.gone:
            return self.deadline
        until = self.received_at + GONE_S
        return until if self.deadline is None else min(until, self.deadline)

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header that is there to be seen, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def header_all(self, name: bytes) -> list[bytes]:
        """Return every value of a header that is there to be seen, by its lower-case name."""
        return [value for key, value in self.headers if key == name]


class Response(msgspec.Struct):
    """One HTTP response. Content-Length, Date and Connection are added by the server.

    It is never changed once it was made: a handler may answer with a constant.

    Attributes:
        headers: [(lower-case name, value)].
        stream: chunks after `body`, sent as they come: of mounted ASGI apps, and of long answers
            from another process. With a content-length header they are sent under that length.
        head: the lines of its headers, from whoever knows that they are sound; b"": they are made
            from `headers`.
    """

    status: int = 200
    headers: HeaderList = []
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    head: bytes = b""

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"  # which may hold tokens

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


def is_preflight(request: Request) -> bool:
    """Whether a browser asks if it may send a request; it asks without a token and a body."""
    return (
        request.method == "OPTIONS"
        and not request.body
        and request.header(b"origin") is not None
        and request.header(REQUEST_METHOD) is not None
    )


Handler = Callable[[Request], Awaitable[Response]]


class AdmissionControl(Protocol):
    """Lets requests in, before anything is made for them."""

    def is_full(self, request: Request) -> bool:
        """Say whether a request whose body has not come yet would be refused now."""
        ...

    def enter(self, request: Request) -> Response | None:
        """Let a request in, and return None; or return what refuses it."""
        ...

    def begin(self, request: Request) -> Response | None:
        """Begin a request that was let in, and return None; or return what refuses it after all."""
        ...

    def leave(self, request: Request) -> None:
        """Note that a request that was let in has its answer, sent or not, or gets none."""
        ...
