"""The data folder: one owner at a time, nobody else's eyes, and where its process takes commands.

A database holds customers, passwords' hashes and signing keys, so the folder is its user's alone.
That is seen to twice: it is made so, and one that others may enter is refused.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from holdfast.errors import DataFolderBusy, DataFolderUnfit

_SOCKET_PATH_MAX = 100  # the kernel allows 107 bytes for the path of a Unix socket
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SECRET = ("*.db", "*.db-*", "audit*.jsonl", "*.conf", "*.err", "passwords.json")


class DataFolder:
    """A folder with one SQLite file per service, a lock, and a control socket."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._held: int | None = None
        self._lock: IO[str] | None = None
        self._umask = 0

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
        """Become the owner, if this is not the owner yet.

        What this process makes is from now on for its user alone, whatever the umask was: SQLite,
        the servers that it starts and the stand-ins make files that no code of ours opens.

        Raises:
            DataFolderBusy: another process owns it.
            DataFolderUnfit: others may look into it, or it cannot be written.
        """
        if self._held is not None:
            return
        self._umask = os.umask(_OTHERS)
        try:
            self._take()
        except BaseException:  # raised again: the lock and the umask are given back
            self._let_go()
            raise

    def _take(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.refuse_if_open()
            self._held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            # The folder itself is locked: a lock on a file in it ends when the file is removed.
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = open(self.path / "lock", "a+")  # noqa: SIM115  # held like the folder
            os.fchmod(self._lock.fileno(), 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # older versions look at it
        except BlockingIOError as exc:
            raise DataFolderBusy(
                f"{self.path} is in use by process {self._owner()}; stop it, or give another "
                "folder with --data"
            ) from exc
        except OSError as exc:
            raise DataFolderUnfit(
                f"the data folder {self.path} cannot be used: {exc.strerror}: it must be a folder "
                "that this user may write; give another one with --data"
            ) from exc
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def refuse_if_open(self) -> None:
        """Refuse a folder that others may look into. Raises DataFolderUnfit."""
        for path in (self.path, *self._secrets()):
            try:
                mode = stat.S_IMODE(path.stat().st_mode)
            except FileNotFoundError:  # an owner that ends has removed it meanwhile
                continue
            if mode & _OTHERS:
                raise DataFolderUnfit(
                    f"{path} is open to other users of this machine (mode {mode:04o}), and "
                    f"databases hold keys: run `chmod -R go= {self.path}`, or name a new folder "
                    "with --data"
                )

    def _secrets(self) -> Iterator[Path]:
        for pattern in _SECRET:
            yield from sorted(self.path.glob(pattern))

    def _owner(self) -> str:
        try:
            return (self.path / "lock").read_text().strip() or "unknown"
        except OSError:  # somebody removed it; the folder is locked all the same
            return "unknown"

    def give(self) -> None:
        """Stop being the owner."""
        if self._held is not None:
            self.free_socket()
            self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._held is not None:
            os.close(self._held)
            self._held = None
        os.umask(self._umask)

    def is_owned(self) -> bool:
        """Whether a process owns the folder now."""
        try:
            held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(held)
        return False
