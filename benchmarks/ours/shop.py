"""The shop in one process, with rate limits that let a single client put the whole load on it."""

import argparse
import json
import os
from pathlib import Path

import uvloop

from benchmarks.ours.roomy import system
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import serve


async def main() -> None:
    """Serve until SIGTERM; PROCESSOR_URL says where the card processor is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    log = open(folder / "shop.log", "wb", buffering=0)  # noqa: SIM115  # for the process's life
    logger = Logger(log, MachineClock(), system.name, form="json")
    options = Options(folder, port=0, environ=os.environ)
    await serve(system, options, logger, MachineSignals(), announce)


def announce(process: Process) -> None:
    """Tell the one who measures where to send orders, and where the counters are."""
    print(json.dumps({"url": process.url, "operations": process.ops_url}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
