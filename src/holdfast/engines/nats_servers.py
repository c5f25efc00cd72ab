"""What the provisioner asks the servers themselves: who is connected, and what they show.

A server looks at a certificate when a connection begins, and never again: whoever has stolen one
would stay for as long as he likes. So connections that are older than ours ever get are ended. A
server that is told to read its files again says in its own log alone that it could not, and shows
the certificate of before until it ends: that is seen before anybody is refused.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec
from nats.errors import Error as NatsError

from holdfast.engines.nats_connection import AGE_S, NatsConnection
from holdfast.engines.nats_names import CONNECTIONS, FIGURES, KICK
from holdfast.engines.troubles import Troubles

LIFE_S = AGE_S + 120.0
"""Connections that are older are ended; ours are renewed long before, and retire soon after."""
SHOWN_SOON_S = 1_200.0
"""A server that shows a certificate of which less is left has not taken up the next one."""
ANSWER_S = 2.0
QUIET_S = 0.5  # servers of a cluster answer at once, each for itself
_LISTED = 1_024
_NONE = 500  # it has ended already


class NatsClient(msgspec.Struct, frozen=True):
    """A connection, as its server tells of it."""

    cid: int
    start: datetime
    ip: str = ""
    authorized_user: str = ""


class NatsClients(msgspec.Struct, frozen=True):
    """Those of one server, the oldest first."""

    server_id: str
    now: datetime
    connections: list[NatsClient] = []


class Figures(msgspec.Struct, frozen=True):
    """What a server tells of itself."""

    server_id: str
    server_name: str
    now: datetime
    config_load_time: datetime
    tls_cert_not_after: datetime | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    description: str = ""


class _Told(msgspec.Struct, frozen=True):
    data: msgspec.Raw = msgspec.Raw(b"{}")
    error: _Error | None = None


_T = TypeVar("_T", NatsClients, Figures)


@dataclass(frozen=True, slots=True)
class OldConnection:
    """A connection that is too old. server: its id; cid: the connection's there."""

    server: str
    cid: int
    who: str
    age_s: float


def grown_old(
    told: NatsClients, *, life_s: float, own: tuple[str, int] | None = None
) -> list[OldConnection]:
    """Return the connections of a server that are older than `life_s`, by its own clock.

    Args:
        own: (server, connection) of who asks: it would end nobody's any more.
    """
    found: list[OldConnection] = []
    for one in told.connections:
        age_s = (told.now - one.start).total_seconds()
        if age_s > life_s and (told.server_id, one.cid) != own:
            who = f"{one.authorized_user or 'somebody'} at {one.ip}"
            found.append(OldConnection(told.server_id, one.cid, who, age_s))
    return found


def out_of_date(told: Iterable[Figures]) -> str | None:
    """Return which servers show a certificate that should have been followed by now, or None."""
    found: list[str] = []
    for one in told:
        if one.tls_cert_not_after is None:
            continue
        left_s = (one.tls_cert_not_after - one.now).total_seconds()
        if left_s < SHOWN_SOON_S:
            found.append(f"{one.server_name} shows a certificate that ends in {left_s:.0f} s")
    return f"{'; '.join(found)}: it took up no other, and its log says why" if found else None


class NatsServers:
    """Looks at the servers of a broker.

    Args:
        connection: of the provisioner, whose rights let it.
        life_s: see LIFE_S.

    Attributes:
        ended_total: connections that it has ended.
    """

    def __init__(
        self, connection: NatsConnection, troubles: Troubles, *, life_s: float = LIFE_S
    ) -> None:
        self._connection, self._troubles, self._life_s = connection, troubles, life_s
        self.ended_total = 0

    async def look(self) -> None:
        """End connections that are too old, and say which server shows an old certificate.

        Raises:
            Unreachable, NatsError, TimeoutError: the broker is away, or does not let it.
        """
        client = await self._connection.half_typed()
        own = (str(client._server_info.get("server_id")), int(client.client_id))
        asked = {"auth": True, "sort": "start", "limit": _LISTED}
        for told in await self._told(CONNECTIONS, asked, NatsClients):
            for old in grown_old(told, life_s=self._life_s, own=own):
                await self._end(old)
        why = out_of_date(await self.figures())
        if why is None:
            self._troubles.end("certificate")
        else:
            self._troubles.begin("certificate", why)

    async def figures(self) -> list[Figures]:
        """Return what each server tells of itself. Raises Unreachable, NatsError."""
        return await self._told(FIGURES, {}, Figures)

    async def _end(self, old: OldConnection) -> None:
        client = await self._connection.half_typed()
        asked = msgspec.json.encode({"cid": old.cid})
        answer = await client.request(f"{KICK}.{old.server}", asked, timeout=ANSWER_S)
        error = msgspec.json.decode(answer.data, type=_Told).error
        if error is not None and error.code == _NONE:
            return
        if error is not None:
            why = error.description
            raise NatsError(f"the server does not end the connection of {old.who}: {why}")
        self.ended_total += 1
        logging.getLogger("holdfast").warning(
            "provisioner: the connection of %s is ended: it was %.0f s old", old.who, old.age_s
        )

    async def _told(self, subject: str, asked: Mapping[str, object], kind: type[_T]) -> list[_T]:
        """Return what each server answers."""
        client = await self._connection.half_typed()
        inbox = client.new_inbox()
        heard = await client.subscribe(inbox)
        found: list[_T] = []
        try:
            await client.publish(subject, msgspec.json.encode(asked), reply=inbox)
            wait_s = ANSWER_S
            while True:
                try:
                    answer = await heard.next_msg(timeout=wait_s)
                except TimeoutError:
                    break
                told = msgspec.json.decode(answer.data or b"{}", type=_Told)
                found.append(msgspec.json.decode(told.data, type=kind))
                wait_s = QUIET_S
        except msgspec.MsgspecError as exc:
            raise NatsError(f"a server's answer to {subject} cannot be read: {exc}") from exc
        finally:
            await heard.unsubscribe()
        if not found:
            raise NatsError(f"no server answers to {subject}: its settings are of before")
        return found
