"""What is exported, read by protobuf itself: what went in comes out, and nobody pays for others."""

import ast
import inspect
import math
import pkgutil
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating
from opentelemetry.semconv.schemas import Schemas

from holdfast.observability import semconv
from holdfast.observability.otlp import export_request, rejected
from holdfast.observability.span import (
    Attributes,
    SpanEvent,
    SpanKind,
    SpanLink,
    SpanRecord,
    SpanSort,
    Value,
)
from holdfast.observability.trace import Context
from tests.observability.recorded import span_of

OFFSET_S = 1_700_000_000.0
NOISE_NS = 1_000  # a float of seconds since 1970 is this exact


def exported(
    *spans: SpanRecord, resources: Mapping[str, Attributes] | None = None
) -> tuple[list[ResourceSpans], int]:
    """Encode spans; return what protobuf reads, and how many are lost."""
    body, lost = export_request(spans, resources or {}, offset_s=OFFSET_S, scope_version="9.9")
    return list(ExportTraceServiceRequest.FromString(body).resource_spans), lost


def all_of(resources: Iterable[ResourceSpans]) -> list[Span]:
    """Return the spans of all resources."""
    return [span for one in resources for scope in one.scope_spans for span in scope.spans]


def only(span: SpanRecord) -> Span:
    """Encode one span; return what protobuf reads."""
    resources, lost = exported(span)
    assert lost == 0
    (found,) = all_of(resources)
    return found


