"""A provisioner that stays: whether it is ready, what it tells, and to whom."""

import asyncio
import io
from pathlib import Path

from holdfast.communication import Origin
from holdfast.contract.spiffe import MONITORING, PROVISIONER
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.observability import Logger
from holdfast.runtime.audit import audit_of_command
from holdfast.runtime.provisioner_process import ProvisionerProcess
from holdfast.runtime.provisioning import provisioner_of
from holdfast.runtime.variables import BROKER_URL
from shop.system import shop
from tests.guarded_nats import PATIENCE_S, GuardedNats, guarded


async def asked(url: str, who: TlsIdentity, path: str) -> bytes:
    """Return what the operations port answers to somebody."""
    at = Origin.parse(url)
    reader, writer = await asyncio.open_connection(at.host, at.port, ssl=who.reaches(PROVISIONER))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    finally:
        writer.close()


async def until_ready(process: ProvisionerProcess, nats: GuardedNats) -> None:
    """Wait, not for ever."""
    probe = nats.identity("orders")
    async with asyncio.timeout(PATIENCE_S):
        while b" 200 " not in await asked(process.ops_url, probe, "/health/ready"):
            await asyncio.sleep(0.05)


async def test_who_stays_can_be_asked_how_it_is(tmp_path: Path) -> None:
    """Ready when the streams were there once; strangers hear that, and no more."""
    async with guarded(shop.graph(), tmp_path, provide=False) as nats:
        own, stranger = nats.identity(PROVISIONER), nats.identity("orders")
        provisioner = provisioner_of(shop, {BROKER_URL: nats.url}, own)
        logger, stop = Logger(io.BytesIO(), MachineClock(), "shop"), asyncio.Event()
        process = ProvisionerProcess(provisioner, "shop", logger, ops_port=0, identity=own)
        nats.server.stop()  # so that there are no streams yet
        with audit_of_command(shop, {}, tmp_path) as audit:
            await process.start(audit)
            running = asyncio.create_task(process.run(stop))
            early = await asked(process.ops_url, stranger, "/health/ready")
            await asyncio.to_thread(nats.server.start)
            await until_ready(process, nats)
            hidden = await asked(process.ops_url, stranger, "/metrics")
            shown = await asked(process.ops_url, nats.identity(MONITORING), "/metrics")
            stop.set()
            await running
            await process.stop()
        logger.close()

    assert b" 503 " in early and b" 403 " in hidden
    for name in (b"holdfast_broker_up 1", b"holdfast_parcels_lost_total 0", b"process_cpu"):
        assert name in shown
    assert b"holdfast_certificate_expires_seconds" in shown
