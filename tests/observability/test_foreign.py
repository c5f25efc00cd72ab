"""Spans of users, made with OpenTelemetry's API: they nest with ours, and no secret leaves."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from holdfast.contract.cause import Cause
from holdfast.dispatch.outside import Blocking
from holdfast.engines.machine import MachineClock
from holdfast.observability import Metrics, Operation, Spans, Tracer, Tracing, served
from holdfast.observability.foreign import OtelSpans
from holdfast.observability.span import SpanKind as Kind
from holdfast.observability.span import SpanRecord, SpanSort
from holdfast.runtime.threads import Threads
from tests.observability.fakes import SetRandom

TRACE, CALLER = "a" * 32, "b" * 16
OURS = "GET /a"
shop = trace.get_tracer("shop", "1.2")


class Served:
    """A route that is served in this process, whose function a test brings."""

    def __init__(self) -> None:
        clock = MachineClock()
        self.spans = Spans(clock)
        self.tracing = Tracing(
            Tracer(SetRandom(range(1, 99)), ratio=0.0, foreign=OtelSpans(self.spans, Random(1))),
            clock,
            self.spans,
        )
        self.route, self.query = self._operation("/a"), self._operation("/query")

    def _operation(self, path: str) -> Operation:
        outcomes = Metrics("shop").route("orders", "GET", path)
        return Operation("orders", outcomes, served("GET", path), self.tracing)

    async def handle(
        self, function: Callable[[], Awaitable[object]], flags: str = "01", **cause: str
    ) -> dict[str, SpanRecord]:
        """Run a function as a handler; return the spans that are exported, by name."""
        caused = Cause(trace=f"00-{TRACE}-{CALLER}-{flags}", correlation="c-1", **cause)
        span = self.route.begin(caused)
        await function()
        self.route.end(span, 200)
        return self.taken()

    def taken(self) -> dict[str, SpanRecord]:
        """Return the spans that are exported, by name."""
        return {record.sort.name: record for record in self.spans.take(1_000)}


@pytest.fixture
async def here() -> Served:
    """Return a route."""
    return Served()


def family(found: dict[str, SpanRecord]) -> dict[str, str]:
    """Return {span: its parent}, by name."""
    names = {record.context.span_id: name for name, record in found.items()}
    return {
        name: names.get(record.context.parent_id, record.context.parent_id)
        for name, record in found.items()
    }


async def test_spans_nest_across_awaits(here: Served) -> None:
    """Below ours, below each other, and beside each other."""

    async def handler() -> None:
        with shop.start_as_current_span("outer"):
            await asyncio.sleep(0)
            with shop.start_as_current_span("inner"):
                await asyncio.sleep(0)
            with shop.start_as_current_span("second"):
                await asyncio.sleep(0)
        with shop.start_as_current_span("after"):
            await asyncio.sleep(0)

    found = await here.handle(handler)

    assert family(found) == {
        OURS: CALLER,
        "outer": OURS,
        "inner": "outer",
        "second": "outer",
        "after": OURS,
    }
    assert {record.context.trace_id for record in found.values()} == {TRACE}
    assert {record.context.service for record in found.values()} == {"orders"}


async def test_ours_nest_in_theirs_and_theirs_go_on_after_ours(here: Served) -> None:
    """A call to somebody else is within the user's span, and that is the current one after it."""

    async def handler() -> None:
        with shop.start_as_current_span("outer"):
            with (
                here.tracing.part(SpanSort("call", Kind.CLIENT)),
                shop.start_as_current_span("in the call"),
            ):
                pass
            with shop.start_as_current_span("after the call"):
                pass
            here.query.end(here.query.part(), "late")
            with shop.start_as_current_span("after the query"):
                pass

    assert family(await here.handle(handler)) == {
        OURS: CALLER,
        "outer": OURS,
        "call": "outer",
        "in the call": "call",
        "after the call": "outer",
        "GET /query": "outer",
        "after the query": "outer",
    }


