"""An intruder: a service was taken over, and somebody tries with it what its edges do not allow.

He has its key and its name on the broker, and a node of his own. What he gets that he must not get
is a breach; the invariant `nobody_gets_what_no_edge_allows` tells of it.
"""

import random
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import msgspec

from holdfast.communication import PORT, ClientPool, HttpServer, Origin
from holdfast.contract.envelope import Kind, Lane, Letter, LetterAnswer, Parcel
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.dispatch.inner_headers import ASK, ASKING, CALLER, DEADLINE
from holdfast.engines.machine import MachineIds
from holdfast.errors import CallError
from holdfast.simulation.identity import SimIdentity
from holdfast.simulation.world import GATEWAY, World
from holdfast.system import GraphEdge

HIS_OWN = "his own authority"
PATIENCE_S = 5.0  # virtual, for an answer
_KINDS = {"command": Kind.COMMAND, "undo": Kind.UNDO, "event": Kind.EVENT}
_PATH_NAME = re.compile(r"\{[^}]*\}")
_CALLER = b'{"subject": "whom he likes", "scopes": [], "client": ""}'

Attempt = Callable[[], Awaitable[None]]


class Intruder:
    """Tries what a service that was taken over may not do.

    Args:
        service: the one that he has taken over.
    """

    def __init__(self, world: World, service: str, chance: random.Random) -> None:
        self._world, self._service, self._chance = world, service, chance
        self._node = world.visitor("intruder")
        self._edges = world.system.graph().edges
        self._network = world.network.of(self._node)
        self._clock = world.clocks[self._node.name]
        self._ids = MachineIds(chance.randbytes)
        self._stolen = self._pool(SimIdentity(service))
        self._made = self._pool(SimIdentity(GATEWAY, HIS_OWN))
        self._gateway = self._pool(SimIdentity(GATEWAY))

    def _pool(self, known: SimIdentity) -> ClientPool:
        """Return connections with a certificate."""
        return ClientPool(network=self._network, clock=self._clock, identity=known)

    async def attempt(self, count: int) -> None:
        """Try some of all that there is to try, at random, one after the other."""
        attempts = list(self.attempts())
        for one in self._chance.sample(attempts, min(count, len(attempts))):
            await self._world.within(self._node, one())

    def attempts(self) -> Iterator[Attempt]:
        """Yield all that there is to try."""
        for edge in self._edges:
            if edge.receiver in self._world.stores and edge.receiver != self._service:
                yield from self._along(edge)
        for name in self._world.services:
            if name != self._service:
                yield partial(self._answer, name)

    def _along(self, edge: GraphEdge) -> Iterator[Attempt]:
        """Yield what he may try at what an edge is for; it is not his, or in another's name."""
        if edge.kind == "route":
            yield partial(self._enter, edge, own=True)
            yield partial(self._enter, edge, own=False)
            yield partial(self._forge, edge)
        if edge.kind == "query":
            yield partial(self._ask, edge, edge.sender)
        if edge.kind in _KINDS:
            yield partial(self._write, edge, edge.sender)
        if edge.sender != self._service and not self._has(edge):
            if edge.kind == "query":
                yield partial(self._ask, edge, self._service)
            if edge.kind in _KINDS:
                yield partial(self._write, edge, self._service)

    def _has(self, edge: GraphEdge) -> bool:
        wanted = (self._service, edge.receiver, edge.kind, edge.message)
        return any((e.sender, e.receiver, e.kind, e.message) == wanted for e in self._edges)

    # -- doors

    async def _enter(self, edge: GraphEdge, own: bool) -> None:
        """Come to a route past the gateway."""
        pool = self._stolen if own else self._made
        as_ = self._service if own else f"a gateway of {HIS_OWN}"
        await self._knock(edge.receiver, _entering(edge, []), pool, f"{edge.message} as {as_}")

    async def _forge(self, edge: GraphEdge) -> None:
        """Come to a route as the gateway, with its certificate and without what signs callers."""
        request = _entering(edge, [(CALLER, _CALLER)])
        await self._knock(
            edge.receiver, request, self._gateway, f"{edge.message} for whom he likes"
        )

    async def _ask(self, edge: GraphEdge, says: str) -> None:
        """Ask a query that he has no edge for, or in the name of who has one."""
        if says == self._service and self._has(edge):
            return
        headers = [(ASK, b"1"), (DEADLINE, b"5000"), (b"content-type", b"application/json")]
        request = Request("POST", f"{ASKING}{says}/{edge.message}", "", headers, b"{}")
        what = f"{edge.message}, saying that he is {says}"
        await self._knock(edge.receiver, request, self._stolen, what)

    async def _knock(self, receiver: str, request: Request, pool: ClientPool, what: str) -> None:
        there = Origin(receiver, PORT, tls=True, workload=receiver)
        try:
            answer = await pool.request(there, request, deadline_s=PATIENCE_S)
        except CallError:
            return  # he was refused at the door, or nobody is there
        if answer.status not in (401, 403):
            self._gets(f"{receiver} answered {what} with {answer.status}")

    def _gets(self, what: str) -> None:
        self._world.breaches.append(f"{self._service}, taken over: {what}")

    # -- the broker

    async def _write(self, edge: GraphEdge, says: str) -> None:
        """Publish a letter that he may not send, in his own name or in another's."""
        if says == self._service and self._has(edge):
            return
        forge_letter(self._world, self._letter(edge), says, edge.receiver, self._service)

    def _letter(self, edge: GraphEdge) -> Letter:
        fresh = self._ids.uuid7(int(self._clock.now() * 1000))
        about = self._ids.uuid7(0) if edge.kind == "undo" else None
        return Letter(fresh, _KINDS[edge.kind], edge.message, msgspec.Raw(b"{}"), about=about)

    async def _answer(self, victim: str) -> None:
        """Answer what is another's to answer; he has got to know the ids of letters."""
        world, store = self._world, self._world.stores[victim]
        for row in store.open_rows():
            if store.sends(row) and (to := store.receiver(row.edge)) != self._service:
                answers = [LetterAnswer(row.id, "refused")]
                parcel = Parcel(victim, to, Lane.WORK, answers=answers)
                raw = msgspec.json.encode(parcel)
                world.broker.publish(victim, Lane.URGENT, raw, self._service)

    # -- the address of another

    async def pose(self, service: str) -> None:
        """Be where a service is said to be, and answer in its place."""

        async def answer(request: Request) -> Response:
            self._gets(f"{request.path} was sent to it, which is {service}'s")
            return Response(200, [(b"content-type", b"application/json")], b"{}")

        server = HttpServer(answer, network=self._network, clock=self._clock)
        listens = SimIdentity(self._service).listens()
        await self._world.within(self._node, server.start(self._node.name, PORT, tls=listens))
        self._world.lead(service, self._node.name)


def _entering(edge: GraphEdge, headers: HeaderList) -> Request:
    """Return a request of a route, as the gateway would forward it."""
    method, _, path = edge.message.partition(" ")
    headers = [*headers, (DEADLINE, b"5000")]
    return Request(method, _PATH_NAME.sub("1", path), "", headers, b"{}")


def forge_letter(world: World, letter: Letter, says: str, to: str, sender: str) -> None:
    """Publish a letter in somebody's name; the broker knows who the sender is."""
    parcel = Parcel(says, to, Lane.WORK, letters=[msgspec.Raw(msgspec.json.encode(letter))])
    world.forged.append(letter.id)
    world.broker.publish(to, Lane.WORK, msgspec.json.encode(parcel), sender)
