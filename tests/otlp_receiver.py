"""A receiver of traces: a real HTTP server that decodes with protobuf what exporters send."""

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass
class Seen:
    """One span that came."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    begun: int
    ended: int
    attributes: dict[str, object]
    resource: dict[str, object]
    events: list[tuple[str, dict[str, object]]]
    links: list[str]
    error: str | None
    scope: str
    tracestate: str

    def __str__(self) -> str:
        failed = f" ! {self.attributes.get('error.type')}" if self.error is not None else ""
        return f"{self.service}: {self.name} ({self.kind}){failed}"


@dataclass
class Answer:
    """What the receiver answers to one request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    rejected: int = 0
    message: str = ""
    wait_s: float = 0.0


class Receiver:
    """What came, and what is answered.

    Attributes:
        answer: returns the answer to the request of a number, from 0.
        requests: headers of all that came, also of those that were refused.
    """

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.requests: list[dict[str, str]] = []
        self.answer: Callable[[int], Answer] = lambda number: Answer()
        self.url = ""
        self._lock = threading.Lock()

    def take(self, headers: dict[str, str], body: bytes) -> tuple[Answer, bytes]:
        """Take a request."""
        with self._lock:
            answer = self.answer(len(self.requests))
            self.requests.append(headers)
        time.sleep(answer.wait_s)
        response = ExportTraceServiceResponse()
        if answer.status == 200:
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            found = list(spans_of(ExportTraceServiceRequest.FromString(body)))
            with self._lock:
                self.spans += found[answer.rejected :]
            response.partial_success.rejected_spans = answer.rejected
            response.partial_success.error_message = answer.message
        return answer, response.SerializeToString()

    def trees(self) -> list[str]:
        """Return every trace as lines that are indented below their parents, oldest first."""
        with self._lock:
            spans = sorted(self.spans, key=lambda span: (span.begun, span.ended, str(span)))
        known = {span.span_id for span in spans}
        children: dict[str, list[Seen]] = {}
        for span in spans:
            parent = span.parent_id if span.parent_id in known else ""
            children.setdefault(parent, []).append(span)

        def lines(span: Seen, depth: int) -> Iterator[str]:
            orphan = "orphan " if span.parent_id and span.parent_id not in known else ""
            yield "  " * depth + orphan + str(span)
            for child in children.get(span.span_id, ()):
                yield from lines(child, depth + 1)

        return ["\n".join(lines(root, 0)) for root in children.get("", ())]


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    """Yield the spans of a request."""
    for resource in request.resource_spans:
        about = attributes_of(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _seen(span, about, scope.scope.name)


def _seen(span: Span, about: dict[str, object], scope: str) -> Seen:
    return Seen(
        service=str(about["service.name"]),
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        begun=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=attributes_of(span.attributes),
        resource=about,
        events=[(event.name, attributes_of(event.attributes)) for event in span.events],
        links=[link.span_id.hex() for link in span.links],
        error=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
        scope=scope,
        tracestate=span.trace_state,
    )


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Return attributes by name. Raises ValueError for a name that is there twice."""
    found = {pair.key: value_of(pair.value) for pair in pairs}
    names = [pair.key for pair in pairs]
    if len(found) < len(names):
        raise ValueError(f"an attribute is there twice: {names}")
    return found


def value_of(value: AnyValue) -> object:
    """Return an attribute's value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer, said = receiver.take({k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