async def test_tasks_have_their_own(here: Served) -> None:
    """What one task of a gather opens is not the parent of what another does."""
    both = asyncio.Barrier(2)

    async def part(name: str) -> None:
        with shop.start_as_current_span(name):
            await both.wait()  # both are open now
            with shop.start_as_current_span(f"in {name}"):
                await both.wait()

    async def handler() -> None:
        with shop.start_as_current_span("all"):
            await asyncio.gather(part("a"), part("b"))

    found = family(await here.handle(handler))
    assert found == {OURS: CALLER, "all": OURS, "a": "all", "b": "all", "in a": "a", "in b": "b"}


async def test_functions_in_threads_have_those_of_their_handler(here: Served) -> None:
    """As `outside.run` runs them."""

    def blocking() -> None:
        with shop.start_as_current_span("in a thread"), shop.start_as_current_span("deeper"):
            trace.get_current_span().add_event("worked")

    async def handler() -> None:
        with shop.start_as_current_span("outer"):
            await Threads(1)(Blocking(blocking, "orders"))
            with shop.start_as_current_span("after"):
                pass

    found = await here.handle(handler)
    assert family(found) == {
        OURS: CALLER,
        "outer": OURS,
        "in a thread": "outer",
        "deeper": "in a thread",
        "after": "outer",
    }


async def test_threads_may_say_something_of_ours(here: Served) -> None:
    """It is said in the loop, where spans are."""

    async def handler() -> None:
        span = trace.get_current_span()
        await Threads(1)(Blocking(lambda: span.set_attribute("rows", 7), "orders"))

    record = (await here.handle(handler))[OURS]
    assert dict(record.attributes)["rows"] == 7


async def test_a_span_that_ends_after_its_handler_is_recorded(here: Served) -> None:
    """Such as one of a task that goes on."""
    opened: list[trace.Span] = []

    async def handler() -> None:
        opened.append(shop.start_span("later"))

    assert set(await here.handle(handler)) == {OURS}
    opened[0].end()
    assert set(here.taken()) == {"later"}


async def test_what_is_set_on_the_current_span_goes_with_ours(here: Served) -> None:
    """Attributes, events and a status; the name stays that of the operation."""

    async def handler() -> None:
        span = trace.get_current_span()
        assert span.is_recording()
        span.set_attribute("user.id", "7")
        span.set_attributes({"n": 1, "share": 0.5, "good": True, "all": ["a", "b"]})
        span.add_event("cache.miss", {"shelf": "k"})
        span.set_status(Status(StatusCode.ERROR, "no stock"))
        span.update_name("mine")
        span.end()

    record = (await here.handle(handler))[OURS]

    assert record.attributes == (
        ("http.response.status_code", 200),
        ("user.id", "7"),
        ("n", 1),
        ("share", 0.5),
        ("good", True),
        ("all", ("a", "b")),
    )
    (event,) = record.events
    assert (event.name, event.attributes) == ("cache.miss", (("shelf", "k"),))
    assert record.begun <= event.at <= record.ended
    assert (record.error, record.message) == ("error", "no stock")


@pytest.mark.parametrize(
    ("status", "error"),
    [(StatusCode.OK, ""), (StatusCode.UNSET, ""), (StatusCode.ERROR, "error")],
)
async def test_a_bare_status_is_taken(here: Served, status: StatusCode, error: str) -> None:
    """That it went well is no news."""

    async def handler() -> None:
        trace.get_current_span().set_status(status)

    assert (await here.handle(handler))[OURS].error == error


