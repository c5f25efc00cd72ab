"""The streams of JetStream: one, with one consumer, for each lane of each service."""

from typing import Any

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from holdfast.engines.nats_connection import NatsConnection

STREAM_BYTES_MAX = 64 << 20
ACK_WAIT_S = 30.0
API_S = 5.0
_EXISTS = 10058  # with other settings
_SERVER_FAILED = 500


class NatsStreams:
    """Makes them, and makes them again.

    Args:
        copies: servers that keep each stream.
    """

    def __init__(self, system: str, connection: NatsConnection, *, copies: int) -> None:
        self._system, self._connection, self._copies = system, connection, copies
        self.remade_total = 0

    def name(self, service: str, lane: str) -> str:
        """Return the name of a stream, and of its consumer."""
        return f"{self._system}_{service}_{lane}"

    def subject(self, service: str, lane: str, sender: str) -> str:
        """Return where one service publishes parcels for another; nobody else may do so there."""
        return f"{self._system}.{service}.{lane}.{sender}"

    def subjects(self, service: str, lane: str) -> list[str]:
        """Return what a stream takes: from each sender, and from releases that did not say who."""
        return [f"{self._system}.{service}.{lane}.*", f"{self._system}.{service}.{lane}"]

    def sender_of(self, subject: str) -> str:
        """Return who published a parcel; empty on a subject of releases that did not say so."""
        return subject.removeprefix(f"{self._system}.").partition(".")[2].partition(".")[2]

    async def ensure(self, service: str, lane: str) -> None:
        """Make a stream and its consumer, if they are not there. Raises NatsError, Unreachable.

        Files that the server has lost are an error of its own, 500, for ever: it still knows the
        stream. What that held are copies of rows in the senders' tables, so it is made anew.
        """
        try:
            await self._make(service, lane)
        except APIError as exc:
            if exc.code != _SERVER_FAILED:
                raise
            await self.remake(service, lane)

    async def remake(self, service: str, lane: str) -> None:
        """Delete a stream and make it again. Raises NatsError, Unreachable."""
        jetstream = await self._jetstream()
        try:
            await jetstream.delete_stream(self.name(service, lane))
        except NotFoundError:
            pass  # somebody else was faster
        await self._make(service, lane)
        self.remade_total += 1

    async def _jetstream(self) -> Any:  # its types are half known
        client: Any = await self._connection.client()
        return client.jetstream(timeout=API_S)

    async def _make(self, service: str, lane: str) -> None:
        jetstream, name = await self._jetstream(), self.name(service, lane)
        config = StreamConfig(
            name=name,
            subjects=self.subjects(service, lane),
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_bytes=STREAM_BYTES_MAX,
            num_replicas=self._copies,
        )
        consumer = ConsumerConfig(
            durable_name=name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,  # tries are counted in the tables
            max_ack_pending=4_096,
        )
        try:
            await jetstream.add_stream(config)
        except APIError as exc:
            if exc.err_code != _EXISTS:
                raise
            await jetstream.update_stream(config)
        await jetstream.add_consumer(name, consumer)
