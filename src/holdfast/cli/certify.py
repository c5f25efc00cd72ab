"""`holdfast certify`: the certificates of a system's workloads, where nothing else issues them."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import SystemName
from holdfast.contract.spiffe import ALL, NOT_SERVICES, SIGNER
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.system import System

To = Annotated[
    Path,
    typer.Option(
        "--to", metavar="FOLDER", help="Where to write; each workload has a folder in it."
    ),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Stay, and issue each again when half of its life is over.")
]
SHARED = 0o640
"""Their group reads the files, too: servers in containers run as users of their own."""
READY = "ready"
"""The file that is there once everybody has a certificate."""


def command(system: SystemName, to: To, keep: Keep = False) -> None:
    """Issue the certificates of a system: of its services, its servers, and who looks after them.

    They are good for an hour. The authority is in the folder, too, for whoever may read it.
    """
    loaded = load(system)
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = LocalAuthority(to, loaded.system.name, MachineClock(), mode=SHARED)
    names = everybody(loaded.system)
    (to / READY).unlink(missing_ok=True)
    for name in names:
        authority.issue(name)
    (to / READY).touch()
    print(f"{len(names)} certificates in {to}", flush=True)
    if keep:
        asyncio.run(_keep(authority))


def everybody(system: System) -> list[str]:
    """Return the names of all who have a certificate where each has a process of its own."""
    services = (service.name for service in system.services)
    return sorted({*services, *NOT_SERVICES, SIGNER} - {ALL})


async def _keep(authority: LocalAuthority) -> None:
    stop = asyncio.Event()
    MachineSignals().on_stop(stop.set)
    authority.start()
    await stop.wait()
    authority.stop()
