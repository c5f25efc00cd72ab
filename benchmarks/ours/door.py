"""The route of `benchmarks.ours.route` without its sockets, traced in several ways in turns.

Each way is a whole process of the system, all within this one. For each line on the standard input
a block of requests goes through each one's door, one after the other, each in a task of its own as
the server does it; what is answered is the CPU of a request in µs, the export of its spans
included. Blocks take some 10 ms, so that what others do to the machine meets all ways alike.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop

from benchmarks.otel import SHARES, environ
from benchmarks.ours.route import system
from benchmarks.route import requests
from holdfast.contract.http import Request
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process

_BLOCK = 256  # requests; when all are sampled, their spans are one full batch
_EXPORTED_S = 0.01  # until it is on its way; whoever waits needs no CPU
_FOREIGN = "holdfast.observability.foreign"


def parsed(raw: bytes) -> Request:
    """Return what the server makes of a request."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, path, _ = first.decode().split(" ")
    pairs = (line.partition(b": ") for line in lines)
    headers = [(name, value) for name, _, value in pairs]
    return Request(method, path, headers=headers, body=body, client="127.0.0.1")


async def block(process: Process, raw: list[bytes]) -> float:
    """Send a block of requests; return the CPU of each in µs."""
    door, loop = process.door, asyncio.get_running_loop()
    wanted = [parsed(raw[number % len(raw)]) for number in range(_BLOCK)]
    begun = time.process_time()
    for request in wanted:
        answer = await loop.create_task(door(request))
        assert answer.status == 200, answer
    await asyncio.sleep(_EXPORTED_S)
    return (time.process_time() - begun) / _BLOCK * 1e6


async def started(folder: Path, environ: Mapping[str, str], *, sdk: bool) -> Process:
    """Start a process; without the SDK it cannot be imported."""
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    logger = Logger(log, MachineClock(), system.name, form="json")
    if not sdk:
        sys.modules[_FOREIGN] = None  # type: ignore[assignment]  # as if it could not be imported
    try:
        process = Process(system, Options(folder, port=0, environ=environ), logger)
    finally:
        if not sdk:
            del sys.modules[_FOREIGN]
    await process.start()
    return process


async def main() -> None:
    """Answer until the input ends; logs go to /dev/null."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("receiver", help="http://host:port")
    url, raw = parser.parse_args().receiver, requests()
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        ways: dict[str, Process] = {}
        for name, share in SHARES.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ways[name] = await started(folder, environ(url, share), sdk="without" not in name)
            stack.push_async_callback(ways[name].stop)
        gc.collect()
        gc.freeze()  # as `holdfast run` does
        gc.set_threshold(50_000, 20, 20)
        print("ready", flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            found = {name: await block(process, raw) for name, process in ways.items()}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
