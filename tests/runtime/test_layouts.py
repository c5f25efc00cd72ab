"""One suite of requests in every layout: what the gateway and the routes declare holds in each.

The layouts differ in processes alone, over real sockets: everything in one, the gateway apart, the
gateway before two replicas, and apart with identities: TLS, and callers that are signed. What is
answered is compared byte by byte, but for the date and the ids of the request.
"""

import asyncio
import io
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from string import ascii_letters
from typing import Any, cast

import pytest
from sqlalchemy import Column, MetaData, String, Table, select

from holdfast import (
    Caller,
    Failure,
    Gateway,
    Model,
    Mounted,
    Query,
    Read,
    Service,
    System,
    Tokens,
    Tx,
)
from holdfast.communication import Origin
from holdfast.contract.spiffe import SIGNER as SIGNS
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.engines import Engines, embedded
from holdfast.runtime.process import Options, Process
from holdfast.runtime.signing import FollowedSigner
from holdfast.security import SigningKey, TokenSigner, public_jwks
from holdfast.straight.routes import METHODS
from tests.identities import Identities

METADATA = MetaData()
NOTES = Table("note", METADATA, Column("text", String, primary_key=True))
KEY = SigningKey(bytes(32))
ISSUER = "https://issuer.example"
SIGNER = TokenSigner(KEY, issuer=ISSUER, audience="api")
WAIT_S = 300.0
LARGE = 9 * 1024 * 1024
HEDGE = timedelta(milliseconds=50)
LAYOUTS = ["whole", "apart", "replicas", "proven"]
VARIES = re.compile(rb"(?im)^(date|x-correlation-id): .*\r\n")
LEFT = re.compile(rb'(?im)^(ratelimit: "\w+").*\r\n')  # a slow machine has more left
IDS = re.compile(rb'"correlation_id":"[^"]*"')


class GetKeys(Query[str]):
    """Ask for the public keys."""


class NoRoom(Failure, status=409):
    """It is full."""

    left: int


class Note(Model):
    """A body."""

    text: str


