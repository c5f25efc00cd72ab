"""When requests came to this machine, which under load is long before anybody reads them.

What is not read yet stands in a queue of the kernel's, in order, and nobody there knows a deadline.
A server that takes too much on works off old requests for clients who have gone, and never gets to
those who have not. So each request is dated by when its bytes came. To ask the kernel costs more
than a microsecond, and it is asked only if the loop has not looked for new bytes for a while.
"""

import asyncio

from holdfast.ports import Clock, Network

_LATE_S = 0.02


class Arrivals:
    """The times of one server's loop: when it read last, and when it went on to serve.

    A loop reads all that has come and then serves all that it has read. What is read first after
    a round of serving tells how long that round was.
    """

    __slots__ = ("_late", "_network", "_read_at", "_reading", "_served_at", "now")

    def __init__(self, network: Network, clock: Clock) -> None:
        self._network = network
        self.now = clock.monotonic
        self._served_at = self._read_at = clock.monotonic()
        self._reading = self._late = False

    def read(self, transport: asyncio.BaseTransport, *, first: bool = False) -> tuple[float, bool]:
        """Return when the bytes came that were just read, and whether they are the last ones.

        The `first` ones of a connection may have come long before it was accepted, of which the
        rounds of the loop say nothing.
        """
        if not self._reading:
            self._reading = True
            self._read_at = self.now()
            self._late = self._read_at - self._served_at > _LATE_S
            # Whatever becomes of what is read: none of it may be served, for hours.
            asyncio.get_running_loop().call_soon(self._serve)
        if not (first or self._late):
            return self._read_at, False
        age_s, ended = self._network.unread(transport)
        return self._read_at - age_s, ended

    def _serve(self) -> None:
        """Begin a round of serving: all that had come is read."""
        self._reading = False
        self._served_at = self.now()
