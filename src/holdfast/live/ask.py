"""Asks the processes of a system how they do."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import Request
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.errors import CallError
from holdfast.live.sample import Sample, read_sample
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.variables import CERTIFICATE, KEY, TRUSTED

ANSWER_S = 5.0
_STRANGER = f"they are not for strangers: set {CERTIFICATE}, {KEY} and {TRUSTED} to an operator's"


@dataclass(frozen=True, slots=True)
class Said:
    """What one process says.

    Attributes:
        name: of its data folder, or its address. status: of its health; "" if it says nothing.
        services: those that it hosts; empty where only metrics tell.
        troubles: {what is not well: why}.
    """

    name: str
    status: str = ""
    services: tuple[str, ...] = ()
    troubles: dict[str, str] = field(default_factory=dict[str, str])
    sample: Sample = field(default_factory=Sample)


class _Status(msgspec.Struct):
    """What the verb `status` returns."""

    health: "_Health"
    services: tuple[str, ...]
    metrics: str


class _Answer(msgspec.Struct):
    result: _Status


class _Check(msgspec.Struct):
    ok: bool
    why: str = ""


class _Health(msgspec.Struct):
    status: str
    checks: dict[str, _Check] = {}


async def ask(
    folder: Path, addresses: Sequence[str] = (), tls: ssl.SSLContext | None = None
) -> list[Said]:
    """Ask all processes of a data folder, and those at the operations ports of other machines.

    One that does not answer says nothing; one that only takes commands is left out.

    Args:
        tls: proves to the others that an operator asks.
    """
    pool = ClientPool(network=SystemNetwork(), clock=MachineClock(), tls=tls)
    try:
        local = [_local(pool, one) for one in _folders(folder)]
        remote = [_remote(pool, address) for address in addresses]
        found = await asyncio.gather(*local, *remote)
    finally:
        await pool.close()
    return [said for said in found if said.status != "starting"]


def _folders(folder: Path) -> list[DataFolder]:
    """Return the folder and those of its members that a process owns."""
    if not folder.is_dir():
        return []
    inside = sorted(path for path in folder.iterdir() if (path / "lock").is_file())
    found = [DataFolder(path) for path in (folder, *inside) if path.name != "servers"]
    return [one for one in found if one.is_owned()]


async def _local(pool: ClientPool, folder: DataFolder) -> Said:
    origin = Origin.parse(f"unix:{folder.socket}")
    try:
        answer = await pool.request(origin, Request("POST", "/status"), deadline_s=ANSWER_S)
        said = msgspec.json.decode(answer.body, type=_Answer).result
    except (CallError, msgspec.DecodeError):
        return Said(folder.path.name)
    return _said(folder.path.name, said.health, said.services, said.metrics)


async def _remote(pool: ClientPool, address: str) -> Said:
    origin = Origin.parse(address)
    try:
        health = await pool.request(origin, Request("GET", "/health/ready"), deadline_s=ANSWER_S)
        metrics = await pool.request(origin, Request("GET", "/metrics"), deadline_s=ANSWER_S)
        read = msgspec.json.decode(health.body, type=_Health)
    except (CallError, msgspec.DecodeError):
        return Said(address)
    if metrics.status != 200:
        return Said(address, read.status, (), {"metrics": _STRANGER})
    return _said(address, read, (), metrics.body.decode())


def _said(name: str, health: _Health, services: tuple[str, ...], metrics: str) -> Said:
    troubles = {what: check.why for what, check in health.checks.items() if not check.ok}
    return Said(name, health.status, services, troubles, read_sample(metrics))
