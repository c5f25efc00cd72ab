"""The log lines of all local processes: those that are kept, merged, and those that come."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from holdfast.runtime.kept_log import NAME, OLDER

_SCRAP_CHARS_MIN = 16  # an id of so many may be a part of a text; a shorter one is a value alone
_READ_BYTES = 1 << 20
_TIME_BYTES = len(b'{"ts":"2026-11-30T05:54:24.882Z"')


class Matching:
    """Whether a line has one of some ids in it.

    Args:
        ids: none: every line matches.
    """

    def __init__(self, ids: Collection[str]) -> None:
        self._scraps = tuple(
            id_.encode() if len(id_) >= _SCRAP_CHARS_MIN else msgspec.json.encode(id_)
            for id_ in sorted(ids)
        )

    def __call__(self, line: bytes) -> bool:
        """Look at an encoded line."""
        return not self._scraps or any(scrap in line for scrap in self._scraps)


def log_folders(folder: Path) -> list[Path]:
    """Return the folder of a system and those of its members, as far as they have logs."""
    inside = (path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    return [path for path in (folder, *sorted(inside)) if (path / NAME).is_file()]


def by_time(lines: Iterable[bytes]) -> list[bytes]:
    """Return lines of several processes in order; each begins with its time."""
    return sorted(lines, key=lambda line: line[:_TIME_BYTES])


class Tail:
    """The lines of one folder's log: first those that are kept, then those that come.

    The process that writes it lets its two files take turns meanwhile.
    """

    def __init__(self, folder: Path, matching: Matching) -> None:
        self._path, self._older, self._matching = folder / NAME, folder / OLDER, matching
        self._file: IO[bytes] | None = None
        self._rest = b""
        self._open()

    def _open(self) -> None:
        try:
            self._file, self._rest = self._path.open("rb"), b""
        except FileNotFoundError:
            self._file = None

    def kept(self) -> Iterator[bytes]:
        """Yield the lines of the older file that match; `new` yields those of the newer one."""
        if self._older.is_file() and not (self._file and _is_at(self._file, self._older)):
            with self._older.open("rb") as older:
                yield from (line for line in older if self._matching(line))

    def new(self) -> Iterator[bytes]:
        """Yield the whole lines that have come since, of those that match."""
        if self._file is None:
            self._open()
        while self._file is not None:
            is_newest = _is_at(self._file, self._path)  # asked first: what comes then is read, too
            while read := self._file.read(_READ_BYTES):
                *lines, self._rest = (self._rest + read).split(b"\n")
                yield from (line + b"\n" for line in lines if self._matching(line))
            if is_newest:
                return
            self._file.close()
            self._open()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one of a name."""
    try:
        there = path.stat()
    except FileNotFoundError:  # its turn ends at this moment: the next look will see
        return path.name == NAME
    here = os.fstat(file.fileno())
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
