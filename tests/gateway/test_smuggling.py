"""What a gateway makes of requests that are meant to be read in two ways, and who sees what of it.

The gateway is that of a split system; behind it are servers of others, or a mounted app in its own
process. Each upstream answers with what it read of a request, so that both sides can be compared.
"""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

from holdfast import Gateway, Service, System, Tokens
from holdfast.communication import Origin
from holdfast.contract.crossing import crosses
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.engines import embedded
from holdfast.runtime.process import Options, Process
from tests.communication.payloads import ACCEPTED, CHUNKED, POST, REFUSED
from tests.gateway.smuggled import LAST, SMUGGLED, Payload
from tests.gateway.spoofed import SPOOFED
from tests.gateway.upstreams import UPSTREAMS, Seen, Upstream, upstream

MOUNTED = "mounted"
WAYS = (*UPSTREAMS, MOUNTED)
WAIT_S = 60.0
ISSUER = "https://issuer.example"
GATEWAY = Gateway(
    tokens=Tokens(issuer=ISSUER, audience="api", keys=f"{ISSUER}/jwks"), per_address=None
)
ADDED = {"holdfast-deadline-ms", "holdfast-origin", "traceparent", "x-correlation-id"}
OURS = {*ADDED, "host", "content-length"}
MOUNTED_ADDED = {"traceparent", "x-correlation-id"}
CLAIM = b"root, 203.0.113.66"
ENDS_ITSELF = {"1.0 without host", "upgrade in 1.0"}

FAMILIES: dict[str, dict[str, Payload]] = {
    **SMUGGLED,
    "refused": {  # what has no end would take `LAST` for its own
        name: ((status,), data)
        for name, (status, data) in REFUSED.items()
        if not name.startswith("endless")
    },
    "accepted": {
        name: ((200,) if name in ENDS_ITSELF else (200, 200), data)
        for name, (data, _) in ACCEPTED.items()
    },
}


@dataclass(frozen=True)
class Outcome:
    """What became of a payload.

    Attributes:
        answers: [(status, body)] that the client got. left: bytes that are no answer.
        requests: what the upstream read. raw: what came to the recording one.
    """

    answers: list[tuple[int, bytes]]
    left: bytes
    requests: list[Seen]
    raw: bytes


@asynccontextmanager
async def gateway(way: str, folder: Path) -> AsyncIterator[tuple[str, Upstream]]:
    """Run a gateway before an upstream; yield its URL and the upstream."""
    async with upstream("recording" if way == MOUNTED else way) as (behind, port):
        service = Service("legacy", tables=MetaData())
        service.mount("/", behind.app, public=True)
        service.mount("/private", behind.app)
        there = [Origin("127.0.0.1", port)]
        engines = embedded(lambda name: folder / f"{name}.db", threads=2)
        if way != MOUNTED:
            engines = replace(engines, discover=lambda service: there)
        services = ("legacy",) if way == MOUNTED else ()
        process = Process(
            System("edge", services=[service], gateway=GATEWAY),
            Options(data=None, port=0, services=services, gateway=True),
            Logger(io.BytesIO(), MachineClock(), "edge", form="json"),
            engines,
        )
        await process.start()
        try:
            yield process.url, behind
        finally:
            await process.stop()


async def ask(url: str, data: bytes) -> bytes:
    """Return all that is answered until the gateway closes."""
    origin = Origin.parse(url)
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(data)
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.transport.abort()
    return answer


