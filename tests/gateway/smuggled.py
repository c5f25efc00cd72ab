"""Requests by which one server could be made to see what another one does not.

{family: {name: (statuses, bytes)}}. After the bytes comes `LAST`, in the same packet. Statuses are
those of all answers until the connection is closed; a 200 is a request that an upstream has seen.
The families of `tests/communication/payloads.py` are not repeated here.
"""

from tests.communication.payloads import CHUNKED, GET, POST

Payload = tuple[tuple[int, ...], bytes]

LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HIDDEN = b"GET /private/hidden HTTP/1.1\r\nHost: a\r\nX: "
SERVED, BAD = (200, 200), (400,)


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return POST + b"".join(b"%b\r\n" % line for line in lines) + b"\r\n" + body


def _get(*lines: bytes) -> bytes:
    return GET + b"".join(b"%b\r\n" % line for line in lines) + b"\r\n"


def _to(target: bytes, host: bytes = b"a") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)


def _length(value: bytes) -> bytes:
    return _post(b"Content-Length: " + value, body=b"hello")


def _coded(value: bytes) -> bytes:
    return _post(b"Transfer-Encoding: " + value, body=b"5\r\nhello\r\n0\r\n\r\n")


def _chunks(body: bytes) -> bytes:
    return CHUNKED + body


_SIX = b"Content-Length: 6"
_CODED = b"Transfer-Encoding: chunked"
_END = b"0\r\n\r\n"

