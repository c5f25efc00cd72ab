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

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED: dict[str, tuple[int, bytes]] = {
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, GET + b"Host: b\r\n\r\n"),
    "two equal hosts": (400, GET + b"Host: a\r\n\r\n"),
    "two hosts in 1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    "empty host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "host with userinfo": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "host list": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "host with a blank": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "host with a bad port": (400, b"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"),
    "host not ascii": (400, b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n"),
    "length and chunked": (400, POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "chunked and length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
    "identity, chunked": (400, POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "two codings": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "identity": (400, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "gzip": (400, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "xchunked": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n"),
    "vertical tab before chunked": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n"),
    "quoted chunked": (400, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "folded coding": (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "chunked in 1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "two equal lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
    "length list": (400, POST + b"Content-Length: 1, 1\r\n\r\na"),
    "length with plus": (400, POST + b"Content-Length: +1\r\n\r\na"),
    "length with minus": (400, POST + b"Content-Length: -1\r\n\r\na"),
    "length in hex": (400, POST + b"Content-Length: 0x1\r\n\r\na"),
    "length with underscore": (400, POST + b"Content-Length: 1_0\r\n\r\na"),
    "length with a blank": (400, POST + b"Content-Length: 1 0\r\n\r\na"),
    "empty length": (400, POST + b"Content-Length:\r\n\r\n"),
    "length over 64 bit": (400, POST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    "folded header": (400, GET + b"X: a\r\n b\r\n\r\n"),
    "folded with tab": (400, GET + b"X: a\r\n\tb\r\n\r\n"),
    "blank first header": (400, b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n"),
    "bare LF lines": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare LF after a value": (400, GET + b"X: a\n\r\n"),
    "bare LF at the end": (400, GET + b"\n"),
    "bare CR in a value": (400, GET + b"X: a\rb\r\n\r\n"),
    "CR CR LF": (400, GET + b"X: a\r\r\n\r\n"),
    "blank before colon": (400, GET + b"X : a\r\n\r\n"),
    "tab before colon": (400, GET + b"X\t: a\r\n\r\n"),
    "no colon": (400, GET + b"X\r\n\r\n"),
    "empty name": (400, GET + b": a\r\n\r\n"),
    "name with parentheses": (400, GET + b"X(a): a\r\n\r\n"),
    "name not ascii": (400, GET + b"X\xe4: a\r\n\r\n"),
    "NUL in a value": (400, GET + b"X: a\0b\r\n\r\n"),
    "control character in a value": (400, GET + b"X: a\x01b\r\n\r\n"),
    "DEL in a value": (400, GET + b"X: a\x7fb\r\n\r\n"),
    "NUL in a name": (400, GET + b"X\0: a\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "control character in the target": (400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target not ascii": (400, b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "backslash in the path": (400, b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "half an escape": (400, b"GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no escape": (400, b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    "relative target": (400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "asterisk": (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "URL of another host": (400, b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "URL of another port": (400, b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "URL with userinfo": (400, b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "URL of another scheme": (400, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "chunk size in C": (400, CHUNKED + b"0x1\r\na\r\n0\r\n\r\n"),
    "chunk size with plus": (400, CHUNKED + b"+1\r\na\r\n0\r\n\r\n"),
    "chunk size over 64 bit": (400, CHUNKED + b"fffffffffffffffff\r\na\r\n0\r\n\r\n"),
    "chunk size and a blank": (400, CHUNKED + b"1 \r\na\r\n0\r\n\r\n"),
    "no chunk size": (400, CHUNKED + b"\r\na\r\n0\r\n\r\n"),
    "length as a trailer": (400, CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n"),
    "bare LF after a chunk size": (400, CHUNKED + b"1\na\r\n0\r\n\r\n"),
    "chunk longer than its size": (400, CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
    "lower-case method": (400, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "lower-case version": (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    "blank after version": (400, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "written HTTP/0.9": (505, b"GET / HTTP/0.9\r\n\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/2": (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/3": (505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    "CONNECT": (501, b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "RTSP": (505, b"GET /a RTSP/1.0\r\nHost: a\r\n\r\n"),
    "RTSP/1.1": (505, b"GET  /a  RTSP/1.1\r\nHost: a\r\n\r\n"),
    "RTSP of its own method": (505, b"OPTIONS /a?b RTSP/1.0\r\nHost: a\r\n\r\n"),
    "ICE": (505, b"SOURCE /a ICE/1.0\r\nHost: a\r\n\r\n"),
    "unknown expectation": (417, POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\n"),
    "length over the limit": (413, POST + b"Content-Length: 1048577\r\n\r\n"),
    "chunks over the limit": (413, CHUNKED + b"100001\r\n" + b"a" * 0x100001 + b"\r\n0\r\n\r\n"),
    "long target": (414, b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "long header": (431, GET + b"X: " + b"a" * 16384 + b"\r\n\r\n"),
    "long name": (431, GET + b"a" * 16384 + b": x\r\n\r\n"),
    "many headers": (431, GET + b"X: a\r\n" * 100 + b"\r\n"),
    "endless header": (431, GET + b"X: " + b"a" * 40_000),
    "endless chunk extension": (431, CHUNKED + b"1;" + b"a" * 40_000),
    "endless trailer": (431, CHUNKED + b"0\r\nX: " + b"a" * 40_000),
}


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


ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    "plain": (GET + b"\r\n", b"GET /? "),
    "query": (b"GET /a/b?x=1&y=%20 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a/b?x=1&y=%20 "),
    "encoded slash stays raw": (b"GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a%2Fb? "),
    "path in another spelling": (
        b"GET /%61/.//x/../b%2f?/%61//.. HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a//b%2F?/%61//.. ",
    ),
    "URL in another spelling": (
        b"GET http://a/x/%2E%2e/b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /b? ",
    ),
    "host and port": (b"GET / HTTP/1.1\r\nHost: a-1.b_c.example:8080\r\n\r\n", b"GET /? "),
    "IPv6 host": (b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", b"GET /? "),
    "own URL": (b"GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", b"GET /x?y "),
    "own URL without path": (b"GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /?y "),
    "1.0 without host": (b"GET / HTTP/1.0\r\n\r\n", b"GET /? "),
    "blank line first": (b"\r\n" + GET + b"\r\n", b"GET /? "),
    "empty value": (GET + b"X:\r\n\r\n", b"GET /? "),
    "latin-1 value": (GET + b"X: \xe4\r\n\r\n", b"GET /? "),
    "100 headers": (GET + b"X: a\r\n" * 99 + b"\r\n", b"GET /? "),
    "length": (POST + b"Content-Length: 3\r\n\r\nabc", b"POST /? abc"),
    "length with blanks around": (POST + b"Content-Length: \t3 \r\n\r\nabc", b"POST /? abc"),
    "length at the limit": (
        POST + b"Content-Length: 1048576\r\n\r\n" + b"a" * 1048576,
        b"POST /? " + b"a" * 1048576,
    ),
    "chunks at the limit": (
        CHUNKED + b"100000\r\n" + b"a" * 0x100000 + b"\r\n0\r\n\r\n",
        b"POST /? " + b"a" * 1048576,
    ),
    "longest target": (
        b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 8191 + b"? ",
    ),
    "a method that a route may know": (b"PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n", b"PURGE /x? "),
    "URL with a scheme in capitals": (b"GET HTTPS://a/x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x? "),
    "no body": (POST + b"\r\n", b"POST /? "),
    "chunks": (CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"POST /? abc"),
    "chunked in capitals": (
        POST + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"POST /? a",
    ),
    "chunk extension": (CHUNKED + b"3;x=y\r\nabc\r\n0\r\n\r\n", b"POST /? abc"),
    "trailer": (CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", b"POST /? abc"),
    "GET with a body": (GET + b"Content-Length: 2\r\n\r\nab", b"GET /? ab"),
    "h2c is ignored": (
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
        b"GET /? ",
    ),
    "h2c with a body": (
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /? abc",
    ),
    "h2c with chunks": (
        POST
        + b"Connection: upgrade\r\nUpgrade: h2c, tea/1\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"3\r\nabc\r\n0\r\n\r\n",
        b"POST /? abc",
    ),
    "WebSocket is a GET": (
        GET
        + b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        + b"Sec-WebSocket-Version: 13\r\n\r\n",
        b"GET /? ",
    ),
    "upgrade without a connection header": (GET + b"Upgrade: h2c\r\n\r\n", b"GET /? "),
    "upgrade in 1.0": (
        b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /? ",
    ),
    "RTSP in a body": (
        POST + b"Content-Length: 14\r\n\r\nGET / RTSP/1.0",
        b"POST /? GET / RTSP/1.0",
    ),
    "RTSP in a header": (GET + b"X: GET / RTSP/1.0 ICE/1.0\r\n\r\n", b"GET /? "),
    "RTSP in the target": (b"GET /RTSP/1.0 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /RTSP/1.0? "),
    "DELETE": (b"DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", b"DELETE /x? "),
}


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
