"""Opaque tokens at the gateway's door, and an issuer that is asked about them over HTTP."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest

from holdfast import (
    Caller,
    External,
    Gateway,
    Introspection,
    Model,
    Saga,
    Service,
    System,
    Tokens,
    Tx,
)
from holdfast.contract.http import Request, Response
from holdfast.errors import SettingError
from holdfast.resilience import DEFAULT
from holdfast.runtime.introspection import ANSWER_S
from holdfast.testing import Running, running, virtual_time

ISSUER = "https://issuer.example"
SECRET = "s3cret &+:/%ü"
ASKED = Introspection(ISSUER, "api", "https://issuer.example/introspect", "shop:gateway")


class Guest(Model):
    """Who stays."""

    name: str


@dataclass
class Issuer:
    """An introspection endpoint; `said` is {token: its answer}, and others are not active."""

    said: dict[str, dict[str, Any]] = field(default_factory=dict[str, Any])
    status: int = 200
    asked: list[Request] = field(default_factory=list[Request])
    takes_s: float = 0.0

    async def handle(self, request: Request) -> Response:
        """Answer about one token."""
        self.asked.append(request)
        await asyncio.sleep(self.takes_s)
        body = parse_qs(request.body.decode(), strict_parsing=True)
        answer = self.said.get(body["token"][0], {"active": False})
        return Response(self.status, [], json.dumps(answer).encode())

    def knows(self, token: str, subject: str, **more: object) -> None:
        """Have a token that is active."""
        self.said[token] = {"active": True, "sub": subject, "aud": "api", "scope": "a b", **more}


async def me(caller: Caller) -> list[str]:
    """Say who asks."""
    return [caller.subject, *sorted(caller.scopes)]


@asynccontextmanager
async def desk(
    issuer: Issuer, gateway: Gateway | None = None, service: Service | None = None
) -> AsyncGenerator[Running]:
    """Run a service behind a gateway that asks this issuer."""
    service = service or Service("desk")
    service.get("/v1/me")(me)
    gateway = gateway or Gateway(tokens=ASKED)
    system = System("tiny", [service], replace(gateway, per_address=None, per_caller=None))
    system.stand_in(External("issuer", "https://issuer.example"))(lambda _: issuer)
    environ = {
        "GATEWAY_INTROSPECTION_URL": "http://issuer/introspect",
        "GATEWAY_INTROSPECTION_SECRET": SECRET,
    }
    async with running(system, environ=environ) as run:
        yield run


def refusals(run: Running) -> dict[str, float]:
    """Return how often somebody was refused, by why, where it ever happened."""
    text = run.process.metrics.render().decode()
    found = re.findall(r'holdfast_unauthenticated_total\{.*reason="(\w+)"\} (\S+)', text)
    return {reason: float(value) for reason, value in found if float(value)}


@virtual_time
async def test_a_token_that_the_issuer_vouches_for_comes_in() -> None:
    """The issuer is asked as RFC 7662 wants it, by a client with a secret, and once."""
    issuer = Issuer()
    issuer.knows("opaque+/token==", "ada")
    async with desk(issuer) as run:
        answers = [await run.client.get("/v1/me", token="opaque+/token==") for _ in range(3)]

    assert [answer.json() for answer in answers] == [["ada", "a", "b"]] * 3
    (asked,) = issuer.asked
    assert (asked.method, asked.path) == ("POST", "/introspect")
    assert asked.header(b"content-type") == b"application/x-www-form-urlencoded"
    form = parse_qs(asked.body.decode())
    assert form == {"token": ["opaque+/token=="], "token_type_hint": ["access_token"]}
    scheme, _, client = (asked.header(b"authorization") or b"").partition(b" ")
    name, _, secret = base64.b64decode(client).decode().partition(":")
    assert (scheme, unquote_plus(name), unquote_plus(secret)) == (b"Basic", "shop:gateway", SECRET)


@virtual_time
async def test_a_token_that_is_taken_back_is_refused_in_time() -> None:
    """When its answer is `cache_s` old; one that is refused may be good five seconds later."""
    issuer = Issuer()
    issuer.knows("opaque", "ada")
    async with desk(issuer) as run:
        assert (await run.client.get("/v1/me", token="opaque")).status == 200
        issuer.said.clear()
        await asyncio.sleep(60)
        taken_back = await run.client.get("/v1/me", token="opaque")
        issuer.knows("opaque", "ada")
        at_once = await run.client.get("/v1/me", token="opaque")
        await asyncio.sleep(5)
        later = await run.client.get("/v1/me", token="opaque")

        assert refusals(run) == {"inactive": 2.0}
    assert [taken_back.status, at_once.status, later.status] == [401, 401, 200]
    assert len(issuer.asked) == 3


@virtual_time
async def test_a_saga_goes_on_when_the_token_has_ended() -> None:
    """For days: it says for whom it is, as data, and nobody asks for a proof of that again."""
    issuer, service, told = Issuer(), Service("desk"), list[str]()
    issuer.knows("opaque", "ada")

    @service.saga
    async def stay(saga: Saga, guest: Guest) -> None:
        await saga.sleep(timedelta(days=3))
        await saga.local(leave, guest)

    async def leave(tx: Tx, guest: Guest) -> None:
        told.append(tx.on_behalf_of)

    @service.post("/v1/stays", status_code=202)
    async def come(body: Guest, tx: Tx) -> None:
        tx.start(stay, body)

    async with desk(issuer, service=service) as run:
        came = await run.client.post("/v1/stays", json={"name": "Ada"}, token="opaque")
        issuer.said.clear()
        await asyncio.sleep(120)
        again = await run.client.post("/v1/stays", json={"name": "Ada"}, token="opaque")
        await run.settled()

    assert (came.status, again.status) == (202, 401)
    assert told == ["ada"]


@virtual_time
async def test_an_issuer_that_is_away_is_no_refusal() -> None:
    """503 and not 401: who holds a good token keeps it. Known ones come in; the breaker opens."""
    issuer = Issuer()
    issuer.knows("known", "ada")
    async with desk(issuer) as run:
        await run.client.get("/v1/me", token="known")
        issuer.status = 500
        away = [await run.client.get("/v1/me", token=f"new-{n}") for n in range(100)]
        known = await run.client.get("/v1/me", token="known")
        asked = len(issuer.asked)
        issuer.status = 200
        await asyncio.sleep(60)
        issuer.knows("new-1", "bob")
        back = await run.client.get("/v1/me", token="new-1")

        assert refusals(run) == {"no_answer": 100.0}
        run.process.logger.flush()
        assert b"answered 500" in run.log.getvalue()
    assert {answer.status for answer in away} == {503}
    assert away[0].headers["retry-after"] == "1"
    assert away[0].json()["code"] == "issuer_away"
    assert asked < 60, "the breaker"
    assert (known.status, back.status) == (200, 200)


@virtual_time
async def test_an_issuer_has_so_long_to_answer() -> None:
    """Within one try its answer counts; after the time of all of them the caller is told."""
    issuer, loop = Issuer(), asyncio.get_running_loop()
    issuer.knows("late", "ada")
    found = list[tuple[int, float]]()
    async with desk(issuer) as run:
        for issuer.takes_s in (DEFAULT.timeout_s - 0.1, ANSWER_S + 60):
            began = loop.time()
            answer = await run.client.get("/v1/me", token="late")
            found.append((answer.status, loop.time() - began))
            await asyncio.sleep(60)  # what was answered is forgotten

    assert [status for status, _ in found] == [200, 503]
    assert found[1][1] == pytest.approx(ANSWER_S, abs=0.01)


@virtual_time
async def test_a_secret_that_is_wrong_is_our_own_mistake() -> None:
    """The issuer refuses us, not the caller; the log says so, and has no secret and no token."""
    issuer = Issuer(status=401)
    async with desk(issuer) as run:
        answer = await run.client.get("/v1/me", token="opaque-token-of-ada")
        run.process.logger.flush()
        log = run.log.getvalue().decode()

    assert answer.status == 503
    assert "are client_id and secret right?" in log
    for hidden in (SECRET, "s3cret", "opaque-token-of-ada"):
        assert hidden not in log + str(answer)


@virtual_time
async def test_signed_tokens_are_not_sent_there() -> None:
    """Not even those that no issuer of this gateway has signed."""
    issuer = Issuer()
    keys = Tokens("https://other.example", "api", "https://other.example/keys")
    signed = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0.AAAA"
    async with desk(issuer, Gateway(tokens=(keys, ASKED))) as run:
        answer = await run.client.get("/v1/me", token=signed)

    assert answer.status == 401
    assert issuer.asked == []


async def test_without_the_secret_nothing_starts() -> None:
    """The line says which variable, for which client, and the other way to set it."""
    service = Service("desk")
    service.get("/v1/me")(me)
    system = System("tiny", [service], Gateway(tokens=ASKED))

    with pytest.raises(SettingError, match=r"GATEWAY_INTROSPECTION_SECRET is not set.*'shop:gatew"):
        async with running(system):
            raise AssertionError("it started")
