"""A nats-server of the data folder, from its wheel."""

import asyncio
import shutil
import sysconfig
from pathlib import Path

from holdfast.communication import LOOPBACK
from holdfast.runtime.children import free_port
from holdfast.runtime.server_child import missing, quoted, start_server

_USER = "holdfast"


class NatsServer:
    """One server with JetStream.

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
        found = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
        command = found or shutil.which("nats-server")
        if command is None:
            raise missing("nats-server is not installed")
        port = free_port()
        settings = (
            f'listen: "{LOOPBACK}:{port}"\n'
            f"pid_file: {quoted(self._folder / 'nats.pid')}\n"
            f"jetstream {{ store_dir: {quoted(self._folder / 'nats')} }}\n"
            f'authorization {{ user: "{_USER}", password: "{self._password}" }}\n'
        )
        child = await start_server(self._folder, "nats", [command, "-c"], settings, port=port)
        self.url = f"nats://{_USER}:{self._password}@{LOOPBACK}:{port}"
        return child
