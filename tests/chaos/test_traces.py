"""One order is one trace, over processes on Postgres and NATS, and after kills of them."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import Supervisor
from holdfast.testing import Client
from shop.demo.books import SERVICES, settled, unfinished
from shop.system import shop
from tests.chaos.books import Tables
from tests.children import card_processor
from tests.otlp_receiver import Receiver, Seen, receiving
from tests.shop.test_traces import (
    CONFIRMED,
    TEA,
    UNDONE,
    environ,
    once,
    order,
    orders,
    token_of,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

VICTIMS = ("orders", "payments", "inventory", "orders", "notifications", "payments", "")
"""Whose process is killed while the next orders are settled; none while the last ones are."""
PATIENCE_S = 240.0


def split(tree: str) -> str:
    """Return the tree of an order whose services have processes of their own: with the hop."""
    first, *others = tree.splitlines()
    return "\n".join([first, "  gateway: POST (client)", *(f"  {line}" for line in others)])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver of traces."""
    with receiving() as made:
        yield made


async def until(truth: Callable[[], bool]) -> None:
    """Wait; the test's time-out is the bound."""
    while not truth():
        await asyncio.sleep(0.05)


@asynccontextmanager
async def on_servers(
    receiver: Receiver, folder: Path, delay_ms: int = 20
) -> AsyncIterator[tuple[Supervisor, Client, Tables]]:
    """Run the shop in processes of its own; at the end of the block all that is left is exported.

    Args:
        delay_ms: how long spans wait in a process before they are exported.
    """
    processor = card_processor(folder, hang_s=600.0)
    authority = LocalAuthority(folder / IDENTITIES, shop.name, MachineClock())
    servers = Servers(folder / "servers", ["postgres", "nats"], shop, authority=authority)
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    run: Supervisor | None = None
    try:
        await processor.start()
        await servers.start()
        run = Supervisor(
            shop,
            "shop",
            folder / "data",
            host="127.0.0.1",
            port=port,
            ops_port=None,
            replicas={},
            environ={
                **os.environ,
                **servers.environ,
                **environ(receiver),
                "OTEL_BSP_SCHEDULE_DELAY": str(delay_ms),
                "OTEL_EXPORTER_OTLP_TIMEOUT": "600000",  # what is sent twice comes twice
                "OTEL_BSP_EXPORT_TIMEOUT": "600000",
                "PROCESSOR_URL": processor.url,
                "HOLDFAST_LOG_LEVEL": "error",
            },
            drain_s=5.0,
            authority=authority,
        )
        await run.start()
        yield run, client, Tables.of(servers, SERVICES)
    finally:
        await client.close()
        if run is not None:
            await run.stop()
        await servers.stop()
        await processor.kill()


async def killed(run: Supervisor, service: str) -> int:
    """Kill a service's process; return the time after which it did nothing, as spans have it."""
    member = run.members[f"{service}-1"]
    await until(lambda: member.pid is not None)
    pid = member.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: member.pid != pid)
    return time.time_ns()


async def test_processes_on_servers_make_one_trace(receiver: Receiver, tmp_path: Path) -> None:
    """Confirmed, undone, and gone on with by the next process of payments."""

    def came(name: str) -> int:
        return [span.name for span in receiver.spans].count(name)

    async with on_servers(receiver, tmp_path) as (run, client, _):
        await order(client, "tok_ok")
        await order(client, "tok_stolen")
        await until(lambda: came("process notifications.OrderCancelled.v1") == 1)
        await until(lambda: came("process inventory.OrderConfirmed.v1") == 1)
        await order(client, "tok_silent_before")
        await until(lambda: came("process inventory.Reserve.v1") == 3)
        await until(lambda: came("send payments.Charge.v1") == 3)
        await killed(run, "payments")
        await until(lambda: came("process inventory.OrderConfirmed.v1") == 2)
        await until(lambda: came("process notifications.OrderConfirmed.v1") == 2)

    assert orders(receiver) == [split(CONFIRMED), split(UNDONE), split(CONFIRMED)]
    assert once(receiver.spans)