@dataclass
class Desk:
    """A service with a route, and a mounted app with a path, of every kind.

    Attributes:
        entered: names of what was begun. ended: of what came to its end, or how it was stopped.
        gates: what holds up who asks for it.
    """

    entered: list[str] = field(default_factory=list[str])
    ended: list[str] = field(default_factory=list[str])
    gates: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])

    def system(self, gateway: Gateway) -> System:
        """Return the system of this one service."""
        service = Service("desk", tables=METADATA)
        service.handles(self.keys)
        for path, function in (
            ("hello", self.hello),
            ("nothing", self.nothing),
            ("large", self.large),
            ("bug", self.bug),
        ):
            service.get(f"/v1/{path}", public=True)(function)
        service.get("/v1/hangs", public=True, tier="bulk")(self.hangs)
        service.get("/v1/second", public=True, hedge=HEDGE)(self.second)
        service.get("/v1/me", scope="me:read")(self.me)
        service.post("/v1/notes", status_code=201, public=True)(self.write)
        service.put("/v1/notes/{text}", public=True)(self.put)
        service.delete("/v1/notes/{text}", public=True)(self.drop)
        service.post("/v1/full", public=True)(self.full)
        service.post("/v1/waits", public=True, tier="critical")(self.waits)
        service.post("/v1/begun", public=True)(self.begun)
        service.mount("/app", self.app)
        service.mount("/open", self.app, public=True)
        return System("tiny", services=[service], gateway=gateway)

    def gate(self, name: str) -> asyncio.Event:
        """Return what holds up who asks for `name`."""
        return self.gates.setdefault(name, asyncio.Event())

    async def keys(self, query: GetKeys) -> str:
        """Bring the keys."""
        return json.dumps(public_jwks([KEY]))

    async def hello(self, read: Read, name: str = "you") -> Note:
        """Greet."""
        return Note(text=f"hello {name}")

    async def nothing(self, read: Read) -> None:
        """Answer nothing."""

    async def large(self, read: Read) -> Note:
        """Answer more than any queue on the way holds."""
        return Note(text="x" * LARGE)

    async def bug(self, read: Read) -> Note:
        """Have a bug."""
        raise LookupError("a bug")

    async def hangs(self, read: Read) -> None:
        """Wait until the deadline."""
        await self._held("hangs")

    async def second(self, read: Read) -> Note:
        """Answer the second one who asks; the first one waits."""
        self.entered.append("second")
        if len(self.entered) == 1:
            await self._held("first")
        return Note(text="second")

    async def me(self, caller: Caller) -> Note:
        """Say who asks."""
        return Note(text=f"{caller.subject} {sorted(caller.scopes)}")

    async def write(self, body: Note, tx: Tx) -> Note:
        """Write a note down."""
        tx.insert(NOTES, text=body.text)
        self.ended.append(body.text)
        return body

    async def put(self, text: str, body: Note, tx: Tx) -> Note:
        """Replace a note."""
        return Note(text=f"{text}={body.text}")

    async def drop(self, text: str, tx: Tx) -> None:
        """Drop a note."""

    async def full(self, body: Note, tx: Tx) -> None:
        """Refuse."""
        raise NoRoom(left=0)

    async def waits(self, tx: Tx) -> None:
        """Wait before the first statement."""
        await self._held("waits")
        tx.insert(NOTES, text="waits")

    async def begun(self, tx: Tx) -> None:
        """Be in a transaction for so long that the client does not wait for its end."""
        await tx.execute(select(NOTES))
        self.entered.append("begun")
        for _ in range(200):
            await tx.execute(select(NOTES))
        tx.insert(NOTES, text="begun")
        self.ended.append("begun")

    async def _held(self, name: str) -> None:
        self.entered.append(name)
        try:
            await self.gate(name).wait()
        except asyncio.CancelledError:
            self.ended.append(f"{name} was cancelled")
            raise
        self.ended.append(name)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve what is mounted."""
        if scope["type"] == "lifespan":
            raise NotImplementedError
        path = scope["path"].removeprefix(scope["root_path"])
        serve = getattr(self, f"app_{path.strip('/')}", None)
        if serve is None:
            await say(send, 404, b"the app knows no such page")
        else:
            await serve(scope, receive, send)

    async def app_scope(self, scope: Any, receive: Any, send: Any) -> None:
        """Say what an app sees."""
        mounted = Mounted.of(scope)
        headers = [(n.decode(), v.decode()) for n, v in scope["headers"]]
        seen = {
            "caller": mounted.caller and [mounted.caller.subject, sorted(mounted.caller.scopes)],
            "ids": [mounted.correlation_id, mounted.traceparent]
            == [dict(headers)["x-correlation-id"], dict(headers)["traceparent"]],
            "headers": [
                p for p in headers if p[0] not in ("host", "x-correlation-id", "traceparent")
            ],
            "scope": [scope[k] for k in ("method", "path", "root_path", "scheme")],
            "client": scope["client"],
            "query": scope["query_string"].decode(),
            "body": (await receive())["body"].decode(),
        }
        await say(send, 200, json.dumps(seen).encode())

    async def app_headers(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with headers of every kind."""
        await say(
            send,
            203,
            b"",
            *((b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"server", b"old"), (b"te", b"x")),
            *((b"connection", b"close"), (b"proxy-authenticate", b"Basic"), (b"x-own", b"1")),
        )

    async def app_file(self, scope: Any, receive: Any, send: Any) -> None:
        """Send a file in pieces, under its length."""
        head = [(b"content-length", b"%d" % LARGE)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for _ in range(LARGE // 65536):
            await send({"type": "http.response.body", "body": b"f" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def app_pieces(self, scope: Any, receive: Any, send: Any) -> None:
        """Send pieces of no known length."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
        await send({"type": "http.response.body", "body": b"end\n"})

    async def app_hangs(self, scope: Any, receive: Any, send: Any) -> None:
        """Never answer."""
        await self._held("app hangs")

    async def app_bug(self, scope: Any, receive: Any, send: Any) -> None:
        """Have a bug."""
        raise LookupError("a bug")

    async def app_events(self, scope: Any, receive: Any, send: Any) -> None:
        """Send server-sent events, the second one when the first one was seen; end when alone."""
        await receive()
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await self.gate("events").wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True})
        self.ended.append(f"events: {(await receive())['type']}")

    async def app_endless(self, scope: Any, receive: Any, send: Any) -> None:
        """Send for ever; count what left."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"e" * 65536, "more_body": True})
                self.entered.append("a piece")
        except OSError:
            self.ended.append("endless")

    async def app_waits(self, scope: Any, receive: Any, send: Any) -> None:
        """Wait for the client to go."""
        await receive()
        self.entered.append("app waits")
        self.ended.append(f"app: {(await receive())['type']}")


async def say(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})


GATEWAY = Gateway(
    tokens=Tokens(issuer=ISSUER, audience="api", keys=GetKeys),
    per_address=None,
    deadline_s=20.0,
    body_bytes_max=3 << 20,
)


@dataclass(frozen=True)
class LaidOut:
    """The processes of one layout: that of the gateway, and those of the service."""

    gateway: Process
    services: list[Process]


@asynccontextmanager
async def laid_out(
    layout: str, desk: Desk, folder: Path, gateway: Gateway = GATEWAY
) -> AsyncIterator[LaidOut]:
    """Run the desk in one layout."""
    system = desk.system(gateway)
    engines = embedded(lambda name: folder / f"{name}.db", threads=2)
    async with AsyncExitStack() as stack:
        names = Identities(folder / "identities", "tiny") if layout == "proven" else None

        def proven(engines: Engines, name: str) -> Engines:
            if names is None:
                return engines
            signer = FollowedSigner(names.authority.issue(SIGNS), "tiny", MachineClock())
            return replace(engines, identity=names.of(name)[0], signer=signer)

        async def start(services: tuple[str, ...], *, face: bool, others: list[Origin]) -> Process:
            options = Options(data=None, port=0, services=services, gateway=face)
            logger = Logger(io.BytesIO(), MachineClock(), "tiny", form="json")
            discover = (lambda service: others) if layout != "whole" else None
            on = proven(replace(engines, discover=discover), "gateway" if face else "desk")
            process = Process(system, options, logger, on)
            await process.start()
            stack.push_async_callback(process.stop)
            return process

        if layout == "whole":
            alone = await start(("desk",), face=True, others=[])
            yield LaidOut(alone, [alone])
        else:
            behind = [
                await start(("desk",), face=False, others=[])
                for _ in range(2 if layout == "replicas" else 1)
            ]
            others = [Origin.parse(one.url) for one in behind]
            if names is not None:
                others = [replace(one, workload="desk") for one in others]
            yield LaidOut(await start((), face=True, others=others), behind)


class Wire:
    """One raw connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, laid: LaidOut) -> "Wire":
        """Connect."""
        origin = Origin.parse(laid.gateway.url)
        return cls(*await asyncio.open_connection(origin.host, origin.port))

    async def rest(self) -> bytes:
        """Return what comes until the other side closes."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    async def until(self, text: bytes) -> bytes:
        """Return what comes until `text`."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readuntil(text)

    def reset(self) -> None:
        """Go away, so that the other side knows that nobody reads any more."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def ask(self, request: bytes) -> bytes:
        """Send a request that closes its connection, and return the whole answer."""
        self.writer.write(request)
        answer = await self.rest()
        self.writer.close()
        return answer


def message(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: api.example:8443", "connection: close", *headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def token(*scopes: str) -> str:
    """Return a header with a token."""
    signed = SIGNER.sign("ada", scopes, now=MachineClock().now(), lifetime_s=3_600, token_id="t")
    return f"authorization: Bearer {signed}"


JSON = "content-type: application/json"
NOTE = b'{"text": "n"}'
MANY = tuple(a + b for a in ascii_letters for b in ascii_letters)[:1_800]
"""A caller whose token fits into a head, and beside what the gateway adds does not."""

REQUESTS: dict[str, bytes] = {
    "get": message("GET", "/v1/hello?name=a%20b"),
    "head": message("HEAD", "/v1/hello"),
    "head of nothing": message("HEAD", "/v1/nothing"),
    "nothing": message("GET", "/v1/nothing"),
    "large": message("GET", "/v1/large"),
    "head of large": message("HEAD", "/v1/large"),
    "bug": message("GET", "/v1/bug"),
    "not found": message("GET", "/v1/unknown"),
    "not allowed": message("DELETE", "/v1/hello"),
    "options": message("OPTIONS", "/v1/hello"),
    "another method": message("M-SEARCH", "/open/scope"),
    "post": message("POST", "/v1/notes", JSON, body=b'{"text": "a"}'),
    "put": message("PUT", "/v1/notes/b%2Fc", JSON, body=NOTE),
    "delete": message("DELETE", "/v1/notes/b"),
    "failure": message("POST", "/v1/full", JSON, body=NOTE),
    "failure under a key": message("POST", "/v1/full", JSON, "idempotency-key: f", body=NOTE),
    "invalid": message("POST", "/v1/notes", JSON, body=b'{"text": 1}'),
    "no json": message("POST", "/v1/notes", JSON, body=b"{"),
    "no type": message("POST", "/v1/notes", "content-type: text/plain", body=NOTE),
    "compressed": message("POST", "/v1/notes", JSON, "content-encoding: gzip", body=b"\x1f\x8b"),
    "body within": message("POST", "/v1/full", JSON, body=b'{"text": "%b"}' % (b"x" * (2 << 20))),
    "body over": message("POST", "/v1/full", JSON, body=b" " * ((3 << 20) + 1)),
    "head over": message("GET", "/v1/hello", "x-long: " + "x" * 17_000),
    "head within": message("GET", "/open/scope", "x-long: " + "x" * 15_000),
    "many headers": message("GET", "/open/scope", *(f"x-{n}: {n}" for n in range(97))),
    "no token": message("GET", "/v1/me"),
    "no scope": message("GET", "/v1/me", token()),
    "scope": message("GET", "/v1/me", token("me:read", "x")),
    "app without a token": message("GET", "/app/scope"),
    "app": message("POST", "/app/scope?a=1&b=%20", token("x"), "x-user: root", body=b"hi"),
    "app with scopes": message("GET", "/app/scope", token(*MANY)),
    "forged": message("GET", "/open/scope", 'holdfast-caller: {"subject":"root","scopes":[]}'),
    "forged trace": message("GET", "/open/scope", "holdfast-ask: 1", "x-correlation-id: a b"),
    "app expects": message("POST", "/open/scope", "expect: 100-continue", body=b"hi"),
    "app not found": message("GET", "/open/unknown"),
    "app headers": message("GET", "/open/headers"),
    "app pieces": message("GET", "/open/pieces"),
    "head of app pieces": message("HEAD", "/open/pieces"),
    "app file": message("GET", "/open/file"),
    "head of app file": message("HEAD", "/open/file"),
    "app bug": message("GET", "/open/bug"),
    "old client": b"GET /open/pieces HTTP/1.0\r\nhost: a\r\n\r\n",
    "old client, file": b"GET /open/file HTTP/1.0\r\nhost: a\r\n\r\n",
    "api": message("GET", "/openapi.json"),
    "docs": message("GET", "/docs"),
}
HEAD_IS = {"large": 200, "body within": 409, "app with scopes": 200, "many headers": 200}
"""What is told apart from a refusal that all layouts share."""


def steady(answer: bytes) -> bytes:
    """Return an answer without what differs between two requests."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    head = LEFT.sub(rb"\1\r\n", VARIES.sub(b"", head + b"\r\n"))
    return head + blank + IDS.sub(b'"correlation_id":""', body)


async def answers(layout: str, folder: Path) -> dict[str, bytes]:
    """Return what a layout answers to each request."""
    async with laid_out(layout, Desk(), folder) as laid:
        return {
            name: steady(await (await Wire.to(laid)).ask(request))
            for name, request in REQUESTS.items()
        }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Return {layout: {request: answer}}."""
    return {
        layout: asyncio.run(answers(layout, tmp_path_factory.mktemp(layout))) for layout in LAYOUTS
    }


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_every_layout_answers_the_same(
    name: str, layout: str, told: dict[str, dict[str, bytes]]
) -> None:
    """Status, headers and body, byte by byte."""
    whole, other = told["whole"][name], told[layout][name]

    assert whole.startswith(b"HTTP/1.1 ")
    if name in HEAD_IS:
        assert int(whole[9:12]) == HEAD_IS[name]
    assert other[:2_000] == whole[:2_000]
    assert other == whole


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def inside(process: Process) -> dict[str, int]:
    """Return {tier: requests of it that are inside a process}, of those that have any."""
    return {name: tier.inside for name, tier in process.gate.stats().items() if tier.inside}


def every_layout(function: Any) -> Any:
    """Run a test in each layout."""
    return pytest.mark.parametrize("layout", LAYOUTS)(function)


@every_layout
async def test_the_deadline_is_the_gateways(layout: str, tmp_path: Path) -> None:
    """Routes and apps are cancelled at it, ran once, and their client is told the same."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path, replace(GATEWAY, deadline_s=3.0)) as laid:
        paths = ["/v1/hangs", "/open/hangs"]
        asked = [(await Wire.to(laid)).ask(message("GET", path)) for path in paths]
        told = [steady(answer) for answer in await asyncio.gather(*asked)]
        await until(lambda: len(desk.ended) == 2)

    assert sorted(desk.entered) == ["app hangs", "hangs"]
    assert sorted(desk.ended) == ["app hangs was cancelled", "hangs was cancelled"]
    assert told[0] == told[1]
    assert told[0].startswith(b"HTTP/1.1 504 ")
    assert b'"code":"deadline_exceeded"' in told[0]


@every_layout
async def test_a_handler_that_wrote_nothing_ends_with_its_client(
    layout: str, tmp_path: Path
) -> None:
    """Nobody waits for it, and nothing is lost."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path) as laid:
        for method, path, name in (("POST", "/v1/waits", "waits"), ("GET", "/v1/hangs", "hangs")):
            wire = await Wire.to(laid)
            wire.writer.write(message(method, path))
            await until(lambda name=name: name in desk.entered)  # type: ignore[misc]
            wire.reset()
            await until(lambda name=name: f"{name} was cancelled" in desk.ended)  # type: ignore[misc]
        await until(lambda: inside(laid.gateway) == {})
        metrics = laid.gateway.metrics.render().decode()
        kept = await texts(laid)

    assert 'http_route="/v1/waits",http_response_status_code="499"' in metrics
    assert kept == []


@every_layout
async def test_a_handler_that_began_to_write_finishes(layout: str, tmp_path: Path) -> None:
    """After its first statement nothing but its own error ends a transaction."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path) as laid:
        wire = await Wire.to(laid)
        wire.writer.write(message("POST", "/v1/begun"))
        await until(lambda: "begun" in desk.entered)
        wire.reset()
        await until(lambda: "begun" in desk.ended)
        kept = await texts(laid)

    assert kept == ["begun"]


async def texts(laid: LaidOut) -> list[str]:
    """Return what was written."""
    reader = await laid.services[0].hosts[0].ledger.database.read()
    try:
        return [row.text for row in await reader.execute(select(NOTES), None)]
    finally:
        await reader.close()


@every_layout
async def test_a_key_has_one_effect(layout: str, tmp_path: Path) -> None:
    """The second answer is the first one, whichever process gives it."""
    desk = Desk()
    request = message("POST", "/v1/notes", JSON, "idempotency-key: k", body=NOTE)
    async with laid_out(layout, desk, tmp_path) as laid:
        told = [steady(await (await Wire.to(laid)).ask(request)) for _ in range(3)]

    assert desk.ended == ["n"]
    assert [answer.count(b"idempotency-replayed: true\r\n") for answer in told] == [0, 1, 1]
    replayed = told[1].replace(b"idempotency-replayed: true\r\n", b"")
    assert (replayed, told[2]) == (told[0], told[1])


@every_layout
async def test_a_route_has_the_places_of_its_tier(layout: str, tmp_path: Path) -> None:
    """In the process of the gateway, and in the one that serves it: what gives way is the same."""
    desk = Desk()
    seen: list[dict[str, int]] = []
    behind: list[dict[str, int]] = []
    async with laid_out(layout, desk, tmp_path) as laid:
        for request, name in (
            (message("POST", "/v1/waits"), "waits"),
            (message("GET", "/v1/hangs"), "hangs"),
            (message("GET", "/open/waits"), "app waits"),
        ):
            wire = await Wire.to(laid)
            wire.writer.write(request)
            await until(lambda name=name: name in desk.entered)  # type: ignore[misc]
            seen.append(inside(laid.gateway))
            behind += [taken for one in laid.services if (taken := inside(one))]
            wire.reset()
            await until(lambda: not any(map(inside, (laid.gateway, *laid.services))))

    assert seen == [{"critical": 1}, {"bulk": 1}, {"normal": 1}]
    assert behind == seen


async def test_a_hedged_route_asks_another_process(tmp_path: Path) -> None:
    """The first one that is asked does not answer; its client has the second one's answer."""
    desk = Desk()
    async with laid_out("replicas", desk, tmp_path) as laid:
        answer = await (await Wire.to(laid)).ask(message("GET", "/v1/second"))
        await until(lambda: not any(map(inside, (laid.gateway, *laid.services))))
        rendered = [one.metrics.render().decode() for one in laid.services]
        at_gateway = laid.gateway.metrics.render().decode()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 'holdfast_hedges_total{edge="gateway→desk",http_route="/v1/second"} 1' in at_gateway
    assert desk.entered == ["second", "first", "second"]
    assert desk.ended == ["first was cancelled"]
    counted = re.compile(r'_count{.*"/v1/second",http_response_status_code="(\d+)".* [1-9]')
    assert sorted(counted.findall(text) for text in rendered) == [["200"], ["499"]]


@every_layout
async def test_each_route_has_a_straight_way(layout: str, tmp_path: Path) -> None:
    """Where its service is makes no difference; and so all the others here judge that way, too."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path) as laid:
        doors = [one._wiring.door for one in (laid.gateway, *laid.services)]
        straight = [{target.template for target in door.straight} for door in doors]

    (service,) = desk.system(GATEWAY).services
    routes = {route.path for route in service.routes if route.method in METHODS}
    assert straight == [routes] * len(doors)


@every_layout
async def test_events_leave_when_they_are_sent(layout: str, tmp_path: Path) -> None:
    """The second one is not sent before the first one was read; then the client goes."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path) as laid:
        wire = await Wire.to(laid)
        wire.writer.write(message("GET", "/open/events"))
        head = await wire.until(b"data: 1\n\n")
        desk.gate("events").set()
        await wire.until(b"data: 2\n\n")
        wire.reset()
        await until(lambda: desk.ended == ["events: http.disconnect"])

    assert b"content-type: text/event-stream\r\n" in head


@every_layout
async def test_a_stream_lasts_longer_than_the_deadline(layout: str, tmp_path: Path) -> None:
    """The deadline is for the beginning of an answer."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path, replace(GATEWAY, deadline_s=3.0)) as laid:
        wire = await Wire.to(laid)
        wire.writer.write(message("GET", "/open/events"))
        await wire.until(b"data: 1\n\n")
        late = await (await Wire.to(laid)).ask(message("GET", "/v1/hangs"))  # begun later
        desk.gate("events").set()
        await wire.until(b"data: 2\n\n")
        wire.reset()
        await until(lambda: "events: http.disconnect" in desk.ended)

    assert late.startswith(b"HTTP/1.1 504 ")


@every_layout
async def test_a_reader_that_stops_stops_the_app(layout: str, tmp_path: Path) -> None:
    """What waits is what sockets and a few buffers hold, not what an app can make."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path) as laid:
        wire = await Wire.to(laid)
        wire.writer.write(message("GET", "/open/endless"))
        await wire.until(b"\r\n\r\n")
        cast(asyncio.ReadTransport, wire.writer.transport).pause_reading()
        rounds, sent = 0, -1
        while rounds < 20:  # it stands still for so long
            await asyncio.sleep(0.01)
            rounds, sent = (rounds + 1 if sent == len(desk.entered) else 0), len(desk.entered)
            assert sent < 1_000, "64 MiB wait for a client that does not read"
        wire.reset()
        await until(lambda: desk.ended == ["endless"])


@every_layout
async def test_an_app_learns_that_its_client_went(layout: str, tmp_path: Path) -> None:
    """Before it answered, by `http.disconnect`."""
    desk = Desk()
    async with laid_out(layout, desk, tmp_path) as laid:
        wire = await Wire.to(laid)
        wire.writer.write(message("GET", "/open/waits"))
        await until(lambda: desk.entered == ["app waits"])
        wire.reset()
        await until(lambda: desk.ended == ["app: http.disconnect"])


@every_layout
async def test_a_mount_has_metrics_where_it_runs(layout: str, tmp_path: Path) -> None:
    """Requests, durations and statuses by its path, as a route has."""
    async with laid_out(layout, Desk(), tmp_path) as laid:
        for path in ("/open/scope", "/open/unknown", "/open/bug"):
            await (await Wire.to(laid)).ask(message("GET", path))
        rendered = "".join(one.metrics.render().decode() for one in laid.services)

    counted = "http_server_request_duration_seconds_count{"
    lines = [line for line in rendered.splitlines() if line.startswith(counted)]
    for status in (200, 404, 500):
        line = f'"GET",http_route="/open/",http_response_status_code="{status}",service="desk"'
        assert [one.rpartition(" ")[2] for one in lines if line in one].count("1") == 1
    assert any('"POST",http_route="/open/"' in one and one.endswith(" 0") for one in lines)


@every_layout
async def test_a_client_cannot_ask_for_the_keys(layout: str, tmp_path: Path) -> None:
    """A query is for services, also where an app takes every path."""
    desk = Desk()
    service = Service("desk", tables=METADATA)
    service.handles(desk.keys)
    service.mount("/", desk.app, public=True)
    desk.system = lambda gateway: System("tiny", services=[service], gateway=gateway)  # type: ignore[method-assign]
    request = message("POST", "/-/ask/gateway/GetKeys.v1", JSON, "holdfast-ask: 1", body=b"{}")
    async with laid_out(layout, desk, tmp_path) as laid:
        answer = await (await Wire.to(laid)).ask(request)

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b"the app knows no such page")
