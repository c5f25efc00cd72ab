"""A service serves whose request the gateway has signed, at the route that is really served."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import MetaData

from holdfast import Caller, Read, Service
from holdfast.contract.http import HeaderList, Peer, Request, Response
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.inner_headers import CALLER, TOKEN
from holdfast.dispatch.router import Target
from holdfast.dispatch.signed_callers import SignedCallers
from holdfast.observability import Tracer
from tests.ablations.off import off
from tests.dispatch.hosting import hosting, system
from tests.security.transactions import Forge

oven = Service("oven", tables=MetaData())
SYSTEM = system(oven)
FORGE = Forge()


@oven.get("/v1/bread/{loaf}", scope="bread:eat")
async def bread(loaf: str, caller: Caller, read: Read) -> str:
    """Say who eats."""
    return f"{caller.subject}:{','.join(sorted(caller.scopes))}:{caller.client}"


@oven.get("/v1/cake/{loaf}")
async def cake(loaf: str, caller: Caller, read: Read) -> str:
    """Say who eats."""
    return caller.subject


@oven.get("/v1/hours", public=True)
async def hours(read: Read) -> str:
    """Answer anybody."""
    return "always"


@oven.delete("/v1/bread/{loaf}")
async def burn(loaf: str, caller: Caller) -> None:
    """Burn it."""


@dataclass
class Oven:
    """A service's inner door, to which the gateway has come; and why it has refused something."""

    door: InnerDoor
    told: list[str] = field(default_factory=list[str])

    async def get(
        self, path: str, *tokens: bytes, method: str = "GET", more: HeaderList | None = None
    ) -> Response:
        """Forward a request with these transaction tokens."""
        headers = [*((TOKEN, token) for token in tokens), *(more or [])]
        request = Request(method, path, "", headers, peer=Peer("127.0.0.1", "https", "gateway"))
        return await self.door(request)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Oven]:
    async with hosting(SYSTEM, folder) as hosted:
        told: list[str] = []

        def refused(request: Request, reason: str, why: str) -> None:
            told.append(f"{request.route} {reason}")

        async def app(request: Request, path: dict[str, str]) -> Response:
            assert all(name != TOKEN for name, _ in request.headers), "apps do not see it"
            return Response(200, [], repr(request.caller).encode())

        hosted.router.mount("/app", Target("oven", "/app/", app, False, None))
        signed = SignedCallers(FORGE.verifier(), refused)
        tracer = Tracer(random.Random(1), ratio=0.0)
        yield Oven(InnerDoor(hosted.router, hosted.asks, tracer, signed=signed), told)


def token(claims: Mapping[str, Any] | None = None, **route: str) -> bytes:
    """Return a good token for `GET /v1/bread/{}`, or for another route."""
    good = {"service": "oven", "method": "GET", "route": "/v1/bread/{}"}
    return FORGE.token(claims={"tctx": {**good, **route}, **(claims or {})})


async def test_the_caller_is_who_was_signed(tmp_path: Path) -> None:
    """With scopes and client; what the path holds does not matter, the route does."""
    async with opened(tmp_path) as service:
        first = await service.get("/v1/bread/rye", token())
        second = await service.get("/v1/bread/%7Bloaf%7D", token())

    assert msgspec.json.decode(first.body) == "ada:bread:eat,bread:read:web"
    assert second.status == 200
    assert service.told == []


async def test_a_scope_that_was_not_signed_is_missing(tmp_path: Path) -> None:
    """A good token does not widen what it says; a role with a space is one role."""
    async with opened(tmp_path) as service:
        without = await service.get("/v1/bread/rye", token({"scope": ""}))
        role = {"scope": "", "scopes": ["not bread:eat"]}
        split = await service.get("/v1/bread/rye", token(role))

    assert (without.status, split.status) == (403, 403)
    assert service.told == []  # it is the route's refusal, as in one process


