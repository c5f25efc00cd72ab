"""A till that costs its loop a fixed time for each sale, so that its capacity is known."""

import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from sqlalchemy import Column, MetaData, String, Table, Uuid

from benchmarks.ours.serve import serve_until_stopped
from holdfast import Gateway, Model, Service, System, Tx
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process

SALE_S = 0.004
METADATA = MetaData()
SALES = Table(
    "sale", METADATA, Column("id", Uuid, primary_key=True), Column("item", String, nullable=False)
)


class Sale(Model):
    """What is bought."""

    item: str


service = Service("till", tables=METADATA)


@service.post("/v1/sales", public=True, status_code=201)
async def sell(body: Sale, tx: Tx) -> Sale:
    """Write a sale down, after as much work as a real one would be."""
    until = time.perf_counter() + SALE_S
    while time.perf_counter() < until:
        pass
    tx.insert(SALES, id=tx.new_id(), item=body.item)
    return body


system = System("till", [service], Gateway(per_address=None, connections_per_address=None))


async def main() -> None:
    """Serve; the log goes to /dev/null."""
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    with tempfile.TemporaryDirectory() as folder:
        logger = Logger(log, MachineClock(), system.name, form="json")
        process = Process(system, Options(Path(folder), port=0), logger)
        await process.start()
        await serve_until_stopped({"url": process.url}, process.stop)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
