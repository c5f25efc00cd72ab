"""One route with everything on, written straight by hand: an `asyncio.Protocol` on httptools.

The work is that of `benchmarks.ours.route`: the same bytes come in and the same body goes out; a
token that was verified is found in a cache, by address and by caller there is a bucket of tokens,
the trace goes on or is begun, a deadline is set, the body is checked against the model, and each
request is a JSON line, a count and a time in a histogram, and a span if it is sampled. It has the
one route, knows only what the benchmark sends, and every line of it is on the way of each request:
nobody would keep a system so, and nothing in Python could do the same for much less.

`--pydantic` checks the body with pydantic's models, as ours does, instead of msgspec's.
"""

import argparse
import asyncio
import json
import os
import random
import time
import warnings
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import httptools
import msgspec
import uvloop
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, Field, ValidationError

from benchmarks.floor.wire import Wires, serve_blocks
from benchmarks.ours import access
from benchmarks.route import requests

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PATH, DEADLINE_S, SAMPLED = b"/v1/orders", 30.0, 0.01
RATE, BURST = 1_000_000.0, 1_000_000.0
LOG_BYTES = 65_536
REASONS = {200: b"OK", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found"}
REASONS |= {422: b"Unprocessable Content", 429: b"Too Many Requests", 504: b"Gateway Timeout"}

Meta = msgspec.Meta


class PlaceOrder(msgspec.Struct):
    """An order of six fields."""

    order_id: UUID
    customer: Annotated[str, Meta(min_length=1, max_length=64)]
    sku: Annotated[str, Meta(pattern=r"^[A-Z]{3}-[0-9]{4}$")]
    quantity: Annotated[int, Meta(ge=1, le=100)]
    price_cents: Annotated[int, Meta(ge=1, le=10_000_000)]
    channel: Literal["web", "app", "phone"]


class Accepted(msgspec.Struct):
    """The answer: three fields."""

    order_id: UUID
    state: str
    total_cents: int


class PlaceOrderModel(BaseModel):
    """The same order for pydantic."""

    order_id: UUID
    customer: Annotated[str, Field(min_length=1, max_length=64)]
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-[0-9]{4}$")]
    quantity: Annotated[int, Field(ge=1, le=100)]
    price_cents: Annotated[int, Field(ge=1, le=10_000_000)]
    channel: Literal["web", "app", "phone"]


class AcceptedModel(BaseModel):
    """The same answer for pydantic."""

    order_id: UUID
    state: str
    total_cents: int


class Line(msgspec.Struct):
    """A line of the log."""

    time: float
    level: str
    event: str
    method: str
    path: str
    status: int
    ms: float
    client: str
    caller: str
    trace_id: str
    correlation_id: str


class Bucket:
    """What one address or caller may still send."""

    __slots__ = ("at", "tokens")

    def __init__(self, now: float) -> None:
        self.tokens, self.at = BURST, now


class Series:
    """The times of the requests with one status."""

    __slots__ = ("buckets", "count", "sum")

    def __init__(self) -> None:
        self.buckets, self.count, self.sum = [0] * (len(BUCKETS) + 1), 0, 0.0


class State:
    """What all connections share: caches, counts, and where the log goes."""

    def __init__(self, place: Callable[[bytes], bytes], log: Callable[[bytes], Any]) -> None:
        self.place, self.log = place, log
        self.keys = KeySet.import_key_set(json.loads(access.jwks()))
        self.tokens: dict[bytes, dict[str, Any]] = {}
        self.buckets: dict[str, Bucket] = {}
        self.series: dict[int, Series] = {}
        self.spans = deque[tuple[Any, ...]](maxlen=4_096)
        self.in_flight: set[Floor] = set()
        self.date, self.date_until = b"", 0.0


class Problem(Exception):
    """A request that is answered by its status alone."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def place_by_msgspec() -> Callable[[bytes], bytes]:
    """Return the handler between its decoder and its encoder."""
    decode, encode = msgspec.json.Decoder(PlaceOrder).decode, msgspec.json.Encoder().encode

    def place(body: bytes) -> bytes:
        order = decode(body)
        return encode(Accepted(order.order_id, "placed", order.quantity * order.price_cents))

    return place


def place_by_pydantic() -> Callable[[bytes], bytes]:
    """Return the same handler between pydantic's validator and serializer."""
    check = PlaceOrderModel.__pydantic_validator__.validate_json
    write = AcceptedModel.__pydantic_serializer__.to_json

    def place(body: bytes) -> bytes:
        order = check(body)
        total_cents = order.quantity * order.price_cents
        return write(
            AcceptedModel(order_id=order.order_id, state="placed", total_cents=total_cents)
        )

    return place


class Floor(asyncio.Protocol):
    """One connection."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._encode = msgspec.json.Encoder().encode
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._client = ""
        self.until = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and who is at its other end."""
        self._transport = cast(asyncio.Transport, transport)
        self._client = transport.get_extra_info("peername")[0]

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    # -- what the parser finds --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._token = self._trace = self._correlation = b""
        self._path = self._body = b""

    def on_url(self, url: bytes) -> None:
        """Keep the path."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what matters."""
        name = name.lower()
        if name == b"authorization":
            self._token = value[7:]
        elif name == b"traceparent":
            self._trace = value
        elif name == b"x-correlation-id":
            self._correlation = value

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Serve the request in a task of its own, as a handler that waits would need."""
        asyncio.get_running_loop().create_task(self._serve())

    # -- the route --------------------------------------------------------------------------------

    async def _serve(self) -> None:
        state, begun, now = self._state, time.perf_counter(), time.time()
        trace = self._trace
        if len(trace) == 55:
            trace_id, sampled = trace[3:35].decode(), trace[54:] != b"0"
        else:
            trace_id, sampled = f"{random.getrandbits(128):032x}", random.random() < SAMPLED
        correlation = self._correlation.decode() or trace_id
        self.until = begun + DEADLINE_S
        state.in_flight.add(self)  # whoever is over its deadline is looked for by one timer for all
        caller, rate = "", b""
        try:
            self._take(self._client, now)
            if self._path != PATH or self._parser.get_method() != b"POST":
                raise Problem(404)
            caller = self._caller(now)
            left = self._take(caller, now)
            rate = b'ratelimit: "caller";r=%d;t=0\r\n' % left
            status, body = 200, state.place(self._body)
        except Problem as exc:
            status, body = exc.status, b"{}"
        except (msgspec.ValidationError, ValidationError) as exc:
            status, body = 422, self._encode({"detail": str(exc)})
        state.in_flight.discard(self)
        if now >= state.date_until:
            state.date, state.date_until = formatdate(now, usegmt=True).encode(), int(now) + 1
        self._transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n%bx-correlation-id: %b\r\n"
            b"date: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (status, REASONS[status], rate, correlation.encode(), state.date, len(body), body)
        )
        self._account(status, begun, now, (caller, trace_id, correlation), sampled=sampled)

    def _take(self, who: str, now: float) -> int:
        """Take one from a bucket; return what is left. Raises Problem."""
        bucket = self._state.buckets.get(who)
        if bucket is None:
            bucket = self._state.buckets[who] = Bucket(now)
        tokens = min(BURST, bucket.tokens + (now - bucket.at) * RATE)
        bucket.at = now
        if tokens < 1:
            raise Problem(429)
        bucket.tokens = tokens - 1
        return int(tokens - 1)

    def _caller(self, now: float) -> str:
        """Return whose token it is; a new one's signature is verified. Raises Problem."""
        claims = self._state.tokens.get(self._token)
        if claims is None:
            try:
                claims = jwt.decode(self._token.decode(), self._state.keys, ["EdDSA"]).claims
            except (ValueError, JoseError) as exc:
                raise Problem(401) from exc
            if claims["iss"] != access.ISSUER or claims["aud"] != access.AUDIENCE:
                raise Problem(401)
            self._state.tokens[self._token] = claims
        if claims["exp"] <= now:
            raise Problem(401)
        if access.SCOPE not in claims["scope"]:
            raise Problem(403)
        return str(claims["sub"])

    def _account(
        self, status: int, begun: float, now: float, ids: tuple[str, str, str], *, sampled: bool
    ) -> None:
        """Write the line, count, and keep the span."""
        state, took_s = self._state, time.perf_counter() - begun
        series = state.series.get(status)
        if series is None:
            series = state.series[status] = Series()
        series.buckets[bisect_left(BUCKETS, took_s)] += 1
        series.count += 1
        series.sum += took_s
        caller, trace_id, correlation = ids
        if sampled:
            state.spans.append((trace_id, random.getrandbits(64), now, took_s, status, caller))
        ms = round(took_s * 1_000, 3)
        line = Line(
            *(now, "info", "request", "POST", self._path.decode(), status, ms),
            *(self._client, caller, trace_id, correlation),
        )
        state.log(self._encode(line) + b"\n")


async def main() -> None:
    """Answer until the input ends; the log goes to /dev/null."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pydantic", action="store_true", help="instead of msgspec")
    by_pydantic = parser.parse_args().pydantic
    warnings.simplefilter("ignore")  # joserfc's, of EdDSA's name
    place = place_by_pydantic() if by_pydantic else place_by_msgspec()
    with open(os.devnull, "wb", buffering=LOG_BYTES) as log:
        state = State(place, log.write)
        await serve_blocks(Wires(lambda: Floor(state), requests()).block)


if __name__ == "__main__":
    uvloop.run(main())
