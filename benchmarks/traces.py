"""What traces cost a route, from nothing recorded to every request, all posted to one receiver.

The route is that of `benchmarks.route`, everything on. Two spans a request are recorded, that of
the gateway and that of the route; of what is unsampled too, to be kept if a request goes wrong.
The peer is FastAPI with OpenTelemetry's instrumentation and its batching exporter, three spans a
request. Spans that find a queue full are dropped on both sides: how many came is printed.

Throughput is that of servers. The CPU of an unsampled request, some µs in a hundred, is that of
`benchmarks.ours.door`: without sockets, and with turns short enough for a machine with other work.

Targets: unsampled at most 5 µs of CPU a request more than without a receiver; of the requests a
second without, 0.97 with 1 % sampled and 0.7 with all; with all, 3 times the peer's. The export of
the largest batch holds the loop for less than 5 ms.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.otel import ABSENT, ALL, BARE, FEW, SHARES, UNSAMPLED, environ
from benchmarks.process import LOAD_CORE, Server, running
from benchmarks.route import load, requests
from holdfast.contract.http import HeaderList, Response
from holdfast.engines.machine import MachineClock, machine_random
from holdfast.observability import Spans, semconv
from holdfast.observability.exporter import Exporter, ExportPolicy
from holdfast.observability.operation import served
from holdfast.observability.span import SpanRecord
from holdfast.observability.trace import Context

UNSAMPLED_US, FEW_TARGET, ALL_TARGET, PEER_TARGET, HOLD_MS = 5.0, 0.97, 0.7, 3.0, 5.0
PEER = "FastAPI + opentelemetry-instrumentation-fastapi, all sampled"
_WAKES_S = 0.3  # an export that was under way when its process was stopped
_WARM_UP = 45  # blocks, until as much is held back as is ever
_LARGEST = 8_192  # as much as `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` may say


async def measure(plan: Plan) -> list[Row]:
    """Measure all of them in turns."""
    receiver = Server("receiver", "benchmarks.receiver", core=LOAD_CORE)
    async with running(receiver):
        costs = await _costs(receiver, plan)
        samples = await _throughput(receiver, plan)
    return [
        *_dearer(costs),
        *(_beside(name, ABSENT, samples, FEW_TARGET) for name in (FEW,)),
        *(_beside(name, ABSENT, samples, ALL_TARGET) for name in (ALL, ALL + BARE)),
        replace(_beside(ALL, PEER, samples, PEER_TARGET), samples=samples),
        await _hold(gzip=False),
        await _hold(gzip=True),
    ]


# -- throughput -----------------------------------------------------------------------------------


async def _throughput(receiver: Server, plan: Plan) -> dict[str, list[Sample]]:
    servers = [
        Server(
            name,
            "benchmarks.ours.route",
            *(("--without-sdk",) if name.endswith(BARE) else ()),
            environ=environ(receiver.url, share),
        )
        for name, share in SHARES.items()
    ]
    peer = environ(receiver.url, "1")
    servers.append(Server(PEER, "benchmarks.peers.fastapi_traced", environ=peer))
    wanted = requests()
    async with running(*servers):
        return await compare([_contender(s, receiver, wanted) for s in servers], plan)


def _contender(server: Server, receiver: Server, wanted: list[bytes]) -> Contender:
    put = load(server, wanted)

    async def run(seconds: float) -> tuple[int, Sample]:
        await receiver.ask("", 10)
        count, sample = await put(seconds)
        spans = int(await receiver.ask("", 10))
        return count, replace(sample, more={"spans that came, a request": spans / count})

    return Contender(server, run, beside=[receiver], wakes_s=_WAKES_S)


def _beside(name: str, other: str, samples: Mapping[str, list[Sample]], target: float) -> Row:
    pair = {name: samples[name], other: samples[other]}
    return replace(versus(f"a route, {name}", "requests/s", pair, target=target), samples={})


# -- CPU ------------------------------------------------------------------------------------------


async def _costs(receiver: Server, plan: Plan) -> dict[str, list[float]]:
    """Return {way: CPU of a request in µs, block by block}."""
    door = Server("door", "benchmarks.ours.door", receiver.url)
    found: dict[str, list[float]] = {name: [] for name in SHARES}
    async with running(door):
        for number in range(_WARM_UP + 20 * plan.rounds):
            costs = json.loads(await door.ask("", 60))
            if number >= _WARM_UP:
                for name, each in found.items():
                    each.append(costs[name])
    return found


def _dearer(costs: Mapping[str, Sequence[float]]) -> list[Row]:
    """Return how much more CPU a request takes than without a receiver."""
    absent = costs[ABSENT]
    rows: list[Row] = []
    for name, each in costs.items():
        more = median(traced - bare for traced, bare in zip(each, absent, strict=True))
        share = median(bare / traced for traced, bare in zip(each, absent, strict=True))
        row = Row(f"a request, {name}: CPU beyond", "µs", more, ABSENT, median(absent), share)
        unsampled = name.startswith(UNSAMPLED)
        rows.append(replace(row, target=UNSAMPLED_US, at_most=True) if unsampled else row)
    return rows[1:]


# -- the loop -------------------------------------------------------------------------------------


async def _hold(*, gzip: bool) -> Row:
    """Measure the longest CPU between two turns of others while the largest batch is exported."""
    clock = MachineClock()
    spans = Spans(clock, queue_max=_LARGEST, full_at=_LARGEST)
    sort = served("POST", "/v1/orders")
    for number in range(1, _LARGEST + 1):
        context = Context("c", f"{number:032x}", f"{number:016x}", True, "orders")
        attributes = ((semconv.PATH, f"/v1/orders/{number}"), (semconv.STATUS, 200))
        spans.record(SpanRecord(sort, context, 1.0, 1.5, attributes))
    exporter = Exporter(
        spans,
        _received,
        ExportPolicy(batch_max=_LARGEST, queue_max=_LARGEST, gzip=gzip),
        resources={},
        scope_version="1",
        clock=clock,
        random=machine_random(),
        notice=print,
    )
    exporter.start()
    longest_s = 0.0
    while not exporter.stats.ends[""]:
        begun = time.thread_time()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.thread_time() - begun)
    await exporter.stop(1.0)
    how = ", compressed" if gzip else ""
    figure = f"longest hold of the loop by the export of {_LARGEST:,} spans{how}"
    return Row(figure, "ms CPU", longest_s * 1_000, target=HOLD_MS, at_most=True)


async def _received(body: bytes, headers: HeaderList, limit_s: float) -> Response:
    return Response(200)
