"""Forwarding to a service behind a real socket: what is sent, and when it is sent again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest

from holdfast.communication import ClientPool, HttpServer, Origin
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.dispatch.inner_headers import ORIGIN
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.gateway import DEADLINE, Forward, hop_policy
from holdfast.gateway.forward import GRACE_S
from holdfast.observability import Context, Tracer, Tracing, current
from holdfast.resilience import BulkheadPolicy, Edge, EdgePolicy, RetryPolicy
from holdfast.system import Gateway

Answering = Callable[[Request], Awaitable[Response]]
CONTEXT = Context(
    "c0ffee00c0ffee00", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", False, "gateway"
)
TRACING = Tracing(Tracer(Random(1), ratio=0.0), MachineClock())
POLICY = EdgePolicy(
    timeout_s=60, retry=RetryPolicy(tries_max=3, base_s=0.001), budget=None, breaker=None
)
CUT = ConnectionAbortedError("the line is cut in the middle of an answer")


@dataclass
class Upstream:
    """A service on a socket; `answering` answers, and what raises CUT loses the connection."""

    url: str = ""
    seen: list[Request] = field(default_factory=list[Request])
    outcomes: list[int | Exception] = field(default_factory=list[int | Exception])
    release: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False

    async def handle(self, request: Request) -> Response:
        """Answer with the next outcome, or with 200."""
        self.seen.append(request)
        if self.hangs:
            await self.release.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else 200
        if isinstance(outcome, Exception):
            return Response(200, [], b"begun", _cut())
        headers: HeaderList = [(b"etag", b'"1"'), (b"x-powered-by", b"us")]
        return Response(outcome, headers, b"done")


async def _cut() -> AsyncIterator[bytes]:
    yield b"half"
    raise CUT


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Serve an upstream on a free port."""
    made = Upstream()
    server = HttpServer(
        made.handle,
        network=SystemNetwork(),
        clock=MachineClock(),
        on_error=lambda request, error: None,
    )
    listener = await server.start("127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listener.address[1]}"
    yield made
    made.release.set()
    await server.drain(1.0)


@pytest.fixture
async def pool() -> AsyncIterator[ClientPool]:
    """Return a pool that is closed at the end."""
    made = ClientPool(network=SystemNetwork(), clock=MachineClock())
    yield made
    await made.close()


@pytest.fixture(params=["straight", "long"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests forwarded either way."""
    if request.param == "long":
        monkeypatch.setattr(Edge, "begin", _never)


def _never(edge: Edge, deadline: float | None) -> None:
    """Begin nothing straight."""


def forward(
    pool: ClientPool, url: str, policy: EdgePolicy = POLICY, *, keyed: bool = True
) -> Forward:
    """Return what forwards to one address."""
    origin = Origin.parse(url)

    async def call(request: Request, timeout_s: float) -> Response:
        return await pool.request(origin, request, deadline_s=timeout_s)

    return Forward(
        Edge("gateway→orders", policy, MachineClock(), Random(1)), call, TRACING, keyed=keyed
    )


def request(method: str = "GET", *headers: tuple[bytes, bytes], within_s: float = 60.0) -> Request:
    """Return a request as the door hands it on."""
    deadline = asyncio.get_running_loop().time() + within_s
    return Request(
        method,
        "/v1/orders/a%20b",
        "page=2",
        [(b"host", b"api.example"), *headers],
        b"{}" if method == "POST" else b"",
        client="203.0.113.9",
        scheme="https",
        deadline=deadline,
        cause=CONTEXT.cause,
    )


def code(response: Response) -> str:
    """Return the code of a problem document."""
    document: dict[str, str] = msgspec.json.decode(response.body)
    return document["code"]


async def test_a_request_arrives_as_it_came(pool: ClientPool, upstream: Upstream) -> None:
    """Raw path and query, body, the client's headers and Host, our correlation and trace."""
    current.set(CONTEXT)
    answer = await forward(pool, upstream.url)(request("POST", (b"accept", b"a/b")), {})

    [seen] = upstream.seen
    assert (seen.method, seen.path, seen.query) == ("POST", "/v1/orders/a%20b", "page=2")
    assert (seen.body, seen.header(b"accept")) == (b"{}", b"a/b")
    assert seen.header(b"x-correlation-id") == b"c0ffee00c0ffee00"
    assert (seen.header(b"traceparent") or b"").startswith(b"00-0af7651916cd43dd")
    assert msgspec.json.decode(seen.header(ORIGIN) or b"") == {
        "client": "203.0.113.9",
        "scheme": "https",
        "host": "api.example",
    }
    assert seen.header(b"host") == upstream.url.removeprefix("http://").encode()
    assert (answer.status, answer.body, answer.header(b"etag")) == (200, b"done", b'"1"')


async def test_what_frames_a_request_is_not_forwarded(pool: ClientPool, upstream: Upstream) -> None:
    """The body is here already: a client's `Expect` or length is no business of the service."""
    framing = [
        *((b"expect", b"100-continue"), (b"content-length", b"7"), (b"connection", b"close")),
        *((b"te", b"trailers"), (b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c")),
    ]
    answer = await forward(pool, upstream.url)(request("POST", *framing, (b"x-own", b"1")), {})

    [seen] = upstream.seen
    names = {name for name, _ in seen.headers}
    assert (answer.status, seen.body, seen.header(b"content-length")) == (200, b"{}", b"2")
    assert b"x-own" in names
    assert not names & {b"expect", b"connection", b"te", b"transfer-encoding", b"upgrade"}


async def test_the_remaining_time_travels_along(pool: ClientPool, upstream: Upstream) -> None:
    """In milliseconds, and never more than what one try may take."""
    for within_s in (30.0, 600.0):
        await forward(pool, upstream.url)(request(within_s=within_s), {})

    short, long = (int(seen.header(DEADLINE) or b"0") for seen in upstream.seen)
    assert 1_000 < short <= 30_000
    assert 31_000 < long <= 60_000


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_an_answer_is_an_answer_whatever_its_status(
    pool: ClientPool, upstream: Upstream, status: int
) -> None:
    """The service has decided; to ask it again would only add to its load."""
    upstream.outcomes = [status]
    answer = await forward(pool, upstream.url)(request(), {})

    assert (answer.status, answer.body, len(upstream.seen)) == (status, b"done", 1)


KEY = (b"idempotency-key", b"k1")


@pytest.mark.parametrize(
    ("method", "headers", "tries"),
    [
        *(("GET", (), 2), ("OPTIONS", (), 2)),
        *(("POST", (), 1), ("PUT", (), 1), ("PATCH", (), 1), ("DELETE", (), 1)),
        *(("POST", (KEY,), 2), ("PUT", (KEY,), 2), ("PATCH", (KEY,), 2), ("DELETE", (KEY,), 2)),
    ],
)
async def test_a_lost_answer_is_asked_for_again_where_that_is_safe(
    pool: ClientPool,
    upstream: Upstream,
    method: str,
    headers: tuple[tuple[bytes, bytes], ...],
    tries: int,
) -> None:
    """An effect that may have happened is repeated only under a key."""
    upstream.outcomes = [CUT]
    answer = await forward(pool, upstream.url)(request(method, *headers), {})

    assert len(upstream.seen) == tries
    if tries == 2:
        assert (answer.status, answer.body) == (200, b"done")
    else:
        assert (answer.status, code(answer)) == (502, "connection_lost")


async def test_a_key_that_nobody_records_repeats_nothing(
    pool: ClientPool, upstream: Upstream
) -> None:
    """A mounted app, or a route with `record=False`, would do the effect twice."""
    upstream.outcomes = [CUT]
    answer = await forward(pool, upstream.url, keyed=False)(request("POST", KEY), {})

    assert (len(upstream.seen), answer.status, code(answer)) == (1, 502, "connection_lost")


async def test_a_service_that_does_not_listen_is_502(pool: ClientPool, upstream: Upstream) -> None:
    """Nothing was sent, so even a bare POST was tried as often as the edge allows."""
    tries: list[float] = []

    async def call(outgoing: Request, timeout_s: float) -> Response:
        tries.append(timeout_s)
        return await pool.request(Origin("127.0.0.1", 1), outgoing, deadline_s=timeout_s)

    edge = Edge("gateway→orders", POLICY, MachineClock(), Random(1))
    answer = await Forward(edge, call, TRACING, keyed=True)(request("POST"), {})

    assert (answer.status, code(answer), len(tries)) == (502, "unreachable", 3)
    assert b"127.0.0.1" not in answer.body
    assert b"c0ffee00c0ffee00" in answer.body


async def test_a_service_that_hangs_is_504(pool: ClientPool, upstream: Upstream) -> None:
    """When the deadline of the request has passed, and not later."""
    upstream.hangs = True
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = await forward(pool, upstream.url)(request(within_s=0.15), {})

    assert (answer.status, code(answer), len(upstream.seen)) == (504, "deadline_exceeded", 1)
    assert loop.time() - started < 60


async def test_a_request_that_is_late_already_is_not_sent(
    pool: ClientPool, upstream: Upstream
) -> None:
    """Nobody waits for its answer."""
    answer = await forward(pool, upstream.url)(request(within_s=-1.0), {})

    assert (answer.status, upstream.seen) == (504, [])


@pytest.mark.parametrize("within_s", [60.0, 20.0])
async def test_the_gateway_waits_a_moment_longer_than_the_service(within_s: float) -> None:
    """A transaction that has begun is finished; a race would tell its client of a time-out."""
    waits: list[tuple[float, float]] = []

    async def call(outgoing: Request, timeout_s: float) -> Response:
        waits.append((timeout_s, int(outgoing.header(DEADLINE) or 0) / 1000))
        return Response(201)

    edge = Edge("gateway→orders", hop_policy(Gateway(deadline_s=60)), MachineClock(), Random(1))
    answer = await Forward(edge, call, TRACING)(request("POST", within_s=within_s), {})

    [(here_s, there_s)] = waits
    assert answer.status == 201
    assert there_s <= within_s < here_s <= within_s + GRACE_S


@pytest.mark.parametrize(("requests_max", "places"), [(5_000, 2_500), (3, 1), (2, 1), (1, 1)])
def test_the_hop_has_no_limits_of_its_own(requests_max: int, places: int) -> None:
    """A try may take what a request may take, and one service fills half of the gateway."""
    policy = hop_policy(Gateway(deadline_s=30.0, requests_max=requests_max))

    assert policy == EdgePolicy(
        timeout_s=30.0 + GRACE_S, bulkhead=BulkheadPolicy(calls_max=places, queue_max=places)
    )


async def test_a_request_without_a_deadline_has_that_of_its_edge(
    pool: ClientPool, upstream: Upstream
) -> None:
    """Every wait has an end."""
    endless = request()
    endless.deadline = None
    answer = await forward(pool, upstream.url)(endless, {})

    [seen] = upstream.seen
    assert (answer.status, seen.header(DEADLINE)) == (200, b"60000")


async def test_a_full_compartment_is_503(pool: ClientPool, upstream: Upstream) -> None:
    """One service that hangs does not take the whole gateway with it."""
    upstream.hangs = True
    policy = EdgePolicy(
        timeout_s=60, retry=None, breaker=None, bulkhead=BulkheadPolicy(calls_max=1, queue_max=0)
    )
    serve = forward(pool, upstream.url, policy)
    first = asyncio.create_task(serve(request(), {}))
    async with asyncio.timeout(60):
        while not upstream.seen:
            await asyncio.sleep(0)
    second = await serve(request(), {})
    upstream.release.set()

    assert (second.status, code(second)) == (503, "bulkhead_full")
    assert second.header(b"retry-after") == b"1"
    assert (await first).status == 200
