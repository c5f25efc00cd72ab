"""The spans of one process: which are exported, which are held back, and for how long.

A trace that is sampled is exported as it comes. One that is not is held back: if something in it
goes wrong, or takes longer than its objective allows, it is exported after all. What is held is
bounded in number and in time; the oldest spans go first.

Nearly all that is held is let go, so that holding must cost nothing: spans are kept in chunks, in
the order in which they came, and looked through when there is something to be found in them.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from holdfast.observability.span import Attributes, SpanEvent, SpanRecord
from holdfast.ports import Clock

HELD_SPANS_MAX = 10_000
HELD_S = 60.0
KEPT_TRACES_MAX = 4_096
CHUNK = 64
CROWD = 40
CROWD_MAX = 1_000
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
            attributes=tuple(dict((*span.own, *self.attributes)).items()),
            values=(),
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
        self._fresh: list[SpanRecord] = []  # the chunk that is not full
        self._held: deque[list[SpanRecord]] = deque()
        self._crowds: Counter[str] = Counter()
        self._crowds_until = 0.0
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._sought: set[str] = set()  # traces that may have spans among those held
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
            if self._fresh or self._held:  # it may have been decided after its beginning
                self._seek(context.trace_id)
            self._export(span)
            return
        if span.is_wanted:
            self.keep(context.trace_id)
        self._fresh.append(span)
        if len(self._fresh) >= CHUNK:
            self._sort_in()

    def keep(self, trace_id: str) -> None:
        """Export all of a trace: what is held of it, and what will come."""
        self._remember(trace_id)
        self._seek(trace_id)

    def _remember(self, trace_id: str) -> None:
        self._kept[trace_id] = None
        if len(self._kept) > KEPT_TRACES_MAX:
            self._kept.popitem(last=False)

    def _seek(self, trace_id: str) -> None:
        """Have a trace looked for among what is held, with others at once."""
        self._sought.add(trace_id)
        if len(self._sought) > KEPT_TRACES_MAX:
            self._find()

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
        fresh, self._fresh = self._fresh, []
        fresh = self._export_of(fresh, self._sought)
        if not fresh:
            return
        held, stats = self._held, self._stats
        ended = fresh[-1].ended
        fresh = self._uncrowded(fresh, ended)
        if fresh:
            held.append(fresh)
        stats.held += len(fresh)
        while held and (stats.held > HELD_SPANS_MAX or held[0][-1].ended < ended - HELD_S):
            gone = len(held.popleft())
            stats.held -= gone
            stats.let_go += gone

    def _uncrowded(self, chunk: list[SpanRecord], now: float) -> list[SpanRecord]:
        """Let go of a trace that fills chunks and has enough held, so that others have room."""
        of = [span.context.trace_id for span in chunk]
        if len(set(of)) > CHUNK - CROWD:  # no trace can have so many
            return chunk
        [(trace_id, count)] = Counter(of).most_common(1)
        if count < CROWD:
            return chunk
        if self._crowds_until < now:
            self._crowds_until = now + HELD_S
            self._crowds.clear()
        before = self._crowds[trace_id]
        self._crowds[trace_id] += count
        if before < CROWD_MAX:
            return chunk
        self._stats.let_go += count
        return [span for span in chunk if span.context.trace_id != trace_id]

    def _export_of(self, spans: list[SpanRecord], sought: set[str]) -> list[SpanRecord]:
        """Export those whose traces are kept or sought; return the others.

        What is found is kept from now on: the trace has parts that were begun before its decision.
        """
        kept = self._kept
        if not kept and not sought:
            return spans
        others: list[SpanRecord] = []
        for span in spans:
            trace_id = span.context.trace_id
            if trace_id not in kept:
                if trace_id not in sought:
                    others.append(span)
                    continue
                self._remember(trace_id)
            self._export(span)
        return others

    def _find(self) -> None:
        """Export what is held of the traces that are sought."""
        self._sort_in()
        sought, self._sought = self._sought, set()
        if sought:
            held = [self._export_of(chunk, sought) for chunk in self._held]
            self._held = deque(chunk for chunk in held if chunk)
            self._stats.held = sum(map(len, self._held))

    def take(self, most: int) -> list[SpanRecord]:
        """Take up to so many for an export."""
        self._find()
        queue = self._queue
        return [queue.popleft() for _ in range(min(most, len(queue)))]

    def drop(self, count: int) -> None:
        """Count spans that were taken, and could not be exported."""
        self._stats.dropped += count

    def stats(self) -> SpanStats:
        """Return the counts."""
        self._find()
        self._stats.queued = len(self._queue)
        return self._stats
