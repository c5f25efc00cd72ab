"""What the server refuses, byte by byte, and what it must not refuse."""

import asyncio
import json
from http import HTTPStatus

import pytest

from holdfast.communication import HttpLimits
from holdfast.communication.framing import (
    Refusal,
    body_too_large,
    head_too_large,
    is_host,
    read_head,
    speaks_http,
    unreadable,
)
from holdfast.contract.http import HeaderList

from .conftest import Serve
from .payloads import ACCEPTED, GET, POST, REFUSED

CODES = {
    400: {"bad_request", "bad_host", "bad_framing", "bad_target"},
    413: {"too_large"},
    414: {"target_too_long"},
    417: {"expectation_failed"},
    431: {"headers_too_large"},
    501: {"method_not_implemented"},
    505: {"http_version"},
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_a_problem_document_and_closes(name: str, serve: Serve) -> None:
    """What could be read in two ways is answered with a problem, and never reaches the handler."""
    status, data = REFUSED[name]
    served = await serve()
    wire = await served.open()
    wire.send(data)

    answer = await wire.answer()
    problem = json.loads(answer.body)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert list(problem) == ["type", "title", "status", "detail", "code"]
    assert problem["type"] == "about:blank"
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["status"] == status
    assert problem["code"] in CODES[status]
    assert await wire.rest() == b""
    assert served.server.stats().requests == 0
    assert served.server.stats().refused == {problem["code"]: 1}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_good_request_is_served(name: str, serve: Serve) -> None:
    """Strictness ends where the standard allows something that has only one reading."""
    data, expected = ACCEPTED[name]
    answer = await (await serve()).ask(data)
    assert (answer.status, answer.body) == (200, expected)


@pytest.mark.parametrize(
    "name", [*ACCEPTED, "chunks over the limit", "two lengths", "long header", "RTSP", "ICE"]
)
async def test_the_cuts_between_reads_change_nothing(name: str, serve: Serve) -> None:
    """The same bytes, sent in pieces of seven, get the same answer."""
    status, data = (200, ACCEPTED[name][0]) if name in ACCEPTED else REFUSED[name]
    served = await serve()
    wire = await served.open()
    step = 7 if len(data) < 5_000 else 4_999
    for start in range(0, len(data), step):
        wire.send(data[start : start + step])
        await asyncio.sleep(0)
    assert (await wire.answer()).status == status


async def test_nothing_is_smuggled_behind_a_refusal(serve: Serve) -> None:
    """What follows a refused request is not read as a request."""
    served = await serve()
    wire = await served.open()
    hidden = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
    wire.send(POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)

    assert (await wire.answer()).status == 400
    assert await wire.rest() == b""
    assert served.server.stats().requests == 0


UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("step", [1, 7, 1_000])
async def test_requests_behind_an_ignored_upgrade_are_served(step: int, serve: Serve) -> None:
    """The connection goes on in HTTP/1.1, with whatever came in the same packet."""
    served = await serve()
    wire = await served.open()
    data = (
        b"GET /1 HTTP/1.1\r\nHost: a\r\n%b\r\n" % UPGRADE
        + b"POST /2 HTTP/1.1\r\nHost: a\r\n%bContent-Length: 2\r\n\r\nab" % UPGRADE
        + b"GET /3 HTTP/1.1\r\nHost: a\r\n%bConnection: close\r\n\r\n" % UPGRADE
    )
    for start in range(0, len(data), step):
        wire.send(data[start : start + step])
        await asyncio.sleep(0)

    answers = [await wire.answer() for _ in range(3)]
    assert [answer.body for answer in answers] == [b"GET /1? ", b"POST /2? ab", b"GET /3? "]
    assert await wire.rest() == b""


@pytest.mark.parametrize(
    "first",
    [
        b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /1 HTTP/1.0\r\n\r\n",
        b"POST /1 HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
async def test_nothing_is_read_after_the_last_request(first: bytes, serve: Serve) -> None:
    """An answer that says `close` is the only one; a request behind it was never promised one."""
    served = await serve()
    wire = await served.open()
    wire.send(first + b"GET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET + b"\r\n")

    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert answer.body.split(b"?")[0].endswith(b"/1")
    assert await wire.rest() == b""
    assert served.server.stats().requests == 1


async def test_rtsp_behind_the_same_request_is_refused(serve: Serve) -> None:
    """What stands before it in the same packet is no proof of its protocol."""
    wire = await (await serve()).open()
    wire.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /a RTSP/1.0\r\nHost: a\r\n\r\n")

    assert [(await wire.answer()).status for _ in range(2)] == [200, 505]


A: HeaderList = [(b"host", b"a")]
LIMITS = HttpLimits(body_bytes_max=5, headers_max=7, header_bytes_max=900)


@pytest.mark.parametrize(
    ("method", "target", "version", "headers", "refusal"),
    [
        (b"GET", b"/", "2.0", A, (505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are served.")),
        (b"CONNECT", b"a:1", "1.1", A, (501, "method_not_implemented", "This is no proxy.")),
        (b"GET", b"/", "1.1", [], (400, "bad_host", "A request has exactly one Host header.")),
        (b"GET", b"/", "1.0", A * 2, (400, "bad_host", "A request has exactly one Host header.")),
        (
            *(b"GET", b"/", "1.0", [(b"host", b"a b")]),
            (400, "bad_host", "The Host header is not a host and port."),
        ),
        (
            *(b"GET", b"http://b/", "1.1", A),
            (400, "bad_host", "The request target and the Host header disagree."),
        ),
        (
            *(b"GET", b"http://XXXX/", "1.0", []),
            (400, "bad_host", "The request target and the Host header disagree."),
        ),
        (
            *(b"GET", b"*", "1.1", A),
            (400, "bad_target", "The request target is not a path or an http URL."),
        ),
        (
            *(b"POST", b"/", "1.1", [*A, (b"content-length", b"6")]),
            (413, "too_large", "A body has at most 5 bytes."),
        ),
        (
            *(b"POST", b"/", "1.0", [*A, (b"transfer-encoding", b"chunked")]),
            (400, "bad_framing", "Transfer-Encoding may only be chunked, in HTTP/1.1."),
        ),
        (
            *(b"POST", b"/", "1.1", [*A, (b"transfer-encoding", b"gzip")]),
            (400, "bad_framing", "Transfer-Encoding may only be chunked, in HTTP/1.1."),
        ),
        (
            *(b"POST", b"/", "1.1", [*A, (b"expect", b"tea")]),
            (417, "expectation_failed", "Only 100-continue may be expected."),
        ),
    ],
)
def test_every_refusal_of_a_head(
    method: bytes, target: bytes, version: str, headers: HeaderList, refusal: tuple[int, str, str]
) -> None:
    """Status, code and text: the code is what programs go by."""
    with pytest.raises(Refusal) as caught:
        read_head(method, target, version, headers, LIMITS)

    found = caught.value
    assert (found.status, found.code, found.detail) == refusal
    assert str(found) == refusal[2]


def test_a_target_that_cannot_be_read_says_why() -> None:
    """The reason is that of the path's own reader."""
    with pytest.raises(Refusal, match="The request target cannot be read: ") as caught:
        read_head(b"GET", b"/%zz", "1.1", A, LIMITS)

    assert (caught.value.status, caught.value.code) == (400, "bad_target")


@pytest.mark.parametrize(
    ("method", "version", "headers"),
    [
        (b"GET", "1.0", []),
        (b"GET", "1.0", A),
        (b"GET", "1.1", A),
        (b"PURGE", "1.1", A),
        (b"POST", "1.1", [*A, (b"content-length", b"5")]),
        (b"POST", "1.0", [*A, (b"content-length", b"5")]),
        (b"POST", "1.1", [(b"transfer-encoding", b"Chunked"), *A]),
        (b"PUT", "1.1", [(b"expect", b"100-Continue"), *A]),
        (b"PUT", "1.1", [*A, (b"expectation", b"tea")]),
    ],
)
def test_a_head_that_may_be_served(method: bytes, version: str, headers: HeaderList) -> None:
    """It becomes a request with the same method, target and headers, and no body yet."""
    request = read_head(method, b"/a?b=c?d", version, headers, LIMITS)

    assert (request.method, request.path, request.query) == (method.decode(), "/a", "b=c?d")
    assert (request.headers, request.body) == (headers, b"")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://a", "/", ""),
        (b"http://A/", "/", ""),
        (b"HTTP://a/x/../y?z", "/y", "z"),
        (b"https://a?z", "/", "z"),
    ],
)
def test_a_target_may_be_a_url(target: bytes, path: str, query: str) -> None:
    """Of this very host; only its path and query count."""
    request = read_head(b"GET", target, "1.1", [(b"host", b"a")], LIMITS)

    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (body_too_large(LIMITS), (413, "too_large", "A body has at most 5 bytes.")),
        (
            head_too_large(LIMITS),
            (431, "headers_too_large", "A head has at most 7 headers in 900 bytes."),
        ),
        (
            unreadable("Invalid HTTP version"),
            (505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are served."),
        ),
        (
            unreadable("Invalid method"),
            (400, "bad_request", "This is not an HTTP/1.1 request: Invalid method."),
        ),
    ],
)
def test_what_the_reader_refuses(refusal: Refusal, said: tuple[int, str, str]) -> None:
    """It names the limit, or the parser's own reason; and is written without blanks."""
    assert (refusal.status, refusal.code, refusal.detail) == said
    title = HTTPStatus(said[0]).phrase
    text = f'"title":"{title}","status":{said[0]},"detail":"{said[2]}","code":"{said[1]}"'
    assert refusal.document().decode() == f'{{"type":"about:blank",{text}}}'


@pytest.mark.parametrize(
    ("raw", "speaks"),
    [
        (b"GET /a HTTP/1.1\r\n", True),
        (b"GET /a RTSP/1.0\r\n", False),
        (b"GET /a ICE/1.0\r\n", False),
        (b"GET   /a  RTSP/1.0\r\n", False),
        (b"GET /b RTSP/1.0\r\n", True),
        (b"PUT /a RTSP/1.0\r\n", True),
        (b"POST / HTTP/1.1\r\n\r\nGET /a ICE/1.0", False),
        (b"X: GET /a ICE/1.0", True),
    ],
)
def test_a_request_line_names_its_protocol(raw: bytes, speaks: bool) -> None:
    """Only a line that begins with this method and target says anything of it."""
    assert speaks_http(b"GET", b"/a", raw) is speaks


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (b"a", True),
        (b"a" * 255, True),
        (b"a" * 256, False),
        (b"-a", False),
        (b"a:65535", True),
        (b"a:123456", False),
        (b"a:", False),
        (b"A-1.b_C.example", True),
        (b"[::1]", True),
        (b"[2001:DB8::aF]:1", True),
        (b"[" + b":" * 45 + b"]:1", True),
        (b"[" + b":" * 46 + b"]", False),
        (b"[:]", False),
        (b"", False),
    ],
)
def test_a_host_has_bounds(value: bytes, fits: bool) -> None:
    """A name of 255 characters, a port of five digits."""
    assert is_host(value) is fits
