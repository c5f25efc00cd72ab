"""Parcels between services of one process: they go from the commit to the inbox, past the broker.

The sender's row is the promise, here as with any broker: what is lost on the way, by a crash or for
want of room, is due in its table. A broker between processes carries what is for others.
"""

import asyncio

from holdfast.engines.memory import MemoryBroker
from holdfast.ports import Allowed, Broker, BrokerCounts, Deliver, any_number

WAITING_MAX = 1_024  # parcels for one lane here; what is more goes where replicas share it


class NearBroker:
    """Implements `ports.Broker`: delivers what is for this process, and has others carry the rest.

    Args:
        far: reaches every process of the system, this one included.
    """

    def __init__(self, far: Broker) -> None:
        self.far = far
        self._near = MemoryBroker(parcels_max=WAITING_MAX)

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        """See `ports.Broker.publish`.

        What a service tells itself is that it waits no longer for an answer, which has to come
        behind those answers that others have sent: it goes where they go.
        """
        if to != sender and self._near.takes(to, lane):
            await self._near.publish(to, lane, parcel, sender=sender)
        else:
            await self.far.publish(to, lane, parcel, sender=sender)

    async def subscribe(
        self, service: str, lane: str, deliver: Deliver, allowed: Allowed = any_number
    ) -> None:
        """See `ports.Broker.subscribe`."""
        await self._near.subscribe(service, lane, deliver, allowed)
        await self.far.subscribe(service, lane, deliver, allowed)

    def trouble(self) -> str | None:
        """See `ports.Broker.trouble`."""
        return self.far.trouble()

    def counts(self) -> BrokerCounts:
        """See `ports.Broker.counts`."""
        return self.far.counts()

    async def stop(self) -> None:
        """See `ports.Broker.stop`."""
        await asyncio.gather(self._near.stop(), self.far.stop())
