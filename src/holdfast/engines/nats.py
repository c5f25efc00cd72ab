"""NATS JetStream: carries parcels between processes, and may forget all of them.

Each (service, lane) is a small work-queue stream with one durable consumer that the service's
replicas share. The outbox heals whatever is lost here, so parcels are published without waiting
for an acknowledgement and without de-duplication, and a full stream discards its oldest.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError

from holdfast.errors import Unreachable

Deliver = Callable[[bytes, bool], Coroutine[Any, Any, None]]

STREAM_BYTES_MAX = 64 << 20
ACK_WAIT_S = 30.0
NAK = b'-NAK {"delay": 1000000000}'  # again in a second
PULL_MAX = 64  # parcels under way per lane and process
PULL_S = 10.0  # how long one request for parcels stands
SILENCE_S = 2.0  # between heartbeats of a standing request; twice that, and it has stalled
PAUSE_S, PAUSE_CAP_S = 0.1, 2.0
CONNECT_S = 3.0
_ENDED = {"404", "408", "409", "503"}


class NatsBroker:
    """Implements `ports.Broker` on JetStream.

    Args:
        system: its streams are named after it.
        url: one or more servers, `nats://host:4222,nats://…`.
        copies: servers that keep each stream; 3 in a cluster that survives one of them.
    """

    def __init__(self, system: str, url: str, *, copies: int = 1) -> None:
        self._system = system
        self._servers = url.split(",")
        self._copies = copies
        self._client: Any = None  # the client's types are half known
        self._connecting = asyncio.Lock()
        self._stopped = False
        self._pulls: list[_Pull] = []

    async def publish(self, to: str, lane: str, parcel: bytes) -> None:
        """See `ports.Broker.publish`."""
        if trouble := self.trouble():
            raise Unreachable(trouble, edge=to)
        try:
            await self._client.publish(self._subject(to, lane), parcel)
        except (NatsError, OSError) as exc:
            raise Unreachable(f"the broker: {exc or type(exc).__name__}", edge=to) from exc

    async def subscribe(self, service: str, lane: str, deliver: Deliver) -> None:
        """See `ports.Broker.subscribe`; a broker that is away is waited for in the background."""
        pull = _Pull(self, service, lane, deliver)
        self._pulls.append(pull)
        await pull.start()

    def trouble(self) -> str | None:
        """See `ports.Broker.trouble`."""
        well = not self._stopped and self._client is not None and self._client.is_connected
        return None if well else "the broker is away"

    async def stop(self) -> None:
        """See `ports.Broker.stop`."""
        self._stopped = True
        await asyncio.gather(*(pull.stop() for pull in self._pulls))
        if self._client is not None:
            await self._client.close()

    async def connected(self) -> Any:
        """Return the connection, made at its first use; it reconnects by itself."""
        async with self._connecting, asyncio.timeout(CONNECT_S):
            if self._client is None:
                connect: Any = nats.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # its options are
                self._client = await connect(
                    self._servers,
                    name=self._system,
                    connect_timeout=2,
                    reconnect_time_wait=0.25,
                    max_reconnect_attempts=-1,
                    ping_interval=10,
                    error_cb=_quiet,
                )
            return self._client

    async def ensure(self, service: str, lane: str) -> None:
        """Make the stream and its consumer, if they are not there. Raises NatsError."""
        jetstream = (await self.connected()).jetstream(timeout=5)
        name = self.stream(service, lane)
        config = StreamConfig(
            name=name,
            subjects=[self._subject(service, lane)],
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
            if exc.err_code != 10058:  # it is there, with other settings
                raise
            await jetstream.update_stream(config)
        await jetstream.add_consumer(name, consumer)

    def stream(self, service: str, lane: str) -> str:
        """Return the name of a stream, and of its consumer."""
        return f"{self._system}_{service}_{lane}"

    def _subject(self, service: str, lane: str) -> str:
        return f"{self._system}.{service}.{lane}"


class _Pull:
    """Takes the parcels of one lane, no faster than they are handled."""

    def __init__(self, broker: NatsBroker, service: str, lane: str, deliver: Deliver) -> None:
        self._broker = broker
        self._service, self._lane, self._deliver = service, lane, deliver
        self._running: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()  # something came, ended, or was said
        self._wanted = 0  # parcels that the standing request still asks for
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin; when this returns, the stream is there, unless the broker is away."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name=f"{self._service} {self._lane}")
        await ready.wait()

    async def stop(self) -> None:
        """Ask for nothing more; wait for what is under way."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, ready: asyncio.Event) -> None:
        pause_s = PAUSE_S
        while True:
            try:
                await self._broker.ensure(self._service, self._lane)
                ready.set()
                await self._pull()
                pause_s = PAUSE_S
            except (NatsError, OSError, TimeoutError) as exc:
                ready.set()
                logging.getLogger("holdfast").warning(
                    "broker: %s %s: %r", self._service, self._lane, exc
                )
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_CAP_S, pause_s * 2)

    async def _pull(self) -> None:
        """Keep a request standing, until the broker falls silent or says that it is gone."""
        client = await self._broker.connected()
        name = self._broker.stream(self._service, self._lane)
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._came)
        try:
            while True:
                free = PULL_MAX - len(self._running)
                if free < PULL_MAX // 4:
                    await self._wait(ACK_WAIT_S)
                    continue
                self._wanted = free
                await client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{name}.{name}", _request(free), inbox
                )
                while self._wanted > 0:
                    if not await self._wait(2 * SILENCE_S):
                        return  # it has stalled: begin anew
                if self._wanted < 0:
                    return
        finally:
            await subscription.unsubscribe()

    async def _wait(self, seconds: float) -> bool:
        self._moved.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _came(self, msg: Msg) -> None:
        status = (msg.headers or {}).get("Status") if not msg.reply else None
        self._moved.set()
        if status is None:
            self._wanted = max(0, self._wanted - 1)
            task = asyncio.create_task(self._take(msg))
            self._running.add(task)
            task.add_done_callback(self._ended)
        elif status in ("404", "408"):
            self._wanted = 0  # the request has ended: the next one
        elif status in _ENDED:
            about = (msg.headers or {}).get("Description", "")
            self._wanted = 0 if "batch" in about.lower() else -1

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._moved.set()

    async def _take(self, msg: Msg) -> None:
        if self._stopping:
            return  # not acknowledged: another replica gets it
        try:
            await self._deliver(msg.data, msg.metadata.num_delivered > 1)
        except Exception as exc:  # whatever it was: not acknowledged, and delivered again
            logging.getLogger("holdfast").error("delivery failed", exc_info=exc)
            answer = NAK
        else:
            answer = b"+ACK"
        try:
            client = await self._broker.connected()
            await client.publish(msg.reply, answer)
        except (NatsError, OSError):
            pass  # it comes again


def _request(count: int) -> bytes:
    nanoseconds = 1_000_000_000
    expires, heartbeat = int(PULL_S * nanoseconds), int(SILENCE_S * nanoseconds)
    return f'{{"batch":{count},"expires":{expires},"idle_heartbeat":{heartbeat}}}'.encode()


async def _quiet(error: Exception) -> None:
    """The client logs every reconnection; one line of ours says that the broker is away."""
