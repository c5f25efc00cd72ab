"""NATS JetStream: carries parcels between processes, and may forget all of them.

Each (service, lane) is a small work-queue stream with one durable consumer that the service's
replicas share. The outbox heals whatever is lost here, so parcels are published without waiting
for an acknowledgement and without de-duplication, and a full stream discards its oldest.
"""

import asyncio
import ssl
from collections.abc import Callable

from nats.errors import Error as NatsError

from holdfast.engines.nats_connection import NatsConnection, NatsProof, Servers
from holdfast.engines.nats_names import subject_of
from holdfast.engines.nats_pull import NatsPull
from holdfast.engines.nats_streams import Lanes, NatsRequests, NatsStreams
from holdfast.engines.troubles import Troubles
from holdfast.errors import Unreachable
from holdfast.ports import Allowed, BrokerCounts, Deliver, any_number


class NatsBroker:
    """Implements `ports.Broker` on JetStream.

    Args:
        system: its streams are named after it.
        url: one or more servers, `nats://host:4222,nats://…`.
        copies: servers that keep each stream; 3 in a cluster that survives one of them.
        tls: verifies the servers; with it nothing is said to a server in clear.
        proof: by which the servers know who this process is. Then they let it do what is its own,
            and it asks the provisioner for its streams; otherwise it makes them itself.
        newest: see `NatsConnection`.
        patience_s: how long a stream may take to acknowledge, before it counts as lost.
    """

    def __init__(
        self,
        system: str,
        url: str,
        *,
        copies: int = 1,
        tls: ssl.SSLContext | None = None,
        proof: NatsProof | None = None,
        patience_s: float = 5.0,
        newest: Callable[[], Servers] | None = None,
    ) -> None:
        self._troubles = Troubles("broker")
        self.connection = NatsConnection(
            url.split(","),
            name=system,
            troubles=self._troubles,
            tls=tls,
            proof=proof,
            changed=self._begin_anew,
            newest=newest,
        )
        self._lanes: Lanes = NatsRequests(system, self.connection)
        if proof is None:
            self._lanes = NatsStreams(system, self.connection, copies=copies)
        self._system = system
        self._patience_s = patience_s
        self._pulls: list[NatsPull] = []

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        """See `ports.Broker.publish`."""
        if trouble := self.connection.trouble():
            raise Unreachable(trouble, edge=to)
        try:
            client = await self.connection.client()
            await client.publish(subject_of(self._system, to, lane, sender), parcel)
        except (NatsError, OSError) as exc:
            raise Unreachable(f"the broker: {exc or type(exc).__name__}", edge=to) from exc

    async def subscribe(
        self, service: str, lane: str, deliver: Deliver, allowed: Allowed = any_number
    ) -> None:
        """See `ports.Broker.subscribe`; a broker that is away is waited for in the background."""
        pull = NatsPull(
            self.connection,
            self._lanes,
            self._troubles,
            system=self._system,
            service=service,
            lane=lane,
            deliver=deliver,
            allowed=allowed,
            patience_s=self._patience_s,
        )
        self._pulls.append(pull)
        await pull.start()

    def trouble(self) -> str | None:
        """See `ports.Broker.trouble`."""
        return self.connection.trouble() or self._troubles.now()

    def counts(self) -> BrokerCounts:
        """See `ports.Broker.counts`."""
        return BrokerCounts(self.connection.refused_total, self._lanes.remade_total)

    async def stop(self) -> None:
        """See `ports.Broker.stop`."""
        await asyncio.gather(*(pull.stop() for pull in self._pulls))
        await self.connection.stop()

    def _begin_anew(self) -> None:
        for pull in self._pulls:
            pull.begin_anew()