async def test_an_exception_of_a_user_is_recorded(here: Served) -> None:
    """On the user's span with its type; on ours it is an event, if the user wants it."""

    async def handler() -> None:
        with pytest.raises(KeyError), shop.start_as_current_span("get-user"):
            raise KeyError("u-7")
        trace.get_current_span().record_exception(ValueError("token=s3cr3t"))

    found = await here.handle(handler)

    user, ours = found["get-user"], found[OURS]
    assert (user.error, ours.error) == ("KeyError", "")
    assert [event.name for event in user.events] == ["exception"]
    assert dict(user.events[0].attributes)["exception.type"] == "KeyError"
    (event,) = ours.events
    assert dict(event.attributes)["exception.type"] == "builtins.ValueError"
    assert "s3cr3t" not in repr(ours)


async def test_a_user_may_name_the_type_of_an_error(here: Served) -> None:
    """It is said once."""

    async def handler() -> None:
        with shop.start_as_current_span("get-user") as span:
            span.set_attribute("error.type", "not_there")
            span.set_status(StatusCode.ERROR)

    record = (await here.handle(handler))["get-user"]
    assert (record.error, record.attributes) == ("not_there", ())


SECRET = "hunter2"
WRITTEN = f"Authorization: Bearer {SECRET}{'x' * 20}"


async def test_secrets_do_not_leave(here: Served) -> None:
    """By their names, or by their shape; on the user's span, on ours, in events and texts."""

    async def handler() -> None:
        with shop.start_as_current_span(WRITTEN) as span:
            for each in (span, trace.get_current_span(), here_ours):
                each.set_attribute("api_key", SECRET)
                each.set_attribute("password", [SECRET])
                each.set_attribute("header", WRITTEN)
                each.set_attribute("headers", ["a", WRITTEN])
                each.add_event("sent", {"token": SECRET, "header": WRITTEN})
                each.record_exception(ValueError(WRITTEN))
                each.set_status(Status(StatusCode.ERROR, WRITTEN))

    async def both() -> None:
        nonlocal here_ours
        here_ours = trace.get_current_span()
        await handler()

    here_ours = trace.INVALID_SPAN
    found = await here.handle(both)

    assert len(found) == 2
    assert SECRET not in repr(found)
    assert dict(found[OURS].attributes)["api_key"] == "[redacted]"


async def test_objects_do_not_leave(here: Served) -> None:
    """What is no plain value is left out, and what is one beside it stays."""

    async def handler() -> None:
        span = trace.get_current_span()
        span.set_attribute("request", object())  # type: ignore[arg-type]
        span.set_attribute("mixed", ["a", object()])  # type: ignore[list-item]
        span.set_attribute("map", {"a": 1})  # type: ignore[arg-type]
        span.set_attribute("none", None)  # type: ignore[arg-type]
        span.set_attribute("good", 1)

    record = (await here.handle(handler))[OURS]
    said = dict(record.attributes)
    assert said["good"] == 1
    assert said["mixed"] == ("a",)
    assert said.keys().isdisjoint({"request", "map", "none"})


async def test_kind_scope_links_and_times_are_kept(here: Served) -> None:
    """As the user gave them; times are on the scale of ours."""
    other = trace.SpanContext(int("c" * 32, 16), int("d" * 16, 16), is_remote=True)

    async def handler() -> None:
        with shop.start_as_current_span("call", kind=SpanKind.CLIENT, links=[Link(other)]) as span:
            span.add_event("sent")

    found = await here.handle(handler)
    call, ours = found["call"], found[OURS]

    assert (call.sort.kind, call.sort.scope) == (Kind.CLIENT, "shop")
    assert call.sort.scope_version == "1.2"
    assert [(link.trace_id, link.span_id) for link in call.links] == [("c" * 32, "d" * 16)]
    assert call.begun <= call.events[0].at <= call.ended
    assert abs(call.begun - ours.begun) < 60.0  # not the seconds since 1970


async def test_spans_outside_of_handlers_are_dropped(here: Served) -> None:
    """They would be traces that nobody asked for; also after a handler, and below strangers."""
    with shop.start_as_current_span("before") as span:
        assert not span.is_recording()

    async def handler() -> None: ...

    await here.handle(handler)
    with shop.start_as_current_span("after") as span:
        assert not span.is_recording()
    remote = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
    with trace.use_span(remote), shop.start_as_current_span("below a stranger") as span:
        assert not span.is_recording()

    assert here.taken() == {}


