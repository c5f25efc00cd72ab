"""The whole way in, over HTTP: tokens, rates, deadlines, correlation, recorded answers, mounts."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, Uuid

from holdfast import Caller, Gateway, Model, Query, Rate, Read, Service, System, Tokens, Tx
from holdfast.communication import Origin
from holdfast.contract.http import Request, Response
from holdfast.gateway import Door
from holdfast.gateway.authentication import UNAUTHENTICATED
from holdfast.security import SigningKey, TokenSigner, public_jwks
from holdfast.testing import Running, running
from holdfast.testing.run import Answer, Client
from tests.gateway.spoofed import SPOOFED

METADATA = MetaData()
NOTES = Table(
    "note", METADATA, Column("id", Uuid, primary_key=True), Column("text", String, nullable=False)
)
ISSUER, AUDIENCE = "https://issuer.example", "https://api.example"
KEY = SigningKey(bytes(32))
SIGNER = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE)


class GetKeys(Query[str]):
    """Ask for the public keys."""


class Note(Model):
    """A body."""

    text: str


class Seen(Model):
    """What a handler knows of its caller."""

    subject: str
    scopes: list[str]


TOKENS = Tokens(issuer=ISSUER, audience=AUDIENCE, keys=GetKeys)
OPEN = Gateway(tokens=TOKENS, per_caller=None, per_address=None)


def token(subject: str = "ada", *scopes: str, now: float | None = None) -> str:
    """Return a token that is good for a minute."""
    at = time.time() if now is None else now
    return SIGNER.sign(subject, scopes, now=at, lifetime_s=60, token_id="t-1")


@dataclass
class Desk:
    """A service with a door of every kind; `gate` holds up who asks for /v1/slow."""

    gateway: Gateway = OPEN
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    notes: list[str] = field(default_factory=list[str])

    @property
    def system(self) -> System:
        """The system of this one service."""
        service = Service("desk", tables=METADATA)
        service.handles(self.keys)
        service.get("/v1/me")(self.me)
        service.get("/v1/slow", public=True)(self.slow)
        service.post("/v1/notes", status_code=201, scope="notes:write")(self.write)
        service.mount("/old", legacy)
        service.mount("/open", legacy, public=True)
        return System("tiny", services=[service], gateway=self.gateway)

    async def keys(self, query: GetKeys) -> str:
        """Bring the keys."""
        return json.dumps(public_jwks([KEY]))

    async def me(self, caller: Caller) -> Seen:
        """Say who asks."""
        return Seen(subject=caller.subject, scopes=sorted(caller.scopes))

    async def slow(self, read: Read) -> Note:
        """Answer when the gate is open."""
        self.entered.set()
        await self.gate.wait()
        return Note(text="at last")

    async def write(self, body: Note, tx: Tx) -> Note:
        """Write a note down."""
        self.notes.append(body.text)
        tx.insert(NOTES, id=tx.new_id(), text=body.text)
        return body


async def legacy(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Say what an ASGI app sees of a request."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    names = sorted(name.decode() for name, _ in scope["headers"])
    host = dict(scope["headers"]).get(b"host", b"").decode()
    client = scope["client"] and scope["client"][0]
    origin = [client, scope["scheme"], host]
    seen = {"path": scope["path"], "root": scope["root_path"], "names": names, "origin": origin}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


@dataclass
class Still:
    """A clock that stands."""

    at: float

    def now(self) -> float:
        """Return the time."""
        return self.at

    def monotonic(self) -> float:
        """Return the time."""
        return self.at


@pytest.fixture
async def desk() -> Desk:
    """Return a desk that is not running yet."""
    return Desk()


@pytest.fixture
async def run(desk: Desk) -> AsyncIterator[Running]:
    """Run the desk."""
    async with running(desk.system) as run:
        yield run


def code(answer: Answer, status: int) -> str:
    """Return the code of a problem document, after a look at its status."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    found: str = answer.json()["code"]
    return found


