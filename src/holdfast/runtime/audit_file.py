"""The audit log in a data folder: `audit.jsonl`, and older parts of it.

Whoever writes holds the lock of the file, so that several processes may write to one chain: the
owner of the folder, and `holdfast migrate` beside it. Each entry is handed to the kernel when it
happens, so a killed process loses none; an operator's is on the disk before it is carried out, the
others when the kernel writes them.

A process that dies within a line leaves a part of it. The next one ends that line and writes an
entry, `chain.recovered`, with the hash of what is left there: nothing is taken away, and the chain
goes on from the last whole entry.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from holdfast.observability.chain import (
    ENTRY_BYTES_MAX,
    AuditEntry,
    Deed,
    Head,
    begun,
    chained,
    entry_of,
    follows,
    holds,
    line_of,
    recovered,
    shortened,
)
from holdfast.ports import Clock

NAME: Final = "audit.jsonl"
PARTS: Final = 4
"""In how many files the log is kept: the oldest one makes room."""
HEADS_EVERY: Final = 100
"""After so many entries the log of the process is told how the chain ends."""
_TAIL_BYTES = 4 * ENTRY_BYTES_MAX


def audit_files(folder: Path) -> list[Path]:
    """Return the files of the audit log of a folder, oldest first."""
    older = (path for path in folder.glob("audit.*.jsonl") if path.name.split(".")[1].isdecimal())
    newest = folder / NAME
    return [*sorted(older), *([newest] if newest.is_file() else [])]


def audit_folders(folder: Path) -> list[Path]:
    """Return the folder of a system and those of its members, as far as they have audit logs."""
    inside = (path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    return [path for path in (folder, *sorted(inside)) if audit_files(path)]


class AuditFile:
    """Implements `observability.audit.AuditSink` in a folder.

    Args:
        folder: made for this user alone if it is not there.
        bytes_max: of all its files.
        who, on: who writes, and which process this is, for entries about the chain.
        on_head: told how the chain ends: when it is taken up, now and then, and at the end. Kept
            elsewhere, it shows that an end was cut off.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        bytes_max: int,
        who: str,
        on: str,
        on_head: Callable[[Head], None],
    ) -> None:
        self._folder, self._path, self._clock = folder, folder / NAME, clock
        self._part_bytes_max = bytes_max // PARTS
        self._who, self._on = who, on
        self._file: int | None = None
        self._size: int = -1
        self._head = Head("")
        self._on_head, self._told_seq = on_head, -1

    @property
    def entries(self) -> int:
        """How many entries the chain has."""
        return self._head.seq + 1

    def append(self, deed: Deed, *, durable: bool) -> bool:
        """Write an entry, and have it on the disk if it is to be durable; False if it cannot be."""
        try:
            with self._locked() as file:
                self._catch_up(file)
                self._write(file, deed)
                if durable:
                    os.fsync(file)
                self._turn_if_full()
            if self._told_seq < 0 or self._head.seq >= self._told_seq + HEADS_EVERY:
                self._tell()
        except OSError:  # no room, no right: it is counted, and read anew before the next one
            self._size = -1
            return False
        return True

    def close(self) -> None:
        """Close the file, with all of it on the disk."""
        if self._told_seq != self._head.seq:
            self._tell()
        self._let_go()

    def _tell(self) -> None:
        self._told_seq = self._head.seq
        self._on_head(self._head)

    def _let_go(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = None

    @contextlib.contextmanager
    def _locked(self) -> Generator[int]:
        """Hold the lock of the newest file, which another process may have begun."""
        while True:
            if self._file is None:
                self._file = self._open()
            file = self._file
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, self._path):
                break
            self._let_go()  # another process has made it an older part
            self._size = -1
        try:
            yield file
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._file is not None:  # or it became an older part, and no newer one could be begun
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _open(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _catch_up(self, file: int) -> None:
        """Find the chain's head, after others have written, or have died while they did."""
        size = os.fstat(file).st_size
        if size == self._size:
            return
        last, rest = _last_entry(os.pread(file, min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES)))
        if last is None and size > _TAIL_BYTES:
            last, rest = _last_entry(os.pread(file, size, 0))
        if last is None:  # nothing whole is in it yet: the chain is that of the part before
            last = self._last_of_older()
        self._size = size
        if last is None:  # new, or there is nothing in it that a chain could go on from
            if rest:
                self._put(file, b"\n")
            self._head = Head(f"{self._on}/{secrets.token_hex(8)}")
            self._write(file, begun(self._who, self._on))
            return
        self._head = last.head
        if rest:
            self._mend(file, rest)

    def _mend(self, file: int, rest: bytes) -> None:
        """Go on after what a crash left: a part of a line, or a whole one without its end."""
        unended = not rest.endswith(b"\n")
        if unended:
            self._put(file, b"\n")
        entry = entry_of(rest) if unended else None
        if entry is not None and follows(entry, self._head):
            self._head = entry.head
            return
        self._write(file, recovered(self._who, rest + b"\n" if unended else rest))

    def _last_of_older(self) -> AuditEntry | None:
        older = audit_files(self._folder)[:-1]
        return _last_entry(_tail(older[-1]))[0] if older else None

    def _write(self, file: int, deed: Deed) -> None:
        entry = chained(self._head, deed, self._clock.now())
        self._put(file, line_of(entry))
        self._head = entry.head

    def _put(self, file: int, data: bytes) -> None:
        while data:
            written = os.write(file, data)
            data = data[written:]
            self._size += written

    def _turn_if_full(self) -> None:
        """Begin another part, if it is time to; one that cannot be begun is begun later.

        What was written stands: a full disk here must not be told of the entry before.
        """
        if self._size <= self._part_bytes_max:
            return
        try:
            self._turn()
        except OSError:
            self._size = -1

    def _turn(self) -> None:
        """Make the newest file an older part; the oldest one makes room, which the chain says."""
        assert self._file is not None
        os.fsync(self._file)
        part = self._folder / f"audit.{self._head.seq:012d}.jsonl"
        if part.exists():
            return  # of a chain that somebody began anew: it is not written over
        os.rename(self._path, part)
        older, self._file = self._file, None
        try:
            self._file = self._open()
            fcntl.flock(self._file, fcntl.LOCK_EX)
        finally:
            os.close(older)
        self._size = -1  # another process may have been here first
        self._catch_up(self._file)
        while len(parts := audit_files(self._folder)) > PARTS:
            last, _ = _last_entry(_tail(parts[0]))
            if last is not None:
                self._write(self._file, shortened(self._who, last.head))
                os.fsync(self._file)  # said before it is done
            parts[0].unlink()


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one of a name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _tail(path: Path) -> bytes:
    """Return the end of a file, which has its last entry."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read()


def _last_entry(tail: bytes) -> tuple[AuditEntry | None, bytes]:
    """Return the last entry of a file that holds, and what stands after it."""
    end = len(tail)
    while end:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        if tail[end - 1 : end] == b"\n":
            entry = entry_of(tail[begin:end])
            if entry is not None and holds(entry):
                return entry, tail[end:]
        end = begin
    return None, tail
