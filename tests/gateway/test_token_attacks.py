"""Every attack on tokens that we know of, sent to the door of a gateway over HTTP.

The gateway accepts signed tokens of two issuers, which may be bound to a key, and opaque ones.
Nothing in front of it knows what is sent; each attack differs in one thing from what is accepted.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast import (
    Caller,
    External,
    Gateway,
    Introspection,
    Model,
    Query,
    Service,
    System,
    Tokens,
    Tx,
)
from holdfast.contract.http import Request, Response
from holdfast.engines.machine import MachineClock
from holdfast.system.tokens import Binding
from holdfast.testing import Running, running, virtual_time
from tests.security.forge import (
    AUDIENCE,
    ISSUER,
    KIDS,
    NOW_S,
    b64,
    claims,
    header,
    private_key,
    public_jwk,
    signed,
    token,
)
from tests.security.proofs import HOLDER, ORIGIN, PATH, bound, hash_of, jwk_of, proof, thumbprint
from tests.security.test_token_attacks import every_attack

STAFF = "https://staff.example"
STAFF_KEY, MALLORY = private_key("EdDSA", 41), private_key("EdDSA", 66)
OPAQUE = "2YotnFZFEjr1zCsicMWpAA"
LEEWAY_S = 5


class GetKeys(Query[str]):
    """Ask for the public keys."""


class GetStaffKeys(Query[str]):
    """Ask for those of the second issuer."""


class Seen(Model):
    """What a handler knows of its caller."""

    subject: str
    scopes: list[str]


@dataclass
class Asked:
    """The issuer of opaque tokens: {token: what it says}; others are not active."""

    said: dict[str, Any] = field(default_factory=dict[str, Any])
    tokens: list[str] = field(default_factory=list[str])

    async def handle(self, request: Request) -> Response:
        """Answer about one token."""
        (sent,) = parse_qs(request.body.decode(), strict_parsing=True)["token"]
        self.tokens.append(sent)
        return Response(200, [], json.dumps(self.said.get(sent, {"active": False})).encode())


@dataclass
class Desk:
    """A service behind the gateway, which counts how often anybody got to it."""

    dpop: Binding | None = "accepted"
    asked: Asked = field(default_factory=Asked)
    reached: int = 0

    @property
    def system(self) -> System:
        """The system, with no limits that would refuse an attack for another reason."""
        service = Service("desk")
        for handler in (self.keys, self.staff_keys):
            service.handles(handler)
        service.get(PATH)(self.me)
        service.post(PATH)(self.write)
        gateway = Gateway(
            tokens=(
                Tokens(ISSUER, AUDIENCE, GetKeys, dpop=self.dpop),
                Tokens(STAFF, "staff-api", GetStaffKeys, max_lifetime_s=300),
                Introspection("https://opaque.example", "api", "https://o.example/i", "gateway"),
            ),
            per_address=None,
            per_caller=None,
            origins=(ORIGIN,),
        )
        system = System("tiny", [service], gateway)
        system.stand_in(External("opaque", "https://o.example"))(lambda _: self.asked)
        return system

    async def keys(self, query: GetKeys) -> str:
        """Bring a set as careless issuers publish it."""
        published = [public_jwk(private_key(algorithm), kid) for algorithm, kid in KIDS.items()]
        published += [
            {**public_jwk(private_key("EdDSA", 1), "enc"), "use": "enc"},
            {**public_jwk(private_key("EdDSA", 2), "leaked"), "d": b64(b"\x03" * 32)},
            public_jwk(private_key("weak RS256"), "weak"),
            {"kty": "oct", "kid": "oct", "k": b64("an octet key in the published set")},
        ]
        return json.dumps({"keys": published})

    async def staff_keys(self, query: GetStaffKeys) -> str:
        """Bring one key, which has a name that the other issuer uses as well."""
        return json.dumps({"keys": [public_jwk(STAFF_KEY, "ed")]})

    async def me(self, caller: Caller) -> Seen:
        """Say who asks."""
        self.reached += 1
        return Seen(subject=caller.subject, scopes=sorted(caller.scopes))

    async def write(self, caller: Caller, tx: Tx) -> None:
        """Do something."""
        self.reached += 1


@asynccontextmanager
async def serving(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Running]:
    """Run a desk at the time at which the attacks were made."""
    monkeypatch.setattr(MachineClock, "now", lambda _: float(NOW_S))
    environ = {
        "GATEWAY_INTROSPECTION_URL": "http://opaque/i",
        "GATEWAY_INTROSPECTION_SECRET": "secret",
    }
    async with running(desk.system, environ=environ) as run:
        yield run


def refusals(run: Running) -> dict[str, float]:
    """Return how often somebody was refused, by why, where it ever happened."""
    text = run.process.metrics.render().decode()
    found = re.findall(r'holdfast_unauthenticated_total\{.*reason="(\w+)"\} (\S+)', text)
    return {reason: float(value) for reason, value in found if float(value)}


@virtual_time
async def test_every_forged_token_is_refused_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly two hundred: the answer is 401, no handler is reached, no issuer is asked."""
    desk, sent = Desk(), 0
    async with serving(desk, monkeypatch) as run:
        for name, forged, _ in every_attack():
            text = forged.decode("latin-1") if isinstance(forged, bytes) else forged
            if not re.fullmatch(r"[\x21-\x7e]{0,8300}", text):
                continue  # no client can put it into a header, and no server would take it
            answer = await run.client.get(PATH, headers={"Authorization": f"Bearer {text}"})
            assert answer.status == 401, name
            assert answer.headers["www-authenticate"].startswith("Bearer "), name
            sent += 1
        asked, desk.asked.tokens = desk.asked.tokens, []
        good = await run.client.get(PATH, token=token())

    assert sent > 190
    assert not [text for text in asked if text.startswith("eyJ")], "signed tokens are not shown"
    assert (good.status, desk.reached) == (200, 1)


