"""A file that holds a secret and may be written anew at any time: its text is the newest one.

Whoever wants the secret asks each time it is needed, as for each new connection. Then the file is
looked at, and read if it is another one than before: one that was written (its times or its size
differ), or one that was put in its place (its number differs), as Kubernetes does.
"""

import os
import time
from threading import Lock

from holdfast.engines.secret_text import read_text

_SETTLED_NS = 2_000_000_000  # a file that was written later may be written again in one tick

_Stamp = tuple[int, int, int, int, int]


class SecretFile:
    """One file; may be asked from any thread.

    Attributes:
        path: where it is.
        problem: why the newest text cannot be had, so that `text` is the one before; "" if it can.
    """

    def __init__(self, path: str) -> None:
        """Read it. Raises OSError, ValueError: it cannot be read, or has nothing."""
        self.path, self.problem = path, ""
        self._lock = Lock()
        self._stamp: _Stamp | None = None
        self._text = self._read()

    def __repr__(self) -> str:
        return f"SecretFile({self.path!r})"

    def text(self) -> str:
        """Return what it has now, without the line break at its end.

        While it is away, empty or half written, what it had before: `problem` says so.
        """
        with self._lock:
            try:
                stamp = _stamp(self.path)
                if stamp != self._stamp:
                    self._text = self._read()
                self.problem = ""
            except (OSError, ValueError) as exc:
                self._stamp = None
                self.problem = str(getattr(exc, "strerror", None) or exc)
            return self._text

    def _read(self) -> str:
        before = _stamp(self.path)
        text = read_text(self.path)
        if not text:
            raise ValueError("nothing is in it")
        settled = time.time_ns() - before[0] > _SETTLED_NS
        self._stamp = before if settled and before == _stamp(self.path) else None
        return text


def _stamp(path: str) -> _Stamp:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
