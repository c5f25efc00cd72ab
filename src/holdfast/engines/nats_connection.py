"""The connection to NATS: it comes back by itself, whatever ended it, and says what is wrong.

The vendor's client reconnects after an outage, but closes for good when the server ends it by a
word: credentials that were changed, revoked or have run out, too many connections. Then there is a
new client. One word of the server's is not the other: a broker that is *away* is waited for; one
that *refuses* this process needs a person, and is asked no more often than once a second.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from holdfast.engines.nats_names import API, IMPORTED
from holdfast.engines.troubles import Troubles
from holdfast.errors import SettingError, Unreachable

AWAY = "the broker is away"
REFUSED = "the broker refuses this process"
CONNECT_S = 3.0
CLOSE_S = 1.0
REFUSED_PAUSE_S = 1.0
MOVE_S = 10.0  # a connection is kept so long before another server is tried
PLACE, RENEWAL, ADDRESS = "connection", "renewal", "address"
AGE_S = 600.0
RENEW_PAUSE_S = 5.0
RETIRE_S = 12.0  # longer than a request for parcels stands
_REFUSED = re.compile(r"authori[sz]ation|authentication|maximum .*connections", re.I)
_FORBIDDEN = re.compile(r"permissions violation", re.I)
_DEAFENED = re.compile(r"permissions violation for subscription", re.I)


@dataclass(frozen=True, slots=True)
class NatsProof:
    """How a process proves to a server who it is.

    Attributes:
        context: makes each connection with the newest certificate.
        inbox: what its inboxes begin with; nobody else may listen there.
        api: what JetStream's requests begin with.
        age_s: a connection is followed by a new one after so long, and long before its certificate
            has run out: a server looks at that when a connection begins, and never again.
    """

    context: ssl.SSLContext
    inbox: str
    api: str = IMPORTED
    age_s: float = AGE_S


Servers = tuple[list[str], ssl.SSLContext | None]
"""URLs of a broker, and what verifies it; see `NatsConnection`."""


class NatsConnection:
    """One process's connection.

    Args:
        servers: URLs; any of them will do.
        tls: verifies the servers; with it nothing is said to a server in clear.
        proof: instead, where the server wants to know who this process is.
        changed: called when the connection was lost or made again: what stood on it is gone.
        newest: returns where the broker is now, for each new connection. Raises SettingError: what
            it was told does not fit, and the last that did stays in use.
    """

    def __init__(
        self,
        servers: list[str],
        *,
        name: str,
        troubles: Troubles,
        tls: ssl.SSLContext | None = None,
        proof: NatsProof | None = None,
        changed: Callable[[], None] = lambda: None,
        newest: Callable[[], Servers] | None = None,
    ) -> None:
        self._servers, self._name = servers, name
        self._newest = newest
        self._tls = tls if proof is None else proof.context
        self._proof = proof
        self._renewing: asyncio.Task[None] | None = None
        self._troubles, self._changed = troubles, changed
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._refusal = ""  # why the server does not want this process; "": it does
        self._refusals = 0  # of the attempt that is being made
        self._refused = asyncio.Event()
        self._not_before_s = self._since_s = 0.0
        self._avoid = ""
        self._deafened: Client | None = None  # the server has ended a subscription of it
        self._closing: set[asyncio.Task[None]] = set()
        self._retiring: dict[Client, asyncio.Task[None]] = {}  # clients that were followed
        self._stopped = False
        self.refused_total = self.forbidden_total = 0

    def trouble(self) -> str | None:
        """Return why nothing can be sent now, or None."""
        if not self._stopped and self._client is not None and self._client.is_connected:
            return None
        return self._refusal or AWAY

    async def client(self) -> Client:
        """Return the vendor's client, a new one if the last was closed. Raises Unreachable."""
        if self._client is not None and not self._client.is_closed:
            return self._client
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                now_s = _now_s()
                if self._stopped or now_s < self._not_before_s:
                    raise Unreachable(self.trouble() or AWAY, edge="broker")
                self._client = await self._first()
                if self._proof is not None and self._renewing is None:
                    renewing = self._renew_for_ever(self._proof.age_s)
                    self._renewing = asyncio.create_task(renewing, name="the broker's connection")
            return self._client

    async def _first(self) -> Client:
        try:
            return await self._connect()
        except Unreachable as exc:
            self._not_before_s = _now_s() + REFUSED_PAUSE_S * bool(self._refusal)
            self._troubles.begin(PLACE, str(exc))
            raise

    async def _renew_for_ever(self, age_s: float) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._since_s + age_s - _now_s()))
            try:
                await self.renew()
            except Unreachable as exc:  # the old one is as good as it was
                self._troubles.begin(RENEWAL, f"the connection grows old: {exc}")
                await asyncio.sleep(RENEW_PAUSE_S)

    async def renew(self) -> None:
        """Make a new connection, and let the old one end when nothing comes by it any more.

        Raises:
            Unreachable: there is none to be had; the old one stays.
        """
        async with self._connecting:
            old = self._client
            try:
                self._client = await self._connect()
            finally:
                if old is not None and old.is_connected:
                    self._refusal = ""  # of the new one, which is told
            self._troubles.end(RENEWAL)
        self._changed()
        if old is not None and not old.is_closed:
            self._retiring[old] = asyncio.create_task(self._retire(old))

    async def _retire(self, client: Client) -> None:
        await asyncio.sleep(RETIRE_S)
        await self._close(client)
        del self._retiring[client]

    async def half_typed(self) -> Any:
        """Return the client for those of its calls of which the vendor has half the types."""
        return await self.client()

    @property
    def is_named(self) -> bool:
        """Whether the server knows who this process is."""
        return self._proof is not None

    @property
    def api(self) -> str:
        """Return what JetStream's requests begin with."""
        return API if self._proof is None else self._proof.api

    def is_current(self, client: object) -> bool:
        """Whether a client is the one in use; the last one lives on for a while."""
        return client is self._client

    async def elsewhere(self) -> None:
        """Leave this server for another one of the list, if there is one.

        A client that lost a right to listen, and got it back, hears none of its answers: the vendor
        listens for them once. So it is followed by another one.
        """
        if self._deafened is not None and self._deafened is self._client:
            try:
                await self.renew()
            except Unreachable:
                pass  # which is told
            return
        kept_s = _now_s() - self._since_s
        if len(self._servers) > 1 and self._client is not None and kept_s > MOVE_S:
            url = self._client.connected_url
            self._avoid = url.netloc if url is not None else ""
            await self._close(self._client)

    async def stop(self) -> None:
        """Close it for good."""
        self._stopped = True
        ending = [*self._retiring.values(), *([self._renewing] if self._renewing else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for client in self._retiring:
            await self._close(client)
        if self._client is not None:
            await self._close(self._client)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _moved(self) -> bool:
        """Take up where the broker is now; return whether that is elsewhere than before."""
        if self._newest is None:
            return False
        try:
            servers, tls = self._newest()
        except SettingError as exc:
            self._troubles.begin(ADDRESS, f"the last good one is in use: {exc}")
            return False
        self._troubles.end(ADDRESS)
        moved = servers != self._servers
        self._servers = servers
        if self._proof is None:
            self._tls = tls
        return moved

    async def _connect(self) -> Client:
        self._moved()
        self._refusals = 0
        self._refused.clear()
        client = _StrictClient(demands_tls=self._tls is not None)
        attempt = asyncio.ensure_future(self._open(client))
        refused = asyncio.ensure_future(self._refused.wait())
        try:
            await asyncio.wait(
                {attempt, refused}, timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED
            )
            well = attempt.done() and attempt.exception() is None and client.is_connected
        except asyncio.CancelledError:
            client_closing = asyncio.ensure_future(client.close())  # or it would connect for ever
            self._closing.add(client_closing)
            client_closing.add_done_callback(self._closing.discard)
            raise
        finally:
            refused.cancel()
            attempt.cancel()
            await asyncio.gather(refused, attempt, return_exceptions=True)
        if well:
            self._since_s = _now_s()
            self._well()
            return client
        await self._close(client)
        if not self._refusals:
            self._refusal = ""
        raise Unreachable(self._refusal or AWAY, edge="broker")

    async def _open(self, client: Client) -> None:
        options: dict[str, Any] = {"reconnect_time_wait": 0.25}  # for the vendor's types an int
        if self._tls is not None:
            options["tls"] = self._tls
        if self._proof is not None:
            options |= {"tls_handshake_first": True, "inbox_prefix": self._proof.inbox}
        servers = self._servers
        if self._avoid:  # it comes last
            servers = sorted(servers, key=lambda url: url.endswith(self._avoid))
            options["dont_randomize"] = True
            self._avoid = ""

        async def closed() -> None:
            await self._was_closed(client)

        async def lost() -> None:
            if client is self._client and not self._stopped:
                self._troubles.begin(PLACE, self._refusal or AWAY)
                self._leave_if_moved(client)

        async def back() -> None:
            if client is self._client:
                self._well()
                self._changed()

        async def heard(error: Exception) -> None:
            self._hear(client, error)

        await client.connect(
            servers,
            name=self._name,
            connect_timeout=2,
            max_reconnect_attempts=-1,
            ping_interval=10,
            error_cb=heard,
            closed_cb=closed,
            disconnected_cb=lost,
            reconnected_cb=back,
            **options,
        )

    def _well(self) -> None:
        self._refusal = ""
        self._troubles.end(PLACE)

    def _hear(self, client: Client, error: Exception) -> None:
        """Take what the vendor's client tells: of a forbidden subject, or of a failed try."""
        text = str(error).removeprefix("nats: ")
        if _FORBIDDEN.search(text):
            self.refused_total += 1
            self.forbidden_total += 1
            if _DEAFENED.search(text):
                self._deafened = client
            self._troubles.happen("permissions", text)
        elif (tls := isinstance(error, ssl.SSLError | _NoTls)) or _REFUSED.search(text):
            self._refuse(f"no TLS with the broker: {text}" if tls else f"{REFUSED}: {text}")
            if client is self._client and not self._closing:  # it would try four times a second
                self._close_soon(client)
        elif not client.is_connected:  # a try of the vendor's to reconnect, which failed
            self._leave_if_moved(client)

    def _leave_if_moved(self, client: Client) -> None:
        """Close a client that looks for the broker where it is no more: it would do so for ever."""
        if client is self._client and not self._closing and self._moved():
            self._close_soon(client)

    def _close_soon(self, client: Client) -> None:
        task = asyncio.ensure_future(self._close(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _refuse(self, text: str) -> None:
        self.refused_total += 1
        self._refusals += 1
        self._refusal = text
        if self._refusals >= len(self._servers):
            self._refused.set()

    async def _was_closed(self, client: Client) -> None:
        if client is not self._client or self._stopped:
            return
        error = client.last_error
        if not self._refusal and error is not None and _REFUSED.search(str(error)):
            self._refuse(f"{REFUSED}: {str(error).removeprefix('nats: ')}")
        self._troubles.begin(PLACE, self._refusal or AWAY)
        self._changed()

    async def _close(self, client: Client) -> None:
        """Close a client; one that does not end in time is left to its end."""
        await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=CLOSE_S)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


class _NoTls(NatsError):
    """The server speaks in clear, and TLS was asked for."""

    def __str__(self) -> str:
        return "it offers none, and tls:// asks for it: nothing was sent"


class _StrictClient(Client):
    """The vendor's client, but that `tls://` is a demand.

    The vendor's own speaks in clear, password and all, to a server that does not ask for TLS. So
    the connection is looked at in the one place that every connection and reconnection passes
    before it says who it is.
    """

    def __init__(self, *, demands_tls: bool) -> None:
        super().__init__()
        self.demands_tls = demands_tls

    def _connect_command(self) -> bytes:
        transport: Any = self._transport
        writer = transport._io_writer
        if writer.get_extra_info("ssl_object") is not None:
            writer.transport.get_protocol()._over_ssl = True  # or asyncio warns when it ends
        elif self.demands_tls:
            raise _NoTls
        return super()._connect_command()
