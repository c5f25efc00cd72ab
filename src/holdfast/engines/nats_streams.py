"""The streams of JetStream: one, with one consumer, for each lane of each service.

Whoever may make streams may read and delete everything, so that on a server that knows who is who
services have no such right: there they ask the provisioner, each for its own.
"""

from typing import Any, Protocol

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
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
from holdfast.engines.nats_names import provision_of, stream_of, subjects_of

STREAM_BYTES_MAX = 64 << 20
ACK_WAIT_S = 30.0
API_S = 5.0
PROVISION_S = 20.0
ANEW, DONE = "anew", b"done"  # what the provisioner is asked, and answers
_EXISTS = 10058  # with other settings
_SERVER_FAILED = 500


class Lanes(Protocol):
    """Sees that the streams of lanes are there."""

    remade_total: int

    async def ensure(self, service: str, lane: str) -> None:
        """See that a stream and its consumer are there. Raises NatsError, Unreachable."""
        ...

    async def remake(self, service: str, lane: str) -> None:
        """Have a stream made anew that keeps nothing any more. Raises NatsError, Unreachable."""
        ...


class NotProvisioned(NatsError):
    """A stream is missing, and nobody made it."""


class NatsRequests:
    """Implements `Lanes` by asking the provisioner."""

    def __init__(self, system: str, connection: NatsConnection) -> None:
        self._system, self._connection = system, connection
        self.remade_total = 0

    async def ensure(self, service: str, lane: str) -> None:
        """See `Lanes.ensure`."""
        jetstream = await _jetstream(self._connection)
        name = stream_of(self._system, service, lane)
        try:
            await jetstream.consumer_info(name, name)
        except APIError as exc:
            if not isinstance(exc, NotFoundError) and exc.code != _SERVER_FAILED:
                raise
            await self._ask(service, lane)

    async def remake(self, service: str, lane: str) -> None:
        """See `Lanes.remake`."""
        await self._ask(service, f"{lane} {ANEW}")
        self.remade_total += 1

    async def _ask(self, service: str, what: str) -> None:
        client = await self._connection.client()
        subject = provision_of(self._system, service)
        try:
            answer = await client.request(subject, what.encode(), timeout=PROVISION_S)
        except NoRespondersError as exc:
            raise NotProvisioned(
                "its stream is missing, and nobody makes it; run `holdfast provision SYSTEM --keep`"
            ) from exc
        except TimeoutError as exc:
            raise NotProvisioned("the provisioner does not answer; its log may say why") from exc
        if answer.data != DONE:
            raise NotProvisioned(f"the provisioner: {answer.data.decode(errors='replace')}")


class NatsStreams:
    """Implements `Lanes` by making them.

    Args:
        copies: servers that keep each stream. named: see `subjects_of`.
    """

    def __init__(
        self, system: str, connection: NatsConnection, *, copies: int, named: bool = False
    ) -> None:
        self._system, self._connection, self._copies = system, connection, copies
        self._named = named
        self.remade_total = 0

    async def ensure(self, service: str, lane: str) -> None:
        """See `Lanes.ensure`.

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
        """See `Lanes.remake`."""
        jetstream = await _jetstream(self._connection)
        try:
            await jetstream.delete_stream(stream_of(self._system, service, lane))
        except NotFoundError:
            pass  # somebody else was faster
        await self._make(service, lane)
        self.remade_total += 1

    async def _make(self, service: str, lane: str) -> None:
        jetstream, name = await _jetstream(self._connection), stream_of(self._system, service, lane)
        config = StreamConfig(
            name=name,
            subjects=subjects_of(self._system, service, lane, named=self._named),
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


async def _jetstream(connection: NatsConnection) -> Any:  # its types are half known
    client = await connection.half_typed()
    return client.jetstream(timeout=API_S, prefix=connection.api)
