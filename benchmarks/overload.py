"""Customers who come faster than they can be served, and go when they have waited too long.

The load is open: they come at their own rate, each on a connection of its own, and nobody waits
for the one before. Goodput is what was sold to customers who were still there, as a share of what
the till can sell; what was sold to those who had gone is wasted, and worse.

The till's capacity is what it sells on kept connections. Target: 60 % of it at two and a half times
that load.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from benchmarks.harness import Plan, Row, Sample
from benchmarks.load import closed_loop, post
from benchmarks.process import Server, running

TARGET = 0.6
TIMES = 2.5
PATIENCE_S = 2.0
_AT_ONCE_MAX = 4_000
_SALE = ("/v1/sales", b'{"item":"tea"}')
_REQUEST = post(*_SALE).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)


@dataclass(slots=True)
class Crowd:
    """What became of the customers."""

    sold: int = 0
    refused: int = 0
    gone: int = 0

    async def buy(self, host: str, port: int) -> None:
        """Come, ask, and wait as long as it is worth."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(_REQUEST)
                status = (await reader.readline()).split(b" ")[1:2]
                await reader.read()
        except (TimeoutError, OSError):
            self.gone += 1
        else:
            if status == [b"201"]:
                self.sold += 1
            else:
                self.refused += 1
        finally:
            if writer is not None:
                writer.close()


async def crowd(url: str, rate: float, seconds: float) -> Crowd:
    """Let customers come at a rate for so long; return what became of them."""
    host, port = url.removeprefix("http://").split(":")
    seen, under_way = Crowd(), set[asyncio.Task[None]]()
    begun, come = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        for _ in range(int(passed * rate) - come):
            come += 1
            if len(under_way) < _AT_ONCE_MAX:
                task = asyncio.create_task(seen.buy(host, int(port)))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        await asyncio.sleep(0.002)
    if under_way:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait(under_way, timeout=PATIENCE_S + 1)
    return seen


async def capacity(url: str, seconds: float) -> Sample:
    """Return what the till sells to customers who wait for each other."""
    _, sample = await closed_loop(url, [post(*_SALE)], status=201, seconds=seconds)
    return sample


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    till = Server("till", "benchmarks.ours.till")
    seconds = 10 * plan.round_s
    async with running(till):
        full = await capacity(till.url, plan.round_s)
        seen = await crowd(till.url, TIMES * full.rate, seconds)
        full = max(full, await capacity(till.url, plan.round_s), key=lambda sample: sample.rate)
    goodput = seen.sold / (full.rate * seconds)
    more = {"sold": float(seen.sold), "refused": float(seen.refused), "gone": float(seen.gone)}
    sample = Sample(seen.sold / seconds, full.p50_ms, full.p99_ms, more=more)
    return [
        Row(
            "overload",
            f"goodput at {TIMES:g} times the load",
            goodput,
            ratio=goodput,
            target=TARGET,
            samples={till.name: [sample]},
        )
    ]
