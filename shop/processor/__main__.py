"""Runs the card processor until it is told to stop."""

import argparse
import asyncio

import uvloop

from holdfast.communication import HttpServer
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.engines.network import SystemNetwork
from shop.processor.api import Processor
from shop.processor.ledger import Ledger


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m shop.processor", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0: any free one")
    parser.add_argument("--ledger", default="processor.db", help="the SQLite file")
    parser.add_argument("--hang-s", type=float, default=30.0, help="how long silence lasts")
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port, options.ledger, options.hang_s))


async def serve(host: str, port: int, path: str, hang_s: float) -> None:
    """Serve until SIGTERM or SIGINT; requests that hang get one second to finish."""
    clock = MachineClock()
    ledger = Ledger(path, clock)
    processor = Processor(ledger, hang_s=hang_s)
    server = HttpServer(processor.handle, network=SystemNetwork(), clock=clock)
    listener = await server.start(host, port)
    stop = asyncio.Event()
    MachineSignals().on_stop(stop.set)
    print("card processor on http://{}:{}, ledger {}".format(*listener.address, path), flush=True)
    await stop.wait()
    await server.drain(1.0)
    ledger.close()


if __name__ == "__main__":
    main()