def plain(value: AnyValue) -> object:
    """Return an attribute's value with its kind, so that 1, 1.0 and True differ."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return (kind, *(plain(each) for each in value.array_value.values))
    return (kind, shown(getattr(value, str(kind))))


def shown(value: object) -> object:
    """Return a value that is equal to itself, NaN too."""
    return repr(value) if isinstance(value, float) else value


def wanted(value: Value) -> object:
    """Return what `plain` has to find."""
    match value:
        case bool():
            return ("bool_value", value)
        case int() if -(2**63) <= value < 2**63:
            return ("int_value", value)
        case int():
            return ("string_value", str(value))
        case float():
            return ("double_value", shown(value))
        case str():
            return ("string_value", text_of(value))
        case _:
            return ("array_value", *map(wanted, value))


def text_of(text: str) -> str:
    """Return a text as UTF-8 can say it."""
    return text.encode("utf-8", "replace").decode()


def pairs(found: Iterable[KeyValue]) -> list[tuple[str, object]]:
    """Return attributes as they were found."""
    return [(pair.key, plain(pair.value)) for pair in found]


def said(attributes: Attributes) -> list[tuple[str, object]]:
    """Return attributes as they have to be found."""
    return [(text_of(name), wanted(value)) for name, value in attributes]


TEXTS = st.text(st.characters(), max_size=40) | st.text(st.characters(categories=["Cs"]))
PLAINS = TEXTS | st.booleans() | st.integers(-(2**70), 2**70) | st.floats()
ATTRIBUTES = st.lists(
    st.tuples(TEXTS, PLAINS | st.lists(PLAINS, max_size=4).map(tuple)), max_size=5
).map(tuple)
TIMES = st.floats(0.0, 1e8)
TRACE_IDS = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
SPAN_IDS = st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}")
CONTEXTS = st.builds(
    Context,
    correlation_id=TEXTS,
    trace_id=TRACE_IDS,
    span_id=SPAN_IDS,
    sampled=st.booleans(),
    service=st.sampled_from(["orders", "stock", "zahlung-ü"]),
    parent_id=st.just("") | SPAN_IDS,
    tracestate=st.sampled_from(["", "a=1,b=2"]),
)
SORTS = st.builds(
    SpanSort,
    TEXTS,
    st.sampled_from(SpanKind),
    st.lists(st.tuples(TEXTS, TEXTS | st.integers(-9, 9)), max_size=3).map(tuple),
    scope=st.sampled_from(["", "shop"]),
    scope_version=st.sampled_from(["", "1.2"]),
)
SPANS = st.builds(
    SpanRecord,
    SORTS,
    CONTEXTS,
    TIMES,
    TIMES,
    ATTRIBUTES,
    error=TEXTS,
    message=TEXTS,
    events=st.lists(st.builds(SpanEvent, TEXTS, TIMES, ATTRIBUTES), max_size=3).map(tuple),
    links=st.lists(st.builds(SpanLink, TRACE_IDS, SPAN_IDS), max_size=3).map(tuple),
)
PLAIN_SPANS = st.builds(SpanRecord, SORTS, CONTEXTS, TIMES, TIMES)


@given(SPANS)
def test_any_span_comes_out_as_it_went_in(span: SpanRecord) -> None:
    """Every field of it; protobuf of the reference implementation reads it."""
    found, context = only(span), span.context

    assert (found.trace_id.hex(), found.span_id.hex()) == (context.trace_id, context.span_id)
    assert (found.parent_span_id.hex(), found.trace_state) == (
        context.parent_id,
        context.tracestate,
    )
    assert (found.name, found.kind) == (text_of(span.sort.name), span.sort.kind)
    begun, ended = found.start_time_unix_nano, found.end_time_unix_nano
    assert abs(begun - (OFFSET_S + span.begun) * 1e9) < NOISE_NS
    assert abs(ended - (OFFSET_S + span.ended) * 1e9) < NOISE_NS
    error: Attributes = (("error.type", span.error),) if span.error else ()
    assert pairs(found.attributes) == said((*span.sort.attributes, *span.attributes, *error))
    assert [(event.name, pairs(event.attributes)) for event in found.events] == [
        (text_of(event.name), said(event.attributes)) for event in span.events
    ]
    for event, was in zip(found.events, span.events, strict=True):
        assert abs(event.time_unix_nano - (OFFSET_S + was.at) * 1e9) < NOISE_NS
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in found.links] == [
        (link.trace_id, link.span_id) for link in span.links
    ]
    failed = (Status.STATUS_CODE_ERROR, text_of(span.message))
    assert (found.status.code, found.status.message) == (failed if span.error else (0, ""))
    assert found.flags == 0x101  # sampled, and it is known that the parent is not remote


@given(st.lists(PLAIN_SPANS, max_size=6))
def test_many_spans_stand_under_their_services_and_libraries(spans: list[SpanRecord]) -> None:
    """None is lost, none is there twice."""
    resources, lost = exported(*spans, resources={"stock": (("service.name", "stock"), ("a", 1))})

    assert lost == 0
    found = sorted(span.span_id.hex() for span in all_of(resources))
    assert found == sorted(span.context.span_id for span in spans)
    for one in resources:
        about = dict(pairs(one.resource.attributes))
        service = about["service.name"]
        assert isinstance(service, tuple)
        assert ("a" in about) is (service[1] == "stock")
        for scope in one.scope_spans:
            ours = scope.scope.name == "holdfast"
            assert (scope.scope.version == "9.9") is ours
            assert scope.schema_url == (semconv.SCHEMA_URL if ours else "")
            ids = {span.span_id.hex() for span in scope.spans}
            assert ids <= {s.context.span_id for s in spans if s.context.service == service[1]}


BAD: dict[str, SpanRecord] = {
    "a time that is none": span_of(span=2, begun=math.nan),
    "a time without end": span_of(span=2, ended=math.inf),
    "a time before 1970": span_of(span=2, begun=-2 * OFFSET_S),
    "an id that is none": SpanRecord(span_of().sort, Context("", "xyz", "0" * 16), 1.0, 2.0),
    "no id": SpanRecord(span_of().sort, Context("", "", ""), 1.0, 2.0),
    "a short id": SpanRecord(span_of().sort, Context("", "1" * 30, "2" * 16), 1.0, 2.0),
    "a long parent": SpanRecord(
        span_of().sort, Context("", "1" * 32, "2" * 16, parent_id="3" * 18), 1.0, 2.0
    ),
    "an object": span_of(span=2, attributes=(("a", object()),)),
    "an object in a list": span_of(span=2, attributes=(("a", ("b", object())),)),
    "a name that is none": span_of(span=2, attributes=((7, "b"),)),
    "a list in a sort": span_of(
        span=2, sort=SpanSort("a", SpanKind.SERVER, (("b", ["c"]),))  # type: ignore[arg-type]
    ),
    "a link that is none": span_of(span=2, links=(SpanLink("1", "2"),)),
}  # fmt: skip


@pytest.mark.parametrize("why", BAD)
def test_a_span_that_cannot_be_said_costs_nobody_elses(why: str) -> None:
    """It is counted; those before and after it arrive."""
    resources, lost = exported(span_of(span=1), BAD[why], span_of(span=3))

    assert lost == 1
    assert [span.span_id[-1] for span in all_of(resources)] == [1, 3]


def test_nothing_is_an_empty_request() -> None:
    """And so is what holds only spans that cannot be said."""
    assert exported() == ([], 0)
    resources, lost = exported(BAD["no id"])
    assert (all_of(resources), lost) == ([], 1)


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        (True, "bool_value", True),
        (-1, "int_value", -1),
        (-(2**63), "int_value", -(2**63)),
        (2**63 - 1, "int_value", 2**63 - 1),
        (2**63, "string_value", str(2**63)),
        (0.0, "double_value", 0.0),
        ("", "string_value", ""),
        ("\ud800b", "string_value", "?b"),
    ],
)
def test_values_at_the_edges(value: Value, kind: str, read: object) -> None:
    """Integers of more than 64 bits are said as texts, and a half of a character as none."""
    attribute = only(span_of(attributes=(("a", value),))).attributes[-1].value

    assert attribute.WhichOneof("value") == kind
    assert getattr(attribute, kind) == read


def response(rejected_spans: int = 0, message: str = "") -> bytes:
    """Return what a receiver answers."""
    made = ExportTraceServiceResponse()
    made.partial_success.rejected_spans = rejected_spans
    made.partial_success.error_message = message
    return made.SerializeToString()


@given(st.integers(0, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_a_receiver_refused_is_read(count: int, message: str) -> None:
    """From what protobuf itself writes."""
    assert rejected(response(count, message)) == (count, message)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b"", (0, "")),
        (response(-1, "odd"), (0, "odd")),
        (response(3) + b"\x50\x07" + b"\x59" + b"8" * 8 + b"\x65" + b"4" * 4, (3, "")),
    ],
    ids=["nothing", "fewer than none", "fields of a later version"],
)
def test_odd_answers_are_read_as_protobuf_would(body: bytes, read: tuple[int, str]) -> None:
    """Fields that are not known are skipped."""
    ExportTraceServiceResponse.FromString(body)
    assert rejected(body) == read


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{}", b"OK", b"\x0a\x05ab", b"\x0a", b"\xff" * 12, b"\x00", b"\x0b\x0c", b"\x59a"],
)
def test_what_is_no_answer_of_a_receiver_is_told_apart(body: bytes) -> None:
    """Such as the page of a web server that says 200 to everything."""
    with pytest.raises(ValueError, match=r"."):
        rejected(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_refused(body: bytes) -> None:
    """The exporter stands on this."""
    try:
        count, why = rejected(body)
    except ValueError:
        return
    assert count >= 0
    assert isinstance(why, str)


def conventions() -> dict[str, bool]:
    """Return {attribute: whether it is deprecated} of all semantic conventions installed here."""
    found: dict[str, bool] = {}
    for package in (incubating, stable):
        for module in pkgutil.iter_modules(package.__path__):
            source = inspect.getsource(import_module(f"{package.__name__}.{module.name}"))
            found |= constants(ast.parse(source).body)
    return found


def constants(body: list[ast.stmt]) -> dict[str, bool]:
    """Return the texts that a module names, and whether what is written below says deprecated."""
    found: dict[str, bool] = {}
    for one, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.value, ast.Constant):
            text: Any = getattr(getattr(below, "value", None), "value", "")
            found[str(one.value.value)] = str(text).lstrip().startswith("Deprecated")
    return found


def test_our_names_are_those_of_the_semantic_conventions() -> None:
    """Of the version whose schema is named; none is deprecated there."""
    known = conventions()
    ours = {
        value
        for name, value in vars(semconv).items()
        if name.isupper() and name not in {"SCHEMA_URL", "OURS", "EXCEPTION"}
    }

    others = {name for name in ours if not name.startswith("holdfast.")}
    assert len(others) > 20
    assert {name for name in others if known.get(name, True)} == set()
    assert {name for name in ours - others if name in known} == set()
    newest = max(Schemas, key=lambda schema: [int(n) for n in schema.name[1:].split("_")])
    assert newest.value == semconv.SCHEMA_URL
