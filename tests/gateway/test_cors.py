"""Pages of other origins: what their browsers are told, by the gateway and by mounted apps."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

from holdfast import Cors, Gateway, Mounted, Rate, Service, System, Tokens
from holdfast.contract.http import HeaderList, Request, Response, is_preflight
from holdfast.gateway.cors import CorsRules
from holdfast.testing import Running, running
from holdfast.testing.run import Answer

PAGE = "https://shop.example"
ORIGIN = "access-control-allow-origin"
TOKENS = Tokens(issuer="https://i.example", audience="a", keys="https://i.example/jwks")
CLOSED = Gateway(tokens=TOKENS, cors=Cors(origins=(PAGE, "https://other.example")))


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Allow everything, as an app with CORS of its own might."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    caller = Mounted.of(scope).caller
    headers = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"accept"),
        (b"x-caller", repr(caller).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


def system(gateway: Gateway) -> System:
    """Return a system with a closed route, a closed app and an open app."""
    service = Service("desk", tables=MetaData())

    @service.get("/v1/me")
    async def me() -> str:
        return "me"

    @service.get("/v1/hello", public=True)
    async def hello() -> str:
        return "hello"

    service.mount("/old", app)
    service.mount("/open", app, public=True)
    return System("tiny", services=[service], gateway=gateway)


async def preflight(run: Running, path: str, origin: str = PAGE, **headers: str) -> Answer:
    """Ask as a browser does."""
    asked = {"access-control-request-method": "POST", **headers}
    return await run.client.request("OPTIONS", path, headers={"origin": origin, **asked})


@pytest.mark.parametrize("path", ["/v1/me", "/v1/hello", "/old/x", "/open/x", "/openapi.json"])
async def test_a_preflight_needs_no_token(path: str) -> None:
    """A browser sends none with it; what is allowed is said whatever was asked."""
    async with running(system(CLOSED)) as run:
        answer = await preflight(run, path)

    assert (answer.status, answer.body, answer.headers[ORIGIN]) == (204, b"", PAGE)
    assert "DELETE" in answer.headers["access-control-allow-methods"].split(", ")
    assert "authorization" in answer.headers["access-control-allow-headers"].split(", ")
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://shop.example", f"{PAGE}.evil.example", f"{PAGE}:444", "null"],
)
async def test_a_strange_page_is_allowed_nothing(origin: str) -> None:
    """Neither by a preflight nor by an answer; caches are told that the origin mattered."""
    async with running(system(CLOSED)) as run:
        asked = await preflight(run, "/v1/hello", origin)
        got = await run.client.get("/v1/hello", headers={"origin": origin})

    assert not [name for name in asked.headers if name.startswith("access-control")]
    assert not [name for name in got.headers if name.startswith("access-control")]
    assert (got.headers["vary"], asked.headers["vary"]) == ("origin", "origin")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/hello", 200), ("/openapi.json", 200), ("/v1/me", 401), ("/no", 404), ("/old/x", 401)],
)
async def test_a_page_may_read_every_answer(path: str, status: int) -> None:
    """Errors too, with the headers that say when to come again and what to name in a report."""
    async with running(system(CLOSED)) as run:
        answer = await run.client.get(path, headers={"origin": PAGE})

    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert (answer.status, answer.headers[ORIGIN]) == (status, PAGE)
    assert {"retry-after", "x-correlation-id", "idempotency-replayed"} <= set(exposed)
    assert answer.headers["vary"] == "origin"


async def test_a_page_may_read_that_it_came_too_often() -> None:
    """Without it a script sees a failed connection, and comes again at once."""
    gateway = replace(CLOSED, per_address=Rate(per_s=0.001, burst=1))
    async with running(system(gateway)) as run:
        await run.client.get("/v1/hello", headers={"origin": PAGE})
        answer = await run.client.get("/v1/hello", headers={"origin": PAGE})

    assert (answer.status, answer.headers[ORIGIN]) == (429, PAGE)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"Content-Length: 9999999\r\n\r\n", b" 413 "),
        (b"Expect: tea\r\n\r\n", b" 417 "),
        (b"X: " + b"a" * 20_000 + b"\r\n\r\n", b" 431 "),
    ],
)
async def test_a_page_may_read_what_the_server_refuses(request_: bytes, status: bytes) -> None:
    """A body that is too large is refused before the door sees the request."""
    async with running(system(CLOSED)) as run:
        host, port = run.process.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nOrigin: " + PAGE.encode() + b"\r\n" + request_)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        writer.close()

    assert status in answer
    assert b"access-control-allow-origin: " + PAGE.encode() in answer


async def test_the_gateways_word_replaces_an_apps() -> None:
    """Two values of one header allow nothing, and an app may allow more than was declared."""
    async with running(system(CLOSED)) as run:
        page = await run.client.get("/open/x", headers={"origin": PAGE})
        other = await run.client.get("/open/x", headers={"origin": "https://evil.example"})

    assert page.headers[ORIGIN] == PAGE
    assert ORIGIN not in other.headers
    assert "access-control-allow-credentials" not in page.headers


async def test_an_app_answers_preflights_where_the_gateway_has_no_cors() -> None:
    """Without a token, since a browser sends none; anything else needs one."""
    async with running(system(replace(CLOSED, cors=None))) as run:
        asked = await preflight(run, "/old/x")
        plain = await run.client.request("OPTIONS", "/old/x", headers={"origin": PAGE})
        loaded = await run.client.request(
            "OPTIONS",
            "/old/x",
            body=b"do it",
            headers={"origin": PAGE, "access-control-request-method": "GET"},
        )
        route = await preflight(run, "/v1/me")

    assert (asked.status, asked.headers[ORIGIN], asked.headers["x-caller"]) == (200, "*", "None")
    assert (plain.status, loaded.status, route.status) == (401, 401, 405)


async def test_any_origin_needs_no_vary() -> None:
    """The answer is the same for all."""
    gateway = replace(CLOSED, cors=Cors(origins=("*",)))
    async with running(system(gateway)) as run:
        answer = await run.client.get("/v1/hello", headers={"origin": "https://any.example"})
        plain = await run.client.get("/v1/hello")

    assert (answer.headers[ORIGIN], answer.headers.get("vary")) == ("*", None)
    assert ORIGIN not in plain.headers


async def test_cookies_are_allowed_by_name() -> None:
    """The origin is named, in preflights and in answers."""
    gateway = replace(CLOSED, cors=Cors(origins=(PAGE,), credentials=True))
    async with running(system(gateway)) as run:
        answers = [
            await preflight(run, "/v1/me"),
            await run.client.get("/v1/hello", headers={"origin": PAGE}),
        ]

    for answer in answers:
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers[ORIGIN] == PAGE


@pytest.mark.parametrize(
    ("asked", "allowed"), [("authorization, x-a", "authorization, x-a"), ("a\tb", None)]
)
async def test_any_header_is_allowed_by_its_name(
    tmp_path: Path, asked: str, allowed: str | None
) -> None:
    """A star does not stand for `authorization`, so the names that were asked are said."""
    gateway = replace(CLOSED, cors=Cors(origins=(PAGE,), headers=("*",)))
    async with running(system(gateway), data=tmp_path) as run:
        answer = await preflight(run, "/v1/me", **{"access-control-request-headers": asked})

    assert answer.headers.get("access-control-allow-headers") == allowed


def options(method: str = "OPTIONS", body: bytes = b"", **headers: str) -> Request:
    """Return a request; `_` in the name of a header is a dash."""
    given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request(method, "/v1/me", headers=given, body=body)


ASKING = {"origin": PAGE, "access_control_request_method": "POST"}


@pytest.mark.parametrize(
    ("request_", "asks"),
    [
        (options(**ASKING), True),
        (options("GET", **ASKING), False),
        (options(body=b"x", **ASKING), False),
        (options(origin=PAGE), False),
        (options(access_control_request_method="POST"), False),
        (options(), False),
    ],
)
def test_what_a_preflight_is(request_: Request, asks: bool) -> None:
    """OPTIONS without a body, from an origin, with the method that is wanted: all of it."""
    assert is_preflight(request_) is asks


CREDENTIALS = (b"access-control-allow-credentials", b"true")
VARY_ASKED = (b"vary", b"access-control-request-headers")


@pytest.mark.parametrize(
    ("cors", "origin", "preflight", "answer"),
    [
        (
            Cors(("https://a", "https://b"), ("GET", "PUT"), ("x-1", "x-2"), ("y-1", "y-2")),
            "https://b",
            [
                *(VARY_ASKED, (b"access-control-allow-methods", b"GET, PUT")),
                (b"access-control-max-age", b"600"),
                (b"access-control-allow-headers", b"x-1, x-2"),
            ],
            [
                *((b"vary", b"origin"), (b"access-control-allow-origin", b"https://b")),
                (b"access-control-expose-headers", b"y-1, y-2"),
            ],
        ),
        (
            Cors(("https://a",), ("GET",), ("*",), ("y",), credentials=True, max_age_s=5),
            "https://a",
            [
                *(VARY_ASKED, (b"access-control-allow-methods", b"GET")),
                (b"access-control-max-age", b"5"),
                (b"access-control-allow-headers", b"x-asked"),
            ],
            [
                *((b"vary", b"origin"), (b"access-control-allow-origin", b"https://a")),
                *(CREDENTIALS, (b"access-control-expose-headers", b"y")),
            ],
        ),
        (
            Cors(("*",), ("GET",), ("x-1",), ("y",)),
            "https://anybody",
            [
                *(VARY_ASKED, (b"access-control-allow-methods", b"GET")),
                (b"access-control-max-age", b"600"),
                (b"access-control-allow-headers", b"x-1"),
            ],
            [
                (b"access-control-allow-origin", b"*"),
                (b"access-control-expose-headers", b"y"),
            ],
        ),
        (Cors(("https://a",)), "https://b", [VARY_ASKED], [(b"vary", b"origin")]),
        (Cors(("https://a",)), "", [VARY_ASKED], [(b"vary", b"origin")]),
    ],
)
def test_every_header_of_an_answer_to_a_page(
    cors: Cors, origin: str, preflight: HeaderList, answer: HeaderList
) -> None:
    """These and no others, whatever an app said of its own."""
    rules, said = CorsRules(cors), [(b"x-own", b"1"), (b"access-control-allow-origin", b"null")]
    said += [CREDENTIALS, (b"access-control-expose-headers", b"secret")]
    given = origin.encode() or None
    asked = options(origin=origin, access_control_request_headers="x-asked") if origin else None
    response = Response(201, said, b"body")

    assert rules.answer(given) == answer
    dressed = rules.dress(given, response)
    assert (dressed.status, dressed.body) == (201, b"body")
    assert dressed.headers == [(b"x-own", b"1"), *answer]
    allowed = rules.preflight(asked or options())
    assert (allowed.status, allowed.headers, allowed.body) == (204, preflight, b"")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("a", "a"),
        ("a,b", "a,b"),
        ("a \t, \tb", "a \t, \tb"),
        ("!#$%&'*+.^_`|~09AZaz-", "!#$%&'*+.^_`|~09AZaz-"),
        *(("", None), (",", None), ("a,", None), (",a", None), ("a b", None), ("a\r\nb", None)),
    ],
)
def test_only_names_are_echoed(asked: str, said: str | None) -> None:
    """What is written into a header of an answer is a list of names, or nothing."""
    rules = CorsRules(Cors((PAGE,), headers=("*",)))

    answer = rules.preflight(options(access_control_request_headers=asked, **ASKING))

    found = answer.header(b"access-control-allow-headers")
    assert found == (None if said is None else said.encode())
