"""The provisioner: makes the streams of a system on NATS, for services that have no right to.

It makes them at its start, looks after them again and again, and is asked by a service that finds
its own missing, or keeping nothing. It asks for no letter, and its rights allow it none. On servers
that know who is who it looks after connections and certificates, too, and tells of parcels that a
service threw away.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from holdfast.contract.envelope import Lane
from holdfast.engines.nats_connection import NatsConnection, NatsProof, Servers
from holdfast.engines.nats_names import INBOX, TERMINATED, provision_of
from holdfast.engines.nats_servers import LIFE_S, NatsServers
from holdfast.engines.nats_streams import ANEW, DONE, NatsStreams
from holdfast.engines.troubles import Troubles
from holdfast.errors import Unreachable
from holdfast.ports import BrokerCounts

LOOK_S = 30.0
PAUSE_S = 1.0
_MADE_ROOM = b'"reason":"Unacknowledged message was deleted"'  # what a reader says is another one
APART_S = 5.0  # a stream that was made anew is not made anew again so soon


class NatsProvisioner:
    """Makes the streams of some services.

    Args:
        copies: servers that keep each stream.
        tls, proof, newest: see `NatsBroker`.
        life_s: connections that are older are ended, where servers know who is who.

    Attributes:
        servers: looks after them; None where they do not know who is who.
        terminated_total: parcels that were lost while somebody had them to read.
    """

    def __init__(
        self,
        system: str,
        services: Sequence[str],
        url: str,
        *,
        copies: int = 1,
        tls: ssl.SSLContext | None = None,
        proof: NatsProof | None = None,
        life_s: float = LIFE_S,
        newest: Callable[[], Servers] | None = None,
    ) -> None:
        self._system = system
        self.troubles = Troubles("provisioner")
        self.connection = NatsConnection(
            url.split(","),
            name=f"{system} provisioner",
            troubles=self.troubles,
            tls=tls,
            proof=proof,
            changed=self._begin_anew,
            newest=newest,
        )
        named = proof is not None
        self.servers = NatsServers(self.connection, self.troubles, life_s=life_s) if named else None
        self.terminated_total = 0
        self._streams = NatsStreams(system, self.connection, copies=copies, named=named)
        self._locks = {(name, lane): asyncio.Lock() for name in services for lane in Lane}
        self._remade_s = dict.fromkeys(self._locks, float("-inf"))
        self._moved, self._seen = asyncio.Event(), asyncio.Event()
        self._heard_on: object = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False  # a cancellation that comes with an answer is lost in `wait_for`

    def trouble(self) -> str | None:
        """Return what is wrong with the broker, or None."""
        return self.connection.trouble() or self.troubles.now()

    def counts(self) -> BrokerCounts:
        """Return what happened to it so far."""
        return BrokerCounts(self.connection.refused_total, self._streams.remade_total)

    async def once(self) -> None:
        """Make what is missing, and update what is not as it should be.

        Raises:
            Unreachable, NatsError: the broker is away, or does not let it.
        """
        for service, lane in self._locks:
            async with self._locks[service, lane]:
                await self._streams.ensure(service, lane)

    def start(self) -> None:
        """Stay, and see to the streams until `stop`."""
        self._task = asyncio.create_task(self._run(), name="provisioner")

    async def ready(self) -> None:
        """Wait until the streams were there once."""
        await self._seen.wait()

    async def stop(self) -> None:
        """End it."""
        self._stopped = True
        self._moved.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.connection.stop()

    def _begin_anew(self) -> None:
        self._moved.set()

    async def _run(self) -> None:
        while not self._stopped:
            self._moved.clear()
            try:
                await self._listen()
                await self.once()
                self.troubles.end("streams")
                self._seen.set()
            except Exception as exc:  # whatever it was, it is tried again
                if not isinstance(exc, (NatsError, OSError, TimeoutError, Unreachable)):
                    logging.getLogger("holdfast").error("provisioning", exc_info=exc)
                if self.connection.trouble() is None:
                    self.troubles.begin("streams", str(exc) or type(exc).__name__)
                await asyncio.sleep(PAUSE_S)
                continue
            await self._look_at_servers()
            if self._stopped:
                return
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._moved.wait()
            except TimeoutError:
                pass  # time to look again

    async def _look_at_servers(self) -> None:
        if self.servers is None:
            return
        try:
            await self.servers.look()
            self.troubles.end("servers")
        except (NatsError, OSError, TimeoutError, Unreachable) as exc:  # the next look is soon
            if self.connection.trouble() is None:
                self.troubles.begin("servers", f"nobody looks after them: {exc!r}")

    async def _listen(self) -> None:
        """Hear what services ask; several provisioners share that. And what they throw away."""
        client = await self.connection.half_typed()
        if client is not self._heard_on:
            subject = provision_of(self._system, "*")
            await client.subscribe(subject, queue="provisioners", cb=self._asked)
            await client.subscribe(
                f"{TERMINATED}.*.*", queue="provisioners", cb=self._heard_of_terminated
            )
            self._heard_on = client

    async def _asked(self, msg: Msg) -> None:
        service, wanted = msg.subject.rpartition(".")[2], msg.data.decode(errors="replace")
        name, _, anew = wanted.partition(" ")
        answer = DONE
        try:
            await self._provide(service, name, anew=anew == ANEW)
        except Exception as exc:  # the service is told, and asks again
            logging.getLogger("holdfast").warning(
                "provisioner: %s asks for %s: %s", service, name, exc
            )
            answer = f"{type(exc).__name__}: {exc}".encode()
        # Elsewhere somebody would have it speak to others for him.
        if msg.reply.startswith((INBOX, "_R_.")):
            await msg.respond(answer)

    async def _heard_of_terminated(self, msg: Msg) -> None:
        """Tell of a parcel that was lost to a full stream, or that who reads there threw away."""
        self.terminated_total += 1
        stream = msg.subject.rpartition(".")[2]
        self.troubles.happen(f"stream {stream}", lost_why(msg.data))

    async def _provide(self, service: str, name: str, *, anew: bool) -> None:
        """Make a stream of a service, which its subject has proved to be the one that asks."""
        lane = next((lane for lane in Lane if lane == name), None)
        if lane is None or (service, lane) not in self._locks:
            raise LookupError(f"the system has no lane {name[:20]!r} of {service}")
        async with self._locks[service, lane]:
            now_s = asyncio.get_running_loop().time()
            if anew and now_s > self._remade_s[service, lane] + APART_S:
                self._remade_s[service, lane] = now_s
                await self._streams.remake(service, lane)
            else:
                await self._streams.ensure(service, lane)


def lost_why(advisory: bytes) -> str:
    """Return how a parcel was lost that somebody had to read, by what the server tells of it."""
    if _MADE_ROOM in advisory:
        return "it is full: a parcel that was being read made room, and is sent again"
    return "a parcel was thrown away by who reads there, which no process of ours does"
