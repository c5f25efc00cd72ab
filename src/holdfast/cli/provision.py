"""`holdfast provision`: the streams of a system on its broker."""

import asyncio
import sys
from typing import Annotated

import typer
import uvloop

from holdfast.cli.named import load
from holdfast.cli.options import DataFolderPath, Host, SystemName, data_folder
from holdfast.cli.output import complain
from holdfast.communication.origin import LOOPBACK
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.errors import Unreachable
from holdfast.observability import Logger, bridged
from holdfast.runtime.audit import audit_of_command, commanded
from holdfast.runtime.environment import environment
from holdfast.runtime.identity import RefusedPeers, identity_of
from holdfast.runtime.provisioner_process import ProvisionerProcess
from holdfast.runtime.provisioning import provisioner_of

Keep = Annotated[
    bool,
    typer.Option("--keep", help="Stay, and make streams again that the broker has lost."),
]


Probes = Annotated[
    int | None,
    typer.Option(
        "--ops-port",
        min=0,
        max=65_535,
        help="With --keep, the port of health checks and metrics; without this there are none.",
    ),
]


def command(
    system: SystemName,
    keep: Keep = False,
    host: Host = LOOPBACK,
    ops_port: Probes = None,
    data: DataFolderPath = None,
) -> None:
    """Make the streams of a system on the broker that BROKER_URL names, or update them.

    Where the broker knows who is who, services may not make them: this does, by the identity
    `provisioner`. With --keep it looks after the servers, too, and ends by SIGTERM or Ctrl-C.
    """
    loaded = load(system)
    name, environ = loaded.system.name, environment(loaded.system)
    logger = Logger(sys.stdout.buffer, MachineClock(), name)
    refusals = RefusedPeers(logger)
    identity = identity_of(environ, name, refusals)

    async def once() -> None:
        provisioner = provisioner_of(loaded.system, environ, identity)
        try:
            with commanded(audit, "operator.provision", None, on="streams"):
                await provisioner.once()
            print(f"the streams of {name} are there")
        finally:
            await provisioner.stop()

    async def stay() -> None:
        process = ProvisionerProcess(
            provisioner_of(loaded.system, environ, identity),
            name,
            logger,
            host=host,
            ops_port=ops_port,
            identity=identity,
            refusals=refusals,
        )
        stopped = asyncio.Event()
        MachineSignals().on_stop(stopped.set)
        try:
            with commanded(audit, "operator.provision", None, on="streams, and stays"):
                await process.start(audit)
            await process.run(stopped)
        finally:
            await process.stop()

    try:
        folder = data_folder(data, name)
        with audit_of_command(loaded.system, environ, folder) as audit, bridged(logger):
            uvloop.run(stay() if keep else once())
    except (Unreachable, OSError) as exc:
        complain(str(exc))
        raise typer.Exit(1) from exc
    finally:
        logger.close()