async def test_a_good_token_becomes_the_caller(run: Running) -> None:
    """The keys came from a service of the system itself."""
    answer = await run.client.get("/v1/me", token=token("ada", "b", "a"))

    assert (answer.status, answer.json()) == (200, {"subject": "ada", "scopes": ["a", "b"]})


@pytest.mark.parametrize(
    ("bearer", "invalid"), [(None, False), ("nonsense", True), ("expired", True)]
)
async def test_without_a_good_token_nobody_comes_in(
    run: Running, bearer: str | None, invalid: bool
) -> None:
    """The challenge says which of the two it is, and no more."""
    bearer = token(now=time.time() - 3_600) if bearer == "expired" else bearer
    answer = await run.client.get("/v1/me", token=bearer)

    assert code(answer, 401) == "unauthenticated"
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert ("invalid_token" in challenge) is invalid


REFUSED: dict[str, dict[str, str]] = {
    "missing": {},
    "bad_header": {"Authorization": "Bearer a b"},
    "malformed": {"Authorization": "Bearer nonsense"},
    "expired": {"Authorization": f"Bearer {token(now=time.time() - 3_600)}"},
    "audience": {
        "Authorization": "Bearer "
        + TokenSigner(KEY, issuer=ISSUER, audience="elsewhere").sign(
            "ada", (), now=time.time(), lifetime_s=60, token_id="t-1"
        )
    },
}


def refusals(run: Running) -> dict[str, float]:
    """Return how often somebody was refused, by why, as a scrape finds it."""
    text = run.process.metrics.render().decode()
    found = re.findall(r'holdfast_unauthenticated_total\{.*reason="(\w+)"\} (\S+)', text)
    return {reason: float(value) for reason, value in found}


@pytest.mark.parametrize("reason", REFUSED)
async def test_why_nobody_was_authenticated_is_for_us_alone(run: Running, reason: str) -> None:
    """The log and the metric say it; the answer does not. Each series is there before it grows."""
    before = refusals(run)

    answer = await run.client.get("/v1/me", headers=REFUSED[reason])

    assert before == dict.fromkeys(UNAUTHENTICATED, 0.0)
    assert refusals(run) == {**before, reason: 1.0}
    run.process.logger.flush()
    lines = [json.loads(line) for line in run.log.getvalue().splitlines()]
    (said,) = [line for line in lines if line["event"] == "token.refused"]
    assert said["reason"] == reason
    assert said["correlation_id"] == answer.headers["x-correlation-id"]
    assert code(answer, 401) == "unauthenticated"
    text = answer.body.decode() + str(answer.headers)
    assert said["why"] not in text or reason == "missing"
    assert "elsewhere" not in text


@dataclass
class Elsewhere(Desk):
    """A desk whose issuer cannot be reached."""

    async def keys(self, query: GetKeys) -> str:
        """Bring no keys."""
        return "{}"


async def test_missing_keys_are_counted_apart() -> None:
    """The token may be good: the answer is no 401, and the reason is our own."""
    async with running(Elsewhere().system) as run:
        answer = await run.client.get("/v1/me", token=token())

        assert answer.status == 503
        assert refusals(run)["no_keys"] == 1.0


async def test_the_calling_application_is_known() -> None:
    """`Caller.client` is what the token says, and travels to the service with the subject."""
    desk = Desk()
    seen: list[Caller] = []

    async def me(caller: Caller) -> str:
        seen.append(caller)
        return caller.subject

    service = Service("asks")
    service.get("/v1/who")(me)
    system = System("two", services=[*desk.system.services, service], gateway=OPEN)
    async with running(system) as run:
        await run.client.get("/v1/who", token=token("ada", "a"))

    assert seen == [Caller("ada", frozenset({"a"}), "first-party")]


async def test_a_token_without_the_scope_is_forbidden(run: Running, desk: Desk) -> None:
    """The caller is known, and may not do this."""
    answer = await run.client.post("/v1/notes", json={"text": "x"}, token=token("ada", "notes"))

    assert code(answer, 403) == "forbidden"
    assert desk.notes == []


