"""One of three processes in a row, of which the last holds its loop for a fixed time.

Each asks the next one before it answers; the first is the gateway's as well. `--bare` takes the
defences away: limits, what is late, deadlines that travel, who has gone, budgets, breakers.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from benchmarks.ours.serve import serve_until_stopped
from holdfast import Gateway, Model, Outside, Query, Service, System
from holdfast.communication import Origin
from holdfast.contract.http import Request
from holdfast.dispatch.query_client import QueryClient
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.resilience import EdgePolicy, RetryPolicy
from holdfast.runtime.engines import embedded
from holdfast.runtime.process import Options, Process

R = TypeVar("R")

HOPS = ("front", "middle", "back")
WORK_S, PATIENCE_S = 0.01, 1.0
NEVER_S = 1e5
BARE = EdgePolicy(
    timeout_s=PATIENCE_S, retry=RetryPolicy(tries_max=2), budget=None, breaker=None, bulkhead=None
)


class AskMiddle(Query[int]):
    """Ask the second one."""


class AskBack(Query[int]):
    """Ask the last one."""


class Done(Model):
    """What was done."""

    by: int


def system(*, bare: bool) -> System:
    """Return the system; without its defences clients are taken at their word for ever."""
    policies = {AskMiddle: BARE, AskBack: BARE} if bare else {}

    def tuned(*queries: type[Query[int]]) -> dict[type[Query[int]], EdgePolicy]:
        return {query: policies[query] for query in queries if query in policies}

    front = Service("front", tables=[], calls=[AskMiddle], policies=tuned(AskMiddle))
    middle = Service("middle", tables=[], calls=[AskBack], policies=tuned(AskBack))
    back = Service("back", tables=[])

    @front.get("/v1/go", public=True)
    async def go(outside: Outside) -> Done:
        return Done(by=await outside.ask(AskMiddle()))

    @middle.handles
    async def pass_on(query: AskMiddle, outside: Outside) -> int:
        return await outside.ask(AskBack())

    @back.handles
    async def work(query: AskBack) -> int:
        until = time.perf_counter() + WORK_S
        while time.perf_counter() < until:
            pass
        return 1

    gateway = Gateway(
        per_address=None,
        connections_per_address=None,
        deadline_s=PATIENCE_S,
        wait_s=PATIENCE_S / 10,
    )
    if bare:
        gateway = replace(gateway, deadline_s=NEVER_S, wait_s=NEVER_S, requests_max=10**6)
    return System("hops", [front, middle, back], gateway)


def take_away() -> None:
    """Let no deadline travel, and nobody learn that his client has gone."""
    real = QueryClient.ask

    async def ask(self: QueryClient, query: Query[R], *, deadline: float, **more: Any) -> R:
        return await real(self, query, deadline=deadline + NEVER_S, **more)

    QueryClient.ask = ask  # type: ignore[method-assign,assignment]
    Request.leave = lambda self: None  # type: ignore[method-assign]


async def main(arguments: argparse.Namespace) -> None:
    """Serve as one of the three; the log goes to /dev/null."""
    name: str = arguments.hop
    behind = [Origin.parse(arguments.behind)] if arguments.behind else []
    if arguments.bare:
        take_away()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "wb", buffering=0) as log:
        engines = replace(
            embedded(lambda service: Path(folder) / f"{service}.db", threads=1),
            discover=lambda service: behind,
        )
        options = Options(None, port=0, services=(name,), gateway=name == HOPS[0])
        logger = Logger(log, MachineClock(), "hops", form="json")
        process = Process(system(bare=arguments.bare), options, logger, engines)
        await process.start()
        await serve_until_stopped({"url": process.url}, process.stop)


def read() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hop", choices=HOPS)
    parser.add_argument("--behind", default="", help="where the next one is: http://host:port")
    parser.add_argument("--bare", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(read())))