async def test_spans_of_traces_that_are_not_sampled_are_held(here: Served) -> None:
    """And leave with the trace if it goes wrong; whoever is called is told that it is not."""
    headers: dict[str, str] = {}

    async def handler() -> None:
        with shop.start_as_current_span("fine"):
            propagate.inject(headers)

    assert await here.handle(handler, flags="00") == {}
    assert here.spans.stats().held == 2
    assert headers["traceparent"].startswith(f"00-{TRACE}-")
    assert headers["traceparent"].endswith("-00")

    async def failing() -> None:
        with pytest.raises(KeyError), shop.start_as_current_span("bad"):
            raise KeyError

    assert set(await here.handle(failing, flags="00")) == {"fine", "bad", OURS}


async def test_what_is_handed_on_names_the_users_span(here: Served) -> None:
    """By any client that OpenTelemetry instruments."""
    headers: dict[str, str] = {}

    async def handler() -> None:
        with shop.start_as_current_span("call"):
            propagate.inject(headers)

    found = await here.handle(handler, tracestate="a=1,b=2", baggage="tenant=x")

    assert headers["traceparent"] == f"00-{TRACE}-{found['call'].context.span_id}-01"
    assert headers["tracestate"] == "a=1,b=2"
    assert headers["baggage"] == "tenant=x"
    assert found["call"].context.tracestate == "a=1,b=2"


async def test_baggage_is_seen(here: Served) -> None:
    """In the handler, and by what it awaits; not after it."""
    seen: list[object] = []

    async def handler() -> None:
        await asyncio.sleep(0)
        seen.append(dict(baggage.get_all()))
        with shop.start_as_current_span("a"):
            seen.append(baggage.get_baggage("tenant"))

    await here.handle(handler, baggage="tenant=x,user=a%20b")

    assert seen == [{"tenant": "x", "user": "a b"}, "x"]
    assert dict(baggage.get_all()) == {}


async def test_spans_may_end_in_any_thread(here: Served) -> None:
    """They are recorded in the loop's; once that is closed, nobody minds."""
    opened: list[trace.Span] = []

    async def handler() -> None:
        opened.extend(shop.start_span(name) for name in ("a", "b"))
        await asyncio.to_thread(opened[0].end)

    assert set(await here.handle(handler)) == {"a", OURS}


def test_a_loop_that_is_closed_is_no_trouble() -> None:
    """A thread that goes on after the process has stopped ends its spans all the same."""
    opened: list[trace.Span] = []

    async def main() -> None:
        async def handler() -> None:
            opened.append(shop.start_span("late"))

        await Served().handle(handler)

    asyncio.run(main())
    failed: list[object] = []
    thread = threading.Thread(target=opened[0].end)
    threading.excepthook, before = failed.append, threading.excepthook
    try:
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    assert failed == []


OTHERS = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

theirs, kept = TracerProvider(), InMemorySpanExporter()
theirs.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(theirs)

from tests.observability.test_foreign import OURS, Served, shop

async def main():
    here = Served()
    assert trace.get_tracer_provider() is theirs

    async def handler():
        with shop.start_as_current_span("outer"):
            here.query.end(here.query.part(), 200)

    found = await here.handle(handler)
    (outer,) = kept.get_finished_spans()
    assert f"{outer.context.trace_id:032x}" == "a" * 32
    assert f"{outer.parent.span_id:016x}" == found[OURS].context.span_id
    assert found["GET /query"].context.parent_id == f"{outer.context.span_id:016x}"
    assert set(found) == {OURS, "GET /query"}

asyncio.run(main())
"""


def test_a_provider_of_others_is_left_as_it_is() -> None:
    """It exports its spans itself, and they nest with ours all the same."""
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