async def test_a_route_is_looked_for_before_the_token(run: Running) -> None:
    """What does not exist needs no login; what exists with another method names it."""
    assert code(await run.client.get("/v1/nothing"), 404) == "not_found"
    wrong = await run.client.post("/v1/me")
    assert code(wrong, 405) == "method_not_allowed"
    assert wrong.headers["allow"] == "GET, HEAD"


async def test_head_is_get_without_its_body(run: Running) -> None:
    """The same headers, no body."""
    get = await run.client.get("/v1/me", token=token())
    head = await run.client.request("HEAD", "/v1/me", token=token())

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_a_correlation_id_comes_back(run: Running) -> None:
    """The client's if it is harmless, a new one otherwise; problems carry it too."""
    given = await run.client.get("/v1/nothing", headers={"X-Correlation-Id": "from-a-client"})
    refused = await run.client.get("/v1/nothing", headers={"X-Correlation-Id": "a b"})

    assert given.headers["x-correlation-id"] == "from-a-client"
    assert given.json()["correlation_id"] == "from-a-client"
    assert re.fullmatch(r"[0-9a-f]{24,32}", refused.headers["x-correlation-id"])


async def test_a_repeated_write_gets_the_recorded_answer(run: Running, desk: Desk) -> None:
    """Byte for byte, with the mark that it comes from the record."""
    answers = [
        await run.client.post(
            "/v1/notes",
            json={"text": "once"},
            token=token("ada", "notes:write"),
            headers={"Idempotency-Key": "k1"},
        )
        for _ in range(2)
    ]

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]
    assert desk.notes == ["once"]


async def test_connections_of_a_trusted_proxy_are_not_counted(tmp_path: Path) -> None:
    """Everybody comes by it; of a stranger, one IPv6 network is one address."""
    for trusted, statuses in ((("127.0.0.1",), [200, 200]), ((), [200, 429])):
        gateway = replace(OPEN, connections_per_address=1, trusted_proxies=trusted)
        async with running(Desk(gateway).system, data=tmp_path / str(len(trusted))) as run:
            door = run.process.door
            assert isinstance(door, Door)
            names = {door.counted_as(address) for address in ("2001:db8::1", "2001:db8::2")}
            assert names == {"2001:db8::/64"}
            origin = Origin.parse(run.process.url)
            found: list[int] = []
            writers: list[asyncio.StreamWriter] = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection(origin.host, origin.port)
                writers.append(writer)
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
                found.append(int((await reader.readline()).split()[1]))
            for writer in writers:
                writer.close()

        assert found == statuses


async def test_a_mounted_app_stands_behind_the_same_door(run: Running) -> None:
    """It needs a token unless it is public, and sees nothing that a client made up."""
    refused = await run.client.get("/old/a")
    inside = await run.client.get("/old/a%20b", token=token(), headers={"X-Forwarded-User": "root"})
    public = await run.client.get("/open/", headers={"X-User": "root", "Accept": "a/b"})

    assert code(refused, 401) == "unauthenticated"
    assert (inside.json()["path"], inside.json()["root"]) == ("/old/a b", "/old")
    ours = ["traceparent", "x-correlation-id"]
    assert inside.json()["names"] == ["authorization", "host", *ours]
    assert public.json()["names"] == ["accept", "host", *ours]


@pytest.mark.parametrize("path", ["/open/", "/old/"])
async def test_identity_headers_of_a_client_reach_nobody(run: Running, path: str) -> None:
    """None of them gets behind the door, whether a token is asked for there or not."""
    ours = {"traceparent", "x-correlation-id"}
    for some in (SPOOFED[0::2], SPOOFED[1::2]):  # a head has at most a hundred headers
        spoofed = {name.decode(): "0123abcd" for name in some}
        answer = await run.client.get(path, token=token(), headers={"X-Other": "1", **spoofed})

        told = answer.json()
        assert set(told["names"]) - ours == {"authorization", "host", "x-other"}
        assert told["origin"][0] == "127.0.0.1"
        assert told["origin"][1] == "http"


