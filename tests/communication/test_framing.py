"""What the server refuses, byte by byte, and what it must not refuse."""

import asyncio
import json

import pytest

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
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
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