def staff(**changes: object) -> str:
    """Return a token of the second issuer."""
    good = {"iss": STAFF, "aud": "staff-api", "exp": NOW_S + 60}
    return token(body=claims(**{**good, **changes}), key=STAFF_KEY)


def said(**changes: object) -> dict[str, object]:
    """Return a good answer about an opaque token."""
    good = {"active": True, "sub": "user-1", "aud": "api", "scope": "a", "exp": NOW_S + 60}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


Headers = list[tuple[str, str]]


def bearer(text: str) -> Headers:
    """Return the header of a bearer token."""
    return [("Authorization", f"Bearer {text}")]


def proved(text: str, *proofs: str, scheme: str = "DPoP") -> Headers:
    """Return the headers of a token that is bound to a key, with its proofs."""
    return [("Authorization", f"{scheme} {text}"), *(("DPoP", one) for one in proofs)]


ISSUERS: dict[str, tuple[Headers, str]] = {
    "a key of the first issuer under the second's name": (
        bearer(token(body=claims(iss=STAFF, aud="staff-api", exp=NOW_S + 60))),
        "signature",
    ),
    "a key of the second issuer under the first's name": (
        bearer(staff(iss=ISSUER, aud=AUDIENCE)),
        "signature",
    ),
    "the second issuer for the first's audience": (bearer(staff(aud=AUDIENCE)), "audience"),
    "longer than the second issuer may": (bearer(staff(exp=NOW_S + 301)), "lifetime"),
    "the second issuer with a slash": (bearer(staff(iss=f"{STAFF}/")), "issuer"),
    "signed under the name of the issuer that is asked": (
        bearer(token(body=claims(iss="https://opaque.example", aud="api"))),
        "issuer",
    ),
    "unsigned under the name of the issuer that is asked": (
        bearer(".".join([b64('{"alg":"none"}'), b64('{"iss":"https://opaque.example"}'), ""])),
        "issuer",
    ),
    "a bound token for an issuer without proofs": (
        proved(good := staff(cnf={"jkt": thumbprint(HOLDER)}), proof(good)),
        "proof",
    ),
}