async def test_nobody_becomes_a_caller_by_a_header(run: Running) -> None:
    """What the gateway tells services in other processes is not taken from a client."""
    who = {"Holdfast-Caller": json.dumps({"subject": "root", "scopes": ["notes:write"]})}
    body = {"text": "x"}

    anybody = await run.client.post("/v1/notes", json=body, headers=who)
    somebody = await run.client.post("/v1/notes", json=body, headers=who, token=token("ada"))
    me = await run.client.get("/v1/me", headers=who, token=token("ada"))

    assert (anybody.status, somebody.status) == (401, 403)
    assert me.json() == {"subject": "ada", "scopes": []}


@pytest.mark.parametrize("rate", [None, Rate(per_s=50, burst=100)])
async def test_an_answer_is_never_changed(desk: Desk, rate: Rate | None) -> None:
    """A handler may answer with a constant: it collects no headers of the door."""
    constant = Response(200, [(b"x-own", b"1")], b"{}")
    system = desk.system

    async def same(caller: Caller) -> Any:
        return constant

    system.services[0].get("/v1/same")(same)
    system = replace(system, gateway=replace(OPEN, per_caller=rate))
    async with running(system) as run:
        answers = [await run.client.get("/v1/same", token=token()) for _ in range(3)]

    assert constant.headers == [(b"x-own", b"1")]
    assert len({answer.headers["x-correlation-id"] for answer in answers}) == 3
    assert all(("ratelimit" in answer.headers) == (rate is not None) for answer in answers)


async def test_a_client_may_shorten_the_deadline(tmp_path: Path) -> None:
    """What it will not wait for is not worked on; it cannot make it longer than the gateway's."""
    desk = Desk(replace(OPEN, deadline_s=3_600.0))
    async with running(desk.system, data=tmp_path) as run:
        shorter = {"Holdfast-Deadline-Ms": "80"}
        answer = await run.client.get("/v1/slow", headers=shorter, timeout_s=300.0)

    assert code(answer, 504) == "deadline_exceeded"


async def test_the_gateway_sets_a_deadline(tmp_path: Path) -> None:
    """Every wait has an end, whatever the client says."""
    desk = Desk(replace(OPEN, deadline_s=0.08))
    async with running(desk.system, data=tmp_path) as run:
        answer = await run.client.get("/v1/slow", headers={"Holdfast-Deadline-Ms": "60000"})

    assert code(answer, 504) == "deadline_exceeded"


async def test_too_many_requests_at_once_are_shed(tmp_path: Path) -> None:
    """One more than the maximum is refused at once, and told when to come again."""
    desk = Desk(replace(OPEN, requests_max=1))
    async with running(desk.system, data=tmp_path) as run:
        first = asyncio.create_task(run.client.get("/v1/slow"))
        await asyncio.wait_for(desk.entered.wait(), 60)
        second = await run.client.get("/v1/me", token=token())
        ready = await run.client.get("/health/ready")
        desk.gate.set()
        slow = await first
        stats = run.process.gate.stats()["normal"]

    assert code(second, 503) == "overloaded"
    assert second.headers["retry-after"] == "1"
    assert (ready.status, slow.status) == (200, 200)
    assert (stats.refused, stats.inside) == (1, 0)


async def test_a_caller_has_a_rate(tmp_path: Path) -> None:
    """Each its own bucket; every answer says what is left of it."""
    desk = Desk(replace(OPEN, per_caller=Rate(per_s=0.01, burst=2)))
    async with running(desk.system, data=tmp_path) as run:
        answers = [await run.client.get("/v1/me", token=token("ada")) for _ in range(3)]
        other = await run.client.get("/v1/me", token=token("bob"))

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"caller";r=1')
    assert code(answers[2], 429) == "rate_limited"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 100
    assert answers[2].headers["ratelimit-policy"] == '"caller";q=2;w=200'
    assert other.status == 200


