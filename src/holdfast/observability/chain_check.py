"""Whether the chains of an audit log are whole; if not, the first line that is not as it was.

What is found: an entry that was changed, left out, put in, or moved, and a beginning that was cut
off. A cut end is found by heads that were kept elsewhere, such as in the log of the process.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.observability.chain import (
    BEGUN,
    GENESIS,
    RECOVERED,
    SHORTENED,
    AuditEntry,
    Head,
    entry_of,
    holds,
)

_MARK = b'"audit"'  # stands in each entry, whatever a collector has done to its spacing


@dataclass(slots=True)
class VerifiedChain:
    """What was found of one chain.

    Attributes:
        head: its last entry, as far as it holds.
        entries: how many of it are there and hold.
        problem: what is wrong, with the first line where it is; "" if nothing is.
        notices: what a person may want to know, and is as it should be.
        before: what stood before the first entry that is there; None: nothing does.
        room: the last entries of what was removed to make room, as entries say.
    """

    head: Head
    entries: int = 0
    problem: str = ""
    notices: list[str] = field(default_factory=list[str])
    before: Head | None = None
    room: set[Head] = field(default_factory=set[Head])


class ChainReader:
    """Looks at the lines of logs, in order; a chain may go on in another file.

    Args:
        heads: {(chain, number): hash} of entries that must be there.

    Attributes:
        chains: {name: what was found of it}.
        notices: what a person may want to know of what belongs to no chain.
    """

    def __init__(self, heads: Mapping[tuple[str, int], str]) -> None:
        self._heads = dict(heads)
        self._rest, self._rest_at = b"", ""
        self.chains: dict[str, VerifiedChain] = {}
        self.notices: list[str] = []
        self._problems: list[str] = []

    def look(self, lines: Iterable[tuple[str, bytes]], *, strict: bool) -> None:
        """Look at one file.

        Args:
            lines: (what a person calls the place, the line with its end).
            strict: it has entries alone. Otherwise other lines stand among them.
        """
        for place, line in lines:
            if not strict and _MARK not in line:
                continue
            # A collector may have written something before it.
            entry = entry_of(line if strict else line[max(0, line.find(b"{")) :])
            if entry is not None:
                self._look(place, entry)
            elif strict:
                self._rest_at = self._rest_at or place
                self._rest += line
        rest, at = self._take_rest()
        if rest.endswith(b"\n"):
            self._problems.append(f"{at}: is no entry")
        elif rest:
            self.notices.append(f"{at}: an unfinished line, which its next writer will mend")

    def _take_rest(self) -> tuple[bytes, str]:
        """Return what stands since the last entry and is none, and where."""
        taken = self._rest, self._rest_at
        self._rest, self._rest_at = b"", ""
        return taken

    def _look(self, place: str, entry: AuditEntry) -> None:
        rest, rest_at = self._take_rest()
        chain = self.chains.get(entry.chain)
        if chain is None:
            chain = self.chains[entry.chain] = VerifiedChain(Head(entry.chain))
            self._begin(chain, place, entry)
        if chain.problem:
            return
        chain.problem = _rest_problem(chain, rest, rest_at, entry) or _problem(chain, place, entry)
        if not chain.problem:
            self._take(chain, entry)

    def _begin(self, chain: VerifiedChain, place: str, entry: AuditEntry) -> None:
        if entry.seq:
            chain.head = chain.before = Head(entry.chain, entry.seq - 1, entry.prev)
        elif entry.what != BEGUN or entry.prev != GENESIS:
            chain.problem = f"{place}: entry 0 does not begin a chain"

    def _take(self, chain: VerifiedChain, entry: AuditEntry) -> None:
        chain.head = entry.head
        chain.entries += 1
        if entry.what == SHORTENED:
            last = entry.on.rpartition(" ")[2]
            chain.room.add(Head(entry.chain, int(last) if last.isdecimal() else -1, entry.outcome))
        wanted = self._heads.pop((entry.chain, entry.seq), entry.hash)
        if wanted != entry.hash:
            chain.problem = (
                f"entry {entry.seq} of {entry.chain} is another one than the head that was kept: "
                "the chain was written anew"
            )

    def problems(self) -> list[str]:
        """Return what is wrong, when every file was looked at; nothing: all is as it was."""
        problems = list(self._problems)
        for chain in self.chains.values():
            before = chain.before
            if not chain.problem and before is not None and before not in chain.room:
                chain.problem = (
                    f"{before.chain} begins with entry {before.seq + 1}: those before are missing, "
                    "and no entry says that they made room; give all files, the oldest first"
                )
            if chain.problem:
                problems.append(chain.problem)
        for name, seq in self._heads:
            found = self.chains.get(name)
            if found is None or not found.problem:
                ends = "is not there" if found is None else f"ends with entry {found.head.seq}"
                problems.append(f"{name} {ends}, and entry {seq} was kept: its end was cut off")
        return problems


def _rest_problem(chain: VerifiedChain, rest: bytes, rest_at: str, entry: AuditEntry) -> str:
    """Return what is wrong with lines before an entry that are none; a crash leaves some."""
    if not rest:
        return ""
    if entry.what != RECOVERED or entry.outcome != hashlib.sha256(rest).hexdigest():
        return f"{rest_at}: is no entry, and none after it says that a crash left it"
    chain.notices.append(f"{rest_at}: left by a crash, as entry {entry.seq} says")
    return ""


def _problem(chain: VerifiedChain, place: str, entry: AuditEntry) -> str:
    head = chain.head
    if not holds(entry):
        return f"{place}: entry {entry.seq} was changed: its hash is that of something else"
    if entry.seq > head.seq + 1:
        missing = entry.seq - head.seq - 1
        return (
            f"{place}: entry {entry.seq} stands after entry {head.seq}: {missing} "
            f"{'is' if missing == 1 else 'are'} missing"
        )
    if entry.seq <= head.seq:
        return f"{place}: entry {entry.seq} stands after entry {head.seq}: it was moved or repeated"
    if entry.prev != head.hash:
        return f"{place}: entry {entry.seq} follows another entry {head.seq} than stands here"
    return ""