async def test_public_routes_and_preflights_of_apps_need_nobody(tmp_path: Path) -> None:
    """The gateway asks nobody there, so that it has nothing to sign."""
    asks = [(b"origin", b"https://a.example"), (b"access-control-request-method", b"GET")]
    async with opened(tmp_path) as service:
        public = await service.get("/v1/hours")
        preflight = await service.get("/app/x", method="OPTIONS", more=asks)
        options = await service.get("/app/x", method="OPTIONS")
        signed = await service.get("/app/x", token(route="/app/"))

    assert (public.status, preflight.body, options.status) == (200, b"None", 401)
    assert b"ada" in signed.body


async def test_head_is_signed_as_head(tmp_path: Path) -> None:
    """It is served by the route of GET, and is another request."""
    async with opened(tmp_path) as service:
        good = await service.get("/v1/bread/rye", token(method="HEAD"), method="HEAD")
        other = await service.get("/v1/bread/rye", token(), method="HEAD")

    assert (good.status, other.status) == (200, 403)


async def test_without_its_safeguard_a_name_in_clear_is_believed(tmp_path: Path) -> None:
    """Whoever has got the certificate of the gateway's TLS would be anybody."""
    async with opened(tmp_path) as service:
        refused = await service.get("/v1/bread/rye", more=[UNSIGNED])
        with off("signed_callers"):
            believed = await service.get("/v1/bread/rye", more=[UNSIGNED])

    assert (refused.status, believed.status) == (401, 200)


UNSIGNED = (CALLER, b'{"subject":"ada","scopes":["bread:eat"]}')
Attack = Callable[[Oven], Any]
ATTACKS: dict[str, tuple[Attack, int, str]] = {
    "no token": (lambda oven: oven.get("/v1/bread/rye"), 401, "missing"),
    "a name in clear": (lambda oven: oven.get("/v1/bread/rye", more=[UNSIGNED]), 401, "unsigned"),
    "a name in clear beside a token": (
        lambda oven: oven.get("/v1/bread/rye", token(), more=[UNSIGNED]),
        401,
        "unsigned",
    ),
    "two tokens": (lambda oven: oven.get("/v1/bread/rye", token(), token()), 401, "several"),
    "a bad one before a good one": (
        lambda oven: oven.get("/v1/bread/rye", b"x", token()),
        401,
        "several",
    ),
    "a bearer token": (
        lambda oven: oven.get("/v1/bread/rye", more=[(b"authorization", b"Bearer " + token())]),
        401,
        "missing",
    ),
    "of another route": (lambda oven: oven.get("/v1/cake/rye", token()), 403, "route"),
    "of another method": (
        lambda oven: oven.get("/v1/bread/rye", token(), method="DELETE"),
        403,
        "route",
    ),
    "of another service": (
        lambda oven: oven.get("/v1/bread/rye", token(service="mill")),
        403,
        "route",
    ),
    "of a route in other case": (
        lambda oven: oven.get("/v1/bread/rye", token(route="/V1/BREAD/{}")),
        403,
        "route",
    ),
    "of a path": (
        lambda oven: oven.get("/v1/bread/rye", token(route="/v1/bread/rye")),
        403,
        "route",
    ),
    "of any route": (lambda oven: oven.get("/v1/bread/rye", token(route="*")), 403, "route"),
    "of a route, at an app": (lambda oven: oven.get("/app/x", token()), 403, "route"),
    "bad at a public route": (lambda oven: oven.get("/v1/hours", b"x"), 401, "malformed"),
    "good, at a public route": (lambda oven: oven.get("/v1/hours", token()), 403, "route"),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_refused_and_told(tmp_path: Path, name: str) -> None:
    """Nothing runs; who operates the system learns why, and who asked its kind alone."""
    attack, status, reason = ATTACKS[name]
    async with opened(tmp_path) as service:
        answer = await attack(service)

    assert answer.status == status
    assert [told.rpartition(" ")[2] for told in service.told] == [reason]
    if answer.body:
        assert msgspec.json.decode(answer.body)["detail"].endswith(reason)