CONFLICTS: dict[str, Payload] = {
    "the request that hides behind the length": (BAD, _post(_SIX, _CODED, body=_END + HIDDEN)),
    "the request that hides in the chunks": (
        BAD,
        _post(b"Content-Length: 4", _CODED, body=b"3b\r\n" + HIDDEN + b"\r\n" + _END),
    ),
    "length 0 and chunks": (BAD, _post(b"Content-Length: 0", _CODED, body=_END)),
    "a header between them": (BAD, _post(_CODED, b"X: y", b"Content-Length: 5", body=_END)),
    "names in capitals": (BAD, _post(b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: chunked")),
    "both of a GET": (BAD, _get(b"Content-Length: 5", _CODED) + _END),
    "three lengths, two equal": (
        BAD,
        _post(b"Content-Length: 5", b"Content-Length: 6", b"Content-Length: 5", body=b"hello"),
    ),
    "two lengths, the second one empty": (
        BAD,
        _post(b"Content-Length: 5", b"Content-Length:", body=b"hello"),
    ),
    "two codings, one of them nonsense": (
        BAD,
        _post(_CODED, b"Transfer-Encoding: x", body=_END),
    ),
    "two codings, nonsense first": (BAD, _post(b"Transfer-Encoding: x", _CODED, body=_END)),
    "a length with an underscore in its name": (
        (200, 400),
        _get(b"Content_Length: %d" % len(LAST)) + b"x",
    ),
    "a coding with an underscore in its name": (
        (200, 400),
        _get(b"Transfer_Encoding: chunked") + _END,
    ),
    "a length that Connection names": (
        SERVED,
        _post(b"Connection: content-length", b"Content-Length: 5", body=b"hello"),
    ),
    "a coding that Connection names": (
        SERVED,
        _post(b"Connection: transfer-encoding", _CODED, body=b"5\r\nhello\r\n" + _END),
    ),
    "a host that Connection names": (SERVED, _get(b"Connection: host")),
    "a body of a method without one": (
        SERVED,
        b"DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ),
    "chunks in HTTP/1.0 beside a length": (
        BAD,
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
}

LENGTHS: dict[str, Payload] = {
    **{
        f"length {value!r}": (BAD, _length(value))
        for value in (
            *(b"5,", b"5;5", b"5, 5", b"5 5", b"5.0", b"1e1", b"-0", b"+5", b"0o5", b"0b1", b"5h"),
            *(b"five", b"\xef\xbc\x95", b"\xd9\xa5", b"5\0", b"\x0b5", b"\x0c5", b"5\x0b", b'"5"'),
            *(b"18446744073709551616", b"\xa05", b"$5", b"5\x85"),
        )
    },
    "length '005'": (SERVED, _length(b"005")),
    "length of forty zeros and 5": (SERVED, _length(b"0" * 40 + b"5")),
    "length of 63 bit": ((413,), _length(b"9223372036854775808")),
    "length of 64 bit": ((413,), _length(b"18446744073709551615")),
}

CODINGS: dict[str, Payload] = {
    **{
        f"coding {value!r}": (BAD, _coded(value))
        for value in (
            *(b",chunked", b"chunked,", b"chunked;q=1", b"chunked, identity", b"cow", b"chunk"),
            *(b"chun\0ked", b"chunked\x0c", b"'chunked'", b"x, chunked", b"gzip, chunked"),
            *(b"chunked, gzip", b"chunked\xff", b"\xa0chunked", b"chunked chunked", b"\x85chunked"),
            *(b"chunkedd", b"", b"chunked\0", b"chunked \x0b", b"deflate", b"identity, identity"),
            *(b"trailers", b"[chunked]", b"chunked=", b"\xc4\x8bhunked", b"chunked:", b"x=chunked"),
        )
    },
    "coding after a tab": (SERVED, _coded(b"\tchunked")),
    "coding before a tab": (BAD, _coded(b"chunked\t ")),
    "coding in mixed case": (SERVED, _coded(b"cHuNkEd")),
    "coding without a blank": (
        SERVED,
        _post(b"Transfer-Encoding:chunked", body=b"5\r\nhello\r\n" + _END),
    ),
    **{
        f"coding of the name {name!r}": (BAD, _post(name + b": chunked", body=_END))
        for name in (
            *(b"Transfer-Encoding ", b"Transfer-Encoding\t", b"Transfer-Encoding\0"),
            *(b" Transfer-Encoding", b"\tTransfer-Encoding", b"Transfer\r-Encoding"),
            *(b"Transfer-Encoding\x0b", b"\xef\xbb\xbfTransfer-Encoding", b"Transfer Encoding"),
        )
    },
    "what TE says is dropped": (SERVED, _get(b"TE: chunked, trailers")),
    "a coding in a value": (SERVED, _get(b"X: y: Transfer-Encoding: chunked")),
}

CHUNKS: dict[str, Payload] = {
    **{
        f"chunk size {line!r}": (BAD, _chunks(line + b"\r\nhello\r\n" + _END))
        for line in (
            *(b"-5", b"0x5", b" 5", b"5 ", b"5\t", b"5\0", b"5\x0b", b"5,5", b"5.0", b"5h", b"g"),
            *(b"\t5", b"5\r", b"", b"\xef\xbc\x95", b"5 5", b"10000000000000005", b'"5"'),
        )
    },
    **{
        f"chunk extension {line!r}": (BAD, _chunks(line + b"\r\nhello\r\n" + _END))
        for line in (b"5;a\nb", b"5;a\rb", b"5;a\0b", b'5;a="\n"', b'5;a="\r\n"', b"5;\x01", b"5;;")
    },
    **{
        f"chunk extension {line!r}": (SERVED, _chunks(line + b"\r\nhello\r\n" + _END))
        for line in (b"5;a=b;c", b'5;a="b"', b"00000005", b"5;" + b"a" * 4_000)
    },
    "a chunk extension that is too long": (
        (431,),
        _chunks(b"5;" + b"a" * 40_000 + b"\r\nhello\r\n" + _END),
    ),
    "no line break after a chunk": (BAD, _chunks(b"5\r\nhello" + _END)),
    "LF after a chunk": (BAD, _chunks(b"5\r\nhello\n" + _END)),
    "CR after a chunk": (BAD, _chunks(b"5\r\nhello\r" + _END)),
    "LF after the size": (BAD, _chunks(b"5\nhello\r\n" + _END)),
    "CR after the size": (BAD, _chunks(b"5\rhello\r\n" + _END)),
    "LF after the last size": (BAD, _chunks(b"5\r\nhello\r\n0\n\r\n")),
    "LF at the end of the chunks": (BAD, _chunks(b"5\r\nhello\r\n0\r\n\n")),
    "CR CR LF at the end of the chunks": (BAD, _chunks(b"5\r\nhello\r\n0\r\n\r\r\n")),
    "a last chunk of many zeros": (SERVED, _chunks(b"5\r\nhello\r\n00000\r\n\r\n")),
    "a last chunk with an extension": (SERVED, _chunks(b"5\r\nhello\r\n0;x=y\r\n\r\n")),
    "a chunk that holds a request": (SERVED, _chunks(b"30\r\n" + LAST[:48] + b"\r\n" + _END)),
    "nothing in chunks": (SERVED, _chunks(_END)),
}

TRAILERS: dict[str, Payload] = {
    **{
        f"trailer {line!r}": (SERVED, _chunks(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"))
        for line in (
            *(b"Host: b", b"Authorization: Bearer x", b"X-Forwarded-For: 6.6.6.6", b"Cookie: a=b"),
            *(b"Holdfast-Caller: {}", b"X: y\r\nZ: w", b"Expect: 100-continue", b"Connection: x"),
            *(b"Connection: upgrade\r\nUpgrade: h2c", b"Upgrade: h2c", b"X-Long: " + b"a" * 8_000),
        )
    },
    **{
        f"trailer {line!r}": (BAD, _chunks(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"))
        for line in (
            *(b"X: y\r\n z", b"X : y", b"X: a\0b", b"X: y\nZ: w", b"no colon", b": y"),
            *(b"Transfer-Encoding: chunked", b"Content-Length: 0", b" X: y"),
        )
    },
    "a trailer that says that it is the last": (
        (200,),
        _chunks(b"5\r\nhello\r\n0\r\nConnection: close\r\n\r\n"),
    ),
    "trailers that are too long": (
        (431,),
        _chunks(b"5\r\nhello\r\n0\r\nX: " + b"a" * 40_000 + b"\r\n\r\n"),
    ),
    "trailers of nothing that are too long": (
        (431,),
        _chunks(b"0\r\nX: " + b"a" * 40_000 + b"\r\n\r\n"),
    ),
    "a trailer that is announced": (
        SERVED,
        _post(b"Trailer: X-User", _CODED, body=b"5\r\nhello\r\n0\r\nX-User: root\r\n\r\n"),
    ),
}

LINES: dict[str, Payload] = {
    "CR alone between lines": (BAD, b"GET / HTTP/1.1\rHost: a\r\r"),
    "LF CR between lines": (BAD, b"GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    "LF after the request line": (BAD, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "LF after the host": (BAD, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    "CR after the host": (BAD, b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"),
    "CR CR LF after the request line": (BAD, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    "a length behind a bare LF": (BAD, _post(b"X: y\nContent-Length: 5", body=b"hello")),
    "a length behind a bare CR": (BAD, _post(b"X: y\rContent-Length: 5", body=b"hello")),
    "a length behind NUL": (BAD, _post(b"X: y\0Content-Length: 5", body=b"hello")),
    "LF first": (SERVED, b"\n" + GET + b"\r\n"),
    "CR first": (SERVED, b"\r" + GET + b"\r\n"),
    "blank first": (BAD, b" " + GET + b"\r\n"),
    "twenty blank lines first": (SERVED, b"\r\n" * 20 + GET + b"\r\n"),
    "tab in the request line": (BAD, b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    "vertical tab in the request line": (BAD, b"GET /\x0bHTTP/1.1\r\nHost: a\r\n\r\n"),
    "two blanks before the version": (SERVED, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    "folded first header": (BAD, b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n"),
    "folded host": (BAD, b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
    "folded length": (BAD, _post(b"Content-Length:\r\n 5", body=b"hello")),
    "folded with nothing": (BAD, _get(b"X: y\r\n ")),
    "folded with a tab and a length": (BAD, _post(b"X: y\r\n\tContent-Length: 5", body=b"hello")),
    "value of NEL": (SERVED, _get(b"X: a\x85b")),
    "value of a line separator": (SERVED, _get(b"X: a\xe2\x80\xa8Content-Length: 5")),
}

NAMES: dict[str, Payload] = {
    **{
        f"name with {byte!r}": (BAD, _get(b"X%bY: z" % byte))
        for byte in (
            *(b'"', b"(", b")", b",", b"/", b";", b"<", b"=", b">", b"?", b"@", b"[", b"\\", b"]"),
            *(b"{", b"}", b" ", b"\t", b"\0", b"\x01", b"\x0b", b"\x0c", b"\r", b"\n", b"\x1f"),
            *(b"\x7f", b"\x80", b"\x85", b"\xa0", b"\xff", b"\xc3\xa4"),
        )
    },
    "name of every sign that may be": (SERVED, _get(b"X!#$%&'*+-.^`|~1: z")),
    "name with an underscore": (SERVED, _get(b"X_User: root")),
    "header of NUL": (BAD, _get(b"\0: x")),
    "only a colon": (BAD, _get(b":")),
}

TARGETS: dict[str, Payload] = {
    **{
        f"target {target!r}": (BAD, _to(target))
        for target in (
            *(b"a:80", b"http:/a/", b"http:a", b"http:///", b"http://a:80@b/", b"http://a\\b/"),
            *(b"http://a#b/", b"http://a%2eb/", b"http://a.b/", b"javascript:x"),
            *(b"*/x", b"ws://a/", b"/ http://b/", b"?x", b";x", b"/\xc3\xa4", b"../x", b"a/b"),
            *(b"http://", b"http://[::1/", b"http://a:x/", b"http://a a/", b"/a\tb", b"/a#"),
            *(b"http://b@a/", b"//\\b", b"/a\x7f", b"/a\x0bb", b"https://b:443/", b"/%", b"/%0"),
            *(b"/%u0041", b"/a%", b"/\\..\\x", b"", b"file:///etc", b"http://127.0.0.1/"),
        )
    },
    "the server itself": (BAD, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "URL of the host in capitals": (SERVED, _to(b"HTTP://A/x")),
    "URL of the host, by TLS": (SERVED, _to(b"https://a/x")),
    "URL of an IPv6 host": (SERVED, _to(b"http://[::1]/x", b"[::1]")),
    "a path that looks like an authority": (SERVED, _to(b"//b/x")),
    "a URL in the path": (SERVED, _to(b"/http://b/x")),
    "a URL in the query": (SERVED, _to(b"/?http://b/x?y=?z")),
    "signs in the query": (SERVED, _to(b"/?" + bytes(range(0x24, 0x7F)) + b'!"')),
    "a backslash in the query": (SERVED, _to(b"/?\\..\\private")),
}

HOSTS: dict[str, Payload] = {
    **{
        f"host {host!r}": (BAD, _to(b"/x", host))
        for host in (
            *(b"", b"a:", b"[::1", b"a,b", b"a\tb", b"http://a", b"*", b"a?b", b"a#b", b"a%00"),
            *(
                b"a\\b",
                b"127.0.0.1:80:80",
                b"a/",
                b"@a",
                b"a@b",
                b"a:-1",
                b"a;b",
                b"[a]",
                b"a b:80",
            ),
            *(
                b'"a"',
                b"a:80a",
                b"-a",
                b".",
                b"\xa0a",
                b"a\0",
                b"[::1]a",
                b"[::1]:",
                b"{a}",
                b"a:999999",
            ),
        )
    },
    "two hosts far from each other": (BAD, _get(b"X: y", b"Host: b")),
    "two hosts, one with a blank in its name": (BAD, _get(b"Host : b")),
    "another host by X-Host": (SERVED, _get(b"X-Host: b", b"X-Forwarded-Host: b")),
    "a host with an underscore in its name": (SERVED, _get(b"_Host: b", b"X_Forwarded_Host: b")),
}

VERSIONS: dict[str, Payload] = {
    "preface of HTTP/2": (BAD, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "preface of HTTP/2 after a request": (
        (200, 400),
        GET + b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
    "kept HTTP/1.0": ((200,), b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
    "HTTP/1.0 with a length": ((200,), b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"),
    **{
        f"version {version!r}": (status, b"GET / %b\r\nHost: a\r\n\r\n" % version)
        for version, status in (
            (b"HTTP/1.10", BAD),
            (b"HTTP/01.1", BAD),
            (b"HTTP/1,1", BAD),
            (b"HTTP/ 1.1", BAD),
            (b"HTTP/1.1\0", BAD),
            (b"HTTP/9.9", (505,)),
            (b"HTTP/1.", BAD),
            (b"HTTPS/1.1", BAD),
            (b"Http/1.1", BAD),
            (b"HTTP/1.1x", BAD),
            (b"HTTP/11", BAD),
            (b"HTTP", BAD),
            (b"HTTP/1.1 HTTP/1.1", BAD),
            (b"HTTP/-1.1", BAD),
        )
    },
}

UPGRADES: dict[str, Payload] = {
    "h2c, and its preface": (
        (200, 400),
        _get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
        + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
    "WebSocket, and a frame": (
        (200, 400),
        _get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
        + b"\x81\x00",
    ),
    "TLS/1.0": (SERVED, _get(b"Connection: upgrade", b"Upgrade: TLS/1.0")),
    "HTTP/2.0 with a length": (
        SERVED,
        _post(b"Connection: upgrade", b"Upgrade: HTTP/2.0", b"Content-Length: 5", body=b"hello"),
    ),
    "an upgrade with both framings": (
        BAD,
        _post(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 5", _CODED, body=_END),
    ),
    "an upgrade without a name": (SERVED, _get(b"Connection: upgrade", b"Upgrade:")),
    "tunnel": ((501,), b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "expects twice": ((417,), _post(b"Expect: 100-continue, 100-continue", b"Content-Length: 0")),
    "expects nothing": ((417,), _post(b"Expect:", b"Content-Length: 0")),
    "expects another status": ((417,), _post(b"Expect: 200-ok", b"Content-Length: 0")),
    "expects, with its body": (
        SERVED,
        _post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
    ),
    "expects, in capitals, with chunks": (
        SERVED,
        _post(b"Expect: 100-CONTINUE", _CODED, body=b"5\r\nhello\r\n" + _END),
    ),
}

PIPELINES: dict[str, Payload] = {
    "three": ((200,) * 4, _to(b"/1") + _to(b"/2") + _to(b"/3")),
    "a body and a request": ((*SERVED, 200), _length(b"5") + _to(b"/2")),
    "a byte too much": ((200, 400), _length(b"5") + b"X"),
    "a line too much": (SERVED, _length(b"5") + b"\r\n"),
    "a word of another request": ((200, 400), _length(b"4")),
    "a request in a body": (
        SERVED,
        _post(b"Content-Length: %d" % len(_to(b"/2")), body=_to(b"/2")),
    ),
    "one behind a refusal": ((200, 400), _to(b"/1") + _get(b"X : y") + _to(b"/2")),
    "one behind a close": ((200,), _get(b"Connection: close") + _to(b"/2")),
    "one behind a list with close": ((200,), _get(b"Connection: x, close") + _to(b"/2")),
    "one behind two Connection headers": (
        (200,),
        _get(b"Connection: keep-alive", b"Connection: close") + _to(b"/2"),
    ),
}

PATHS: dict[str, Payload] = {
    **{
        f"path {path!r}": (statuses, _to(path))
        for path, statuses in (
            (b"/private/x", (401, 200)),
            (b"/x/../private/x", (401, 200)),
            (b"/./private/x", (401, 200)),
            (b"/%70rivate/x", (401, 200)),
            (b"/x/%2e%2e/private/x", (401, 200)),
            (b"/x/.%2E/private/x", (401, 200)),
            (b"http://a/private/x", (401, 200)),
            (b"/private/../x", SERVED),
            (b"/x/..;/private/x", SERVED),
            (b"/x;/../private/x", (401, 200)),
            (b"/private;x/y", SERVED),
            (b"//private/x", (404, 200)),
            (b"/x//../private/x", SERVED),
            (b"/x/..%2fprivate/x", (404, 200)),
            (b"/%2fprivate/x", (404, 200)),
            (b"/private%2fx", (404, 200)),
            (b"/private%00/x", (400, 200)),
            (b"/%00/../private/x", (401, 200)),
            (b"/x/%252e%252e/private/x", SERVED),
            (b"/x/..%5cprivate/x", (404, 200)),
            (b"/x\\..\\private", BAD),
            (b"/PRIVATE/x", SERVED),
            (b"/private", (401, 200)),
            (b"/private?", (401, 200)),
            (b"/x/%2e%2e%2fprivate/x", (404, 200)),
            (b"/x/..%c0%afprivate/x", SERVED),
            (b"/private/%2e%2e/private/x", (401, 200)),
            (b"/x?/../private/x", SERVED),
            (b"/.../private/x", SERVED),
            (b"/private%09/x", SERVED),
            (b"/private%20/x", SERVED),
        )
    },
}

HOPS: dict[str, Payload] = {
    **{
        f"hop-by-hop {line!r}": (SERVED, _get(line, b"X-Named: 1"))
        for line in (
            *(
                b"Connection: X-Named",
                b"Connection: x-named, X-Other",
                b"Connection: keep-alive,X-Named",
            ),
            *(b"Keep-Alive: timeout=1", b"Proxy-Authorization: Basic x", b"Proxy-Connection: x"),
            *(b"Proxy-Authenticate: Basic", b"TE: trailers", b"Trailer: X", b"Upgrade: x"),
            *(b"Connection: authorization", b"Connection: holdfast-origin", b"Connection:"),
        )
    },
}

LIMITS: dict[str, Payload] = {
    "the longest URL": (SERVED, _to(b"http://a/" + b"a" * 8_183)),
    "a longer URL": ((414,), _to(b"http://a/" + b"a" * 8_184)),
    "the longest head": (SERVED, _get(b"X: " + b"a" * (16_384 - 15))),
    "a longer head": ((431,), _get(b"X: " + b"a" * (16_384 - 14))),
    "the most headers": (SERVED, _get(*(b"X-%d: y" % n for n in range(99)))),
    "one header more": ((431,), _get(*(b"X-%d: y" % n for n in range(100)))),
    "a larger body": ((413,), _post(b"Content-Length: 1048577", body=b"a" * 1_048_577)),
    "the largest body in chunks": (
        SERVED,
        _chunks((b"8000\r\n" + b"a" * 32_768 + b"\r\n") * 32 + _END),
    ),
    "a larger body in chunks": (
        (413,),
        _chunks((b"8000\r\n" + b"a" * 32_768 + b"\r\n") * 32 + b"1\r\na\r\n" + _END),
    ),
}

SMUGGLED: dict[str, dict[str, Payload]] = {
    "conflicts": CONFLICTS,
    "lengths": LENGTHS,
    "codings": CODINGS,
    "chunks": CHUNKS,
    "trailers": TRAILERS,
    "lines": LINES,
    "names": NAMES,
    "targets": TARGETS,
    "hosts": HOSTS,
    "versions": VERSIONS,
    "upgrades": UPGRADES,
    "pipelines": PIPELINES,
    "paths": PATHS,
    "hops": HOPS,
    "limits": LIMITS,
}
