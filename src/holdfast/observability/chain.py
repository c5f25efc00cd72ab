"""The chain of an audit log: each entry holds the hash of the one before it.

Pure functions of entries and bytes: who keeps them is `runtime`'s. A chain shows that what stands
in it was not changed, left out or put in later by somebody who could not write the rest of it anew;
that its end was cut off, only a head that was kept elsewhere shows.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

ENTRY_BYTES_MAX: Final = 16_384
"""Of one line: each text has its maximum, and JSON may write a character as six bytes."""

GENESIS: Final = "0" * 64
"""The hash before the first entry."""

EVENT: Final = "audit"
"""What a line of a log is that is an entry."""

BEGUN: Final = "chain.begun"
RECOVERED: Final = "chain.recovered"
SHORTENED: Final = "chain.shortened"
"""What an entry about the chain itself is: its start, what a crash left unfinished, and which
entries were removed because there was no more room."""


class Deed(msgspec.Struct, frozen=True):
    """What somebody did, or was refused.

    Attributes:
        what: a fixed name, such as `operator.cancel`.
        who: a person, a caller, a service or a process, as far as it was proved; otherwise where it
            came from, such as `address 203.0.113.7`.
        authority: by what it was proved, or may be done; "" if by nothing.
        on: what it was done to.
        outcome: `done`, `accepted`, `begun`, or `refused` with why.
        correlation: the correlation id of the request that it belongs to; "" without one.
        times: how often, since the entry before of the same deed.
    """

    what: str
    who: str
    authority: str = ""
    on: str = ""
    outcome: str = "done"
    correlation: str = ""
    times: int = 1


class AuditEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of an audit log; also one of the log of a process, where it stands among those.

    Attributes:
        ts: when, in UTC.
        level, event: as every line of the log has them; `event` is `EVENT`.
        chain: the name of its chain.
        seq: 0 for the first one, then one more each.
        prev: the hash of the entry before, `GENESIS` before the first one.
        hash: SHA-256 of this entry as JSON in the order of these fields, with "" for its hash.
    """

    ts: str
    level: str
    event: str
    chain: str
    seq: int
    what: str
    who: str
    authority: str
    on: str
    outcome: str
    correlation_id: str
    times: int
    prev: str
    hash: str

    @property
    def head(self) -> "Head":
        """The chain as it ends with this entry."""
        return Head(self.chain, self.seq, self.hash)


class Head(NamedTuple):
    """How a chain ends.

    Attributes:
        seq, hash: of its last entry; -1 and `GENESIS` where it has none.
    """

    chain: str
    seq: int = -1
    hash: str = GENESIS


def chained(head: Head, deed: Deed, at_s: float) -> AuditEntry:
    """Return the entry of a deed that comes next in a chain.

    Args:
        at_s: when, in seconds since 1970.
    """
    seconds, ms = divmod(int(at_s * 1000), 1000)
    bare = AuditEntry(
        ts=f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z",
        level="info",
        event=EVENT,
        chain=head.chain,
        seq=head.seq + 1,
        what=deed.what,
        who=deed.who,
        authority=deed.authority,
        on=deed.on,
        outcome=deed.outcome,
        correlation_id=deed.correlation,
        times=deed.times,
        prev=head.hash,
        hash="",
    )
    return msgspec.structs.replace(bare, hash=hash_of(bare))


def hash_of(entry: AuditEntry) -> str:
    """Return what the hash of an entry must be."""
    bare = msgspec.structs.replace(entry, hash="")
    return hashlib.sha256(msgspec.json.encode(bare)).hexdigest()


def line_of(entry: AuditEntry) -> bytes:
    """Return an entry as a line of JSON."""
    return msgspec.json.encode(entry) + b"\n"


def entry_of(line: bytes) -> AuditEntry | None:
    """Return what a line holds; None: it is no entry. Whether its hash holds is another question.

    The order and the spacing of its members may be another than ours: a collector may have written
    it anew.
    """
    if len(line) > ENTRY_BYTES_MAX:
        return None
    try:
        entry = msgspec.json.decode(line, type=AuditEntry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return entry if entry.event == EVENT else None


def holds(entry: AuditEntry) -> bool:
    """Whether an entry's own hash is right."""
    return hash_of(entry) == entry.hash


def follows(entry: AuditEntry, head: Head) -> bool:
    """Whether an entry is the next one of a chain, unchanged."""
    return (entry.chain, entry.seq, entry.prev) == (head.chain, head.seq + 1, head.hash) and holds(
        entry
    )


def begun(who: str, on: str) -> Deed:
    """Return the first deed of a chain: whose it is, and of which process."""
    return Deed(BEGUN, who, on=on)


def recovered(who: str, rest: bytes) -> Deed:
    """Return the deed that stands after what a crash left: bytes that are no entry."""
    return Deed(RECOVERED, who, on=f"{len(rest)} bytes", outcome=hashlib.sha256(rest).hexdigest())


def shortened(who: str, first: Head) -> Deed:
    """Return the deed that says from where on a chain is kept: after the entry `first`."""
    return Deed(SHORTENED, who, on=f"entries 0 to {first.seq}", outcome=first.hash)
