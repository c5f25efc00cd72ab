"""What identities cost: a request inside with mutual TLS, a split system, and the authority.

A request is one of the inner door on a kept connection, server and client in one process and on one
core: both sides' share of TLS is in the figure, and nothing of the network but its loop. A split
system is that of `replicas`, with everything that is on by default and with `--insecure`, in turns.
"""

import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from benchmarks.harness import Plan, Row, Sample
from benchmarks.process import ALL_CORES, LOAD_CORE, disk_folder
from benchmarks.replicas import Split, split
from holdfast.communication import ClientPool, HttpServer, Origin
from holdfast.contract.http import Request, Response
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.network import SystemNetwork
from holdfast.engines.public_tls import PublicFiles, PublicTls
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.security import Authority

REQUESTS = 4_000
SERVICES = 100
BODY = b'{"sku": "LANTERN", "quantity": 2, "reserved": true}'


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    rows = [_issuing(), *await _request(plan)]
    os.sched_setaffinity(0, ALL_CORES)
    try:
        rows.append(await _split(plan))
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})
    return rows


def _issuing() -> Row:
    authority = Authority.new("bench", now_s=MachineClock.now())
    begun = perf_counter()
    for number in range(SERVICES):
        authority.issue(f"service-{number}", now_s=MachineClock.now())
    took_s = perf_counter() - begun
    return Row(f"certificates of {SERVICES} services", "s", took_s, target=5.0, at_most=True)


async def _request(plan: Plan) -> list[Row]:
    """Take turns between connections in clear, proven, and of a client; CPU of both sides."""
    found: dict[str, list[float]] = {"plain": [], "proven": [], "public": []}
    with tempfile.TemporaryDirectory() as folder:
        authority = LocalAuthority(Path(folder) / "identities", "bench", MachineClock())
        async with AsyncExitStack() as opened:
            calls = {
                "plain": await opened.enter_async_context(_served(None, None)),
                "proven": await opened.enter_async_context(
                    _served(_of(authority, "orders"), _of(authority, "gateway"))
                ),
                "public": await opened.enter_async_context(_public(authority)),
            }
            for number in range(plan.rounds * 2 + 1):
                for name, (pool, origin) in calls.items():
                    begun = process_time()
                    for _ in range(REQUESTS):
                        await pool.request(
                            origin, Request("POST", "/v1/orders", "", [], BODY), deadline_s=5.0
                        )
                    if number:
                        found[name].append((process_time() - begun) / REQUESTS * 1e6)
    plain, proven, public = found.values()
    more = [with_tls - clear for clear, with_tls in zip(plain, proven, strict=True)]
    of_client = [with_tls - clear for clear, with_tls in zip(plain, public, strict=True)]
    return [
        Row("a request inside, plain", "µs of CPU", median(plain)),
        Row("a request inside, mutual TLS: more", "µs", median(more), target=15.0, at_most=True),
        Row("a client's request, TLS with him: more", "µs", median(of_client)),
    ]


def _of(authority: LocalAuthority, name: str) -> TlsIdentity:
    return TlsIdentity(authority.issue(name), "bench", MachineClock(), lambda reason, why: None)


@asynccontextmanager
async def _served(
    serves: TlsIdentity | None, asks: TlsIdentity | None
) -> AsyncIterator[tuple[ClientPool, Origin]]:
    async def answer(request: Request) -> Response:
        return Response(200, [(b"content-type", b"application/json")], request.body)

    network, clock = SystemNetwork(), MachineClock()
    server = HttpServer(
        answer, network=network, clock=clock, identify=serves.peer if serves else None
    )
    tls = serves.listens() if serves else None
    listener = await server.start("127.0.0.1", 0, tls=tls)
    host, port = listener.address
    origin = Origin(host, port, tls=tls is not None, workload=serves.name if serves else "")
    pool = ClientPool(network=network, clock=clock, identity=asks)
    try:
        yield pool, origin
    finally:
        await pool.close()
        await server.drain(1.0)


@asynccontextmanager
async def _public(authority: LocalAuthority) -> AsyncIterator[tuple[ClientPool, Origin]]:
    """Serve as the gateway does with a certificate for clients, whoever has issued it."""

    async def answer(request: Request) -> Response:
        return Response(200, [(b"content-type", b"application/json")], request.body)

    network, clock, files = SystemNetwork(), MachineClock(), authority.issue("gateway")
    tls = PublicTls(PublicFiles(files.certificate, files.key), clock)
    server = HttpServer(answer, network=network, clock=clock)
    listener = await server.start("127.0.0.1", 0, tls=tls.listens())
    client = ssl.create_default_context(cafile=str(files.trusted))
    client.check_hostname = False  # the certificate names no host
    pool = ClientPool(network=network, clock=clock, tls=client)
    try:
        yield pool, Origin(*listener.address, tls=True)
    finally:
        await pool.close()
        await server.drain(1.0)


async def _split(plan: Plan) -> Row:
    """Order from two split systems in turns, one with identities and one without."""
    samples: dict[str, list[Sample]] = {"identities": [], "--insecure": []}
    async with AsyncExitStack() as opened:
        runs: dict[str, Split] = {}
        for name in samples:
            folder = opened.enter_context(disk_folder())
            secure = name == "identities"
            runs[name] = await opened.enter_async_context(split(folder, secure=secure))
        for number in range(plan.rounds + 1):
            for name, run in runs.items():
                sample = await run.order_for(plan.round_s * 2 if number else plan.warm_up_s)
                if number:
                    samples[name].append(sample)
    pairs = list(zip(*samples.values(), strict=True))
    return Row(
        "orders, split, with identities",
        "orders/s",
        median(one.rate for one in samples["identities"]),
        "--insecure",
        median(one.rate for one in samples["--insecure"]),
        median(one.rate / other.rate for one, other in pairs),
        median(other.cpu_us / one.cpu_us for one, other in pairs),
        target=0.85,
        samples=samples,
    )
