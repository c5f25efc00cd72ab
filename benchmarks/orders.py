"""Orders settled a second by the whole shop, against a DBOS workflow of four steps; both on SQLite.

An order comes in through the gateway and goes through orders, inventory, payments (which reaches
the card processor, on the other core) and orders, each step durable (`synchronous=FULL`) in its own
service's file. It is settled when the customer has been told: when its row is in the table of
notifications, which is read from the outside. 32 orders are under way at once; so are 32 workflows.

Target: 10 times the orders a second.
"""

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.request import Request, urlopen
from uuid import UUID

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.load import connect, post, sample_of
from benchmarks.process import LOAD_CORE, ROOT, Server, disk_folder, running
from benchmarks.tree import HERE, Tree
from holdfast.load.wire import Wire

TARGET = 10.0
SETTLE_S = 300.0
_POLL_S = 0.001
_SKUS = ("ANCHOR-8KG", "BUOY-RED", "CHART-NORTH-SEA", "COMPASS", "KETTLE", "LANTERN", "TEA-100G")
_COMMITS = re.compile(r"^holdfast_commit_duration_seconds_count\S* (\d+)", re.MULTILINE)


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    with disk_folder() as folder:
        peer = Server("DBOS, four steps", "benchmarks.peers.dbos_app", str(folder))
        async with _shop("holdfast, the whole shop") as ours, running(peer):
            theirs = Contender(peer, lambda seconds: workflows(peer, seconds))
            samples = await compare([ours, theirs], plan)
    return [versus("orders", "orders/s", samples, target=TARGET)]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure it beside the same of another commit."""
    async with _shop(HERE) as ours, _shop(tree.name, tree.path) as then:
        samples = await compare([ours, then], plan)
    return [versus("orders", "orders/s", samples)]


@asynccontextmanager
async def _shop(name: str, tree: Path = ROOT) -> AsyncIterator[Contender]:
    """Run the shop on files of its own; look at the end whether it lost something."""
    with disk_folder() as folder:
        ledger = ("--port", "0", "--ledger", str(folder / "processor.db"))
        processor = Server("processor", "shop.processor", *ledger, core=LOAD_CORE)
        async with running(processor):
            environ = {"PROCESSOR_URL": processor.url}
            shop = Server(name, "benchmarks.ours.shop", str(folder), environ=environ, tree=tree)
            async with running(shop):
                operations = str(json.loads(shop.ready)["operations"])
                settled = Settled(folder / "notifications.db")
                customer = Customer(
                    shop.url, settled, lambda: {"commits per order": _commits(operations)}
                )
                yield Contender(shop, customer.order_for, beside=[processor])
        _check(folder, customer.placed)


async def workflows(peer: Server, seconds: float) -> tuple[int, Sample]:
    heard = json.loads(await peer.ask(str(seconds), seconds + SETTLE_S))
    return sample_of(heard["latencies_s"], heard["seconds"])


class Customer:
    """Orders over 32 connections; the next order on each when the one before is settled.

    Args:
        counts: returns {what is counted for each order: its value now}.
    """

    def __init__(
        self, url: str, settled: "Notices", counts: Callable[[], Mapping[str, float]]
    ) -> None:
        self.placed = 0
        self._url = url
        self._counts = counts
        self._requests = requests(url, "bench@example.com")
        self._settled = settled

    async def order_for(self, seconds: float) -> tuple[int, Sample]:
        """Order for so many seconds, and wait until everything is settled."""
        before = self._counts()
        run = Run(self._requests, self._settled, seconds=seconds)
        latencies_s, took_s = await run.through(self._url)
        self.placed += len(latencies_s)
        count, sample = sample_of(latencies_s, took_s)
        more = {name: (n - before[name]) / count for name, n in self._counts().items()}
        return count, Sample(sample.rate, sample.p50_ms, sample.p99_ms, more=more)


class Run:
    """One round of orders.

    Args:
        seconds, orders_max: whichever comes first ends it.
    """

    def __init__(
        self,
        requests: list[bytes],
        settled: "Notices",
        *,
        seconds: float,
        orders_max: int = 1_000_000,
    ) -> None:
        self._requests = requests
        self._settled = settled
        self._seconds = seconds
        self._orders_max = orders_max
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[UUID, Wire] = {}
        self._early: set[UUID] = set()  # told before the answer to the request was read
        self._latencies_s: list[float] = []
        self._sent_at: dict[Wire, float] = {}
        self._sent = 0
        self._give_up = 0.0

    async def through(self, url: str, *, source: str = "") -> tuple[list[float], float]:
        """Return the seconds that each order took, and all of them together.

        Args:
            source: the local address to come from.
        """
        wires = await connect(url, self._answered, self._lost, source=source)
        begun = time.perf_counter()
        self._give_up = begun + self._seconds
        try:
            for wire in wires:
                self._order(wire)
            self._poll()
            async with asyncio.timeout(self._seconds + SETTLE_S):
                await self._ended
            return self._latencies_s, time.perf_counter() - begun
        finally:
            self._fail(asyncio.CancelledError())
            for wire in wires:
                wire.close()

    def _order(self, wire: Wire) -> None:
        self._sent += 1
        self._sent_at[wire] = time.perf_counter()
        wire.send(self._requests[self._sent % len(self._requests)])

    def _answered(self, wire: Wire, status: int, body: bytes) -> None:
        if status != 202:
            self._fail(RuntimeError(f"the shop answered {status}: {body[:500]!r}"))
            return
        order_id = UUID(json.loads(body)["id"])
        if order_id in self._early:
            self._early.remove(order_id)
            self._told(wire)
        else:
            self._waiting[order_id] = wire

    def _poll(self) -> None:
        if self._ended.done():
            return
        for order_id in self._settled.news(self._waiting):
            wire = self._waiting.pop(order_id, None)
            if wire is None:
                self._early.add(order_id)
            else:
                self._told(wire)
        self._loop.call_later(_POLL_S, self._poll)

    def _told(self, wire: Wire) -> None:
        now = time.perf_counter()
        self._latencies_s.append(now - self._sent_at[wire])
        if now < self._give_up and self._sent < self._orders_max:
            self._order(wire)
        elif len(self._latencies_s) == self._sent and not self._ended.done():
            self._ended.set_result(None)

    def _lost(self, wire: Wire, error: Exception) -> None:
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)


class Notices(Protocol):
    """Tells which customers were told of their order."""

    def news(self, waiting: Collection[UUID]) -> list[UUID]:
        """Return orders whose customers were told since the last call; of `waiting` or others."""
        ...


class Settled:
    """Reads which customers were told, from the file of notifications."""

    def __init__(self, path: Path) -> None:
        self._sql = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self._last = 0

    def news(self, waiting: Collection[UUID]) -> list[UUID]:
        """See `Notices`."""
        rows = self._sql.execute(
            "SELECT rowid, order_id FROM notification WHERE rowid > ? ORDER BY rowid", (self._last,)
        ).fetchall()
        if rows:
            self._last = rows[-1][0]
        return [UUID(order_id) for _, order_id in rows]


def requests(url: str, email: str) -> list[bytes]:
    """Register a customer, log in, and return requests for different orders."""
    who = {"email": email, "password": "correct horse battery"}
    _post(f"{url}/v1/users", {**who, "name": "Bench"})
    token = str(_post(f"{url}/v1/tokens", who)["access_token"])
    return [
        post("/v1/orders", json.dumps(_order(number)).encode(), token=token)
        for number in range(len(_SKUS))
    ]


def _order(number: int) -> dict[str, object]:
    skus = (_SKUS[number], _SKUS[(number + 1) % len(_SKUS)])
    return {"lines": [{"sku": sku, "quantity": 1} for sku in skus], "card": "tok_ok"}


def _post(url: str, body: object) -> dict[str, object]:
    headers = {"content-type": "application/json"}
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=120) as answer:
        parsed: dict[str, object] = json.load(answer)
        return parsed


def _commits(operations: str) -> int:
    with urlopen(f"{operations}/metrics", timeout=120) as answer:
        return sum(map(int, _COMMITS.findall(answer.read().decode())))


def _check(folder: Path, placed: int) -> None:
    """Refuse a figure of a shop that lost something. Raises RuntimeError."""
    with sqlite3.connect(folder / "orders.db") as orders:
        ended = dict(orders.execute("SELECT state, count(*) FROM customer_order GROUP BY state"))
    orders.close()
    with sqlite3.connect(folder / "processor.db") as ledger:
        (charges,) = ledger.execute("SELECT count(*) FROM charge").fetchone()
    ledger.close()
    if ended != {"confirmed": placed} or charges != placed:
        raise RuntimeError(f"{placed} orders, of them {ended}, and {charges} charges")