ANSWERS: dict[str, tuple[dict[str, object], str]] = {
    "an opaque token that nobody knows": ({"active": False}, "inactive"),
    "not active, with all else good": (said(active=False), "inactive"),
    "for another audience": (said(aud="other"), "audience"),
    "for no audience": (said(aud=None), "audience"),
    "of another issuer": (said(iss=ISSUER), "issuer"),
    "active, and expired": (said(exp=NOW_S - LEEWAY_S), "expired"),
    "active, and not yet good": (said(nbf=NOW_S + LEEWAY_S + 1), "not_yet"),
    "a refresh token": (said(token_type="refresh_token"), "claim"),
    "without a subject": (said(sub=None), "claim"),
    "with a subject of two lines": (said(sub="a\nb"), "claim"),
    "with scopes that break a line": (said(scope="a\nb"), "scope"),
}


def es256(text: str, **body: object) -> str:
    """Return a proof by a key of another kind."""
    key = private_key("ES256", 51)
    return proof(text, {"alg": "ES256", "jwk": jwk_of(key)}, body, key=key)


def bare(key: object) -> str:
    """Return a private key as text."""
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return b64(key.private_bytes_raw())


TOKEN = bound()
OTHER = bound(jti="token-2")
P = partial(proof, TOKEN)
PROOFS: dict[str, Callable[[], Headers]] = {
    # the token
    "a bound token as a bearer token": lambda: bearer(TOKEN),
    "a bound token as a bearer token, with a good proof": lambda: proved(
        TOKEN, P(), scheme="Bearer"
    ),
    "a bound token without a proof": lambda: proved(TOKEN),
    "an unbound token with a proof": lambda: proved(token(), proof(token())),
    "bound to nothing": lambda: proved(text := token(body=claims(cnf={})), proof(text)),
    "bound by a text": lambda: proved(text := token(body=claims(cnf="x")), proof(text)),
    "bound to a certificate": lambda: proved(
        text := token(body=claims(cnf={"x5t#S256": thumbprint(HOLDER)})), proof(text)
    ),
    "bound to two keys": lambda: proved(
        text := token(body=claims(cnf={"jkt": [thumbprint(HOLDER)]})), proof(text)
    ),
    "an opaque token with a proof": lambda: proved(OPAQUE, proof(OPAQUE)),
    # how many
    "two proofs": lambda: proved(TOKEN, P(), P(None, {"jti": "proof-2"})),
    "the same proof in two headers": lambda: proved(TOKEN, P(), P()),
    "two proofs in one header": lambda: proved(TOKEN, f"{P()}, {P()}"),
    "an empty proof": lambda: proved(TOKEN, ""),
    # the form
    "a proof of one part": lambda: proved(TOKEN, "proof"),
    "a proof without its signature": lambda: proved(TOKEN, P().rpartition(".")[0] + "."),
    "a proof with padding": lambda: proved(TOKEN, P() + "=="),
    "a proof of five parts": lambda: proved(TOKEN, P() + ".e30.e30"),
    "a proof over 4 KiB": lambda: proved(TOKEN, P(None, {"x": "x" * 4_096})),
    "a proof that says a thing twice": lambda: proved(
        TOKEN,
        signed(
            json.dumps({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk_of(HOLDER)}),
            f'{{"jti":"1","htm":"GET","htm":"POST","htu":"{ORIGIN}{PATH}","iat":{NOW_S},'
            f'"ath":"{hash_of(TOKEN)}"}}',
            HOLDER,
        ),
    ),
    "the token itself as its proof": lambda: proved(TOKEN, TOKEN),
    # its header
    "typ of an access token": lambda: proved(TOKEN, P({"typ": "at+jwt"})),
    "typ of any JWT": lambda: proved(TOKEN, P({"typ": "JWT"})),
    "no typ": lambda: proved(TOKEN, P({"typ": None})),
    "alg none": lambda: proved(TOKEN, P({"alg": "none"}).rpartition(".")[0] + "."),
    "alg HS256, with the public key as its secret": lambda: proved(TOKEN, P({"alg": "HS256"})),
    "alg of another key": lambda: proved(TOKEN, P({"alg": "ES256"})),
    "no key": lambda: proved(TOKEN, P({"jwk": None})),
    "a key as a text": lambda: proved(TOKEN, P({"jwk": "key"})),
    "a key by address": lambda: proved(TOKEN, P({"jwk": None, "jku": "https://evil.example/k"})),
    "a key and an address": lambda: proved(TOKEN, P({"jku": "https://evil.example/k"})),
    "a key in a certificate": lambda: proved(TOKEN, P({"x5c": ["AAAA"]})),
    "an extension": lambda: proved(TOKEN, P({"crit": ["exp"], "exp": NOW_S})),
    "a payload that is not encoded": lambda: proved(TOKEN, P({"b64": False})),
    "the key's private half": lambda: proved(
        TOKEN, P({"jwk": {**jwk_of(HOLDER), "d": bare(HOLDER)}})
    ),
    "a symmetric key": lambda: proved(TOKEN, P({"jwk": {"kty": "oct", "k": "AAAA"}})),
    "a key for encryption": lambda: proved(TOKEN, P({"jwk": {**jwk_of(HOLDER), "use": "enc"}})),
    # whose it is
    "another key": lambda: proved(TOKEN, P({"jwk": jwk_of(MALLORY)}, key=MALLORY)),
    "another key of another kind": lambda: proved(TOKEN, es256(TOKEN)),
    "another key under the name of the right one": lambda: proved(TOKEN, P(key=MALLORY)),
    "a signature of another proof": lambda: proved(
        TOKEN, P().rpartition(".")[0] + "." + P(None, {"jti": "2"}).rpartition(".")[2]
    ),
    # what it is for
    "another method": lambda: proved(TOKEN, P(None, {"htm": "POST"})),
    "the method in small letters": lambda: proved(TOKEN, P(None, {"htm": "get"})),
    "HEAD for GET": lambda: proved(TOKEN, P(None, {"htm": "HEAD"})),
    "no method": lambda: proved(TOKEN, P(None, {"htm": None})),
    "methods in a list": lambda: proved(TOKEN, P(None, {"htm": ["GET"]})),
    "another path": lambda: proved(TOKEN, P(None, {"htu": f"{ORIGIN}/v1/you"})),
    "a path below": lambda: proved(TOKEN, P(None, {"htu": f"{ORIGIN}{PATH}/"})),
    "another host": lambda: proved(TOKEN, P(None, {"htu": f"https://evil.example{PATH}"})),
    "another host, which the request names as its own": lambda: [
        *proved(TOKEN, P(None, {"htu": f"https://evil.example{PATH}"})),
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
    ],
    "our host as somebody's user": lambda: proved(
        TOKEN, P(None, {"htu": f"https://api.example@evil.example{PATH}"})
    ),
    "our host with a user": lambda: proved(
        TOKEN, P(None, {"htu": f"https://me@api.example{PATH}"})
    ),
    "another port": lambda: proved(TOKEN, P(None, {"htu": f"{ORIGIN}:8443{PATH}"})),
    "in clear": lambda: proved(TOKEN, P(None, {"htu": f"http://api.example{PATH}"})),
    "a path alone": lambda: proved(TOKEN, P(None, {"htu": PATH})),
    "places in a list": lambda: proved(TOKEN, P(None, {"htu": [f"{ORIGIN}{PATH}"]})),
    "no place": lambda: proved(TOKEN, P(None, {"htu": None})),
    # when
    "made too long ago": lambda: proved(TOKEN, P(None, {"iat": NOW_S - 66})),
    "made in the future": lambda: proved(TOKEN, P(None, {"iat": NOW_S + 6})),
    "made at no time": lambda: proved(TOKEN, P(None, {"iat": None})),
    "a time as a text": lambda: proved(TOKEN, P(None, {"iat": str(NOW_S)})),
    "a time that is true": lambda: proved(TOKEN, P(None, {"iat": True})),
    "a time of 300 digits": lambda: proved(TOKEN, P(None, {"iat": 10**300})),
    # for which token
    "for another token of the same key": lambda: proved(TOKEN, proof(OTHER)),
    "for no token": lambda: proved(TOKEN, P(None, {"ath": None})),
    "for the token's hash in hex": lambda: proved(TOKEN, P(None, {"ath": "0" * 64})),
    # its name
    "no name": lambda: proved(TOKEN, P(None, {"jti": None})),
    "an empty name": lambda: proved(TOKEN, P(None, {"jti": ""})),
    "a number for a name": lambda: proved(TOKEN, P(None, {"jti": 1})),
    "a name of 257 characters": lambda: proved(TOKEN, P(None, {"jti": "x" * 257})),
}


