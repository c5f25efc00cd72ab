"""A nats-server that knows who is who, for tests: with identities, rights and a provisioner."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from holdfast.contract.spiffe import NATS, PROVISIONER
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.nats import NatsBroker
from holdfast.engines.nats_connection import NatsProof
from holdfast.engines.nats_names import API, inbox_of
from holdfast.engines.nats_provisioner import NatsProvisioner
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.nats_settings import nats_accounts, nats_tls
from holdfast.system import Graph
from tests.servers import Nats, nats_server

PATIENCE_S = 60.0


class Visitor:
    """A workload that does what it likes with its certificate, by the vendor's own client."""

    def __init__(self, client: Client, refused: list[str]) -> None:
        self.client: Any = client
        self.refused = refused

    async def refusals(self) -> set[str]:
        """Return what the server has said until now, and forget it."""
        await self.client.flush()
        await self.client.flush()  # an error comes before the second answer
        found = set(self.refused)
        self.refused.clear()
        return found


class GuardedNats:
    """The server of a system, its authority, and whoever comes to it."""

    def __init__(self, server: Nats, graph: Graph, authority: LocalAuthority) -> None:
        self.server, self.graph, self.authority = server, graph, authority
        self.brokers: list[NatsBroker] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"tls://127.0.0.1:{self.server.port}"

    def identity(self, name: str) -> TlsIdentity:
        """Issue an identity."""
        system = self.graph.system
        return TlsIdentity(
            self.authority.issue(name), system, MachineClock(), lambda reason, why: None
        )

    def proof(self, name: str, *, age_s: float = 600.0) -> NatsProof:
        """Return by what a workload proves who it is."""
        return replace(self.proof_of(self.identity(name)), age_s=age_s)

    def proof_of(self, identity: TlsIdentity) -> NatsProof:
        """Return by what whoever has an identity proves it."""
        return NatsProof(identity.reaches(NATS), inbox_of(self.graph.system, identity.name))

    async def broker(
        self, name: str, *, proof: NatsProof | None = None, **options: Any
    ) -> NatsBroker:
        """Return the broker as a process of a service has it, connected; it is stopped for you."""
        broker = NatsBroker(self.graph.system, self.url, proof=proof or self.proof(name), **options)
        self.brokers.append(broker)
        await broker.connection.client()
        return broker

    def provisioner(self) -> NatsProvisioner:
        """Return who makes the streams."""
        services = self.graph.services
        proof = replace(self.proof(PROVISIONER), api=API)
        return NatsProvisioner(self.graph.system, services, self.url, proof=proof)

    @asynccontextmanager
    async def visitor(
        self, name: str, *, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[Visitor]:
        """Connect with the certificate of a workload, or with another one in its name."""
        refused: list[str] = []

        async def heard(error: Exception) -> None:
            refused.append(str(error).removeprefix("nats: ").lower())

        client = await nats.connect(
            self.url,
            tls=context or self.identity(name).reaches(NATS),
            tls_handshake_first=True,
            error_cb=heard,
            allow_reconnect=False,
            inbox_prefix=inbox_of(self.graph.system, name),
        )
        try:
            yield Visitor(client, refused)
        finally:
            await client.close()


@asynccontextmanager
async def guarded(
    graph: Graph, folder: Path, *, provide: bool = True
) -> AsyncIterator[GuardedNats]:
    """Start a server for a system; its streams are there, unless nobody shall provide them."""
    authority = LocalAuthority(folder / "identities", graph.system, MachineClock())
    files = authority.issue(NATS)
    tls = nats_tls(files.certificate, files.key, files.trusted)
    with nats_server(tls + nats_accounts(graph)) as server:
        nats_ = GuardedNats(server, graph, authority)
        provisioner = nats_.provisioner()
        try:
            if provide:
                provisioner.start()
                async with asyncio.timeout(PATIENCE_S):
                    await provisioner.ready()
            yield nats_
        finally:
            for broker in nats_.brokers:
                await broker.stop()
            await provisioner.stop()
