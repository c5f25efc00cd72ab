"""Stand-ins of third parties, started beside a system on one machine."""

import asyncio
import ctypes
import shlex
import signal
import socket
import sys
from pathlib import Path

from holdfast.errors import SettingError
from holdfast.system import External

START_S = 10.0
_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    """Ask the kernel to end this child when its parent dies, even by SIGKILL (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


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
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=sys.__stderr__,  # our own standard output carries JSON lines alone
            preexec_fn=_end_with_parent,
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_S
        while loop.time() < give_up and self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
        await self.stop()
        raise SettingError(
            [f"the stand-in of {self._name} did not start: {shlex.join(self._command)}"]
        )

    async def stop(self) -> None:
        """Stop it."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