@pytest.mark.parametrize("trusted", [(), ("127.0.0.0/8",)])
async def test_an_address_has_a_rate(tmp_path: Path, trusted: tuple[str, ...]) -> None:
    """Behind a proxy of ours it is the client's address that counts, else the peer's."""
    gateway = replace(OPEN, per_address=Rate(per_s=0.01, burst=1), trusted_proxies=trusted)
    statuses: list[int] = []
    async with running(Desk(gateway).system, data=tmp_path) as run:
        for address in ("198.51.100.1", "198.51.100.2", "198.51.100.2"):
            headers = {"X-Forwarded-For": address}
            answer = await run.client.get("/v1/me", token=token(), headers=headers)
            statuses.append(answer.status)

    assert statuses == ([200, 200, 429] if trusted else [200, 429, 429])


PROXIED = {
    "X-Forwarded-For": "198.51.100.1:4711",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
}


@pytest.mark.parametrize(
    "told", [PROXIED, {"Forwarded": "for=198.51.100.1;proto=https;host=shop.example"}]
)
async def test_apps_and_logs_see_the_client_of_a_trusted_proxy(
    tmp_path: Path, told: dict[str, str]
) -> None:
    """Scheme and host too, so that what an app redirects to is where the client came from."""
    desk = Desk(replace(OPEN, trusted_proxies=("127.0.0.1",)))
    async with running(desk.system, data=tmp_path) as run:
        answer = await run.client.get("/open/", headers=told)
        await run.client.get("/v1/nothing", headers=told)
        run.process.logger.flush()
        lines = [json.loads(line) for line in run.log.getvalue().splitlines()]

    assert answer.json()["origin"] == ["198.51.100.1", "https", "shop.example"]
    assert [line["client"] for line in lines if line["event"] == "request"] == ["198.51.100.1"] * 2


async def test_apps_and_logs_do_not_see_what_a_stranger_says(run: Running) -> None:
    """The peer, the scheme and the host of the connection."""
    answer = await run.client.get("/open/", headers=PROXIED)

    host = run.process.url.removeprefix("http://")
    assert answer.json()["origin"] == ["127.0.0.1", "http", host]


@pytest.mark.parametrize(
    ("forms", "statuses"),
    [
        ([f"203.0.113.7:{port}" for port in range(1, 4)], [200, 200, 429]),
        ([f"[2001:db8::7]:{port}" for port in range(1, 4)], [200, 200, 429]),
        ([f"fe80::7%eth{n}" for n in range(3)], [200, 200, 429]),
        ([f"_{n}" for n in range(3)], [200, 200, 429]),
        (["2001:db8::7", "[2001:DB8:0::7]", "2001:db8:0:0:0::7"], [200, 200, 429]),
        (["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7:1"], [200, 200, 429]),
        (["203.0.113.7", "203.0.113.8", "203.0.113.9"], [200, 200, 200]),
        ([f"2001:db8:1:2::{n}" for n in range(3)], [200, 200, 429]),
        ([f"2001:db8:1:{n}::1" for n in range(3)], [200, 200, 200]),
    ],
)
async def test_one_address_has_one_rate_however_it_is_written(
    tmp_path: Path, forms: list[str], statuses: list[int]
) -> None:
    """Ports, zones and other spellings make no new sender; names that hide one share a rate."""
    gateway = replace(OPEN, per_address=Rate(per_s=0.001, burst=2), trusted_proxies=("127.0.0.1",))
    async with running(Desk(gateway).system, data=tmp_path) as run:
        answers = [await run.client.get("/open/", headers={"X-Forwarded-For": f}) for f in forms]

    assert [answer.status for answer in answers] == statuses


async def test_strangers_are_told_whether_it_is_ready_and_no_more(run: Running) -> None:
    """Which databases there are is for the port of the operators."""
    outside = [await run.client.get(f"/health/{page}") for page in ("ready", "live")]
    operators = Client(run.process.ops_url)
    inside = await operators.get("/health/ready")
    await operators.close()

    assert [answer.json() for answer in outside] == [{"status": "ready"}, {"status": "alive"}]
    assert set(inside.json()["checks"]) >= {"broker", "database of desk"}


TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331"


