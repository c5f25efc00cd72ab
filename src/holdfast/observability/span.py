"""Spans as values: what one run of something leaves in its trace."""

import hashlib
import traceback
from enum import IntEnum
from typing import Final
from uuid import UUID

import msgspec

from holdfast.contract.failure import Failure
from holdfast.observability import semconv
from holdfast.observability.redact import describe
from holdfast.observability.trace import Context, parse_traceparent

NEVER_SLOW: Final = float("inf")
_FRAMES_MAX = 20

Plain = str | bool | int | float
Value = Plain | tuple[Plain, ...]
Attributes = tuple[tuple[str, Value], ...]


class SpanKind(IntEnum):
    """As OTLP counts them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class SpanSort(msgspec.Struct, frozen=True, cache_hash=True):
    """What is the same for all spans of one operation.

    Attributes:
        slow_s: a span that took longer is kept, whatever the sampling says.
        names: of the attributes whose values each span has.
        scope, scope_version: the library that made it; "" is Holdfast.
    """

    name: str
    kind: SpanKind
    attributes: tuple[tuple[str, str | int], ...] = ()  # 1.0 and True would be the sort of 1
    slow_s: float = NEVER_SLOW
    scope: str = ""
    scope_version: str = ""
    names: tuple[str, ...] = ()


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that happened at one moment of a span; `at` as `SpanRecord.begun`."""

    name: str
    at: float
    attributes: Attributes = ()


class SpanLink(msgspec.Struct, frozen=True, gc=False):
    """Another span that this one has to do with."""

    trace_id: str
    span_id: str


class SpanRecord(msgspec.Struct, frozen=True, gc=False):
    """One span that has ended.

    Attributes:
        begun, ended: seconds of the clock's monotonic scale.
        attributes: beyond those of its sort, and beyond `values`.
        error: its `error.type`; "" when it went well, also if a declared failure was the answer.
        message: what the error says, for people.
        values: of the first of its sort's names: the pairs are made if the span is exported.
    """

    sort: SpanSort
    context: Context
    begun: float
    ended: float
    attributes: Attributes = ()
    error: str = ""
    message: str = ""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    values: tuple[Value, ...] = ()

    @property
    def own(self) -> Attributes:
        """All attributes but those that are the same for its sort."""
        return (*zip(self.sort.names, self.values, strict=False), *self.attributes)

    @property
    def is_wanted(self) -> bool:
        """Whether its trace is wanted however few are: it went wrong, or took too long.

        That somebody refused a request, 4xx, is an error of the span and no trouble.
        """
        if self.ended - self.begun > self.sort.slow_s:
            return True
        error = self.error
        return error != "" and not (len(error) == 3 and error[0] == "4")

    def failed(self, error: BaseException) -> "SpanRecord":
        """Return the span with the error that ended it; a declared failure is none."""
        if isinstance(error, Failure):
            named = (*self.attributes, (semconv.FAILURE, error.name))
            return msgspec.structs.replace(self, attributes=named)
        return msgspec.structs.replace(
            self,
            error=error_type(error),
            message=describe(error),
            events=(*self.events, exception_event(error, self.ended)),
        )


def error_type(error: BaseException) -> str:
    """Return the `error.type` of an exception: the code of one of ours, else its class."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) and code else type(error).__qualname__


def exception_event(error: BaseException, at: float) -> SpanEvent:
    """Return the event that records an exception; what it says is redacted."""
    kind = type(error)
    frames = traceback.format_tb(error.__traceback__, -_FRAMES_MAX)
    return SpanEvent(
        semconv.EXCEPTION,
        at,
        (
            (semconv.EXCEPTION_TYPE, f"{kind.__module__}.{kind.__qualname__}"),
            (semconv.EXCEPTION_MESSAGE, describe(error)),
            (semconv.EXCEPTION_STACKTRACE, "".join(frames)),
        ),
    )


def link_to(traceparent: str) -> tuple[SpanLink, ...]:
    """Return the link to a span, or none."""
    found = parse_traceparent(traceparent)
    return () if found is None else (SpanLink(found.trace_id, found.span_id),)


def try_id(letter: UUID, claim: int) -> str:
    """Return the id of the span of one try of a letter: each process knows that of the first, 1."""
    seed = b"%b %d" % (letter.bytes, claim)
    return hashlib.blake2b(seed, digest_size=8).hexdigest()


def tick_trace_id(letter: UUID) -> str:
    """Return the id of the trace that a tick begins: one for all its tries."""
    return hashlib.blake2b(letter.bytes, digest_size=16, person=b"tick").hexdigest()
