"""Spans as OTLP writes them: an `ExportTraceServiceRequest` in protobuf, byte by byte.

Written out, since a request that is traced pays for it: what is the same for all spans of a sort is
encoded once. A span that cannot be encoded costs nobody else's.

Source: opentelemetry-proto 1.7, `trace/v1/trace.proto` and `collector/trace/v1`.
"""

import functools
import struct
from collections.abc import Iterable, Mapping

from holdfast.observability import semconv
from holdfast.observability.span import Attributes, SpanEvent, SpanRecord, SpanSort, Value

CONTENT_TYPE = "application/x-protobuf"
_INT_MAX, _NEGATIVE = 2**63 - 1, 2**63
_SIZES = {1: 8, 5: 4}  # wire types of fixed size
_TIME = struct.Struct("<Q")
_DOUBLE = struct.Struct("<d")
_TIMES = struct.Struct("<BQBQ")  # of a span's begin and end, their tags among them
_FLAGS = b"\x85\x01" + struct.pack("<I", 0x101)  # sampled; whether the parent is remote is known
_HEADS = [[bytes((number << 3 | 2, size)) for size in range(128)] for number in range(16)]
"""[field][size]: what stands before a short text, or message."""


def export_request(
    spans: Iterable[SpanRecord],
    resources: Mapping[str, Attributes],
    *,
    offset_s: float,
    scope_version: str,
) -> tuple[bytes, int]:
    """Return a request body, and how many spans are not in it because they cannot be encoded.

    Args:
        resources: {service: its resource's attributes}; further services have their name alone.
        offset_s: seconds from the monotonic scale of spans to those since 1970.
    """
    scopes: dict[tuple[str, str, str], list[bytes]] = {}
    lost = 0
    for span in spans:
        sort = span.sort
        scope = (span.context.service, sort.scope, sort.scope_version)
        try:
            scopes.setdefault(scope, []).append(_field(2, encoded(span, offset_s)))
        except (ValueError, TypeError, struct.error, OverflowError, AttributeError):
            lost += 1
    body: list[bytes] = []
    for (service, name, version), encoded_spans in scopes.items():
        scope_body = _text(1, name or semconv.OURS) + _text(2, version if name else scope_version)
        scope_spans = _field(1, scope_body) + b"".join(encoded_spans)
        if not name:
            scope_spans += _text(3, semconv.SCHEMA_URL)
        attributes = resources.get(service) or ((semconv.SERVICE_NAME, service),)
        resource = b"".join(_attribute(1, key, value) for key, value in attributes)
        body.append(_field(1, _field(1, resource) + _field(2, scope_spans)))
    return b"".join(body), lost


def encoded(span: SpanRecord, offset_s: float) -> bytes:
    """Return one span. Raises ValueError or TypeError for what OTLP cannot say."""
    context = span.context
    parts = [
        _ids(context.trace_id, context.span_id, context.parent_id),
        _of_sort(span.sort),
        _TIMES.pack(
            0x39, int((span.begun + offset_s) * 1e9), 0x41, int((span.ended + offset_s) * 1e9)
        ),
    ]
    if context.tracestate:
        parts.append(_text(3, context.tracestate))
    for name, value in span.own:
        parts.append(_attribute(9, name, value))
    if span.events or span.links:
        parts += (_field(11, _event(event, offset_s)) for event in span.events)
        parts += (_field(13, _ids(link.trace_id, link.span_id, "")) for link in span.links)
    if span.error:
        parts.append(_attribute(9, semconv.ERROR_TYPE, span.error))
        status = (_text(2, span.message) if span.message else b"") + b"\x18\x02"
        parts.append(_field(15, status))
    parts.append(_FLAGS)
    return b"".join(parts)