class Told:
    """What should be told of an order, and what was.

    Attributes:
        spans: those that came of its trace.
        wanted: {span: how many}, as lines of a tree without its errors.
        below: {span: the one above it, "" of the first}.
    """

    def __init__(self, tree: str, spans: Iterable[Seen]) -> None:
        self.spans = list(spans)
        self.wanted: Counter[str] = Counter()
        self.below: dict[str, str] = {}
        above: list[str] = []
        for line in tree.splitlines():
            name = line.strip().partition(" !")[0]
            del above[(len(line) - len(line.lstrip())) // 2 :]
            self.below[name] = above[-1] if above else ""
            self.wanted[name] += 1
            above.append(name)

    @property
    def missing(self) -> Counter[str]:
        """Spans that did not come."""
        return self.wanted - Counter(map(_name, self.spans))

    def not_of(self, service: str) -> list[str]:
        """Return the missing spans of other services."""
        return [name for name in self.missing if not name.startswith(f"{service}: ")]

    def check(self, victim: str, died: int) -> None:
        """Check that each span is where it belongs, and each lost one was begun before `died`.

        What was under way is tried again, so that there may be more of a span than one; and below
        a span that was lost, or had not ended, others are orphans.
        """
        known = {span.span_id: _name(span) for span in self.spans}
        for span in self.spans:
            above = self.below[_name(span)]
            if span.parent_id and span.parent_id not in known:
                assert above.startswith(f"{victim}: "), f"an orphan: {span}"
            else:
                assert known.get(span.parent_id, "") == above, str(span)
        for name in self.missing:
            above = self.below[name]
            begun = [span.begun for span in self.spans if _name(span) == above]
            if above not in self.missing:
                assert min(begun) < died, f"lost, but not by the kill: {name}"


def _name(span: Seen) -> str:
    return str(span).partition(" !")[0]


async def test_kills_lose_the_spans_in_memory_and_no_others(
    receiver: Receiver, tmp_path: Path
) -> None:
    """Whatever dies while orders are settled, their traces lack what it had not exported, alone.

    A process exports five times a second here, so that there is something to lose. It exports in
    order: when spans of the next orders have come from it, what was left of the last ones has, too.
    """
    chance = random.Random(1)
    trees = {"tok_ok": split(CONFIRMED), "tok_stolen": split(UNDONE)}
    rounds: list[tuple[str, int, dict[str, str]]] = []  # who was killed, when; {trace: its tree}

    def told(traces: dict[str, str]) -> Iterator[Told]:
        for trace, tree in traces.items():
            yield Told(tree, [span for span in receiver.spans if span.trace_id == trace])

    async with on_servers(receiver, tmp_path, delay_ms=200) as (run, client, tables):
        token = await token_of(client, "ada")
        for victim in VICTIMS:
            traces: dict[str, str] = {}
            for card in ("tok_ok", "tok_stolen", "tok_ok"):
                trace = await placed(client, token, card)
                traces[trace] = trees[card]
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            died = await killed(run, victim) if victim else 0
            rounds.append((victim, died, traces))
            await all_settled(tables, sum(len(traces) for _, _, traces in rounds))
            give_up = time.monotonic() + PATIENCE_S
            while late := [name for one in told(traces) for name in one.not_of(victim)]:
                assert time.monotonic() < give_up, f"{victim} was killed; there is no {late}"
                await asyncio.sleep(0.05)

    lost = 0
    for victim, died, traces in rounds:
        for one in told(traces):
            assert one.not_of(victim) == []
            one.check(victim, died)
            lost += one.missing.total()
    seen = Counter(span.span_id for span in receiver.spans)
    twice = [span for span in receiver.spans if seen[span.span_id] > 1]
    assert not twice, "\n".join(f"{s.resource['service.instance.id']} {s}" for s in twice)
    every = sum(len(tree.splitlines()) for _, _, traces in rounds for tree in traces.values())
    print(f"{lost} of {every} spans were in memory when their process was killed")


async def placed(client: Client, token: str, card: str) -> str:
    """Place an order; return its trace. Who was killed last may not be there again yet."""
    body = {"lines": TEA, "card": card}
    while True:
        answer = await client.post("/v1/orders", token=token, json=body, timeout_s=60.0)
        if answer.status == 202:
            return str(answer.headers["x-correlation-id"])
        assert answer.status in (502, 503), answer.body
        await asyncio.sleep(0.1)


async def all_settled(tables: Tables, orders: int) -> None:
    """Wait until so many orders are settled, and nothing of them is under way."""
    while await asyncio.to_thread(settled, tables) < orders:
        await asyncio.sleep(0.1)
    while await asyncio.to_thread(unfinished, tables):
        await asyncio.sleep(0.1)
