"""Stand-ins of third parties, started beside a system on one machine.

One that ends is started again at the same address, later each time it ends soon.
"""

import asyncio
import logging
import shlex
import sys
from pathlib import Path

from holdfast.communication import LOOPBACK, Origin
from holdfast.errors import SettingError
from holdfast.runtime.children import (
    free_port,
    pause_s,
    start_child,
    stop_child,
    wait_for_port,
)
from holdfast.system import External

START_S = 10.0


class StandIn:
    """One stand-in: its process and its address.

    Attributes:
        restarts: how often it was started again.
    """

    def __init__(self, external: External, data: Path) -> None:
        assert external.local is not None
        self.port = free_port()
        self.url = str(Origin.of(LOOPBACK, self.port))
        self.name = external.name
        self.restarts = 0
        words = shlex.split(external.local)
        self._command = [word.format(port=self.port, data=data, host=LOOPBACK) for word in words]
        if self._command[0] == "python":
            self._command[0] = sys.executable
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while it lives."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process else None

    def trouble(self) -> str | None:
        """Return why it cannot be reached; None when it can."""
        return self._trouble

    async def begin(self) -> None:
        """Start it; whoever needs it calls `wait`. Raises OSError: there is no such program."""
        out = sys.__stderr__  # our own standard output carries JSON lines alone
        self._process = await start_child(self._command, stdout=out)

    async def wait(self) -> None:
        """Wait until it accepts connections. Raises SettingError."""
        if not await self._accepts():
            await self.stop()
            raise SettingError(
                [f"the stand-in of {self.name} did not start: {shlex.join(self._command)}"]
            )
        self._watching = asyncio.create_task(self._watch(), name=f"stand-in of {self.name}")

    async def _accepts(self) -> bool:
        assert self._process is not None
        return await wait_for_port(self._process, self.port, START_S)

    async def _watch(self) -> None:
        loop, log = asyncio.get_running_loop(), logging.getLogger("holdfast")
        paused_s = 0.0
        while True:
            assert self._process is not None
            begun = loop.time()
            code = await self._process.wait()
            self._trouble = f"it ended with {code}"
            paused_s = pause_s(paused_s, loop.time() - begun)
            log.warning(
                "the stand-in of %s ended with %s; it is started again in %g s",
                *(self.name, code, paused_s),
            )
            await asyncio.sleep(paused_s)
            self.restarts += 1
            try:
                await self.begin()
                begun_well = await self._accepts()
            except OSError as exc:  # its program is gone; somebody may put it back
                self._trouble, begun_well = f"it cannot be started: {exc}", False
            if begun_well:
                self._trouble = None
                log.warning("the stand-in of %s is back", self.name)
            else:
                await stop_child(self._process)

    async def stop(self) -> None:
        """Stop it."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await stop_child(self._process)
