"""A system that is started for its load, by `holdfast run` as ever, and stopped.

Where the machine has several cores, the system has all but one of them, with the stand-ins that it
starts for third parties, and the generator has that one. The data folder is a new one in
`.holdfast`, on the disk where that of `holdfast run` is: /tmp may be memory.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from holdfast.communication import LOOPBACK, Origin
from holdfast.errors import CallError, DidNotStart, SettingError
from holdfast.runtime.children import free_port, start_child, stop_child
from holdfast.runtime.environment import environment
from holdfast.runtime.variables import url_variable
from holdfast.system import System
from holdfast.testing import Client

START_S = 120.0
STOP_S = 30.0
_PAUSE_S = 0.05
_COMMAND = (sys.executable, "-m")


@dataclass(frozen=True, slots=True)
class StartedSystem:
    """Where it serves, and where its data is."""

    url: str
    data: Path


def reached_for_real(system: System) -> list[str]:
    """Return a line for each third party that the load would reach: no stand-in, no URL."""
    environ = environment(system)
    return [
        f"{service.name} reaches {external.name} at {external.url}, which must not get the load: "
        f"let `local=` of the External start a stand-in, or set {url_variable(external.name)}"
        for service in system.services
        for external in service.reaches
        if external.local is None and not environ.get(url_variable(external.name))
    ]


@asynccontextmanager
async def started(
    system: System, name: str, *, on: str = ""
) -> AsyncGenerator[StartedSystem, None]:
    """Run a system in a child process.

    Args:
        name: as it was typed, for the child.
        on: the real servers that it runs on.
    Raises:
        DidNotStart: with its last words.
        SettingError: a third party would be reached.
    """
    if problems := reached_for_real(system):
        raise SettingError(problems)
    folder = _new_folder()
    environ = {**environment(system), **system.offered.environ}
    child: asyncio.subprocess.Process | None = None
    system_cores, own_cores = shared_out(_cores())
    try:
        with (folder / "log").open("w+b") as log, _on(own_cores):
            port = free_port()
            arguments = ["run", name, "--port", str(port), "--ops-port", "0"]
            arguments += ["--data", str(folder / "data"), *(["--on", on] if on else [])]
            command = [*_COMMAND, "holdfast.cli", *arguments]
            with _on(system_cores):
                child = await start_child(
                    command,
                    environ=environ,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            url = str(Origin.of(LOOPBACK, port))
            await _ready(child, url, log)
            yield StartedSystem(url, folder / "data")
    finally:
        await stop_child(child, STOP_S)
        shutil.rmtree(folder, ignore_errors=True)


def shared_out(cores: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the cores of the system, and those of the generator: all for both, if it is one."""
    if len(cores) < 2:
        return cores, cores
    own = frozenset([max(cores)])
    return cores - own, own


def _cores() -> frozenset[int]:
    if sys.platform != "linux":  # elsewhere nobody can be put on a core
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


@contextmanager
def _on(cores: frozenset[int]) -> Generator[None, None, None]:
    """Keep this process, and what it starts meanwhile, on some cores."""
    before = _cores()
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if before and sys.platform == "linux":
            os.sched_setaffinity(0, before)


def _new_folder() -> Path:
    parent = Path(".holdfast")
    parent.mkdir(mode=0o700, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="load-", dir=parent)).absolute()


async def _ready(child: asyncio.subprocess.Process, url: str, log: IO[bytes]) -> None:
    client = Client(url)
    loop = asyncio.get_running_loop()
    give_up = loop.time() + START_S
    try:
        while loop.time() < give_up and child.returncode is None:
            try:
                if (await client.get("/health/ready", timeout_s=1.0)).status == 200:
                    return
            except CallError:
                pass
            await asyncio.sleep(_PAUSE_S)
    finally:
        await client.close()
    raise DidNotStart(f"the system did not start: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines: Sequence[bytes] = log.read().splitlines()
    said = [line for line in lines if line.startswith(b"holdfast: ")] or [*lines[-1:], b"nothing"]
    return said[0].decode(errors="replace").removeprefix("holdfast: ")
