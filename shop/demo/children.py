"""The processes of the demo: each is started, waited for, killed or stopped, and never left."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.errors import CallError
from holdfast.testing import Client

START_S = 120.0
STOP_S = 60.0
_PR_SET_PDEATHSIG = 1


class DidNotStart(Exception):
    """A child process ended or stayed silent instead of getting ready."""


class Child:
    """One process that serves HTTP; what it prints goes into a file.

    Args:
        ready: the path that answers 200 once it takes requests.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        url: str,
        ready: str,
        log: Path,
        environ: Mapping[str, str],
    ) -> None:
        self.url = url
        self._name = name
        self._arguments = arguments
        self._ready = ready
        self._log = log
        self._environ = {**os.environ, **environ}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises DidNotStart."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        client = Client(self.url)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_S
        try:
            while loop.time() < give_up and self._process.returncode is None:
                if await _is_ready(client, self._ready):
                    return
                await asyncio.sleep(0.02)
        finally:
            await client.close()
        raise DidNotStart(f"the {self._name} did not start; its last words are in {self._log}")

    async def kill(self) -> None:
        """End it by SIGKILL: it gets no chance to tidy up."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int | None:
        """Ask it to stop; return its exit code, None if it was never started."""
        if self._process is None:
            return None
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await self._process.wait()
            except TimeoutError:
                await self.kill()
        return self._process.returncode


async def _is_ready(client: Client, path: str) -> bool:
    try:
        return (await client.get(path, timeout_s=1.0)).status == 200
    except CallError:
        return False


def _end_with_parent() -> None:
    """Have the kernel end this child when the demo itself is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
