"""What a connection by TLS costs that says nothing: anybody may open many of them."""

import asyncio
import os
import re
import ssl
import sys
from pathlib import Path

from holdfast.contract.spiffe import ALL
from holdfast.engines.machine import MachineClock
from holdfast.runtime.children import free_port
from holdfast.runtime.identity import operator_of
from holdfast.runtime.local_authority import LocalAuthority, variables_of
from shop.system import shop

COMMAND = (sys.executable, "-m", "holdfast.cli", "run", "shop", "--port", "0")
IDLE_KIB_MAX = 120
"""Measured: 43 KiB with the loop that processes have, 294 KiB with Python's own."""
COUNT, PATIENCE_S = 200, 120.0


def resident_kib(pid: int) -> int:
    """Return how much memory of a process is in RAM."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


async def opened(port: int, tls: ssl.SSLContext) -> asyncio.StreamWriter:
    """Open a connection that has asked once, and stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return writer


async def served(port: int, tls: ssl.SSLContext) -> None:
    """Wait until somebody answers."""
    while True:
        try:
            (await opened(port, tls)).close()
            return
        except OSError:
            await asyncio.sleep(0.1)


async def test_idle_connections_by_tls_are_small(tmp_path: Path) -> None:
    """Counted in a process of its own, as `holdfast run` starts it, after a first hundred."""
    authority, port = LocalAuthority(tmp_path / "ids", shop.name, MachineClock()), free_port()
    environ = {**os.environ, **variables_of(authority, ALL)}
    words = ("--ops-port", str(port), "--data", str(tmp_path / "data"))
    tls = operator_of(authority, shop.name).reaches("")
    with (tmp_path / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *COMMAND, *words, env=environ, stdout=log, stderr=log
        )
    idle = list[asyncio.StreamWriter]()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await served(port, tls)
        idle += [await opened(port, tls) for _ in range(COUNT // 2)]
        before = resident_kib(child.pid)
        idle += [await opened(port, tls) for _ in range(COUNT)]
        each = (resident_kib(child.pid) - before) / COUNT
    finally:
        for writer in idle:
            writer.transport.abort()
        child.terminate()
        await child.wait()

    assert 0 < each < IDLE_KIB_MAX
