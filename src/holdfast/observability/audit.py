"""The audit log: who did what, with which authority, and what was refused.

    audit.record("peer.refused", who="a peer", outcome="refused: its chain is unknown")

An entry is written when it happens. The same again within a minute is counted, and one more entry
says at the end of the minute how often; of one kind, only some are written apart in a minute. So a
flood of refusals costs a bounded number of lines, and hides nothing of another kind.
"""

import asyncio
from dataclasses import dataclass, field
from threading import RLock
from typing import Final, Protocol

from holdfast.observability.chain import Deed
from holdfast.observability.redact import bounded
from holdfast.observability.trace import current
from holdfast.ports import Clock

REPEATS_S: Final = 60.0
"""How long the same deed is counted before an entry says how often it was."""
APART_MAX: Final = 30
"""Deeds of one kind that get entries of their own within that time; the rest is counted."""
KINDS_MAX: Final = 64
"""Kinds of deeds that are told apart within that time; a system has some twenty."""
OTHERS: Final = "others"
"""Who did what is counted together."""
LOST: Final = "audit.lost"
"""What an entry is that tells how many before it could not be written."""

_WHAT_CHARS, _TEXT_CHARS = 64, 256


class AuditSink(Protocol):
    """What keeps entries, in a chain."""

    def append(self, deed: Deed, *, durable: bool) -> bool:
        """Write an entry, on the disk when this returns if it is to be durable; tell whether."""
        ...

    def close(self) -> None:
        """Write no more."""
        ...

    @property
    def entries(self) -> int:
        """How many entries the chain has."""
        ...


_Said = tuple[str, str, str, str, str]
"""What, who, authority, on and outcome, as they were given."""


@dataclass(slots=True)
class _Kind:
    """Deeds of one name within the time: those that are told apart, and how often each came."""

    repeats: dict[_Said, int] = field(default_factory=dict[_Said, int])
    others: int = 0


class Audit:
    """Who did what in one process; may be used from any thread.

    Attributes:
        lost: entries that could not be written, since the start.
    """

    def __init__(self, sink: AuditSink, clock: Clock) -> None:
        self._sink, self._clock = sink, clock
        self._lock = RLock()
        self._kinds: dict[str, _Kind] = {}
        self._ends_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.lost = self._untold = 0

    @property
    def entries(self) -> int:
        """How many entries the chain has: what a cut end is known by, where this was kept."""
        return self._sink.entries

    def record(
        self, what: str, *, who: str, authority: str = "", on: str = "", outcome: str = "done"
    ) -> None:
        """Write down what was done or refused; the same again within a minute is counted.

        Args:
            what, who, authority, on, outcome: see `Deed`; secrets in them are removed. Without
                an authority, an entry of what goes back to a caller's request says for whom.
        """
        if not authority and (subject := current.get().subject):
            authority = f"for {subject}, as data"
        said = (what, who, authority, on, outcome)
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._ends_at:
                self._end(now)
            if self._is_new(said):
                self._write(_deed(said, correlation=current.get().correlation_id))
            elif self._timer is None:
                self._schedule()

    def require(
        self, what: str, *, who: str, authority: str = "", on: str = "", outcome: str = "done"
    ) -> bool:
        """Write down what an operator does, each time; True when it is on the disk.

        Args:
            what, who, authority, on, outcome: see `Deed`; secrets in them are removed.
        """
        with self._lock:
            return self._write(_deed((what, who, authority, on, outcome)), durable=True)

    def close(self) -> None:
        """Write what was counted, and no more."""
        with self._lock:
            self._end(self._clock.monotonic())
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._sink.close()

    def _is_new(self, said: _Said) -> bool:
        """Count a deed; whether it gets an entry of its own now."""
        kind = self._kinds.get(said[0])
        if kind is None:
            name = said[0] if len(self._kinds) < KINDS_MAX else OTHERS
            kind = self._kinds.setdefault(name, _Kind())
        if said in kind.repeats:
            kind.repeats[said] += 1
            return False
        if len(kind.repeats) >= APART_MAX:
            kind.others += 1
            return False
        kind.repeats[said] = 0
        return True

    def _end(self, now: float) -> None:
        """Write how often each deed came again, and begin to count anew."""
        kinds, self._kinds = self._kinds, {}
        self._ends_at = now + REPEATS_S
        for what, kind in kinds.items():
            for said, times in kind.repeats.items():
                if times:
                    self._write(_deed(said, times=times))
            if kind.others:
                said = (what, OTHERS, "", "", "counted together")
                self._write(_deed(said, times=kind.others))

    def _schedule(self) -> None:
        """See that what is counted now is written, even if nothing more comes."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread without a loop: the next record, or the end, writes it
            return
        self._timer = loop.call_later(REPEATS_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        with self._lock:
            self._end(self._clock.monotonic())

    def _write(self, deed: Deed, *, durable: bool = False) -> bool:
        if self._untold:
            told = Deed(LOST, OTHERS, outcome="could not be written", times=self._untold)
            if self._sink.append(told, durable=False):
                self._untold = 0
        written = self._sink.append(deed, durable=durable)
        self.lost += not written
        self._untold += not written
        return written


def _deed(said: _Said, *, correlation: str = "", times: int = 1) -> Deed:
    what, who, authority, on, outcome = (str(bounded(text)) for text in said)
    return Deed(
        what[:_WHAT_CHARS],
        who[:_TEXT_CHARS],
        authority[:_TEXT_CHARS],
        on[:_TEXT_CHARS],
        outcome[:_TEXT_CHARS],
        correlation[:_TEXT_CHARS],
        times,
    )
