"""Child processes that end with this one, even if it is killed."""

import asyncio
import ctypes
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_LOW, _HIGH = 16_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """Return a port of the loopback address that is free now, and was not returned before.

    It is below those that the kernel gives to outgoing connections: one of them might take it
    before it is listened on.
    """
    while True:
        port = _LOW + secrets.randbelow(_HIGH - _LOW)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def end_with_parent() -> None:
    """Ask the kernel to end this child when its parent dies, even by SIGKILL (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def start_child(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
) -> asyncio.subprocess.Process:
    """Start a child in a session of its own: Ctrl-C reaches this process alone."""
    return await asyncio.create_subprocess_exec(
        *command,
        env=None if environ is None else dict(environ),
        stdout=stdout,
        stderr=stderr,
        preexec_fn=end_with_parent,
        start_new_session=True,
    )


async def wait_for_port(process: asyncio.subprocess.Process, port: int, seconds: float) -> bool:
    """Wait until a child accepts connections; False if it ended, or does not in time."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while loop.time() < give_up and process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return True
    return False


async def stop_child(process: asyncio.subprocess.Process | None, seconds: float = 5.0) -> None:
    """Ask a child to end; end it if it does not."""
    if process is None or process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
