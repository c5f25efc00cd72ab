"""`holdfast provision`: the streams of a system on its broker."""

import asyncio
import sys
from typing import Annotated

import typer
import uvloop

from holdfast.cli.load import load
from holdfast.cli.options import DataFolderPath, SystemName, data_folder
from holdfast.cli.output import complain
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.errors import Unreachable
from holdfast.observability import Logger
from holdfast.runtime.audit import audit_of_command, commanded
from holdfast.runtime.environment import environment
from holdfast.runtime.identity import IdentityWatch, RefusedPeers, identity_of
from holdfast.runtime.provisioning import provisioner_of

Keep = Annotated[
    bool,
    typer.Option("--keep", help="Stay, and make streams again that the broker has lost."),
]


def command(system: SystemName, keep: Keep = False, data: DataFolderPath = None) -> None:
    """Make the streams of a system on the broker that BROKER_URL names, or update them.

    Where the broker knows who is who, services may not make them: this does, by the identity
    `provisioner`. With --keep it ends by SIGTERM or Ctrl-C.
    """
    loaded = load(system)
    environ = environment(loaded.system)
    logger = Logger(sys.stdout.buffer, MachineClock(), loaded.system.name)
    identity = identity_of(environ, loaded.system.name, RefusedPeers(logger))
    watch = None if identity is None else IdentityWatch(identity, logger)

    async def main() -> None:
        provisioner = provisioner_of(loaded.system, environ, identity)
        try:
            if not keep:
                with commanded(audit, "operator.provision", None, on="streams"):
                    await provisioner.once()
                print(f"the streams of {loaded.system.name} are there")
                return
            stopped = asyncio.Event()
            MachineSignals().on_stop(stopped.set)
            if watch is not None:
                watch.start()
            with commanded(audit, "operator.provision", None, on="streams, and stays"):
                provisioner.start()
            await stopped.wait()
        finally:
            await provisioner.stop()
            if watch is not None:
                watch.stop()

    try:
        with audit_of_command(
            loaded.system, environ, data_folder(data, loaded.system.name)
        ) as audit:
            uvloop.run(main())
    except (Unreachable, OSError) as exc:
        complain(str(exc))
        raise typer.Exit(1) from exc
    finally:
        logger.close()
