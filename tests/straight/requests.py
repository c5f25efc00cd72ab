"""The requests that are sent both ways: good ones, bad ones, and what happens around them."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from holdfast.contract.cause import SUBJECT_CHARS_MAX
from holdfast.dispatch.inner_headers import DEADLINE
from tests.security.proofs import ORIGIN, bound, proof
from tests.straight.counter import HOW, NOW, OTHER, SIGNER
from tests.straight.ways import Step

Pair = tuple[str, str]
SCOPES = ["notes:read", "notes:write"]


def _token(subject: str, *scopes: str, lifetime_s: int = 3_600, at: float = NOW) -> str:
    return SIGNER.sign(subject, scopes, now=at, lifetime_s=lifetime_s, token_id="t-1")


def _bearer(token: str, scheme: str = "Bearer ") -> Pair:
    return "authorization", scheme + token


ADA = _bearer(_token("ada", *SCOPES))
READER = _bearer(_token("bob", "notes:read"))
SOON = _bearer(_token("eve", *SCOPES, lifetime_s=3))
CALLERS: dict[str, tuple[Pair, ...]] = {
    "nobody": (),
    "ada": (ADA,),
    "reader": (READER,),
    "nothing may": (_bearer(_token("cleo")),),
    "expired": (_bearer(_token("dan", *SCOPES, at=NOW - 3_600)),),
    "forged": (_bearer(OTHER.sign("ada", SCOPES, now=NOW, lifetime_s=3_600, token_id="t-2")),),
    "garbage": (("authorization", "Bearer not-a-token"),),
    "empty": (("authorization", "Bearer "),),
    "small letters": (_bearer(ADA[1].removeprefix("Bearer "), "bearer "),),
    "spaces": (_bearer(ADA[1].removeprefix("Bearer "), "Bearer   "),),
    "behind": ((ADA[0], ADA[1] + " "),),
    "basic": (("authorization", "Basic YWRhOnA="),),
    "dpop": (_bearer(ADA[1].removeprefix("Bearer "), "DPoP "),),
    "twice": (ADA, ADA),
    "two": (ADA, READER),
    "long": (_bearer(_token("l" * (SUBJECT_CHARS_MAX + 1), *SCOPES)),),
    "odd": (_bearer(_token('o"d\\d é', *SCOPES)),),
}
BOUND = bound()
PROVED = [  # a token that is bound to a key: with a proof, without one, with one that was seen
    (_bearer(BOUND, "DPoP "), ("dpop", proof(BOUND, None, {"htu": f"{ORIGIN}/me"}))),
    (_bearer(BOUND),),
    (_bearer(BOUND, "DPoP "),),
    (_bearer(BOUND, "DPoP "), ("dpop", proof(BOUND, None, {"htu": f"{ORIGIN}/me"}))),
    (_bearer(BOUND), ("dpop", proof(BOUND, None, {"htu": f"{ORIGIN}/me", "jti": "2"}))),
    (_bearer(BOUND, "DPoP "), ("dpop", proof(BOUND, None, {"htu": f"{ORIGIN}/me", "jti": "3"}))),
]
JSON = ("content-type", "application/json")
THING = "/things/0190f000-0000-7000-8000-000000000001/parts"
GOOD = [
    Step(),
    Step(target="/me"),
    Step(target="/scoped"),
    Step(target="/silent"),
    Step(target="/nothing"),
    Step(target="/list"),
    Step(target="/text"),
    Step(target=f"{THING}/7?tags=a&tags=b&page=2", headers=(("if-match", "3"),)),
    Step(target="/things/9"),
    Step(target="/notes?at_most=2"),
    Step(target="/outside"),
    Step("POST", "/sum", (JSON,), b"[1, 2, 3]"),
    Step("POST", "/weigh", (JSON,), b'{"text": "a", "Weight": 2}'),
    Step("POST", "/maybe"),
    Step("POST", "/maybe", (), b'{"text": "b"}'),
    Step("POST", "/log-in", (JSON,), b'{"name": "ada", "guess": 1.5}'),
    Step("POST", "/notes", (JSON,), b'{"text": "c"}'),
    Step("PUT", "/notes/d", (("if-match", "x"),)),
    Step("DELETE", "/notes/c"),
    Step("POST", "/secret", (JSON, ("idempotency-key", "k-secret")), b'{"text": "e"}'),
]
BODIES = [
    *(b"", b"{", b"null", b"[]", b"7", b'"text"', b"NaN", b"{}", b"[1, NaN]", b"[1, 1e999]"),
    *(b"[1, Infinity]", b"[true]", b'["1"]', b"[1.0]", b"\xef\xbb\xbf[1]", b"[1]\x00", b"[01]"),
    *(b'{"text": "a", "text": "b"}', b'{"text": "a", "te\\u0078t": "b"}', b'{"text": "text"}'),
    *(b'{"text": "a\\u0000"}', b'{"text": "a\x00"}', b'{"text": "\xff"}', b'{"text": 7}'),
    *(b'{"text": "a", "Weight": "1"}', b'{"text": "a", "Weight": 1.5}'),
    *(b'{"text": "a", "Weight": -1}', b'{"text": "a", "weight": 1}', b'{"text" : "sp"}'),
    *(b'{"text": "a", "Weight": 1e999}', b'{"text": "a", "more": 1}', b'{"text": "\\ud800"}'),
    *('{"text": "a"}'.encode("utf-16"), b'{"text": "a"} x', b"[" * 3_000, b'{"text": "taken"}'),
    *(b'{"name": "ada", "guess": NaN}', b'{"name": "ada", "guess": 1e999}', b'{"name": "eve"}'),
    *(b'{"name": "ADA", "guess": 1}', b'{"name": "ada", "name": "eve"}', b'{"name": "ada"}'),
]
HEADERS: list[tuple[Pair, ...]] = [
    (("x-correlation-id", "good-one.1234"),),
    (("x-correlation-id", "short"),),
    (("x-correlation-id", "x" * 65),),
    (("x-correlation-id", ""),),
    (("x-correlation-id", 'has"quotes"inside'),),
    (("x-correlation-id", "the-first-one"), ("x-correlation-id", "the-second-one")),
    (("x-correlation-id", "0123456789abcdef0123456789abcdef"),),
    *(
        ((DEADLINE.decode(), value),)
        for value in (
            "0",
            "1",
            "700",
            "9" * 26,
            "-1",
            "soon",
            "1.5",
            "",
            "\xb2",
        )
    ),
    ((DEADLINE.decode(), "1"), (DEADLINE.decode(), "2")),
    (("traceparent", f"00-{'1' * 32}-{'2' * 16}-01"), ("tracestate", "a=b"), ("baggage", "c=d")),
    (("traceparent", f"00-{'0' * 32}-{'2' * 16}-01"),),
    (("traceparent", f"cc-{'3' * 32}-{'4' * 16}-02-more"),),
    (("traceparent", f"00-{'5' * 32}-{'6' * 16}-00"), ("traceparent", "again")),
    (("baggage", "c=d"), ("baggage", "\xff")),
    (("tracestate", "a=b"),),
    (("x-forwarded-for", "203.0.113.5"), ("x-forwarded-proto", "https")),
    (("x-forwarded-for", "203.0.113.5, 10.0.0.2"), ("x-forwarded-host", "other.example")),
    (("x-forwarded-for", "10.0.0.9"), ("x-forwarded-for", "unknown")),
    (("forwarded", 'for="[2001:db8::7]:4711";proto=https;host=third.example'),),
    (("forwarded", "for=_hidden, for"),),
    (("origin", "https://shop.example"),),
    (("origin", "https://evil.example"),),
    (("origin", "null"),),
    (("origin", "https://shop.example"), ("origin", "https://shop.example")),
    (("connection", "if-match, x-kept, content-type, idempotency-key"), ("x-kept", "1")),
    (("connection", "Authorization"), ("x-kept", "a"), ("x-kept", "b")),
    (("x_kept", "under"), ("x-kept", "\xe9\xff")),
    (("accept-language", "de"), ("if-match", "no number")),
    (("content-type", "application/json; charset=utf-8"),),
    (("content-type", "application/problem+json"),),
    (("content-type", "text/plain"),),
    (("content-type", "APPLICATION/JSON"),),
    (("content-type", ""),),
    (("content-type", "application/json"), ("content-type", "text/plain")),
    (("content-encoding", "gzip"),),
    (("content-encoding", "Identity"),),
    (("content-encoding", ""),),
    (("idempotency-key", "k-1"),),
    (("idempotency-key", "k-1"), ("idempotency-key", "k-1")),
    (("idempotency-key", "k-1"), ("idempotency-key", "k-2")),
    (("idempotency-key", ""),),
    (("idempotency-key", "x" * 300),),
    (("idempotency-key", "\xff"),),
]
TARGETS = [
    *("/open/", "//open", "/op%65n", "/open%00", "/open?%00=1", "/things/%2e%2e", "/things/"),
    *("/things/a%2Fb", "/things/%ff", "/things/a+b", f"{THING}/x", f"{THING}/7?page=0"),
    *(f"{THING}/7?page=%00", f"{THING}/7?page=1&page=2", f"{THING}/1e3", "/nowhere", ""),
    *(
        "/health/live",
        "/health/ready",
        "/health/mine",
        "/docs",
        "/openapi.json",
        "/notes?at_most=21",
        "/notes?at_most",
        "/notes?x=1",
    ),
    *("/notes?" + "&".join(f"a{n}=1" for n in range(101)), "/things/x/parts", "/log-in"),
]
METHODS = ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "get", "CONNECT", "DELETE", "POST"]
PREFLIGHT = (
    ("origin", "https://shop.example"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization, x-a"),
)
AROUND: list[dict[str, Any]] = [
    {"late_s": 0.1},
    {"late_s": 0.6},
    {"late_s": 0.6, "gone": True},
    {"late_s": 0.1, "gone": True},
    {"late_s": 1.5},
    {"late_s": 9.9},
    {"late_s": 30.0},
    {"dated": False},
    {"leaves_s": 0.05},
    {"cancelled_s": 0.05},
    {"leaves_s": 0.05, "cancelled_s": 0.05},
    {"client": ""},
    {"client": "2001:db8::1"},
    {"client": "::ffff:198.51.100.7"},
    {"client": "10.0.0.1"},
    {"client": "a name"},
]


def _sent(step: Step, *pairs: Pair) -> Step:
    return replace(step, headers=(*step.headers, *pairs))


def each() -> Iterator[Step]:
    """Yield each request once, each other thing of it being good."""
    for step in GOOD:
        yield _sent(step, ADA)  # the token is verified
    for step in GOOD:
        for pairs in CALLERS.values():
            yield _sent(step, *pairs)
    for pairs in PROVED:
        yield Step(target="/me", headers=pairs)
    for target in ("/sum", "/weigh", "/maybe", "/log-in", "/notes", "/secret"):
        for n, body in enumerate(BODIES):
            yield Step("POST", target, (ADA, JSON), body, client=f"198.51.100.{n}")
    for step in (GOOD[1], GOOD[0], GOOD[7], GOOD[8], GOOD[12], GOOD[16], GOOD[17], GOOD[19]):
        for pairs in HEADERS:
            yield _sent(step, ADA, *pairs)
            yield replace(_sent(step, ADA, *pairs), client="10.0.0.1")
    for path in ("/ends", "/open-ends", "/any-ends"):
        for how in HOW:
            yield Step(target=f"{path}/{how}", headers=(ADA, ("origin", "https://shop.example")))
    for target in TARGETS:
        for method in ("GET", "POST", "HEAD"):
            yield Step(method, target, (ADA,))
    for step in GOOD:
        for method in METHODS:
            yield replace(_sent(step, ADA), method=method)
        yield replace(_sent(step, *PREFLIGHT), method="OPTIONS")
    yield from _around()
    for late_s, pause_s in (
        (1.5, 30.0),
        (1.5, 0.6),
        (0.0, 0.3),
        (1.5, 0.3),
        (1.5, 0.9),
        (1.5, 0.3),
    ):
        yield Step(headers=(ADA,), late_s=late_s, pause_s=pause_s)
    yield Step(target="/me", headers=(SOON,))
    yield Step(target="/me", headers=(SOON,), pause_s=1.0)
    yield Step(target="/me", headers=(SOON,), pause_s=60.0)
    yield Step(target="/me", headers=(ADA,))
    yield Step(target="/me", headers=(ADA,), pause_s=3_600.0)


def _around() -> Iterator[Step]:
    ending = [Step(target=f"/ends/{how}") for how in ("wait", "long", "swallow", "bug", "shield")]
    written = Step("POST", "/notes", (JSON, ("idempotency-key", "k-wait")), b'{"text": "wait"}')
    for step in (*GOOD, *ending, written):
        for around in AROUND:
            yield replace(_sent(step, ADA), **around)
    for target in ("/open-ends/wait", "/any-ends/swallow"):
        for around in AROUND:
            yield Step(target=target, **around)


def mixed(seed: int, count: int) -> list[Step]:
    """Return requests of all kinds in any order, some of them at once."""
    chance, found = random.Random(seed), list[Step]()
    ending = [Step(target=f"/ends/{how}") for how in HOW]
    for _ in range(count):
        step = chance.choice([*GOOD, *GOOD, *ending])
        who = chance.choice(list(CALLERS.values())) if chance.random() < 0.3 else (ADA,)
        step = _sent(step, *who)
        if chance.random() < 0.3:
            step = _sent(step, *chance.choice(HEADERS))
        if chance.random() < 0.2:
            step = replace(step, **chance.choice(AROUND))
        if step.method == "POST" and chance.random() < 0.2:
            step = replace(step, body=chance.choice(BODIES))
        if step.target == "/notes" and chance.random() < 0.5:
            step = replace(step, body=b'{"text": "%d"}' % chance.randrange(9))
        pause_s = chance.choice([0.0, 0.0, 0.0, 0.01, 0.3])
        found.append(replace(step, waits=chance.random() < 0.5, pause_s=pause_s))
    return found