def answers_in(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the answers that some bytes are, and what is left over."""
    found: list[tuple[int, bytes]] = []
    while data.startswith(b"HTTP/1.1 "):
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(re.findall(rb"(?im)^content-length: (\d+)", head)[0])
        found.append((int(head[9:12]), rest[:length]))
        data = rest[length:]
    return found, data


async def outcomes(way: str, folder: Path) -> dict[str, Outcome]:
    """Send all payloads one way."""
    found: dict[str, Outcome] = {}
    async with gateway(way, folder) as (url, behind):
        payloads = [pair for family in FAMILIES.values() for pair in family.items()]
        for name, (_, data) in payloads:
            behind.requests, behind.raw = [], b""
            found[name] = Outcome(
                *answers_in(await ask(url, data + LAST)), behind.requests, behind.raw
            )
    return found


Told = dict[str, dict[str, Outcome]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return {way: {payload: outcome}}."""
    return {way: asyncio.run(outcomes(way, tmp_path_factory.mktemp("edge"))) for way in WAYS}


def each_family(function: Any) -> Any:
    """Look at the payloads family by family."""
    return pytest.mark.parametrize("family", FAMILIES)(function)


@each_family
@pytest.mark.parametrize("way", WAYS)
def test_each_payload_is_answered_as_it_must_be(family: str, way: str, told: Told) -> None:
    """Whatever is behind the gateway, since it is the gateway who reads them."""
    wanted = {name: list(statuses) for name, (statuses, _) in FAMILIES[family].items()}
    answers = {name: [status for status, _ in told[way][name].answers] for name in wanted}

    assert answers == wanted
    assert [name for name in wanted if told[way][name].left] == []


@each_family
@pytest.mark.parametrize("way", WAYS)
def test_both_sides_see_the_same_requests(family: str, way: str, told: Told) -> None:
    """As many, and in this order; none of them below the prefix that needs a token."""
    for name in FAMILIES[family]:
        outcome = told[way][name]
        answered = [json.loads(body) for status, body in outcome.answers if status == 200]

        assert outcome.requests == answered, name
        assert [one for one in answered if one["target"].startswith("/private/")] == [], name


@each_family
def test_every_server_reads_the_same_of_them(family: str, told: Told) -> None:
    """Method, target and body are the same for all; so are the headers that are not ours."""
    for name in FAMILIES[family]:
        readings = [[_plain(one) for one in told[way][name].requests] for way in WAYS]

        assert [reading for reading in readings if reading != readings[0]] == [], name


def _plain(request: Seen) -> Seen:
    own = sorted(pair for pair in request["headers"] if pair[0] not in OURS)
    return {**request, "headers": own}


@each_family
def test_what_is_sent_on_is_written_anew(family: str, told: Told) -> None:
    """From what was read: one spelling, one length, no coding, nothing of the hop before."""
    for name in FAMILIES[family]:
        outcome = told["recording"][name]
        rest = outcome.raw
        for request in outcome.requests:
            head, _, rest = rest.partition(b"\r\n\r\n")
            names = [key for key, _ in request["headers"]]
            lines = [f"{request['method']} {request['target']} HTTP/1.1"]
            lines += [f"{key}: {value}" for key, value in request["headers"]]
            size, digest = request["body"]

            assert head == "\r\n".join(lines).encode("latin-1"), name
            assert sha256(rest[:size]).hexdigest() == digest, name
            assert (names.count("host"), names.count("content-length") > 1) == (1, False), name
            assert [names.count(ours) for ours in sorted(ADDED)] == [1] * len(ADDED), name
            assert [key for key in names if not crosses(key.encode()) and key not in ADDED] == []
            assert "expect" not in names, name
            rest = rest[size:]

        assert rest == b"", name


@pytest.mark.parametrize("way", [*UPSTREAMS, MOUNTED])
async def test_nobody_behind_the_gateway_hears_what_a_client_claims(
    way: str, tmp_path: Path
) -> None:
    """Who it is, where it came from, of which trace; in any case, beside others, and twice."""
    async with gateway(way, tmp_path) as (url, behind):
        for name in SPOOFED:
            lines = [b"%b: %b" % (spelled, CLAIM) for spelled in (name, name.upper(), name.title())]
            data = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\nX-Own: 1\r\n\r\n" % b"\r\n".join(lines)
            answers, _ = answers_in(await ask(url, data + LAST))
            assert len(answers) == 2, name
    asked = [one for one in behind.requests if one["target"] == "/"]

    assert len(asked) == len(SPOOFED)
    assert [one for one in asked if CLAIM.decode() in json.dumps(one)] == []
    assert {tuple(sorted(key for key, _ in one["headers"])) for one in asked} == {
        tuple(sorted([*(ADDED if way != MOUNTED else MOUNTED_ADDED), "host", "x-own"]))
    }


@pytest.mark.parametrize(
    "cut",
    [
        POST + b"Content-Length: 500\r\n\r\nhello" + LAST,
        POST + b"Content-Length: 6\r\n\r\nhello",
        CHUNKED + b"ffffffffffffffff\r\nhello" + LAST,
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n",
        POST + b"Content-Length: 5\r\nConnection: close",
    ],
)
async def test_half_a_request_is_never_sent_on(cut: bytes, tmp_path: Path) -> None:
    """Behind a whole one, whose answer its client has, it is waited for, and then forgotten."""
    async with gateway("recording", tmp_path) as (url, behind):
        origin = Origin.parse(url)
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
        writer.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" + cut)
        async with asyncio.timeout(WAIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
            writer.write_eof()
            rest = await reader.read()
        writer.close()

    assert rest == b""
    assert [one["target"] for one in behind.requests] == ["/1"]
    assert behind.raw.count(b"HTTP/1.1\r\n") == 1


def test_there_are_enough_of_them() -> None:
    """Of each family; the same bytes are not sent twice."""
    found = [payload for family in FAMILIES.values() for payload in family.values()]

    assert min(len(family) for family in SMUGGLED.values()) >= 9
    assert len(found) >= 500
    assert len({data for _, data in found}) == len(found)
