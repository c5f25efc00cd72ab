"""The passwords of the servers of a data folder: drawn once, and for their user alone to read."""

import secrets
from pathlib import Path

import msgspec

from holdfast.runtime.private_file import write_private

_FILE = "passwords.json"


class ServerPasswords:
    """A file of passwords, {who: password}.

    Args:
        folder: of the servers.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def known(self) -> dict[str, str]:
        """Return those that were drawn before."""
        if not self._file.exists():
            return {}
        return msgspec.json.decode(self._file.read_bytes(), type=dict[str, str])

    def of(self, name: str) -> tuple[str, bool]:
        """Return somebody's password, and whether it was drawn before."""
        known = self.known()
        if name in known:
            return known[name], True
        known[name] = secrets.token_urlsafe(24)
        write_private(self._file, msgspec.json.encode(known))  # a server remembers what it was told
        return known[name], False
