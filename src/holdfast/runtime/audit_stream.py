"""The audit log of a process that keeps nothing on its machine: lines among those of its log.

Each life of a process has a chain of its own, begun by a line that names it. `holdfast audit
verify` finds the lines among the others.
"""

from collections.abc import Callable

from holdfast.observability import Logger
from holdfast.observability.chain import Deed, Head, begun, chained, line_of
from holdfast.ports import Clock


class AuditStream:
    """Implements `observability.audit.AuditSink` on the stream of a log.

    Args:
        chain: returns its name, another one in each life; asked when it begins.
        who, on: whose it is, and of which process.
    """

    def __init__(
        self, logger: Logger, clock: Clock, chain: Callable[[], str], who: str, on: str
    ) -> None:
        self._logger, self._clock, self._chain = logger, clock, chain
        self._head = Head("")
        self._who, self._on = who, on

    def append(self, deed: Deed, *, durable: bool) -> bool:
        """Write an entry to the stream; False where the log's buffer is full, or has no reader."""
        if self._head.seq < 0:
            self._head = Head(self._head.chain or self._chain())
            if not self._write(begun(self._who, self._on)):
                return False
        return self._write(deed)

    def _write(self, deed: Deed) -> bool:
        entry = chained(self._head, deed, self._clock.now())
        if not self._logger.audit(line_of(entry)):
            return False
        self._head = entry.head
        return True

    @property
    def entries(self) -> int:
        """How many entries the chain has."""
        return self._head.seq + 1

    def close(self) -> None:
        """Leave the stream to the log."""
