"""Child processes that end with this one, even if it is killed."""

import asyncio
import ctypes
import errno
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from holdfast.communication import LOOPBACK

_PR_SET_PDEATHSIG = 1
_LOW, _HIGH = 16_000, 32_000
PAUSE_S, PAUSE_CAP_S = 0.2, 10.0
WELL_S = 10.0  # a child that lived so long ended for another reason than its start
_given: set[int] = set()


def pause_s(before_s: float, lived_s: float) -> float:
    """Return the pause before a child that ended is started again, in seconds.

    Args:
        before_s: the pause before, 0 if there was none. lived_s: how long it ran.
    """
    if before_s == 0 or lived_s > WELL_S:
        return PAUSE_S
    return min(PAUSE_CAP_S, before_s * 2)


def free_port(host: str = LOOPBACK) -> int:
    """Return a port of an address that is free now, and was not returned before.

    It is below those that the kernel gives to outgoing connections: one of them might take it
    before it is listened on.
    """
    while True:
        port = _LOW + secrets.randbelow(_HIGH - _LOW)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    continue
                raise
        if port not in _given:
            _given.add(port)
            return port


@dataclass(frozen=True, slots=True)
class Life:
    """Under whose name a child lives, and how it is asked to end.

    Attributes:
        end: the signal that asks it to end, also when this process dies.
        user: it gives up being root for this user; None: it is who we are.
        folders: descriptors that it keeps open.
    """

    end: signal.Signals = signal.SIGTERM
    user: pwd.struct_passwd | None = None
    folders: tuple[int, ...] = ()

    def begin(self) -> None:
        """Run in the child before its program: have the kernel end it with us (Linux)."""
        if self.user is not None:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, self.end)


_OURS = Life()


async def start_child(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: IO[bytes] | IO[str] | int | None = None,
    stdout: IO[bytes] | IO[str] | int | None = None,
    stderr: IO[bytes] | IO[str] | int | None = None,
    life: Life = _OURS,
) -> asyncio.subprocess.Process:
    """Start a child in a session of its own: Ctrl-C reaches this process alone.

    Whoever is cancelled meanwhile leaves no child behind that nobody knows of.
    """
    begun = asyncio.create_subprocess_exec(
        *command,
        env=None if environ is None else dict(environ),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        preexec_fn=life.begin,
        start_new_session=True,
        pass_fds=life.folders,
        cwd="/" if life.user is not None else None,
    )
    task = asyncio.create_task(begun)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        child = await task
        child.kill()
        await child.wait()
        raise


async def wait_for_port(
    process: asyncio.subprocess.Process, place: int | Path, seconds: float
) -> bool:
    """Wait until a child accepts connections; False if it ended, or does not in time.

    Args:
        place: its port, or the path of its Unix socket.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while loop.time() < give_up and process.returncode is None:
        try:
            if isinstance(place, Path):
                _, writer = await asyncio.open_unix_connection(place)
            else:
                _, writer = await asyncio.open_connection(LOOPBACK, place)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return True
    return False


async def stop_child(
    process: asyncio.subprocess.Process | None, seconds: float = 5.0, life: Life = _OURS
) -> None:
    """Ask a child to end; end it if it does not."""
    if process is None or process.returncode is not None:
        return
    process.send_signal(life.end)
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def stop_stranger(
    pid_file: Path, folder: Path, seconds: float = 5.0, life: Life = _OURS
) -> None:
    """End the process that a pid file names, if it works on `folder`: somebody restarted a server.

    It is no child of ours, so that nothing but its file tells of it. A number that the kernel has
    given to another program since is left alone.
    """
    pid = _pid_in(pid_file)
    if pid is None:
        return
    loop = asyncio.get_running_loop()
    give_up, number = loop.time() + seconds, life.end
    while _works_on(pid, folder):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        await asyncio.sleep(0.05)
        if loop.time() > give_up:
            number = signal.SIGKILL


def _pid_in(file: Path) -> int | None:
    try:
        return int(file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):  # none, or half written
        return None


def _works_on(pid: int, folder: Path) -> bool:
    """Whether a process lives, and its working directory or command line names a folder."""
    here = Path(f"/proc/{pid}")
    try:
        if not Path("/proc/self").exists():
            words = ["ps", "-o", "command=", "-p", str(pid)]
            said = subprocess.run(words, capture_output=True, text=True).stdout  # noqa: S603
            return str(folder) in said
        if here.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False  # it has ended; whoever started it has not asked how
        command = here.joinpath("cmdline").read_bytes()
        return os.fsencode(folder) in command or here.joinpath("cwd").readlink() == folder
    except (FileNotFoundError, ProcessLookupError):
        return False
