"""The connections of a client to one origin, and the calls that wait for one."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from holdfast.communication.link import Link
from holdfast.communication.origin import Origin
from holdfast.errors import BulkheadFull, Unreachable
from holdfast.resilience.deadlines import Deadlines

OpenLink = Callable[[Origin, Link], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The maxima of a client pool.

    Attributes:
        connections_max: per origin, busy or idle; further calls wait.
        idle_max: per origin, kept without a call; further ones are closed.
        waiters_max: per origin, calls that wait for a connection; further ones are refused.
        origins_max: with an open connection or a waiting call; further ones are refused.
        connect_s: to open a connection, TLS included.
        idle_s: kept so long without a call; less than servers do (75 s for ours), so that it is
            seldom they who close.
        age_s: used so long; then a new one sees new addresses and new certificates.
        header_bytes_max, body_bytes_max: of one answer (BadAnswer).
    """

    connections_max: int = 64
    idle_max: int = 64
    waiters_max: int = 1024
    origins_max: int = 1024
    connect_s: float = 5.0
    idle_s: float = 30.0
    age_s: float = 600.0
    header_bytes_max: int = 64 * 1024
    body_bytes_max: int = 8 * 1024 * 1024


class Upstream:
    """The connections to one origin: each is idle, in a call, or being handed to a waiting call.

    Attributes:
        idle: the newest last; it is used first, so that the others grow old and are closed.
        waiting: gets a link, or None: a free place to open one.
        size: places taken, by connections that are open or being opened.
    """

    def __init__(self, origin: Origin, limits: PoolLimits, open_link: OpenLink) -> None:
        self.name = str(origin)
        self.host_line = b"host: %b\r\n" % origin.authority.encode("ascii")
        self.idle: list[Link] = []
        self.waiting: deque[asyncio.Future[Link | None]] = deque()
        self.size = 0
        self._origin = origin
        self._limits = limits
        self._open_link = open_link
        self._loop = asyncio.get_running_loop()
        self._links: set[Link] = set()
        self._deadlines = Deadlines(self._loop)
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def take_idle(self) -> Link | None:
        """Return the link that was used last, if it may still be used."""
        idle = self.idle
        if not idle:
            return None
        now = self._loop.time()
        while idle:
            link = idle.pop()
            if link.usable and now - link.idle_since < self._limits.idle_s:
                return link
            link.close()
        return None

    async def take(self, deadline: float) -> Link:
        """Open a link, or wait for one when there are too many; `deadline` is loop time.

        Raises:
            Unreachable, BulkheadFull: see `ClientPool.request`.
        """
        if self._closed:
            raise Unreachable(f"the pool is closed, no call to {self.name}", edge=self.name)
        if self.size < self._limits.connections_max:
            self.size += 1
            return await self._open(deadline)
        link = await self._wait(deadline)
        if link is None:
            return await self._open(deadline)
        return link

    def give_back(self, link: Link) -> None:
        """Hand a link to the call that waits longest, or keep it, or close it."""
        now = self._loop.time()
        if not link.usable or self._closed or now - link.opened_at >= self._limits.age_s:
            link.close()
        elif not self._hand_over(link):
            if len(self.idle) >= self._limits.idle_max:
                link.close()
                return
            link.idle_since = now
            self.idle.append(link)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(self._limits.idle_s, self._sweep)

    def close(self) -> None:
        """Close every link; calls that wait end with Unreachable."""
        self._closed = True
        self._deadlines.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_exception(Unreachable("the pool was closed", edge=self.name))
        for link in list(self._links):
            link.close()

    async def _open(self, deadline: float) -> Link:
        """Fill a place that was taken for it."""
        limits = self._limits
        link = Link(
            self.name,
            limits.header_bytes_max,
            limits.body_bytes_max,
            self._deadlines,
            self._forget,
        )
        opened = False
        try:
            async with asyncio.timeout_at(min(deadline, self._loop.time() + limits.connect_s)):
                await self._open_link(self._origin, link)
            opened = link.usable
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            reason = str(error) or "no connection in time"
            raise Unreachable(f"cannot reach {self.name}: {reason}", edge=self.name) from error
        finally:
            if opened:
                self._links.add(link)
            else:
                link.close()
                self._free_place()
        if not opened:
            raise Unreachable(f"{self.name} closed the connection at once", edge=self.name)
        return link

    async def _wait(self, deadline: float) -> Link | None:
        if len(self.waiting) >= self._limits.waiters_max:
            raise BulkheadFull(f"too many calls wait for {self.name}", edge=self.name)
        waiter: asyncio.Future[Link | None] = self._loop.create_future()
        self.waiting.append(waiter)
        timer = self._loop.call_at(deadline, self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                link = waiter.result()  # handed over just when the caller was cancelled
                if link is None:
                    self._free_place()
                else:
                    self.give_back(link)
            raise
        finally:
            timer.cancel()
            with contextlib.suppress(ValueError):
                self.waiting.remove(waiter)

    def _give_up(self, waiter: "asyncio.Future[Link | None]") -> None:
        if not waiter.done():
            text = f"no connection to {self.name} became free before the deadline"
            waiter.set_exception(BulkheadFull(text, edge=self.name))

    def _hand_over(self, link: Link | None) -> bool:
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(link)
                return True
        return False

    def _free_place(self) -> None:
        if not self._hand_over(None):
            self.size -= 1

    def _forget(self, link: Link) -> None:
        """Free the place of a link that was lost."""
        if link in self._links:
            self._links.discard(link)
            with contextlib.suppress(ValueError):
                self.idle.remove(link)
            self._free_place()

    def _sweep(self) -> None:
        """Close what was idle for too long; nothing else would notice it."""
        self._sweeper = None
        oldest = self._loop.time() - self._limits.idle_s
        for link in [link for link in self.idle if link.idle_since <= oldest]:
            self.idle.remove(link)
            link.close()
        if self.idle:
            self._sweeper = self._loop.call_later(self._limits.idle_s, self._sweep)
