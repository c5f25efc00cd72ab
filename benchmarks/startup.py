"""How long the shop takes until it serves, what imports and commands cost, and how much it holds.

Every start is a new process with an empty data folder, from `exec` to the first 200 of
/health/ready; compiled bytecode is there already, as it is after an installation, and nothing is
pinned. Commands that look are run on a data folder that nobody serves, which costs them most; the
dearest of them counts. Memory is that of `holdfast run shop` with its card processor, after 1,000
orders.

Targets: 0.7 s, 300 ms, 400 ms of CPU, 110 MB.
"""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.harness import Plan, Row
from benchmarks.orders import Run, Settled, requests
from benchmarks.process import ALL_CORES, ROOT, START_S, at_birth, disk_folder, resident_bytes

START_TARGET_S, IMPORT_TARGET_MS, MEMORY_TARGET_MB = 0.7, 300.0, 110.0
ORDERS = 1_000
COMMAND_TARGET_MS = 400.0
_LOOK = (("--version",), ("--help",), ("check", "shop"), ("graph", "shop"))
_LOOK_INTO_DATA = (("sagas", "list", "shop"), ("dead-letters", "list", "shop"))
_CUSTOMERS = 4  # each from an address of its own: the shop limits how often one may come
_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


async def measure(plan: Plan) -> list[Row]:
    """Measure the figures."""
    with disk_folder() as folder:
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        starts, imports = _starts(plan, folder, environ), _imports(plan, environ)
        commands = _commands(plan, folder, environ)
        megabytes = await _memory(folder, environ)
    rows = [
        _row("start of the shop", "s", starts, "FastAPI, one route", START_TARGET_S),
        _row("import holdfast", "ms", imports, "import fastapi", IMPORT_TARGET_MS),
    ]
    dearest = max(commands, key=lambda name: commands[name])
    command = Row(
        f"a command that looks: {dearest}",
        "ms CPU",
        commands[dearest],
        target=COMMAND_TARGET_MS,
        at_most=True,
    )
    about = f"memory after {ORDERS:,} orders"
    return [*rows, command, Row(about, "MB", megabytes, target=MEMORY_TARGET_MB, at_most=True)]


def _row(
    figure: str, unit: str, pairs: Sequence[tuple[float, float]], peer_name: str, target: float
) -> Row:
    return Row(
        figure,
        unit,
        median(ours for ours, _ in pairs),
        peer_name,
        median(peer for _, peer in pairs),
        median(peer / ours for ours, peer in pairs),
        target=target,
        at_most=True,
    )


def _imports(plan: Plan, environ: Mapping[str, str]) -> list[tuple[float, float]]:
    """Return (holdfast, fastapi) in milliseconds, of each round after the first."""

    def once(package: str) -> float:
        command = [sys.executable, "-c", _IMPORT.format(package)]
        found = subprocess.run(command, env=environ, cwd=ROOT, check=True, capture_output=True)
        return float(found.stdout) * 1000

    return [(once("holdfast"), once("fastapi")) for _ in range(plan.starts + 1)][1:]


def _commands(plan: Plan, folder: Path, environ: Mapping[str, str]) -> dict[str, float]:
    """Return {command: milliseconds of CPU, user and system}, each the median of some runs."""
    data = folder / "looked-at"
    with _shop(data, environ):
        pass
    wanted = [*_LOOK, *((*words, "--data", str(data)) for words in _LOOK_INTO_DATA)]
    return {
        " ".join(words[:2]): median(_cpu_ms(words, environ) for _ in range(plan.starts))
        for words in wanted
    }


def _cpu_ms(words: Sequence[str], environ: Mapping[str, str]) -> float:
    command = [sys.executable, "-m", "holdfast.cli", *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environ, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _starts(plan: Plan, folder: Path, environ: Mapping[str, str]) -> list[tuple[float, float]]:
    """Return (shop, FastAPI) in seconds, of each round after the first."""
    pairs: list[tuple[float, float]] = []
    for number in range(plan.starts + 1):
        with _shop(folder / f"start-{number}", environ) as (_, _, ours):
            pass
        port = _free_port()
        command = ["-m", "benchmarks.peers.fastapi_app", "--port", str(port)]
        with _started(command, environ, port, "/openapi.json") as (_, peer):
            pass
        pairs.append((ours, peer))
    return pairs[1:]


async def _memory(folder: Path, environ: Mapping[str, str]) -> float:
    data = folder / "memory"
    with _shop(data, environ) as (pid, url, _):
        settled = Settled(data / "notifications.db")
        for number in range(_CUSTOMERS):
            wanted = await asyncio.to_thread(requests, url, f"customer-{number}@example.com")
            run = Run(wanted, settled, seconds=START_S, orders_max=ORDERS // _CUSTOMERS)
            await run.through(url, source=f"127.0.0.{number + 2}")
        return resident_bytes(pid) / 1e6


@contextmanager
def _shop(data: Path, environ: Mapping[str, str]) -> Generator[tuple[int, str, float], None, None]:
    """Run `holdfast run shop`; yield its process, its URL and the seconds until it was ready."""
    port = _free_port()
    command = ["-m", "holdfast.cli", "run", "shop", "--port", str(port)]
    command += ["--ops-port", "0", "--data", str(data)]
    with _started(command, environ, port, "/health/ready") as (pid, seconds):
        yield pid, f"http://127.0.0.1:{port}", seconds


@contextmanager
def _started(
    command: Sequence[str], environ: Mapping[str, str], port: int, path: str
) -> Generator[tuple[int, float], None, None]:
    """Run a server; yield its process and the seconds from `exec` to the first 200 of a path."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=environ,
        preexec_fn=lambda: at_birth(ALL_CORES),
    )
    try:
        while not _serves(port, path):
            if process.poll() is not None or time.perf_counter() - begun > START_S:
                raise RuntimeError(f"{' '.join(command)} did not start")
            time.sleep(0.002)
        yield process.pid, time.perf_counter() - begun
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _serves(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
            )
            return connection.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