@pytest.mark.parametrize(
    ("trusted", "sent", "follows"),
    [
        (True, [f"{PARENT}-01"], True),
        (True, [f"{PARENT}-00"], True),
        (True, ["nonsense"], False),
        (True, [f"{PARENT}-01, {PARENT}-01"], False),
        (False, [f"{PARENT}-01"], False),
    ],
)
async def test_the_trace_of_a_trusted_proxy_is_followed(
    tmp_path: Path, trusted: bool, sent: list[str], follows: bool
) -> None:
    """A stranger's is not, or it could have every request recorded."""
    gateway = replace(OPEN, trusted_proxies=("127.0.0.1",) if trusted else ())
    async with running(Desk(gateway).system, data=tmp_path) as run:
        for value in sent:
            await run.client.get("/open/", headers={"traceparent": value})
        run.process.logger.flush()
        lines = [json.loads(line) for line in run.log.getvalue().splitlines()]

    traces = {line["trace_id"] for line in lines if line["event"] == "request"}
    assert (traces == {TRACE}) is follows


@pytest.mark.parametrize(
    ("waited_s", "gone", "status", "begun"),
    [
        *((0.0, False, 200, True), (1.1, False, 200, True)),  # its gate has let it in
        *((0.4, True, 499, True), (0.6, True, 499, False)),
    ],
)
async def test_a_request_whose_client_has_gone_meanwhile_is_not_begun(
    run: Running, waited_s: float, gone: bool, status: int, begun: bool
) -> None:
    """To work for it would make the others wait; it is counted as gone, and not as our error."""
    process = run.process
    now = asyncio.get_running_loop().time()
    process.door.requests.clock = Still(now)
    request = Request("GET", "/open/x", received_at=now - waited_s, gone=gone)
    answer = await process.door(request)

    assert answer.status == status
    assert request.deadline == (request.received_at + OPEN.deadline_s if begun else None)


@pytest.mark.parametrize(
    ("asked", "limit_s"),
    [
        (None, 2_000_000.0),
        (b"1", 0.001),
        (b"1500", 1.5),
        (b"0", 0.0),
        (b"1999999999", 199_999.999),  # nine digits are read
        (b"", 2_000_000.0),
        (b"-5", 2_000_000.0),
        (b"1.5", 2_000_000.0),
        (b"soon", 2_000_000.0),
    ],
)
async def test_the_deadline_is_counted_from_when_a_request_came(
    asked: bytes | None, limit_s: float
) -> None:
    """In milliseconds of the client's, if they are a number, and never over the gateway's."""
    async with running(Desk(replace(OPEN, deadline_s=2_000_000.0)).system) as run:
        headers = [] if asked is None else [(b"holdfast-deadline-ms", asked)]
        came = asyncio.get_running_loop().time() - 0.25
        request = Request("GET", "/open/x", headers=headers, received_at=came)
        await run.process.door(request)

    assert request.deadline == pytest.approx(came + limit_s, abs=1e-6)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_a_page_of_the_gateways_own_is_read_alone(run: Running, method: str) -> None:
    """Any other method is a request like others, and finds no route there."""
    answer = await run.client.request(method, "/health/live")
    counted = 'http_route="unmatched"' in run.process.metrics.render().decode()

    assert (answer.status, counted) == ((200, False) if method in ("GET", "HEAD") else (404, True))


async def test_what_the_server_refuses_has_no_headers_of_the_doors(run: Running) -> None:
    """Without CORS there is nothing to add to what never came to the door."""
    host, port = run.process.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /open/ HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\nExpect: tea\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    writer.close()

    assert head.startswith(b"HTTP/1.1 417 ")
    assert b"access-control" not in head


async def test_a_known_token_is_one_under_its_own_scheme_alone(run: Running) -> None:
    """What was verified before is looked up by its bytes, behind `Bearer` and nothing as long."""
    good = token("ada")
    schemes = ("Bearer", "bearer", "Digest", "Basic", "Bearer,")
    sent = [{"Authorization": f"{scheme} {good}"} for scheme in schemes]

    found = [(await run.client.get("/v1/me", headers=headers)).status for headers in sent]

    assert found == [200, 200, 401, 401, 401]