async def get(run: Running, headers: Headers, method: str = "GET") -> Any:
    """Send a request with headers that may be there twice."""
    wire = [(name.lower().encode(), value.encode()) for name, value in headers]
    origin = run.client._origin  # pyright: ignore  # it alone sends a header twice
    pool = run.client._pool  # pyright: ignore
    return await pool.request(origin, Request(method, PATH, headers=wire), deadline_s=10)


@pytest.mark.parametrize("name", ISSUERS)
@virtual_time
async def test_issuers_are_not_mixed_at_the_door(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is one issuer's is refused under the name of another, and for that reason."""
    headers, reason = ISSUERS[name]
    desk = Desk()
    async with serving(desk, monkeypatch) as run:
        assert (await run.client.get(PATH, token=staff())).status == 200
        refused = await get(run, headers)

        assert (refused.status, refusals(run)) == (401, {reason: 1.0})
    assert desk.asked.tokens == []


@virtual_time
async def test_what_an_issuer_does_not_vouch_for_is_refused_at_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each for its reason; a good one comes in beside them."""
    desk = Desk()
    desk.asked.said = {f"token-{n}": answer for n, (answer, _) in enumerate(ANSWERS.values())}
    desk.asked.said["good"] = said()
    async with serving(desk, monkeypatch) as run:
        for n, (name, (_, reason)) in enumerate(ANSWERS.items()):
            before = refusals(run).get(reason, 0.0)
            assert (await run.client.get(PATH, token=f"token-{n}")).status == 401, name
            assert refusals(run)[reason] == before + 1, name
        assert (await run.client.get(PATH, token="good")).status == 200
    assert desk.reached == 1


@virtual_time
async def test_a_token_without_a_good_proof_is_refused_at_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each proof differs in one thing from one that is accepted, which it does not use up."""
    desk = Desk()
    desk.asked.said[OPAQUE] = said()
    async with serving(desk, monkeypatch) as run:
        for number, (name, make) in enumerate(PROOFS.items()):
            before = refusals(run).get("proof", 0.0)
            answer = await get(run, make())
            told = dict(answer.headers)
            assert answer.status == 401, name
            assert refusals(run)["proof"] == before + 1, name
            assert b"the proof" not in answer.body, "which check failed is for us alone"
            if b'error="invalid_dpop_proof"' not in told[b"www-authenticate"]:
                assert name.startswith("bound "), name
            good = await get(run, proved(TOKEN, P(None, {"jti": f"good-{number}"})))
            assert good.status == 200, name
    assert desk.reached == len(PROOFS)


GOOD: dict[str, Callable[[], Headers]] = {
    "as it should be": lambda: proved(TOKEN, P()),
    "the scheme in small letters": lambda: proved(TOKEN, P(), scheme="dpop"),
    "a key of another kind": lambda: proved(text := bound(private_key("ES256", 51)), es256(text)),
    "an RSA key": lambda: proved(
        text := bound(rsa := private_key("RS256", 51)),
        proof(text, {"alg": "RS256", "jwk": jwk_of(rsa)}, key=rsa),
    ),
    "a key that has a name": lambda: proved(TOKEN, P({"jwk": {**jwk_of(HOLDER), "kid": "mine"}})),
    "the type in full": lambda: proved(TOKEN, P({"typ": "application/dpop+jwt"})),
    "with a query": lambda: proved(TOKEN, P(None, {"htu": f"{ORIGIN}{PATH}?a=1#b"})),
    "the host in capitals, with the usual port": lambda: proved(
        TOKEN, P(None, {"htu": f"HTTPS://API.example:443{PATH}"})
    ),
    "the path in another spelling": lambda: proved(
        TOKEN, P(None, {"htu": f"{ORIGIN}/x/../v1/%6De"})
    ),
    "with a nonce that nobody asked for": lambda: proved(TOKEN, P(None, {"nonce": "x"})),
    "a clock that is behind by the leeway": lambda: proved(TOKEN, P(None, {"iat": NOW_S - 64})),
    "a clock that is ahead by the leeway": lambda: proved(TOKEN, P(None, {"iat": NOW_S + 5})),
    "an unbound bearer token": lambda: bearer(token()),
}


@pytest.mark.parametrize("name", GOOD)
@virtual_time
async def test_a_good_proof_lets_its_token_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the attacks are one step away from, and what clients write differently."""
    async with serving(Desk(), monkeypatch) as run:
        answer = await get(run, GOOD[name]())

    assert (answer.status, json.loads(answer.body)["subject"]) == (200, "user-1")


@virtual_time
async def test_a_proof_is_good_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for whoever saw it go by, until it is too old; for another method it never was."""
    desk = Desk()
    async with serving(desk, monkeypatch) as run:
        early = proved(TOKEN, P(None, {"iat": NOW_S + 5}))
        first = await get(run, early)
        again = []
        for _ in range(80):
            again.append((await get(run, early)).status)
            await asyncio.sleep(1)
        other = await get(run, proved(TOKEN, P(None, {"iat": NOW_S + 60, "jti": "2"})), "POST")
        assert refusals(run) == {"proof": 81.0}

    assert (first.status, set(again), other.status) == (200, {401}, 401)
    assert desk.reached == 1


@virtual_time
async def test_the_same_name_of_another_key_is_another_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can use up the names of others."""
    async with serving(Desk(), monkeypatch) as run:
        first = await get(run, proved(TOKEN, P()))
        text = bound(private_key("ES256", 51))
        second = await get(run, proved(text, es256(text)))

    assert (first.status, second.status) == (200, 200)


@virtual_time
async def test_where_proofs_are_required_no_bearer_token_comes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stolen token is then of no use to who has not its key."""
    async with serving(Desk(dpop="required"), monkeypatch) as run:
        statuses = [
            (await get(run, headers)).status
            for headers in (bearer(token()), bearer(TOKEN), proved(TOKEN, P()))
        ]
        missing = await get(run, [])
        assert refusals(run) == {"proof": 2.0, "missing": 1.0}

    assert statuses == [401, 401, 200]
    challenge = dict(missing.headers)[b"www-authenticate"]
    assert challenge == b'Bearer realm="api", DPoP realm="api", algs="EdDSA ES256 RS256"'


@virtual_time
async def test_without_the_option_a_proof_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme is none that is known, and a token is a bearer token whatever `cnf` says."""
    async with serving(Desk(dpop=None), monkeypatch) as run:
        unknown = await get(run, proved(TOKEN, P()))
        taken = await get(run, bearer(TOKEN))

        assert refusals(run) == {"missing": 1.0}
    assert (unknown.status, taken.status) == (401, 200)


SKEW: dict[str, tuple[dict[str, int], int]] = {
    "ended the leeway ago": ({"iat": NOW_S - 60, "exp": NOW_S - LEEWAY_S}, 401),
    "ended a second less than the leeway ago": (
        {"iat": NOW_S - 60, "exp": NOW_S - LEEWAY_S + 1},
        200,
    ),
    "made the leeway ahead": ({"iat": NOW_S + LEEWAY_S}, 200),
    "made a second more than the leeway ahead": ({"iat": NOW_S + LEEWAY_S + 1}, 401),
    "good from the leeway ahead": ({"nbf": NOW_S + LEEWAY_S}, 200),
    "good from a second more than the leeway ahead": ({"nbf": NOW_S + LEEWAY_S + 1}, 401),
}


@pytest.mark.parametrize("name", SKEW)
@virtual_time
async def test_clocks_may_disagree_by_the_leeway(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by no second more, whether the issuer's clock is ahead or behind."""
    changes, status = SKEW[name]
    async with serving(Desk(), monkeypatch) as run:
        assert (await run.client.get(PATH, token=token(body=claims(**changes)))).status == status


def names() -> Iterator[str]:
    """Yield the name of every attack that is sent to the door."""
    yield from (name for name, _, _ in every_attack())
    yield from (f"issuers: {name}" for name in ISSUERS)
    yield from (f"opaque: {name}" for name in ANSWERS)
    yield from (f"proof: {name}" for name in PROOFS)


def test_the_attacks_at_the_door_are_many() -> None:
    """The lists do not shrink unnoticed: sixty are asked for."""
    assert len(ISSUERS) + len(ANSWERS) + len(PROOFS) >= 80
    assert len(list(names())) == len(set(names())) >= 280
    assert header()["typ"] == "at+jwt"
