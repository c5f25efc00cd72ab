"""A provisioner that stays, and can be asked how it is, as every other process."""

import asyncio
from typing import TYPE_CHECKING

from holdfast.communication import LOOPBACK
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.network import SystemNetwork
from holdfast.observability import Audit, Health, Logger, Metrics, catalogue
from holdfast.runtime.figures import watch_process
from holdfast.runtime.identity import IdentityWatch, RefusedPeers
from holdfast.runtime.listeners import Listeners
from holdfast.runtime.options import Options
from holdfast.runtime.pages import OperationsPages
from holdfast.runtime.watches import watch_broker

if TYPE_CHECKING:
    from holdfast.engines.nats_provisioner import NatsProvisioner


class ProvisionerProcess:
    """Runs a provisioner, and serves its probes and metrics.

    It is ready when the streams were there once.

    Args:
        system: its name.
        ops_port: 0: any free one; None: it listens nowhere.

    Attributes:
        ops_url: where probes and metrics are; "" before, and without a port.
    """

    def __init__(
        self,
        provisioner: "NatsProvisioner",
        system: str,
        logger: Logger,
        *,
        host: str = LOOPBACK,
        ops_port: int | None = None,
        identity: TlsIdentity | None = None,
        refusals: RefusedPeers | None = None,
    ) -> None:
        self._provisioner, self._identity, self._ops_port = provisioner, identity, ops_port
        self._refusals = refusals
        self._health, self._metrics = Health(), Metrics(system)
        options = Options(data=None, host=host, ops_port=ops_port)
        network, clock = SystemNetwork(), MachineClock()
        self._listeners = Listeners(options, network, clock, logger, identity)
        self._watch = None if identity is None else IdentityWatch(identity, logger)

    @property
    def ops_url(self) -> str:
        """Where it serves probes and metrics."""
        return self._listeners.ops_url

    async def start(self, audit: Audit) -> None:
        """Begin to provide, and to be asked. Raises OSError: the address is in use or not ours."""
        watch_broker(self._health, self._metrics, self._provisioner)
        watch_process(self._metrics)
        lost = self._provisioner
        self._metrics.watch(catalogue.PARCELS_LOST, lambda: lost.terminated_total)
        if self._watch is not None:
            self._watch.watch(self._health, self._metrics)
            self._watch.start()
        if self._refusals is not None:
            self._refusals.watch(self._metrics, audit)
        self._provisioner.start()
        if self._ops_port is not None:
            proven = self._identity is not None
            pages = OperationsPages(self._health, self._metrics, proven=proven)
            await self._listeners.operations(pages)

    async def run(self, stop: asyncio.Event) -> None:
        """Stay until `stop`."""
        ready = asyncio.create_task(self._ready(), name="readiness")
        try:
            await stop.wait()
        finally:
            ready.cancel()

    async def _ready(self) -> None:
        await self._provisioner.ready()
        self._health.started()

    async def stop(self) -> None:
        """End it."""
        self._health.draining()
        await self._listeners.close()
        await self._provisioner.stop()
        if self._watch is not None:
            self._watch.stop()
