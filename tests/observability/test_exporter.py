"""The exporter against receivers of every temper: what arrives, what is lost, and when it gives up.

Time is virtual, so that each wait is known to the moment.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from holdfast.communication import ClientPool
from holdfast.communication.origin import origin_and_path
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.errors import Unreachable
from holdfast.observability.exporter import Exporter, ExportPolicy
from holdfast.observability.span import SpanRecord
from holdfast.observability.spans import Spans
from holdfast.testing import virtual_time
from tests.observability.fakes import SetRandom
from tests.observability.recorded import span_of
from tests.otlp_receiver import receiving, spans_of
from tests.virtual_loop import LoopClock

POLICY = ExportPolicy(
    schedule_delay_s=5.0,
    batch_max=4,
    queue_max=16,
    export_timeout_s=30.0,
    timeout_s=10.0,
)
FINE = Response(200)
Temper = Response | Exception | float
"""An answer, an error, or seconds after which there is still none."""


@dataclass
class Posted:
    """One request."""

    at: float
    spans: int
    limit_s: float
    headers: HeaderList
    body: bytes


class Receiving:
    """A receiver that answers by a script, FINE when that is at its end."""

    def __init__(self, policy: ExportPolicy, script: tuple[Temper, ...]) -> None:
        self.began = asyncio.get_running_loop().time()
        self.script = list(script)
        self.always: Temper = FINE
        self.posted: list[Posted] = []
        self.noticed: list[tuple[str, dict[str, Any]]] = []
        clock = LoopClock()
        self.spans = Spans(clock, queue_max=policy.queue_max, full_at=policy.batch_max)
        self.exporter = Exporter(
            self.spans,
            self.post,
            policy,
            resources={},
            scope_version="1",
            clock=clock,
            random=SetRandom(),
            notice=lambda event, **fields: self.noticed.append((event, fields)),
        )

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return round(asyncio.get_running_loop().time() - self.began, 3)

    async def post(self, body: bytes, headers: HeaderList, limit_s: float) -> Response:
        """See `exporter.Post`."""
        found = gzip.decompress(body) if (b"content-encoding", b"gzip") in headers else body
        spans = len(list(spans_of(ExportTraceServiceRequest.FromString(found))))
        self.posted.append(Posted(self.now, spans, round(limit_s, 3), headers, body))
        temper = self.script.pop(0) if self.script else self.always
        if isinstance(temper, float):
            await asyncio.sleep(temper)
            return FINE
        if isinstance(temper, Exception):
            raise temper
        return temper

    def record(self, count: int, *others: SpanRecord) -> None:
        """Let so many spans end."""
        for number in range(count):
            self.spans.record(span_of(span=number + 1))
        for span in others:
            self.spans.record(span)

    @property
    def times(self) -> list[tuple[float, int]]:
        """When was posted, and how many spans."""
        return [(one.at, one.spans) for one in self.posted]

    @property
    def ends(self) -> dict[str, int]:
        """How spans ended, without those that nothing is known of."""
        return {why: count for why, count in self.exporter.stats.ends.items() if count}


@asynccontextmanager
async def receiving_by(
    *script: Temper, policy: ExportPolicy = POLICY, stop_s: float = 5.0
) -> AsyncIterator[Receiving]:
    """Run an exporter to such a receiver."""
    receiver = Receiving(policy, script)
    receiver.exporter.start()
    await asyncio.sleep(0)  # it has looked for spans, and waits
    yield receiver
    await receiver.exporter.stop(stop_s)


def again(status: int = 503, after: str = "") -> Response:
    """Return an answer that asks to come again."""
    return Response(status, [(b"retry-after", after.encode())] if after else [])


def partial(rejected: int, message: str = "") -> Response:
    """Return an answer to a request of which spans were refused."""
    made = ExportTraceServiceResponse()
    made.partial_success.rejected_spans = rejected
    made.partial_success.error_message = message
    return Response(200, [], made.SerializeToString())


@virtual_time
async def test_a_batch_goes_when_it_is_full_or_its_time_has_come() -> None:
    """No earlier, and an empty one never."""
    async with receiving_by() as receiver:
        await asyncio.sleep(1.0)
        receiver.record(3)
        await asyncio.sleep(3.5)
        assert receiver.times == []
        receiver.record(1)
        await asyncio.sleep(0.5)
        assert receiver.times == [(4.5, 4)]
        receiver.record(2)
        await asyncio.sleep(20.0)
        assert receiver.times == [(4.5, 4), (9.5, 2)]

    assert receiver.ends == {"": 6}
    assert receiver.noticed == []


@virtual_time
async def test_what_is_more_than_a_batch_goes_in_several_at_once() -> None:
    """Each within the limit; the rest waits for its time again."""
    async with receiving_by() as receiver:
        receiver.record(10)
        await asyncio.sleep(4.0)
        assert receiver.times == [(0.0, 4), (0.0, 4)]
        await asyncio.sleep(1.5)
        assert receiver.times == [(0.0, 4), (0.0, 4), (5.0, 2)]


@virtual_time
async def test_spans_that_come_full_while_one_batch_is_posted_do_not_hurry_the_next() -> None:
    """The wake-up of a batch is for that batch alone."""
    async with receiving_by(1.0) as receiver:
        receiver.record(4)
        await asyncio.sleep(0.5)
        receiver.record(5)
        await asyncio.sleep(3.0)
        assert receiver.times == [(0.0, 4), (1.0, 4)]
        await asyncio.sleep(3.0)
        assert receiver.times[2:] == [(6.0, 1)]


@virtual_time
async def test_headers_say_what_it_is() -> None:
    """And those of the settings go with it, in lower case."""
    policy = replace(POLICY, headers=(("Api-Key", "s3cr3t"),))
    async with receiving_by(policy=policy) as receiver:
        receiver.record(4)
        await asyncio.sleep(1.0)

    assert receiver.posted[0].headers == [
        (b"content-type", b"application/x-protobuf"),
        (b"api-key", b"s3cr3t"),
    ]


@virtual_time
async def test_bodies_are_compressed_on_demand() -> None:
    """And say so; the receiver found all spans in it."""
    async with receiving_by(policy=replace(POLICY, gzip=True)) as receiver:
        receiver.record(4)
        await asyncio.sleep(1.0)

    assert (b"content-encoding", b"gzip") in receiver.posted[0].headers
    assert receiver.posted[0].body[:2] == b"\x1f\x8b"
    assert receiver.times == [(0.0, 4)]


@virtual_time
async def test_a_large_batch_is_compressed_bit_by_bit() -> None:
    """It is encoded in slices, so that no request waits for all of it, and is one body."""
    policy = replace(POLICY, gzip=True, batch_max=1_000, queue_max=1_000)
    async with receiving_by(policy=policy) as receiver:
        receiver.record(1_000)
        await asyncio.sleep(1.0)

    assert [spans for _, spans in receiver.times] == [1_000]


@pytest.mark.parametrize("temper", [again(429), again(503), again(502), Unreachable("away")])
@virtual_time
async def test_a_receiver_that_is_away_is_tried_again(temper: Temper) -> None:
    """After a pause that grows, until it has the batch: nothing is lost, nobody is told."""
    async with receiving_by(temper, temper, temper, temper, temper) as receiver:
        receiver.record(4)
        await asyncio.sleep(29.0)

    # of pauses of 1, 2, 4, 5 and 5 s, three quarters: chance says so
    assert [at for at, _ in receiver.times] == [0.0, 0.75, 2.25, 5.25, 9.0, 12.75]
    assert receiver.ends == {"": 4}
    assert receiver.noticed == []


def date(seconds: float) -> str:
    """Return a date of HTTP, so many seconds after the clocks of these tests begin."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1000.0 + seconds)
    return format_datetime(at, usegmt=True)


