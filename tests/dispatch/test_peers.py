"""The inner door lets in who has proved to be somebody that the graph allows, and nobody else."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.http import Peer, Request, Response
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.inner_headers import ASK, DEADLINE, entry_headers
from holdfast.dispatch.signed_callers import SignedCallers, purpose_of
from holdfast.observability import Tracer
from holdfast.system import Caller
from tests.ablations.off import off
from tests.dispatch.hosting import hosting as hosting_services
from tests.dispatch.test_inner_door import SYSTEM
from tests.security.forge import NOW_S
from tests.security.transactions import Forge

ADA = Caller("ada", frozenset())


class Doored:
    """An inner door at which peers prove who they are, and what it refused."""

    def __init__(self, door: InnerDoor, told: list[tuple[str, str]], token: bytes) -> None:
        self._door, self.told, self._token = door, told, token

    async def ask(self, peer: str, sender: str, body: bytes = b'{"currency": "EUR"}') -> Response:
        """Ask for a rate as a service, over the connection of a peer."""
        headers = [(DEADLINE, b"1000"), (ASK, b"1")]
        request = Request("POST", f"/-/ask/{sender}/Rate.v1", "", headers, body)
        request.peer = Peer("127.0.0.1", "https", peer)
        return await self._door(request)

    async def route(self, peer: str, *, signed: bool = True) -> Response:
        """Forward a request of Ada's, over the connection of a peer."""
        token = self._token if signed else None
        told = entry_headers(Request("GET", "/v1/me", caller=ADA), 1.0, NO_CAUSE, token)
        request = Request("GET", "/v1/me", "", told)
        request.peer = Peer("127.0.0.1", "https", peer)
        return await self._door(request)


@asynccontextmanager
async def doored(folder: Path, *, identified: bool = True) -> AsyncIterator[Doored]:
    told: list[tuple[str, str]] = []
    async with hosting_services(SYSTEM, folder) as hosted:
        tracer = Tracer(random.Random(1), ratio=0.0)

        def refused(peer: str, wanted: str, why: str) -> None:
            told.append((peer, why))

        forge = Forge()
        signed = SignedCallers(
            forge.verifier(), lambda request, reason, why: told.append((reason, why))
        )
        purpose = purpose_of("money", "GET", "/v1/me")
        token = forge.signer().sign(
            ADA, purpose, transaction="1", now_s=NOW_S, until_s=float("inf")
        )
        callers = signed if identified else None
        yield Doored(InnerDoor(hosted.router, hosted.asks, tracer, refused, callers), told, token)


def detail(response: Response) -> str:
    document: dict[str, str] = msgspec.json.decode(response.body)
    return document["detail"]


async def test_who_the_graph_lets_ask_is_answered(tmp_path: Path) -> None:
    """Its certificate, its word and the graph say the same."""
    async with doored(tmp_path) as door:
        answer = await door.ask("shop", "shop")

    assert (answer.status, answer.body, door.told) == (200, b"1.5", [])


@pytest.mark.parametrize("peer", ["money", "gateway", "operator", "", "shop/2", "Shop"])
async def test_nobody_asks_in_the_name_of_another(tmp_path: Path, peer: str) -> None:
    """The word of the request is the one that the graph allows, the connection is another's."""
    async with doored(tmp_path) as door:
        answer = await door.ask(peer, "shop")

    assert answer.status == 403
    assert "nobody asks in the name of another service" in detail(answer)
    assert [who for who, _ in door.told] == [peer or "a stranger"]


async def test_who_has_no_edge_is_told_the_line_to_add(tmp_path: Path) -> None:
    """It is who it says, and nothing is declared for it."""
    async with doored(tmp_path) as door:
        answer = await door.ask("thief", "thief")

    assert answer.status == 403
    assert "add Rate to `calls=[…]` of Service('thief')" in detail(answer)
    assert [who for who, _ in door.told] == ["thief"]


async def test_routes_are_for_the_gateway(tmp_path: Path) -> None:
    """It alone knows whose request it is."""
    async with doored(tmp_path) as door:
        assert (await door.route("gateway")).status == 200
        for peer in ("shop", "money", "", "gateway/tokens"):
            assert (await door.route(peer)).status == 403

    assert len(door.told) == 4


async def test_who_may_not_ask_is_told_nothing_of_the_query(tmp_path: Path) -> None:
    """What its body should hold is no business of theirs: it is not looked at."""
    async with doored(tmp_path) as door:
        mine = await door.ask("shop", "shop", b"[]")
        others = await door.ask("thief", "thief", b"[]")

    assert (mine.status, others.status) == (422, 403)


@pytest.mark.parametrize(
    "switch", ["asker_is_the_peer", "declared_queries", "routes_for_the_gateway"]
)
async def test_without_a_safeguard_the_door_lets_somebody_in(tmp_path: Path, switch: str) -> None:
    """Each keeps out one of three who come, and no other one does."""
    with off(switch):
        async with doored(tmp_path) as door:
            came = {
                "asker_is_the_peer": await door.ask("thief", "shop"),
                "declared_queries": await door.ask("thief", "thief"),
                "routes_for_the_gateway": await door.route("thief"),
            }

    assert [name for name, answer in came.items() if answer.status != 403] == [switch]


async def test_without_identities_the_words_are_believed(tmp_path: Path) -> None:
    """That is `--insecure`: the same requests, and nobody is refused."""
    async with doored(tmp_path, identified=False) as door:
        assert (await door.ask("", "shop")).status == 200
        assert (await door.route("", signed=False)).status == 200

    assert door.told == []
