"""How long a slow client is waited for: as long as it keeps up a rate.

A fixed time for a whole body or answer cuts off an honest client on a bad line, or leaves a
dishonest one as long. So a wait ends a moment from now, and each byte that moves puts that off by
what it takes at the lowest rate, up to that moment again. Whoever stands still is let go after the
moment, whoever dribbles hardly later, and whoever keeps up the rate may take as long as it needs.
"""

import asyncio

from holdfast.communication.framing import HttpLimits
from holdfast.ports import Network

_LOOK_S = 1.0


def put_off(
    until: float, moved_bytes: int, now: float, stall_s: float, limits: HttpLimits
) -> float:
    """Return until when a client is waited for that has moved so many bytes meanwhile."""
    return min(until + moved_bytes / limits.bytes_per_s_min, now + stall_s)


class Uptake:
    """Watches that one client takes what was written to it; it is cut off else.

    What the kernel has accepted is not taken yet: it holds megabytes, and asks for more only when a
    third of them has gone, which at an honest client's rate may be minutes.
    """

    __slots__ = ("_left_bytes", "_limits", "_loop", "_network", "_timer", "_transport", "_until")

    def __init__(self, transport: asyncio.Transport, limits: HttpLimits, network: Network) -> None:
        self._transport = transport
        self._limits = limits
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._left_bytes = 0
        self._until = 0.0

    def watch(self) -> None:
        """Begin, unless it has begun, to look every second for as long as something waits."""
        if self._timer is None:
            self._left_bytes = self._waiting_bytes()
            now = self._loop.time()
            self._until = now + self._patience_s()
            self._look_again(now)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        transport = self._transport
        if not transport.get_write_buffer_size() and not transport.is_closing():
            return
        now, left_bytes = self._loop.time(), self._waiting_bytes()
        taken_bytes = max(0, self._left_bytes - left_bytes)
        self._left_bytes = left_bytes
        self._until = put_off(self._until, taken_bytes, now, self._patience_s(), self._limits)
        if self._until <= now:
            self._network.cut(transport)
        else:
            self._look_again(now)

    def _look_again(self, now: float) -> None:
        self._timer = self._loop.call_at(min(self._until, now + _LOOK_S), self._look)

    def _waiting_bytes(self) -> int:
        transport = self._transport
        return transport.get_write_buffer_size() + self._network.untaken(transport)

    def _patience_s(self) -> float:
        """Return how long nothing may be taken; of a TLS connection its goodbye comes last."""
        transport, limits = self._transport, self._limits
        ends = transport.is_closing() and not transport.get_write_buffer_size()
        return limits.linger_s if ends else limits.write_stall_s
