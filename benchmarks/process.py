"""The processes of a benchmark: started, pinned to a core, stopped, and counted by the kernel."""

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Collection, Generator, Mapping
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
START_S = 300.0
ALL_CORES = frozenset(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = min(ALL_CORES), max(ALL_CORES)
_PR_SET_PDEATHSIG = 1
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_URL = re.compile(r"http://[0-9.:]+")


class Server:
    """A process of the benchmark: started, pinned, stopped and counted.

    It says that it is ready by one line on its standard output, and ends with this process even if
    that is killed.

    Args:
        tree: the files that it is made of.
        samples: where `benchmarks.sampled` is to write where its CPU went, if it is.
    """

    def __init__(
        self,
        name: str,
        module: str,
        *arguments: str,
        core: int = SERVER_CORE,
        environ: Mapping[str, str] | None = None,
        tree: Path = ROOT,
        samples: Path | None = None,
    ) -> None:
        self.name = name
        self.ready = ""
        sampled = ["benchmarks.sampled", str(samples)] if samples else []
        self._command = [sys.executable, "-m", *sampled, module, *arguments]
        self.cores: Collection[int] = {core}
        self._tree = tree
        modules = os.pathsep.join([str(tree / "src"), str(tree)])
        self._environ = {**os.environ, "PYTHONPATH": modules, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves: the first URL of the line that said so."""
        found = _URL.search(self.ready)
        assert found is not None, self.ready
        return found[0]

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._tree,
            env=self._environ,
            preexec_fn=lambda: at_birth(self.cores),
        )
        self.ready = await self.hear(START_S)

    async def hear(self, within_s: float) -> str:
        """Read the next line that it writes. Raises RuntimeError."""
        assert self._process is not None and self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return line.decode()

    async def ask(self, question: str, within_s: float) -> str:
        """Write a line to it, and read its answer."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        self._process.stdin.flush()
        return await self.hear(within_s)

    def cpu_s(self) -> float:
        """Return the CPU that its living threads have used, in seconds."""
        return cpu_s(self.pid)

    def pause(self) -> None:
        """Take it off its core."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, by SIGKILL if it does not end by itself in five seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def at_birth(cores: Collection[int]) -> None:
    """Pin a child that was just forked, and have the kernel end it with its parent."""
    os.sched_setaffinity(0, cores)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.asynccontextmanager
async def running(*servers: Server) -> AsyncGenerator[None, None]:
    """Start servers, and stop them whatever happens."""
    try:
        for server in servers:
            await server.start()
        yield
    finally:
        for server in reversed(servers):
            server.stop()


@contextlib.contextmanager
def disk_folder() -> Generator[Path, None, None]:
    """Make a folder for data in the repository's own, which is on a disk; /tmp may be memory."""
    parent = ROOT / ".holdfast"
    parent.mkdir(exist_ok=True)
    before = os.umask(0o077)  # a data folder is its user's alone, a ledger in it included
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
            yield Path(folder)
    finally:
        os.umask(before)


# -- what the kernel counts -----------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """Return the CPU of a process's living threads in seconds, from /proc/PID/task/*/schedstat."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    (size,) = re.findall(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(size) * 1024 + sum(resident_bytes(int(child)) for child in children)


def busy_s() -> float:
    """Return how long the two cores have been busy since the machine started, in seconds.

    What the machine below gave to others meanwhile (steal) is in it.
    """
    total = 0
    for user, nice, system, _idle, _iowait, irq, softirq, steal in _counted():
        total += user + nice + system + irq + softirq + steal
    return total * _TICK_S


def stolen_s() -> float:
    """Return how long the machine below gave the two cores to others, in seconds."""
    return sum(counts[7] for counts in _counted()) * _TICK_S


def _counted() -> list[list[int]]:
    wanted = {f"cpu{core}" for core in (SERVER_CORE, LOAD_CORE)}
    lines = map(str.split, Path("/proc/stat").read_text().splitlines())
    return [[int(count) for count in counts[:8]] for name, *counts in lines if name in wanted]
