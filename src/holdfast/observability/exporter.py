"""The exporter: takes spans in batches, and posts each until the receiver has it or time is up.

No request waits for it: what it cannot get rid of is dropped and counted.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from holdfast.contract.http import HeaderList, Response
from holdfast.errors import CallError
from holdfast.observability.otlp import CONTENT_TYPE, export_request, rejected
from holdfast.observability.span import Attributes, SpanRecord
from holdfast.observability.spans import Spans
from holdfast.ports import Clock, Random

_AGAIN = frozenset((429, 502, 503, 504))
_FIRST_PAUSE_S, _PAUSE_MAX_S = 1.0, 5.0
_SLICE = 64  # spans that are encoded before other work has its turn

Post = Callable[[bytes, HeaderList, float], Awaitable[Response]]
"""Posts a body with these headers within so many seconds. Raises CallError."""


@dataclass(frozen=True, slots=True)
class ExportPolicy:
    """How spans are exported; the names are those of OpenTelemetry's variables.

    Attributes:
        schedule_delay_s: how long a batch waits to become full.
        batch_max: spans in one request.
        queue_max: spans that wait.
        export_timeout_s: how long one batch is tried. timeout_s: how long one try may take.
        headers: sent with each. gzip: bodies are compressed.
    """

    schedule_delay_s: float = 5.0
    batch_max: int = 512
    queue_max: int = 2_048
    export_timeout_s: float = 30.0
    timeout_s: float = 10.0
    headers: tuple[tuple[str, str], ...] = ()
    gzip: bool = False


@dataclass(slots=True)
class ExportStats:
    """Counts of spans since the start: {why: how many} of those that were lost; "" got there."""

    ends: dict[str, int] = field(default_factory=lambda: {"": 0})

    def count(self, why: str, spans: int) -> None:
        """Count how so many ended."""
        self.ends[why] = self.ends.get(why, 0) + spans


class Exporter:
    """Exports the spans of one process.

    Args:
        resources: see `otlp.export_request`.
        notice: told when exports begin to fail, and when they go well again.
    """

    def __init__(
        self,
        spans: Spans,
        post: Post,
        policy: ExportPolicy,
        *,
        resources: Mapping[str, Attributes],
        scope_version: str,
        clock: Clock,
        random: Random,
        notice: Callable[..., None],
    ) -> None:
        self._spans, self._post, self._policy = spans, post, policy
        self._resources, self._scope_version = resources, scope_version
        self._clock, self._random, self._notice = clock, random, notice
        self._headers: HeaderList = [(b"content-type", CONTENT_TYPE.encode())]
        if policy.gzip:
            self._headers.append((b"content-encoding", b"gzip"))
        self._headers += [(n.lower().encode(), v.encode()) for n, v in policy.headers]
        self._woken = asyncio.Event()
        self._stop_at: float | None = None
        self._failing = ""
        self._task: asyncio.Task[None] | None = None
        self.stats = ExportStats()

    def start(self) -> None:
        """Begin to export."""
        self._spans.on_full = self._woken.set
        self._task = asyncio.create_task(self._run())

    async def stop(self, limit_s: float) -> None:
        """Export what waits, within so many seconds; what is left is dropped and counted."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stop_at = self._clock.monotonic() + limit_s
        self._woken.set()
        await asyncio.wait({task}, timeout=limit_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left = self._spans.take(self._policy.queue_max)
        self._lose("shutdown", len(left))

    async def _run(self) -> None:
        while True:
            batch = self._spans.take(self._policy.batch_max)
            if batch:
                try:
                    await self._export(batch)
                except asyncio.CancelledError:
                    self._lose("shutdown", len(batch))
                    raise
            elif self._stop_at is not None:
                return
            if self._spans.stats().queued < self._policy.batch_max and self._stop_at is None:
                await self._pause(self._policy.schedule_delay_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, or until there is a reason to go on."""
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _export(self, batch: list[SpanRecord]) -> None:
        offset_s = self._clock.now() - self._clock.monotonic()
        parts: list[bytes] = []
        for start in range(0, len(batch), _SLICE):
            part, lost = export_request(
                batch[start : start + _SLICE],
                self._resources,
                offset_s=offset_s,
                scope_version=self._scope_version,
            )
            parts.append(part)
            self._lose("not_encodable", lost)
            await asyncio.sleep(0)
        body = b"".join(parts)  # of protobuf, one message after another is one message
        if self._policy.gzip:
            body = zlib.compress(body, level=1, wbits=31)
        await self._deliver(body, len(batch))

    async def _deliver(self, body: bytes, count: int) -> None:
        """Post until it is there, or the time for this batch is up."""
        until = self._clock.monotonic() + self._policy.export_timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            limit_s = self._left_s(until)
            again_s, why = await self._try(body, count, min(self._policy.timeout_s, limit_s))
            if not why:
                self._well()
                return
            if again_s is None:
                break
            wait_s = max(again_s, pause_s * self._random.uniform(0.5, 1.0))
            if wait_s >= self._left_s(until):
                break
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        self._lose(why, count)
        if why != self._failing:
            self._failing = why
            self._notice("traces.lost", reason=why, spans=count)

    def _left_s(self, until: float) -> float:
        """Return how long a batch may still be tried; in a drain, what that has left."""
        if self._stop_at is not None:
            until = min(until, self._stop_at)
        return until - self._clock.monotonic()

    async def _try(self, body: bytes, count: int, limit_s: float) -> tuple[float | None, str]:
        """Post once; return after how long to try again, None: not at all, and what went wrong."""
        try:
            answer = await self._post(body, self._headers, limit_s)
        except CallError as exc:
            return 0.0, exc.code
        if answer.status == 200:
            return None, self._accepted(answer, count)
        if answer.status in _AGAIN:
            return _retry_after(answer), str(answer.status)
        return None, str(answer.status)  # a redirect is no delivery either

    def _accepted(self, answer: Response, count: int) -> str:
        try:
            refused, why = rejected(answer.body)
        except ValueError:
            return "no_otlp_receiver"
        refused = max(0, min(refused, count))
        self.stats.count("", count - refused)
        if refused:
            self._lose("rejected", refused)
            self._notice("traces.rejected", spans=refused, reason=why)
        return ""

    def _well(self) -> None:
        if self._failing:
            self._failing = ""
            self._notice("traces.flow_again")

    def _lose(self, why: str, spans: int) -> None:
        if spans:
            self.stats.count(why, spans)
            self._spans.drop(spans)


def _retry_after(answer: Response) -> float:
    """Return the seconds that a receiver asks for; a date is read as no wish."""
    said = answer.header(b"retry-after") or b""
    return float(said) if said.isdigit() and len(said) < 6 else 0.0
