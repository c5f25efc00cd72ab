"""Holdfast's gateway before a service in another process: token, rate limits, metrics, log on."""

import argparse
import gc
import os

import uvloop

from benchmarks.ours.access import AUDIENCE, ISSUER, SCOPE, TOKENS, jwks
from benchmarks.ours.serve import serve_until_stopped
from holdfast import Gateway, Rate
from holdfast.communication import ClientPool, HttpServer, Origin
from holdfast.contract.http import Request, Response
from holdfast.dispatch.router import Router, Target
from holdfast.engines.machine import MachineClock, machine_random
from holdfast.engines.network import SystemNetwork
from holdfast.gateway import Door, Forward
from holdfast.observability import Audit, Logger, Metrics, Tracer, Tracing
from holdfast.resilience import Edge, EdgePolicy, MemoryLimits
from holdfast.runtime.audit_stream import AuditStream
from holdfast.security import FixedKeys, TokenPolicy, TokenVerifier, read_jwks
from holdfast.straight import straighten

ENOUGH = Rate(per_s=1_000_000, burst=1_000_000)


def door(upstream: str) -> tuple[Door, ClientPool]:
    """Return a gateway with one route that leads to `upstream`, and its connections."""
    clock, random = MachineClock(), machine_random()
    pool = ClientPool(network=SystemNetwork(), clock=clock)
    origin = Origin.parse(upstream)
    edge = Edge("gateway->orders", EdgePolicy(), clock, random)

    async def call(request: Request, timeout_s: float) -> Response:
        return await pool.request(origin, request, deadline_s=timeout_s)

    tracing = Tracing(Tracer(random, ratio=0.01), clock)
    router = Router()
    target = Target("orders", "/v1/orders", Forward(edge, call, tracing), False, SCOPE)
    router.add("POST", target)
    limits = MemoryLimits(clock)
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    logger = Logger(log, clock, "gateway", form="json")
    gateway = Door(
        Gateway(tokens=TOKENS, per_caller=ENOUGH, per_address=ENOUGH),
        router,
        verifier=TokenVerifier(
            TokenPolicy(ISSUER, AUDIENCE), FixedKeys(read_jwks(jwks().encode())), clock
        ),
        limits=limits,
        metrics=Metrics("bench"),
        logger=logger,
        tracing=tracing,
        audit=Audit(AuditStream(logger, clock, lambda: "bench", "bench", "bench"), clock),
        slow_s={},
        pages={},
    )
    straighten(gateway, "POST", target, limits)
    return gateway, pool


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="http://host:port")
    handler, pool = door(parser.parse_args().upstream)
    server = HttpServer(handler, network=SystemNetwork(), clock=MachineClock())
    listener = await server.start("127.0.0.1", 0)

    gc.collect()
    gc.freeze()  # as `holdfast run` does
    gc.set_threshold(50_000, 20, 20)

    async def stop() -> None:
        await server.drain(1.0)
        await pool.close()

    await serve_until_stopped({"url": f"http://127.0.0.1:{listener.address[1]}"}, stop)


if __name__ == "__main__":
    uvloop.run(main())