@pytest.mark.parametrize(
    ("after", "second_at"),
    [
        ("7", 7.0),
        (date(9.0), 9.0),
        ("0", 0.75),  # never without a pause
        (date(-60.0), 0.75),
        ("-5", 0.75),
        ("soon", 0.75),
        ("٣", 0.75),
        ("1e3", 0.75),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
@virtual_time
async def test_what_the_receiver_asks_for_is_waited_for(
    after: str, second_at: float, status: int
) -> None:
    """In full; what cannot be read is no wish."""
    answer = Response(status, [(b"retry-after", after.encode())])
    async with receiving_by(answer) as receiver:
        receiver.record(4)
        await asyncio.sleep(20.0)

    assert receiver.times == [(0.0, 4), (second_at, 4)]
    assert receiver.ends == {"": 4}


@virtual_time
async def test_a_wish_holds_for_the_batches_after_it() -> None:
    """The batch is lost, as there is no time for it; others do not knock before the time."""
    async with receiving_by(again(429, "60")) as receiver:
        receiver.record(4)
        await asyncio.sleep(20.0)
        receiver.record(4)
        await asyncio.sleep(19.0)
        assert receiver.times == [(0.0, 4)]
        assert receiver.ends == {"429": 8}
        receiver.record(4)  # at 39 s: this one can wait for it
        await asyncio.sleep(30.0)
        assert receiver.times == [(0.0, 4), (60.0, 4)]

    assert receiver.ends == {"429": 8, "": 4}
    assert [event for event, _ in receiver.noticed] == ["traces.lost", "traces.flow_again"]


@pytest.mark.parametrize("after", ["99999", "1000000", "9" * 400, date(1e9)])
@virtual_time
async def test_a_huge_wish_does_not_end_all_exports(after: str) -> None:
    """The batch is given up at once; an hour later it is tried again."""
    async with receiving_by(again(503, after)) as receiver:
        receiver.record(4)
        await asyncio.sleep(1.0)
        assert receiver.ends == {"503": 4}
        await asyncio.sleep(3_600.0)
        receiver.record(4)
        await asyncio.sleep(1.0)

    assert receiver.times == [(0.0, 4), (3_601.0, 4)]


@virtual_time
async def test_the_time_for_a_batch_ends() -> None:
    """It is lost then, and counted; the last try has no more time than what is left."""
    policy = replace(POLICY, export_timeout_s=8.0, timeout_s=3.0)
    async with receiving_by(policy=policy) as receiver:
        receiver.always = again(503)
        receiver.record(4)
        await asyncio.sleep(20.0)

    assert [(one.at, one.limit_s) for one in receiver.posted] == [
        (0.0, 3.0),
        (0.75, 3.0),
        (2.25, 3.0),
        (5.25, 2.75),
    ]
    assert receiver.ends == {"503": 4}
    assert receiver.spans.stats().dropped == 4


@pytest.mark.parametrize(
    ("temper", "why"),
    [
        (Response(301, [(b"location", b"https://elsewhere.example/")]), "301"),
        (Response(204), "204"),
        (Response(400), "400"),
        (Response(401), "401"),
        (Response(404), "404"),
        (Response(500), "500"),
        (Response(200, [], b"<html>hello</html>"), "no_otlp_receiver"),
        (ValueError("a header that cannot be sent"), "ValueError"),
        (OSError("what nobody thought of"), "OSError"),
    ],
)
@virtual_time
async def test_what_is_no_delivery_is_lost_at_once(temper: Temper, why: str) -> None:
    """To try it again would bring the same; the next batch is tried all the same."""
    async with receiving_by(temper) as receiver:
        receiver.record(4)
        await asyncio.sleep(10.0)
        receiver.record(4)
        await asyncio.sleep(1.0)

    assert receiver.times == [(0.0, 4), (10.0, 4)]
    assert receiver.ends == {why: 4, "": 4}
    assert receiver.spans.stats().dropped == 4


@pytest.mark.parametrize(
    ("rejected", "ends"),
    [(0, {"": 4}), (1, {"": 3, "rejected": 1}), (9, {"rejected": 4}), (-2, {"": 4})],
)
@virtual_time
async def test_what_a_receiver_refused_of_a_batch_is_lost(
    rejected: int, ends: dict[str, int]
) -> None:
    """It is not sent again; the others are there."""
    async with receiving_by(partial(rejected, "no such tenant")) as receiver:
        receiver.record(4)
        await asyncio.sleep(20.0)

    assert receiver.times == [(0.0, 4)]
    assert receiver.ends == ends
    if rejected > 0:
        fields = {"spans": min(rejected, 4), "reason": "no such tenant"}
        assert receiver.noticed == [("traces.rejected", fields)]


@virtual_time
async def test_trouble_is_told_when_it_begins_and_when_it_is_over() -> None:
    """A receiver that is away for a day is one line in the log, and so is one that refuses."""
    away, refusing = [Response(404)] * 5, [partial(1, "odd")] * 5
    async with receiving_by(*away, *refusing, FINE, FINE, Response(404)) as receiver:
        for _ in range(13):
            receiver.record(4)
            await asyncio.sleep(10.0)

    assert receiver.noticed == [
        ("traces.lost", {"reason": "404", "spans": 4}),
        ("traces.rejected", {"reason": "odd", "spans": 1}),
        ("traces.flow_again", {}),
        ("traces.lost", {"reason": "404", "spans": 4}),
    ]


@virtual_time
async def test_memory_is_bounded_while_a_receiver_hangs() -> None:
    """What the queue cannot take is dropped and counted; who records never waits."""
    async with receiving_by() as receiver:
        receiver.always = 1e6
        for _ in range(100):
            receiver.record(50)
            await asyncio.sleep(0)
        stats = receiver.spans.stats()
        # one batch is under way, the queue is full, all others are gone
        assert (stats.queued, stats.dropped, stats.recorded) == (16, 5_000 - 16 - 4, 5_000)
        assert len(receiver.posted) == 1

    assert receiver.ends == {"shutdown": 20}
    assert receiver.spans.stats().dropped == 5_000


@virtual_time
async def test_every_span_has_one_end() -> None:
    """Whatever the receiver does: those that arrived and those that were lost are all there are."""
    cannot = span_of(begun=float("nan"))
    script: list[Temper] = [partial(2), Response(400), again(429), Unreachable("a"), FINE, 3.0]
    async with receiving_by(*script) as receiver:
        for _ in range(6):
            receiver.record(5, cannot)
            await asyncio.sleep(7.0)
        receiver.always = 1e6
        receiver.record(30, cannot)
        await asyncio.sleep(1.0)

    stats = receiver.spans.stats()
    assert receiver.ends["not_encodable"] == 6
    assert stats.recorded == 6 * 6 + 31
    assert stats.queued == 0
    assert stats.dropped + receiver.ends[""] == stats.recorded


@virtual_time
async def test_a_batch_of_what_cannot_be_said_is_not_posted() -> None:
    """Nobody gets an empty request."""
    async with receiving_by() as receiver:
        receiver.record(0, *[span_of(begun=float("nan"))] * 4)
        await asyncio.sleep(10.0)

    assert receiver.posted == []
    assert receiver.ends == {"not_encodable": 4}


@virtual_time
async def test_at_the_end_what_waits_is_exported() -> None:
    """At once, though no batch is full."""
    async with receiving_by() as receiver:
        receiver.record(4)
        await asyncio.sleep(1.0)
        receiver.record(7)

    assert receiver.times == [(0.0, 4), (1.0, 4), (1.0, 3)]
    assert receiver.now == 1.0
    assert receiver.ends == {"": 11}


@virtual_time
async def test_the_end_does_not_wait_for_a_receiver_that_hangs() -> None:
    """Its limit is what the drain has for it."""
    async with receiving_by(stop_s=2.0) as receiver:
        receiver.always = 1e6
        receiver.record(7)
        await asyncio.sleep(1.0)

    assert receiver.now == 3.0
    assert receiver.ends == {"shutdown": 7}


@virtual_time
async def test_the_end_does_not_try_again() -> None:
    """Of a receiver that is away, each batch is tried once: the process is free at once."""
    async with receiving_by() as receiver:
        receiver.always = Unreachable("away")
        receiver.record(11)

    assert receiver.times == [(0.0, 4), (0.0, 4), (0.0, 3)]
    assert receiver.now == 0.0
    assert receiver.ends == {"unreachable": 11}


@pytest.mark.parametrize(
    ("temper", "times", "ends"),
    [
        (Unreachable("away"), [(0.0, 4), (0.5, 4)], {"": 4}),  # it may be there again
        (again(429, "20"), [(0.0, 4)], {"429": 4}),  # it asked not to be
    ],
)
@virtual_time
async def test_the_end_cuts_a_pause_short(
    temper: Temper, times: list[tuple[float, int]], ends: dict[str, int]
) -> None:
    """With a last try, unless the receiver asked for the pause."""
    async with receiving_by(temper) as receiver:
        receiver.record(4)
        await asyncio.sleep(0.5)

    assert (receiver.times, receiver.ends, receiver.now) == (times, ends, 0.5)


@virtual_time
async def test_what_never_began_can_be_stopped() -> None:
    """And twice, too."""
    receiver = Receiving(POLICY, ())
    await receiver.exporter.stop(5.0)
    receiver.exporter.start()
    await receiver.exporter.stop(5.0)
    await receiver.exporter.stop(5.0)

    assert receiver.now == 0.0


def poster(pool: ClientPool, url: str, there: asyncio.Event) -> Callable[..., Any]:
    """Return what posts to a real receiver, and says when it has answered."""
    origin, path = origin_and_path(f"{url}/v1/traces")

    async def post(body: bytes, headers: HeaderList, limit_s: float) -> Response:
        request = Request("POST", path, "", headers, body)
        try:
            return await pool.request(origin, request, deadline_s=limit_s)
        finally:
            there.set()

    return post


async def test_a_real_receiver_gets_what_was_recorded() -> None:
    """Over a real connection, compressed."""
    clock, there = MachineClock(), asyncio.Event()
    pool = ClientPool(network=SystemNetwork(), clock=clock)
    with receiving() as receiver:
        spans = Spans(clock)
        exporter = Exporter(
            spans,
            poster(pool, receiver.url, there),
            replace(POLICY, gzip=True, headers=(("tenant", "shop"),)),
            resources={"orders": (("service.name", "orders"), ("team", "a"))},
            scope_version="1",
            clock=clock,
            random=Random(1),
            notice=lambda event, **fields: None,
        )
        spans.record(span_of(span=7, attributes=(("price", 12),)))
        spans.record(span_of(span=8, error="KeyError", message="'a'"))
        exporter.start()
        await there.wait()
        await exporter.stop(5.0)
        await pool.close()

    assert [headers["tenant"] for headers in receiver.requests] == ["shop"]
    first, second = receiver.spans
    assert (first.service, first.name, first.kind) == ("orders", "GET /a", "server")
    assert first.attributes == {"http.route": "/a", "price": 12}
    assert first.resource == {"service.name": "orders", "team": "a"}
    assert (second.error, second.attributes["error.type"]) == ("'a'", "KeyError")
