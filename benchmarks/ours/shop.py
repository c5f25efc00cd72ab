"""The shop in one process, with rate limits that let a single client put the whole load on it."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import uvloop

from holdfast import Rate
from holdfast.engines.host import HostClock, HostSignals
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import serve
from shop.system import shop

ENOUGH = Rate(per_s=1_000_000, burst=1_000_000)


async def main() -> None:
    """Serve until SIGTERM; PROCESSOR_URL says where the card processor is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    gateway = replace(shop.gateway, per_caller=ENOUGH, per_address=ENOUGH)
    log = open(folder / "shop.log", "wb", buffering=0)  # noqa: SIM115  # for the process's life
    logger = Logger(log, HostClock(), shop.name, form="json")
    options = Options(folder, port=0, environ=os.environ)
    system = replace(shop, gateway=gateway)
    await serve(system, options, logger, HostSignals(), announce)


def announce(process: Process) -> None:
    """Tell the one who measures where to send orders, and where the counters are."""
    print(json.dumps({"url": process.url, "operations": process.ops_url}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
