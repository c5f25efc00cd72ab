"""One lane's parcels from JetStream, and the proof that its stream still keeps what it is given.

A server that has lost its files goes on answering heartbeats, and acknowledges nothing. So each
lane sends itself an empty parcel every few seconds and wants that acknowledged; if it is not, the
stream is made again.
"""

import asyncio
import logging
import math

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from holdfast.engines.nats_connection import NatsConnection
from holdfast.engines.nats_names import pull_of, sender_of, subject_of
from holdfast.engines.nats_streams import Lanes
from holdfast.engines.troubles import Troubles
from holdfast.errors import Unreachable
from holdfast.ports import Allowed, Deliver

PULL_MAX = 64  # parcels under way per lane and process
PULL_S = 10.0  # how long one request for parcels stands
SILENCE_S = 2.0  # between heartbeats of a standing request; twice that, and it has stalled
AT_ONCE_S = 0.1  # a request that ends sooner, with nothing, is not simply made again
PROOF_S = 5.0  # between two proofs that the stream keeps what it is given
PATIENCE_CAP_S = 60.0
PAUSE_S, PAUSE_CAP_S = 0.1, 2.0
MOVE_AFTER = 3  # failures in a row, before another server is tried
NOBODY = "-"  # who published where no sender has a right to
PROOF = "Holdfast-Proof"  # the header of the empty parcel
NAK = b'-NAK {"delay": 1000000000}'  # again in a second


class RightsRefused(NatsError):
    """The broker does not let this process do what it has to do."""


class StreamLost(NatsError):
    """A stream does not acknowledge what it is given."""


def ends_pull(status: str, about: str) -> bool | None:
    """Say whether a status message ends the pulling, or only its request; None: neither.

    The description of anything but a 409 may name the subject, and is not looked at.

    Source: ADR-13, Pull Subscribe internals, nats-io/nats-architecture-and-design.
    """
    if status == "100":
        return None  # a heartbeat
    return not (status in ("404", "408") or (status == "409" and about == "Batch Completed"))


