"""A pool that is full refuses its own work, and nothing else: over HTTP, in one process."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from holdfast import Gateway, Outside, Pool, Query, Service, System
from holdfast.testing import Running, running
from holdfast.testing.run import Answer

LIMIT_S = 300.0
QUEUE = 3
ROUTES = 40  # requests at once; with the breaker's minimum of calls many times over


class HowMany(Query[int]):
    """Ask for what the pool works out."""


@dataclass
class Mill:
    """Two services: one grinds in a pool of one thread, the other asks it to."""

    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    open: threading.Event = field(default_factory=threading.Event)
    runs: list[int] = field(default_factory=list[int])

    @property
    def system(self) -> System:
        """The system of both."""
        pool = Pool("mill", threads=1, queue_max=QUEUE)

        @pool.runs
        def grind() -> int:
            self.begun.release()
            assert self.open.wait(LIMIT_S)
            self.runs.append(1)
            return len(self.runs)

        mill, baker = Service("mill"), Service("baker", calls=[HowMany])

        @mill.get("/v1/grind", public=True)
        async def direct(outside: Outside) -> int:
            return await outside.run(grind)

        @mill.get("/v1/sign", public=True)
        async def sign() -> str:
            return "open"

        @mill.handles
        async def how_many(query: HowMany, outside: Outside) -> int:
            return await outside.run(grind)

        @baker.get("/v1/asked", public=True)
        async def asked(outside: Outside) -> int:
            return await outside.ask(HowMany())

        return System("mills", services=[mill, baker], gateway=Gateway(per_address=None))


def sample(run: Running, name: str) -> float:
    """Return a series of the pool, as a scrape finds it."""
    text = run.process.metrics.render().decode()
    (line,) = [li for li in text.splitlines() if li.startswith(f'{name}{{pool="mill"')]
    return float(line.rpartition(" ")[2])


async def fill(run: Running, mill: Mill) -> list["asyncio.Task[Answer]"]:
    """Take the only thread and every place in the queue."""
    tasks = [asyncio.create_task(run.client.get("/v1/grind"))]
    assert await asyncio.to_thread(mill.begun.acquire, timeout=LIMIT_S)
    tasks += [asyncio.create_task(run.client.get("/v1/grind")) for _ in range(QUEUE)]
    async with asyncio.timeout(LIMIT_S):
        while sample(run, "holdfast_pool_waiting") < QUEUE:
            await asyncio.sleep(0.001)
    return tasks


@pytest.mark.parametrize("path", ["/v1/grind", "/v1/asked"])
async def test_a_full_pool_refuses_its_own_work_alone(path: str) -> None:
    """503 at once with Retry-After, however often; other routes serve, and no breaker opens."""
    mill = Mill()
    async with running(mill.system) as run:
        tasks = await fill(run, mill)

        refused = await asyncio.gather(*(run.client.get(path) for _ in range(ROUTES)))
        sign = await run.client.get("/v1/sign")

        assert {answer.status for answer in refused} == {503}
        assert {answer.json()["code"] for answer in refused} == {"pool_full"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert sign.status == 200
        assert sample(run, "holdfast_pool_refused_total") == ROUTES
        assert sample(run, "holdfast_pool_running") == 1
        mill.open.set()
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}
        assert (await run.client.get(path)).status == 200
        assert len(mill.runs) == len(tasks) + 1, "what was refused was not begun"
        run.process.logger.flush()
        assert b"request.failed" not in run.log.getvalue()
