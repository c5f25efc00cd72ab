"""A nats-server of the data folder, from its wheel."""

import asyncio
import shutil
import signal
import sysconfig
from pathlib import Path

from holdfast.communication import LOOPBACK
from holdfast.contract.spiffe import NATS
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.nats_settings import nats_accounts, nats_tls
from holdfast.runtime.server_child import missing, quoted, start_server
from holdfast.system import Graph

_USER = "holdfast"


class NatsServer:
    """One server with JetStream.

    Args:
        folder: of the servers.

    Attributes:
        url: where it is, once it was started; with a password, if that is how it is asked for.
        certificate: the file of what it shows; None: it was started with a password.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: asyncio.subprocess.Process | None = None
        self.url = ""
        self.certificate: Path | None = None

    async def start_with_password(self, password: str) -> asyncio.subprocess.Process:
        """Start it for everybody who has its password. Raises SettingError."""
        url = await self._start(f'authorization {{ user: "{_USER}", password: "{password}" }}\n')
        self.url = url.replace("//", f"nats://{_USER}:{password}@", 1)
        return self._started

    async def start_with_identities(
        self, authority: LocalAuthority, graph: Graph
    ) -> asyncio.subprocess.Process:
        """Start it for the workloads of a system, each with its own rights. Raises SettingError."""
        files = authority.issue(NATS)
        self.certificate = files.certificate
        tls = nats_tls(files.certificate, files.key, files.trusted)
        self.url = f"tls:{await self._start(tls + nats_accounts(graph))}"
        return self._started

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._child is not None
        return self._child

    def read_again(self) -> None:
        """Have it take up files that have changed: it looks at them when it is told to."""
        if self._started.returncode is None:
            self._started.send_signal(signal.SIGHUP)

    async def _start(self, who: str) -> str:
        found = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
        command = found or shutil.which("nats-server")
        if command is None:
            raise missing("nats-server is not installed")
        port = free_port()
        settings = (
            f'listen: "{LOOPBACK}:{port}"\n'
            f"pid_file: {quoted(self._folder / 'nats.pid')}\n"
            f"jetstream {{ store_dir: {quoted(self._folder / 'nats')} }}\n"
            f"{who}"
        )
        self._child = await start_server(self._folder, NATS, [command, "-c"], settings, place=port)
        return f"//{LOOPBACK}:{port}"