class NatsPull:
    """Takes the parcels of one lane, no faster than they are handled.

    Args:
        allowed: see `ports.Prefetch`; what was asked for before it fell still comes.
        patience_s: how long the acknowledgement of a proof may take.
    """

    def __init__(
        self,
        connection: NatsConnection,
        lanes: Lanes,
        troubles: Troubles,
        *,
        system: str,
        service: str,
        lane: str,
        deliver: Deliver,
        allowed: Allowed,
        patience_s: float,
    ) -> None:
        self._connection, self._lanes, self._troubles = connection, lanes, troubles
        self._system, self._service, self._lane = system, service, lane
        self._deliver, self._allowed, self._inbox = deliver, allowed, ""
        self._patience_s = patience_s
        self._place = f"{service} {lane}"
        self._running: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()  # something came, ended, or was said
        self._wanted = 0  # parcels that the standing request still asks for
        self._came_any = False
        self._proof_at_s: float | None = None  # since when a proof is waited for
        self._unproven = 0  # proofs in a row that were not acknowledged
        self._forbidden = 0  # how often the broker forbade something, when the last was given
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin; when this returns, the stream is there, unless the broker is away."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name=self._place)
        await ready.wait()

    async def stop(self) -> None:
        """Ask for nothing more; wait for what is under way."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def begin_anew(self) -> None:
        """The connection is another one: what was asked for on the last is forgotten."""
        self._wanted = -1
        self._moved.set()

    async def _run(self, ready: asyncio.Event) -> None:
        pause_s = PAUSE_S
        while True:
            try:
                await self._prepare()
                ready.set()
                await self._pull()
                pause_s, self._failures = PAUSE_S, 0
            except Exception as exc:  # whatever it was, the lane must not end
                ready.set()
                if not isinstance(exc, (NatsError, OSError, TimeoutError, Unreachable)):
                    logging.getLogger("holdfast").error("%s: pulling", self._place, exc_info=exc)
                await self._failed(exc)
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_CAP_S, pause_s * 2)

    async def _prepare(self) -> None:
        if self._unproven:
            await self._lanes.remake(self._service, self._lane)
        else:
            await self._lanes.ensure(self._service, self._lane)

    async def _failed(self, exc: Exception) -> None:
        if self._connection.trouble() is not None:
            return  # which the connection has said
        why = str(exc) or f"no answer: {type(exc).__name__}"
        self._troubles.begin(self._place, why)
        self._failures += 1
        if self._failures % MOVE_AFTER == 0:
            await self._connection.elsewhere()

    async def _pull(self) -> None:
        """Keep a request standing, until the broker falls silent or says that it is gone."""
        client = await self._connection.half_typed()
        inbox = self._inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._came)
        self._wanted, self._proof_at_s = 0, None
        prove_at_s = asked_at_s = -math.inf
        try:
            while self._wanted >= 0:
                now_s = asyncio.get_running_loop().time()
                if now_s >= prove_at_s:
                    prove_at_s = now_s + PROOF_S
                    await self._prove(client, inbox)
                self._check_proof(now_s)
                if self._wanted == 0 and (free := self._free()):
                    if not self._came_any and now_s - asked_at_s < AT_ONCE_S:
                        return  # it ended at once: is the stream still there?
                    self._wanted, self._came_any, asked_at_s = free, False, now_s
                    await client.publish(self._next, _request(free), inbox)
                if not await self._wait(2 * SILENCE_S) and self._wanted > 0:
                    return  # it has stalled: begin anew
        finally:
            if self._connection.is_current(client):  # else what is on its way there still comes
                await subscription.unsubscribe()

    def _free(self) -> int:
        """Return how many parcels to ask for: none as long as most are under way."""
        under_way = len(self._running)
        most = min(PULL_MAX, self._allowed(under_way))
        free = most - under_way
        return free if free >= max(1, most // 4) else 0

    @property
    def _next(self) -> str:
        api = self._connection.api
        return pull_of(self._system, self._service, self._lane, api=api)

    async def _prove(self, client: Client, inbox: str) -> None:
        """Give the stream an empty parcel, which it has to acknowledge."""
        if self._proof_at_s is None:
            self._proof_at_s = asyncio.get_running_loop().time()
            self._forbidden = self._connection.forbidden_total
            subject = subject_of(self._system, self._service, self._lane, self._service)
            await client.publish(subject, b"", inbox, headers={PROOF: "1"})

    def _check_proof(self, now_s: float) -> None:
        patience_s = min(PATIENCE_CAP_S, self._patience_s * 2**self._unproven)
        if self._proof_at_s is not None and now_s >= self._proof_at_s + patience_s:
            if self._connection.forbidden_total > self._forbidden:
                raise RightsRefused("the broker does not let it use its own stream; see its rights")
            self._unproven = min(self._unproven + 1, 10)
            raise StreamLost(
                f"its stream acknowledged nothing for {patience_s:g} s; it is made again"
            )

    async def _wait(self, seconds: float) -> bool:
        self._moved.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _came(self, msg: Msg) -> None:
        headers = msg.headers or {}
        status = headers.get("Status") if not msg.reply else None
        self._moved.set()
        if not msg.reply:
            if msg.subject != self._inbox:
                return  # of a connection that was followed by another one
            if status is not None:
                self._told(status, headers.get("Description", ""))
            else:
                self._proven(msg.data)
        else:
            self._wanted = max(0, self._wanted - 1) if self._wanted >= 0 else self._wanted
            self._came_any = True
            task = asyncio.create_task(self._take(msg))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _told(self, status: str, about: str) -> None:
        ends = ends_pull(status, about)
        if ends is not None and self._wanted >= 0:
            self._wanted = -1 if ends else 0

    def _proven(self, answer: bytes) -> None:
        """Take the word of the stream about a proof; an error is as good as silence."""
        refused = msgspec.json.decode(answer, type=dict[str, object]).get("error")
        if refused:
            self._troubles.begin(self._place, f"its stream keeps nothing: {refused}")
            return
        self._proof_at_s, self._unproven = None, 0
        self._troubles.end(self._place)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._moved.set()

    async def _take(self, msg: Msg) -> None:
        if self._stopping:
            return  # not acknowledged: another replica gets it
        answer = b"+ACK"
        if PROOF not in (msg.headers or {}):
            sender = sender_of(self._system, self._service, self._lane, msg.subject)
            if sender is None or (self._connection.is_named and not sender):
                sender = NOBODY  # somebody brought it to the stream by another way: it is refused
            try:
                await self._deliver(msg.data, msg.metadata.num_delivered > 1, sender)
            except Exception as exc:  # whatever it was: not acknowledged, and delivered again
                logging.getLogger("holdfast").error("delivery failed", exc_info=exc)
                answer = NAK
        try:
            client = await self._connection.client()
            await client.publish(msg.reply, answer)
        except (NatsError, OSError, Unreachable):
            pass  # it comes again


def _request(count: int) -> bytes:
    nanoseconds = 1_000_000_000
    expires, heartbeat = int(PULL_S * nanoseconds), int(SILENCE_S * nanoseconds)
    return f'{{"batch":{count},"expires":{expires},"idle_heartbeat":{heartbeat}}}'.encode()
