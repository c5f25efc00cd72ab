"""Runs the card processor until it is told to stop."""

import argparse
import asyncio
import signal
import time

from shop.processor.api import Processor
from shop.processor.http import Server
from shop.processor.ledger import Ledger


class WallClock:
    """The machine's own clock."""

    now = staticmethod(time.time)


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m shop.processor", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0: any free one")
    parser.add_argument("--ledger", default="processor.db", help="the SQLite file")
    parser.add_argument("--hang-s", type=float, default=30.0, help="how long silence lasts")
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port, options.ledger, options.hang_s))


async def serve(host: str, port: int, path: str, hang_s: float) -> None:
    """Serve until SIGTERM or SIGINT; requests that hang get one second to finish."""
    ledger = Ledger(path, WallClock())
    server = Server(Processor(ledger, hang_s=hang_s).answer)
    address = await server.start(host, port)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print("card processor on http://{}:{}, ledger {}".format(*address, path), flush=True)
    await stop.wait()
    await server.close(1.0)
    ledger.close()


if __name__ == "__main__":
    main()
