"""The exporter: takes spans in batches, and posts each until the receiver has it or time is up.

No request waits for it: what it cannot get rid of is dropped and counted.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from holdfast.contract.http import HeaderList, Response
from holdfast.errors import CallError
from holdfast.observability.otlp import CONTENT_TYPE, export_request, rejected
from holdfast.observability.span import Attributes, SpanRecord
from holdfast.observability.spans import Spans
from holdfast.ports import Clock, Random

_AGAIN = frozenset((429, 502, 503, 504))
_FIRST_PAUSE_S, _PAUSE_MAX_S = 1.0, 5.0
_ASKED_MAX_S = 3_600.0  # nonsense in one answer does not end all exports
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
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
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
        self._stopping = asyncio.Event()
        self._stop_at: float | None = None
        self._not_before = 0.0  # the receiver asked for it
        self._failing = ""
        self._task: asyncio.Task[None] | None = None
        self.stats = ExportStats()

    def start(self) -> None:
        """Begin to export."""
        self._spans.on_full = self._woken.set
        self._task = asyncio.create_task(self._run())

    async def stop(self, limit_s: float) -> None:
        """Export what waits, within so many seconds; what is left is dropped and counted.

        Nothing is tried twice any more: a receiver that is away would take all of this time.
        """
        task, self._task = self._task, None
        if task is None:
            return
        self._stop_at = self._clock.monotonic() + limit_s
        self._woken.set()
        self._stopping.set()
        await asyncio.wait({task}, timeout=limit_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left = self._spans.take(self._policy.queue_max)
        self._lose("shutdown", len(left))

    async def _run(self) -> None:
        while True:
            batch = self._spans.take(self._policy.batch_max)
            if batch:
                await self._export(batch)
            elif self._stop_at is not None:
                return
            if self._spans.stats().queued < self._policy.batch_max and self._stop_at is None:
                self._woken.clear()
                await _set_within(self._woken, self._policy.schedule_delay_s)

    async def _export(self, batch: list[SpanRecord]) -> None:
        offset_s = self._clock.now() - self._clock.monotonic()
        parts: list[bytes] = []  # of protobuf, one message after another is one message
        count = len(batch)
        packer = zlib.compressobj(level=1, wbits=31) if self._policy.gzip else None
        try:
            for start in range(0, len(batch), _SLICE):
                part, lost = export_request(
                    batch[start : start + _SLICE],
                    self._resources,
                    offset_s=offset_s,
                    scope_version=self._scope_version,
                )
                parts.append(part if packer is None else packer.compress(part))
                count -= lost
                self._lose("not_encodable", lost)
                await asyncio.sleep(0)
            if packer is not None:
                parts.append(packer.flush())
            if count:
                await self._deliver(b"".join(parts), count)
        except asyncio.CancelledError:
            self._lose("shutdown", count)
            raise

    async def _deliver(self, body: bytes, count: int) -> None:
        """Post until it is there, or the time for this batch is up."""
        until = self._clock.monotonic() + self._policy.export_timeout_s
        pause_s, why = 0.0, self._failing
        while await self._wait(pause_s * self._random.uniform(0.5, 1.0), until):
            limit_s = min(self._policy.timeout_s, self._left_s(until))
            again, why = await self._try(body, count, limit_s)
            if not why:
                return
            if not again or self._stop_at is not None:
                break
            pause_s = min(2 * pause_s, _PAUSE_MAX_S) or _FIRST_PAUSE_S
        self._lose(why, count)
        self._tell(why, "traces.lost", reason=why, spans=count)

    async def _wait(self, pause_s: float, until: float) -> bool:
        """Wait before a try; return False if there is no time for it.

        What the receiver asked for holds for the batches after this one, too.
        """
        asked_s = self._not_before - self._clock.monotonic()
        wait_s = max(asked_s, pause_s)
        if wait_s <= 0.0:
            return True
        if wait_s >= self._left_s(until):
            return False
        stopped = await _set_within(self._stopping, wait_s)
        return not stopped or asked_s <= 0.0

    def _left_s(self, until: float) -> float:
        """Return how long a batch may still be tried; in a drain, what that has left."""
        if self._stop_at is not None:
            until = min(until, self._stop_at)
        return until - self._clock.monotonic()

    async def _try(self, body: bytes, count: int, limit_s: float) -> tuple[bool, str]:
        """Post once; return whether to try again, and what went wrong, "" for nothing."""
        try:
            answer = await self._post(body, self._headers, limit_s)
        except CallError as exc:
            return True, exc.code
        except Exception as exc:  # whatever is wrong with one request, the next ones are exported
            return False, type(exc).__name__
        if answer.status == 200:
            return False, self._accepted(answer, count)
        if answer.status in _AGAIN:
            asked_s = min(_retry_after(answer, self._clock.now()), _ASKED_MAX_S)
            self._not_before = self._clock.monotonic() + asked_s
            return True, str(answer.status)
        return False, str(answer.status)  # a redirect is no delivery either

    def _accepted(self, answer: Response, count: int) -> str:
        try:
            refused, why = rejected(answer.body)
        except ValueError:
            return "no_otlp_receiver"
        refused = min(refused, count)
        self.stats.count("", count - refused)
        if refused:
            self._lose("rejected", refused)
            self._tell("rejected", "traces.rejected", spans=refused, reason=why)
        elif self._failing:
            self._failing = ""
            self._notice("traces.flow_again")
        return ""

    def _tell(self, why: str, event: str, **fields: object) -> None:
        """Tell of trouble when it begins."""
        if why != self._failing:
            self._failing = why
            self._notice(event, **fields)

    def _lose(self, why: str, spans: int) -> None:
        if spans:
            self.stats.count(why, spans)
            self._spans.drop(spans)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until something happens, at most so long; return whether it did."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _retry_after(answer: Response, now: float) -> float:
    """Return the seconds that a receiver asks for, as a number or a date; else 0.

    Source: RFC 9110, section 10.2.3.
    """
    said = (answer.header(b"retry-after") or b"").decode("latin-1").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).replace(tzinfo=UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
