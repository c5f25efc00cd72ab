"""What is made of files that may be written anew at any time: the last good value stays in use."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from holdfast.errors import SettingError

T = TypeVar("T")
Stamp = tuple[tuple[int, int, int], ...]
"""By which a change of files is noticed."""


def stamp_of(files: Sequence[Path]) -> Stamp:
    """Return by what a change of files is noticed. Raises OSError."""
    found = (path.stat() for path in files)
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


class Followed(Generic[T]):
    """What is made of some files, and made again when they change.

    Args:
        make: raises SettingError, ValueError or OSError where they are no good.

    Attributes:
        value: the last good one.
        trouble: why newer files could not be taken up; None: there are none, or they were.
    Raises:
        SettingError, ValueError, OSError: they are no good at the start.
    """

    def __init__(self, files: Sequence[Path], make: Callable[[], T]) -> None:
        self._files, self._make = files, make
        self._stamp: Stamp | None = None
        self.trouble: str | None = None
        with suppress(OSError):  # whoever reads them says it better
            self._stamp = stamp_of(files)
        self.value = make()

    def look(self) -> bool:
        """Take up files that have changed; return whether there is a new value."""
        try:
            stamp = stamp_of(self._files)
            if stamp == self._stamp:
                self.trouble = None  # what was away, or spoilt, has come back
                return False
            value = self._make()
            if stamp_of(self._files) != stamp:
                return False  # they change just now: look again
        except (OSError, ValueError, SettingError) as exc:  # one of an SSL context's is an OSError
            self.trouble = f"the last good certificate is in use: {exc}"
            return False
        self.value, self._stamp, self.trouble = value, stamp, None
        return True
