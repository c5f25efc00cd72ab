"""The spans of one process: which are exported, which are held back, and for how long.

A trace that is sampled is exported as it comes. One that is not is held back: if something in it
goes wrong, or takes longer than its objective allows, it is exported after all. What is held is
bounded in number and in time; the oldest traces go first.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from holdfast.observability.span import Attributes, SpanEvent, SpanRecord
from holdfast.ports import Clock

HELD_SPANS_MAX = 10_000
HELD_S = 60.0
KEPT_TRACES_MAX = 4_096
_TRACE_SPANS_MAX = 1_000
_FRESH_MAX = 64
_SAID_MAX = 128
_SAID_SPANS_MAX = 10_000


@dataclass(slots=True)
class SpanStats:
    """Counts since the start; `queued` and `held` are now."""

    recorded: int = 0
    dropped: int = 0
    let_go: int = 0
    queued: int = 0
    held: int = 0


class Additions(msgspec.Struct, frozen=True, gc=False):
    """What somebody else says of a span that has not ended."""

    attributes: Attributes = ()
    events: tuple[SpanEvent, ...] = ()
    error: str = ""
    message: str = ""

    def to(self, span: SpanRecord) -> SpanRecord:
        """Return the span with what was said; of an attribute that is set twice, the last value."""
        return msgspec.structs.replace(
            span,
            attributes=tuple(dict((*span.attributes, *self.attributes)).items()),
            events=(*span.events, *self.events),
            error=span.error or self.error,
            message=span.message or self.message,
        )


class Spans:
    """Takes spans that have ended.

    Args:
        queue_max: how many may wait for their export; what comes then is dropped and counted.
        full_at: how many make it worth while to export before the time.
    Attributes:
        on_full: called when so many wait.
    """

    def __init__(self, clock: Clock, *, queue_max: int = 2_048, full_at: int = 512) -> None:
        self.clock = clock
        self.on_full: Callable[[], None] | None = None
        self._queue_max, self._full_at = queue_max, full_at
        self._queue: deque[SpanRecord] = deque()
        self._held: OrderedDict[str, list[SpanRecord]] = OrderedDict()
        self._fresh: list[SpanRecord] = []  # to be held; sorted in together, which costs less
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._said: OrderedDict[str, list[Additions]] = OrderedDict()
        self._stats = SpanStats()

    def add(self, span_id: str, additions: Additions) -> None:
        """Keep what somebody else says of a span until it ends."""
        said = self._said.setdefault(span_id, [])
        if len(said) < _SAID_MAX:
            said.append(additions)
        if len(self._said) > _SAID_SPANS_MAX:
            self._said.popitem(last=False)

    def record(self, span: SpanRecord) -> None:
        """Take a span."""
        context = span.context
        if self._said:
            for additions in self._said.pop(context.span_id, ()):
                span = additions.to(span)
        if context.sampled:
            self._sort_in()
            if context.trace_id in self._held:  # it was decided elsewhere, after its beginning
                self.keep(context.trace_id)
            self._export(span)
        elif span.is_wanted:
            self.keep(context.trace_id)
            self._export(span)
        else:
            self._fresh.append(span)
            if len(self._fresh) >= _FRESH_MAX:
                self._sort_in()

    def keep(self, trace_id: str) -> None:
        """Export all of a trace: what is held of it, and what will come."""
        self._sort_in()
        self._kept[trace_id] = None
        if len(self._kept) > KEPT_TRACES_MAX:
            self._kept.popitem(last=False)
        for span in self._held.pop(trace_id, ()):
            self._stats.held -= 1
            self._export(span)

    def _export(self, span: SpanRecord) -> None:
        queue, stats = self._queue, self._stats
        stats.recorded += 1
        if len(queue) >= self._queue_max:
            stats.dropped += 1
            return
        queue.append(span)
        if len(queue) == self._full_at and self.on_full is not None:
            self.on_full()

    def _sort_in(self) -> None:
        """Hold back what has come, or export it with the rest of its trace."""
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, []
        held, kept, stats = self._held, self._kept, self._stats
        for span in fresh:
            trace_id = span.context.trace_id
            if trace_id in kept:
                self._export(span)
                continue
            found = held.get(trace_id)
            if found is None:
                held[trace_id] = [span]
            elif len(found) < _TRACE_SPANS_MAX:
                found.append(span)
            else:
                stats.let_go += 1
                continue
            stats.held += 1
        old = fresh[-1].ended - HELD_S
        while stats.held > HELD_SPANS_MAX or (held and next(iter(held.values()))[0].ended < old):
            self._let_go()

    def _let_go(self) -> None:
        """Forget the oldest trace that is held back."""
        _, spans = self._held.popitem(last=False)
        self._stats.held -= len(spans)
        self._stats.let_go += len(spans)

    def take(self, most: int) -> list[SpanRecord]:
        """Take up to so many for an export."""
        self._sort_in()
        queue = self._queue
        return [queue.popleft() for _ in range(min(most, len(queue)))]

    def drop(self, count: int) -> None:
        """Count spans that were taken, and could not be exported."""
        self._stats.dropped += count

    def stats(self) -> SpanStats:
        """Return the counts."""
        self._sort_in()
        self._stats.queued = len(self._queue)
        return self._stats
