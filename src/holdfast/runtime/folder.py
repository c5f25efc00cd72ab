"""The data folder: one owner at a time, and where its running process listens for commands."""

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO

from holdfast.errors import DataFolderBusy

_SOCKET_PATH_MAX = 100  # the kernel allows 107 bytes for the path of a Unix socket


class DataFolder:
    """A folder with one SQLite file per service, a lock, and a control socket."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None

    def database(self, service: str) -> Path:
        """Return the path of a service's database."""
        return self.path / f"{service}.db"

    @property
    def socket(self) -> str:
        """The path of the control socket; in the temporary folder if this one is too deep."""
        path = str(self.path / "control.sock")
        if len(path.encode()) <= _SOCKET_PATH_MAX:
            return path
        name = hashlib.blake2b(path.encode(), digest_size=8).hexdigest()
        return str(Path(tempfile.gettempdir()) / f"holdfast-{os.getuid()}-{name}.sock")

    def free_socket(self) -> None:
        """Remove what a process that was killed left in the socket's place."""
        Path(self.socket).unlink(missing_ok=True)

    def guard_socket(self) -> None:
        """Let nobody but this user connect: the file's mode is the authentication."""
        Path(self.socket).chmod(0o600)

    def take(self) -> None:
        """Become the owner. Raises DataFolderBusy."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = open(self.path / "lock", "a+")  # noqa: SIM115  # held for the life of the process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise DataFolderBusy(
                f"{self.path} is in use by process {owner}; stop it, or give another folder "
                "with --data"
            ) from exc
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def give(self) -> None:
        """Stop being the owner."""
        if self._lock is not None:
            self.free_socket()
            self._lock.close()
            self._lock = None

    def is_owned(self) -> bool:
        """Whether a process owns the folder now."""
        if not (self.path / "lock").exists():
            return False
        with open(self.path / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False
