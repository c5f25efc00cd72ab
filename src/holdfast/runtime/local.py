"""Stand-ins of third parties, started beside a system on one machine."""

import asyncio
import shlex
import sys
from pathlib import Path

from holdfast.errors import SettingError
from holdfast.runtime.children import free_port, start_child, stop_child, wait_for_port
from holdfast.system import External

START_S = 10.0


class Local:
    """One stand-in: its process and its address."""

    def __init__(self, external: External, data: Path) -> None:
        assert external.local is not None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._name = external.name
        words = shlex.split(external.local)
        self._command = [word.format(port=self.port, data=data) for word in words]
        if self._command[0] == "python":
            self._command[0] = sys.executable
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it accepts connections. Raises SettingError."""
        out = sys.__stderr__  # our own standard output carries JSON lines alone
        self._process = await start_child(self._command, stdout=out)
        if not await wait_for_port(self._process, self.port, START_S):
            await self.stop()
            raise SettingError(
                [f"the stand-in of {self._name} did not start: {shlex.join(self._command)}"]
            )

    async def stop(self) -> None:
        """Stop it."""
        await stop_child(self._process)
