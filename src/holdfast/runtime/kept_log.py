"""The newest log lines of a process, kept in its data folder for `holdfast logs`.

What is collected from stdout is elsewhere, or nowhere on a developer's machine. Two files take
turns, so that what is kept is bounded: when `log.jsonl` is full it becomes `log.1.jsonl`.
"""

from pathlib import Path
from typing import IO

NAME, OLDER = "log.jsonl", "log.1.jsonl"


class KeptLog:
    """A stream of whole lines into the folder's files.

    Args:
        folder: whose owner this process is. bytes_max: of both files.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._path, self._older = folder / NAME, folder / OLDER
        self._full = bytes_max // 2
        self._file: IO[bytes] | None = None
        self._size = 0

    def write(self, data: bytes, /) -> None:
        """Append some lines; begin a new file for them if they have no room."""
        if not data:
            return
        if self._file is not None and self._size + len(data) > self._full:
            self._file.close()
            self._file = None
            self._path.replace(self._older)
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
            self._size = self._file.tell()
        self._file.write(data)
        self._size += len(data)

    def flush(self) -> None:
        """Do nothing: each write is one of the system's."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
