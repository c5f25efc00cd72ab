"""What Holdfast needs from the world: time, chance, ids, network, broker, limits, signals.

Everything that is not a pure function of its input comes in through one of these, or through
`storage`. `runtime` brings the real ones, `simulation` brings its own. Nothing else in Holdfast
reads `time`, `random`, `uuid` or `os.environ`, or opens a socket. Waiting goes through the running
event loop.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol
from uuid import UUID


class Clock(Protocol):
    """Two clocks: one for people and certificates, one for durations."""

    def now(self) -> float:
        """Return the wall clock, in seconds since 1970 (UTC); it may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow; the same scale as the running loop's `time()`."""
        ...


class Random(Protocol):
    """Chance, for jitter and sampling; never for secrets."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def uniform(self, a: float, b: float) -> float:
        """Return a float in [a, b]."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Return an integer of `k` random bits."""
        ...


class Ids(Protocol):
    """Unguessable ids and secrets."""

    def uuid7(self, now_ms: int) -> UUID:
        """Return a time-ordered UUID (RFC 9562); ids of one process grow within a millisecond."""
        ...

    def token(self, size: int) -> bytes:
        """Return `size` bytes that nobody can guess."""
        ...


class Listener(Protocol):
    """An open listener."""

    @property
    def address(self) -> tuple[str, int]:
        """Return (host, port) where it listens; (path, 0) for a Unix socket."""
        ...

    def close(self) -> None:
        """Stop accepting; open connections stay."""
        ...


class AddressRefused(OSError):
    """An address is in use, or not ours.

    Attributes:
        host, port: where it was to be.
    """

    def __init__(self, cause: OSError, host: str, port: int) -> None:
        super().__init__(cause.errno, cause.strerror or str(cause))
        self.host, self.port = host, port

    def __str__(self) -> str:
        return f"{self.host}:{self.port}: {self.strerror}"


class Unread(NamedTuple):
    """What the kernel tells of bytes that were just read, or are about to be.

    Attributes:
        age_s: how long ago the newest of them came; 0.0 where it is not known.
        ended: the other side has said that no more will come, and may be gone.
    """

    age_s: float = 0.0
    ended: bool = False


class Network(Protocol):
    """Connections between processes."""

    async def connect(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection; `path` names a Unix socket instead of host and port.

        Raises:
            OSError: it could not be opened.
        """
        ...

    async def listen(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> Listener:
        """Listen on host and port (0: any free one), or on the Unix socket `path`."""
        ...

    def unread(self, transport: asyncio.BaseTransport) -> Unread:
        """Return how long what comes in by `transport` has waited to be read."""
        ...

    def untaken(self, transport: asyncio.BaseTransport) -> int:
        """Return how many bytes have left `transport`, and the other side has not confirmed.

        0 where that is not known.
        """
        ...

    def cut(self, transport: asyncio.Transport) -> None:
        """Abort a connection; what the kernel has of it is dropped, and the other side told so."""
        ...


HandshakeFailure = Literal["clear_text", "gone", "other", "refused", "timed_out", "version"]
"""Why a TLS handshake with a client failed: he spoke no TLS, closed, did not take what he was
shown, was too slow, or knows no version or cipher that we do."""


class Guarded(asyncio.Protocol):
    """A protocol that hears of a connection before its TLS handshake.

    `handshake_begins` is called first; then `connection_made`, or `handshake_failed`; and
    `connection_lost` in the end, whatever has come before.
    """

    def handshake_begins(self, transport: asyncio.Transport) -> None:
        """Somebody has come, by a transport that may be closed, and is not to be written to."""

    def handshake_failed(self, reason: HandshakeFailure, why: str) -> None:
        """There will be no connection; `why` is in the words of TLS."""


class Identity(Protocol):
    """Who this process is to the others of its system, and how it knows who they are."""

    @property
    def name(self) -> str:
        """Return the name of its workload, such as `orders`."""
        ...

    def listens(self, *, strangers: bool = False) -> ssl.SSLContext | None:
        """Return what a listener speaks; it takes in nobody who does not prove who he is.

        Args:
            strangers: who has no certificate at all is taken in, too; he is nobody.
        """
        ...

    def reaches(self, name: str) -> ssl.SSLContext | None:
        """Return what a connection to a workload speaks; it tells nobody else anything."""
        ...

    def trusted(self) -> bytes:
        """Return the authorities that are trusted now, as PEM; the same object while they are."""
        ...

    def peer(self, transport: asyncio.BaseTransport) -> str:
        """Return the name of the workload at the other end of a connection; "" is nobody."""
        ...


class Taken(NamedTuple):
    """What a rate limit says. `remaining` and `reset_s` go into the RateLimit header."""

    allowed: bool
    remaining: int
    reset_s: float


class Limits(Protocol):
    """Rate limits, shared by all gateways that use the same store."""

    async def try_take(self, key: str, rate_per_s: float, burst: int) -> Taken:
        """Take one token of the bucket `key`; refills at `rate_per_s`, holds at most `burst`."""
        ...

    def alone(self) -> int:
        """Return how often a shared store was away, and this process decided for itself."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Signals(Protocol):
    """The wish to stop, from outside."""

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when the process is asked to stop (SIGTERM, SIGINT)."""
        ...


@dataclass(frozen=True, slots=True)
class BrokerCounts:
    """What went wrong with a broker since the start.

    Attributes:
        refused_total: times it refused this process, or a subject of it, for want of a right.
        remade_total: streams that it had lost, and that were made again.
    """

    refused_total: int = 0
    remade_total: int = 0


Deliver = Callable[[bytes, bool, str], Coroutine[object, None, None]]
"""`deliver(parcel, again, sender)` takes a parcel, which is acknowledged when it returns.

`again` is set when the parcel may have been delivered before. `sender` is who published it, by the
broker's word and not the parcel's; empty where the broker cannot know.
"""


class Prefetch(Protocol):
    """How many parcels of a service are taken from the broker before others are done."""

    def allowed(self, under_way: int) -> int:
        """Return how many may be under way at once, where so many are; one at least."""
        ...

    def enter(self) -> float:
        """Count one that is begun; what this returns is given to `leave`."""
        ...

    def leave(self, entered_at: float) -> None:
        """Count one that has ended."""
        ...


Allowed = Callable[[int], int]
"""See `Prefetch.allowed`."""


def any_number(under_way: int) -> int:
    """Let a broker hand out as many as it likes."""
    return sys.maxsize


class Broker(Protocol):
    """Carries parcels between services; it may lose, repeat, delay and reorder them."""

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        """Hand a parcel over, without waiting for its delivery.

        Args:
            sender: the service that publishes it; the broker lets nobody take another's name, if it
                knows who is who.
        Raises:
            Unreachable: the broker is away; the sender's rows stay and are sent again.
        """
        ...

    async def subscribe(
        self, service: str, lane: str, deliver: Deliver, allowed: Allowed = any_number
    ) -> None:
        """Call `deliver` for each parcel, for no more at once than are allowed then."""
        ...

    def trouble(self) -> str | None:
        """Return what is wrong now, or None: why parcels cannot travel, or some of them."""
        ...

    def counts(self) -> BrokerCounts:
        """Return what went wrong since the start, for the metrics."""
        ...

    async def stop(self) -> None:
        """Stop deliveries; wait for those under way."""
        ...