def rejected(body: bytes) -> tuple[int, str]:
    """Return how many spans a receiver refused, and why, of what it answered with 200.

    Raises:
        ValueError: it is no `ExportTraceServiceResponse`.
    """
    count, why = 0, ""
    for number, value in _fields(body):
        if number == 1 and isinstance(value, bytes):
            for inner, said in _fields(value):
                if inner == 1 and isinstance(said, int):
                    count = said if said < _NEGATIVE else 0
                elif inner == 2 and isinstance(said, bytes):
                    why = said.decode("utf-8", "replace")
    return count, why


@functools.lru_cache(maxsize=4_096)
def _of_sort(sort: SpanSort) -> bytes:
    attributes = b"".join(_attribute(9, name, value) for name, value in sort.attributes)
    return _text(5, sort.name) + b"\x30" + _varint(sort.kind) + attributes


def _event(event: SpanEvent, offset_s: float) -> bytes:
    at = _TIME.pack(int((event.at + offset_s) * 1e9))
    attributes = b"".join(_attribute(3, name, value) for name, value in event.attributes)
    return b"\x09" + at + _text(2, event.name) + attributes


def _attribute(field: int, name: str, value: Value) -> bytes:
    key = _key(name)
    if isinstance(value, str):
        text = value.encode("utf-8", "replace")
        size = len(text)
        whole = len(key) + size + 4
        if whole < 128:  # most are: it is what `_field` does, three times
            return b"".join((_HEADS[field][whole], key, _HEADS[2][size + 2], _HEADS[1][size], text))
        return _field(field, key + _field(2, _field(1, text)))
    if type(value) is int and field == 9:
        return _number(name, value)
    return _field(field, key + _field(2, _value(value)))


@functools.lru_cache(maxsize=1_024)
def _number(name: str, value: int) -> bytes:
    """Return an attribute of a span that is a number; most are HTTP's statuses."""
    return _field(9, _key(name) + _field(2, _value(value)))


@functools.lru_cache(maxsize=1_024)
def _key(name: str) -> bytes:
    return _text(1, name)


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return _text(1, value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if not -_NEGATIVE <= value <= _INT_MAX:
            return _text(1, str(value))  # "Mapping Arbitrary Data to OTLP AnyValue"
        return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    return _field(5, b"".join(_field(1, _value(each)) for each in value))


def _ids(trace_id: str, span_id: str, parent_id: str) -> bytes:
    parent = f"2208{parent_id}" if parent_id else ""
    found = bytes.fromhex(f"0a10{trace_id}1208{span_id}{parent}")
    sizes = len(trace_id), len(span_id), len(parent), len(found)  # spaces are left out of the last
    if sizes != (32, 16, 20, 38) and sizes != (32, 16, 0, 28):
        raise ValueError(f"{trace_id!r}, {span_id!r}, {parent_id!r} are no ids")
    return found


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode("utf-8", "replace"))


def _field(number: int, body: bytes) -> bytes:
    size = len(body)
    if size < 128:
        return _HEADS[number][size] + body
    if size < 16_384:
        return bytes((number << 3 | 2, size & 127 | 128, size >> 7)) + body
    return bytes((number << 3 | 2,)) + _varint(size) + body


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _fields(body: bytes) -> Iterable[tuple[int, int | bytes]]:
    """Yield (field number, value) of a message's fields; those of fixed size are skipped."""
    at = 0
    while at < len(body):
        tag, at = _read_varint(body, at)
        if tag < 8:
            raise ValueError("a field without a number")
        if tag & 7 == 0:
            number, at = _read_varint(body, at)
            yield tag >> 3, number
        elif tag & 7 == 2:
            size, at = _read_varint(body, at)
            if at + size > len(body):
                raise ValueError("cut short")
            yield tag >> 3, body[at : at + size]
            at += size
        elif tag & 7 in _SIZES:
            at += _SIZES[tag & 7]
            if at > len(body):
                raise ValueError("cut short")
        else:
            raise ValueError(f"a field of wire type {tag & 7}")


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
    raise ValueError("cut short")
