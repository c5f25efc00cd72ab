"""The traces of requests at the door: whose are followed, what is handed on, and that each ends."""

import asyncio
import io

import pytest

from holdfast import Gateway
from holdfast.contract.cause import Cause
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.dispatch.router import Router, Target
from holdfast.gateway import Door
from holdfast.observability import Logger, Metrics, Spans, Tracer, Tracing
from holdfast.resilience import MemoryLimits
from holdfast.testing import virtual_time
from tests.auditing import audit_in
from tests.observability.fakes import SetRandom
from tests.virtual_loop import LoopClock

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
PROXY, STRANGER = "10.0.0.1", "192.0.2.9"
GOOD: HeaderList = [
    (b"traceparent", PARENT.encode()),
    (b"tracestate", b"a=1"),
    (b"tracestate", b"b=2"),
    (b"baggage", b"tenant=x;p=1 , user=a%20b"),
]


class House:
    """A door, and one route behind it that remembers what it was asked."""

    def __init__(self) -> None:
        clock = LoopClock()
        self.spans, self.metrics = Spans(clock), Metrics("shop")
        self.asked: list[Request] = []
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        router = Router()
        router.add("GET", Target("orders", "/v1/a", self.serve, public=True, scope=None))
        logger = Logger(io.BytesIO(), clock, "gateway")
        self.door = Door(
            Gateway(trusted_proxies=("10.0.0.0/8",), per_address=None, per_caller=None),
            router,
            verifier=None,
            limits=MemoryLimits(clock),
            metrics=self.metrics,
            logger=logger,
            tracing=Tracing(Tracer(SetRandom(range(1, 99)), ratio=0.0), clock, self.spans),
            audit=audit_in(logger, clock),
            slow_s={},
            pages={},
        )

    async def serve(self, request: Request, names: dict[str, str]) -> Response:
        """Answer when the gate is open."""
        self.asked.append(request)
        self.entered.set()
        await self.gate.wait()
        return Response(200)

    async def request(self, *headers: tuple[bytes, bytes], client: str = PROXY) -> Cause:
        """Send a request; return what caused the work behind the door."""
        self.gate.set()
        answer = await self.door(Request("GET", "/v1/a", headers=list(headers), client=client))
        assert answer.status == 200  # whatever is wrong with these headers
        cause = self.asked[-1].cause
        assert (b"x-correlation-id", cause.correlation.encode()) in answer.headers
        return cause

    def refused(self) -> dict[str, int]:
        """Return how many headers were refused, by name."""
        return {
            name: int(value)
            for line in self.metrics.render().decode().splitlines()
            if line.startswith("holdfast_trace_headers_refused_total{")
            for name in ("traceparent", "tracestate", "baggage")
            if f'"{name}"' in line
            for value in [float(line.rsplit(" ", 1)[1])]
            if value
        }


@virtual_time
async def test_what_a_trusted_proxy_says_is_followed_and_handed_on() -> None:
    """The work behind the door is below the gateway's span, which is below the proxy's."""
    house = House()
    cause = await house.request(*GOOD)
    (span,) = house.spans.take(9)

    assert (span.context.trace_id, span.context.parent_id) == (TRACE, "b7ad6b7169203331")
    assert cause.trace == f"00-{TRACE}-{span.context.span_id}-01"
    assert cause.correlation == TRACE  # the proxy gave none, and each answer has one
    assert (cause.tracestate, cause.baggage) == ("a=1,b=2", "tenant=x;p=1,user=a%20b")
    assert house.refused() == {}


@virtual_time
async def test_what_a_stranger_says_is_not() -> None:
    """It could have every request recorded, and fill the letters; nor is it worth a count."""
    house = House()
    for headers in (GOOD, [(b"traceparent", b"nonsense"), (b"baggage", b"\xff")]):
        cause = await house.request(*headers, client=STRANGER)
        assert TRACE not in cause.trace
        assert (cause.tracestate, cause.baggage) == ("", "")
        assert cause.trace.endswith("-00")

    assert house.spans.take(9) == []
    assert house.refused() == {}
    sent = [name for request in house.asked for name, _ in request.headers]
    assert {b"traceparent", b"tracestate", b"baggage"}.isdisjoint(sent)


@pytest.mark.parametrize(
    ("headers", "refused", "kept"),
    [
        ([(b"traceparent", b"nonsense")], {"traceparent": 1}, (False, "", "")),
        ([(b"traceparent", b"")], {"traceparent": 1}, (False, "", "")),
        ([(b"traceparent", b"\xff" * 9)], {"traceparent": 1}, (False, "", "")),
        ([(b"traceparent", PARENT.encode())] * 2, {"traceparent": 1}, (False, "", "")),
        # without a trace there is no state of it, good or bad; baggage is of its own
        ([(b"tracestate", b"a=1"), (b"baggage", b"k=v")], {}, (False, "", "k=v")),
        (
            [(b"traceparent", b"x"), (b"tracestate", b"A"), (b"baggage", b"k=v")],
            {"traceparent": 1},
            (False, "", "k=v"),
        ),
        ([GOOD[0], (b"tracestate", b"A=1"), GOOD[3]], {"tracestate": 1}, (True, "", "tenant=x")),
        ([GOOD[0], GOOD[1], (b"baggage", b"k")], {"baggage": 1}, (True, "a=1", "")),
        ([GOOD[0], (b"baggage", b"k=" + b"v" * 9_000)], {"baggage": 1}, (True, "", "")),
        (
            [GOOD[0], (b"tracestate", b"\xe9=1"), (b"baggage", b"k=\xe9")],
            {"tracestate": 1, "baggage": 1},
            (True, "", ""),
        ),
    ],
)
@virtual_time
async def test_what_breaks_its_format_is_left_out_and_counted(
    headers: HeaderList, refused: dict[str, int], kept: tuple[bool, str, str]
) -> None:
    """Each for itself; the request is served."""
    house = House()
    cause = await house.request(*headers)

    follows, state, baggage = kept
    assert (TRACE in cause.trace) is follows
    assert (cause.tracestate, cause.baggage.partition(";")[0]) == (state, baggage)
    assert house.refused() == refused


@virtual_time
async def test_a_request_that_is_cancelled_has_an_end() -> None:
    """Its span says so, and is kept: nobody else would tell of it."""
    house = House()
    request = Request("GET", "/v1/a", headers=GOOD, client=PROXY)
    task = asyncio.create_task(house.door(request))
    await house.entered.wait()
    await asyncio.sleep(3.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    (span,) = house.spans.take(9)
    assert (span.sort.name, span.error, span.ended - span.begun) == ("GET /v1/a", "cancelled", 3.0)


@virtual_time
async def test_requests_that_go_wrong_at_the_door_have_spans() -> None:
    """Whoever the route is for; a refusal is no error of who refuses."""
    house = House()
    headers = [(b"traceparent", PARENT.encode())]
    answer = await house.door(Request("GET", "/v1/none", headers=headers, client=PROXY))
    (span,) = house.spans.take(9)

    assert answer.status == 404
    assert (span.sort.name, span.error) == ("GET", "")
    assert dict(span.own)["http.response.status_code"] == 404
