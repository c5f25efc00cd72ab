"""The audit log in tests: on the stream of a log, and what stands in it."""

from collections.abc import Iterable

from holdfast.observability import Audit, Logger
from holdfast.observability.chain import AuditEntry, entry_of
from holdfast.ports import Clock
from holdfast.runtime.audit_stream import AuditStream


def audit_in(logger: Logger, clock: Clock) -> Audit:
    """Return an audit log that writes to a test's log."""
    return Audit(AuditStream(logger, clock, lambda: "test", "a test", "test"), clock)


def entries_in(lines: bytes | Iterable[bytes]) -> list[AuditEntry]:
    """Return the entries among lines, in order."""
    listed = lines.splitlines() if isinstance(lines, bytes) else lines
    found = (entry_of(line) for line in listed)
    return [entry for entry in found if entry is not None]
