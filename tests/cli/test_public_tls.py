"""The gateway's port speaks TLS with clients: real processes, real files, real handshakes."""

import asyncio
import json
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cli.conftest import Cli, Server
from tests.public_pairs import DAY_S, HOST, Mounted, Pair, PublicAuthority

CERT, KEY = "HOLDFAST_TLS_CERT", "HOLDFAST_TLS_KEY"
GET = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def authority() -> PublicAuthority:
    """Whom clients trust."""
    return PublicAuthority()


def port_of(server: Server) -> int:
    """Return the gateway's port, which it prints as an address of TLS."""
    url = next(line.split()[1] for line in server.greeting if line.startswith("  gateway"))
    assert url.startswith("https://127.0.0.1:")
    return int(url.rpartition(":")[2])


def connected(port: int, client: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect as a client who checks whom he reaches."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return client.wrap_socket(plain, server_hostname=HOST)


def serial_of(connection: ssl.SSLSocket) -> str:
    """Return which certificate a connection began with."""
    shown = connection.getpeercert()
    assert shown is not None
    return number(shown)


def number(shown: Mapping[str, Any]) -> str:
    """Return the serial number of a certificate, as the log has it."""
    return f"{int(shown['serialNumber'], 16):X}"


def asked(connection: ssl.SSLSocket) -> bytes:
    """Send a request, and return the status line of the answer."""
    connection.sendall(GET)
    return connection.recv(65_536).partition(b"\r\n")[0]


def told(server: Server, event: str) -> list[dict[str, str]]:
    """Return the lines of an event."""
    lines = [json.loads(line) for line in server.log.read_bytes().splitlines()]
    return [line for line in lines if line["event"] == event]


def until(server: Server, event: str, count: int = 1) -> dict[str, str]:
    """Wait until an event was logged so often; return the last one. The time-out is the bound."""
    while len(found := told(server, event)) < count:
        time.sleep(0.05)
    return found[-1]


def metrics(server: Server) -> str:
    """Return what Prometheus is told, at the port of operations, which stays in clear."""
    line = next(line for line in server.greeting if line.startswith("  operations"))
    at = line.split()[1].removeprefix("http://").rpartition(":")
    with socket.create_connection((at[0], int(at[2])), timeout=30) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        said = b""
        while piece := connection.recv(65_536):
            said += piece
    return said.decode()


@pytest.mark.parametrize(
    "options",
    [(), ("--on", "nats", "--split"), ("--on", "postgres,nats", "--processes", "2")],
    ids=["one", "split", "processes"],
)
def test_clients_are_served_over_tls_in_every_layout(
    serve: Callable[..., Server],
    tmp_path: Path,
    authority: PublicAuthority,
    options: tuple[str, ...],
) -> None:
    """HTTP/1.1 is what both agree on, whatever else a client can."""
    pair = authority.issue()
    mounted = Mounted(tmp_path / "public", pair)
    server = serve("run", "tiny", *options, environ=mounted.environ)
    port, client = port_of(server), authority.trusting()
    client.set_alpn_protocols(["h2", "http/1.1"])
    with connected(port, client) as connection:
        agreed = connection.selected_alpn_protocol(), connection.version()
        first, second = asked(connection), asked(connection)
        shown = serial_of(connection)
    posting = HTTPSConnection(HOST, port, context=client, timeout=60)
    headers = {"content-type": "application/json"}
    posting.request("POST", "/v1/parcels", json.dumps({"note": "a"}), headers)
    status = posting.getresponse().status
    posting.close()
    code = server.stop()

    assert agreed == ("http/1.1", "TLSv1.3")
    assert (first, second) == (b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK")
    assert shown == pair.serial
    assert (status, code) == (202, 0)


def test_the_gateway_alone_is_served_over_tls(
    serve: Callable[..., Server], tmp_path: Path, authority: PublicAuthority
) -> None:
    """`holdfast serve` of the gateway, and of a service: clients come to the former alone."""
    mounted = Mounted(tmp_path / "public", authority.issue())
    away = {"BROKER_URL": "nats://127.0.0.1:1"}
    gateway = serve("serve", "tiny", "gateway", environ=mounted.environ | away)
    with connected(port_of(gateway), authority.trusting()) as connection:
        line = asked(connection)
    desk = serve("serve", "tiny", "desk", "--data", "desk", environ=mounted.environ | away)

    assert line == b"HTTP/1.1 200 OK"
    assert any(line.startswith("  inside      http://") for line in desk.greeting), desk.greeting


MOUNTED = """
from typing import Any
from holdfast import Gateway, Service, System

front = Service("front")

async def app(scope: Any, receive: Any, send: Any) -> None:
    body = f"{scope['scheme']} {dict(scope['headers']).get(b'x-forwarded-proto')}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

front.mount("/old", app, public=True)
mounting = System("mounting", services=[front], gateway=Gateway(trusted_proxies=["192.0.2.1"]))
"""


@pytest.mark.parametrize("options", [(), ("--on", "nats", "--split")], ids=["one", "split"])
def test_a_mounted_app_sees_the_scheme_that_its_client_spoke(
    cli: Cli,
    serve: Callable[..., Server],
    tmp_path: Path,
    authority: PublicAuthority,
    options: tuple[str, ...],
) -> None:
    """In the gateway's process and behind it; a client's own word about it counts for nothing."""
    (cli.folder / "mounting.py").write_text(MOUNTED)
    mounted = Mounted(tmp_path / "public", authority.issue())
    server = serve("run", "mounting", *options, environ=mounted.environ)
    asking = HTTPSConnection(HOST, port_of(server), context=authority.trusting(), timeout=60)
    asking.request("GET", "/old/x", headers={"x-forwarded-proto": "http"})
    with asking.getresponse() as response:
        said = response.read()
    asking.close()

    assert said == b"https None"
    assert server.stop() == 0


def test_tls_1_2_is_taken_and_nothing_older(
    serve: Callable[..., Server], tmp_path: Path, authority: PublicAuthority
) -> None:
    """1.2 is what many clients still speak."""
    mounted = Mounted(tmp_path / "public", authority.issue())
    port = port_of(serve("run", "tiny", environ=mounted.environ))
    old = authority.trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(port, old) as connection:
        found = connection.version(), asked(connection)
    older = authority.trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        older.minimum_version = ssl.TLSVersion.TLSv1
        older.maximum_version = ssl.TLSVersion.TLSv1_1
    older.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connected(port, older)

    assert found == ("TLSv1.2", b"HTTP/1.1 200 OK")


def test_clear_text_is_answered_by_closing(
    serve: Callable[..., Server], tmp_path: Path, authority: PublicAuthority
) -> None:
    """Nothing that was asked in clear is served, and nothing is said."""
    mounted = Mounted(tmp_path / "public", authority.issue())
    server = serve("run", "tiny", environ=mounted.environ)
    port = port_of(server)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(GET)
        said = b""
        try:
            while piece := connection.recv(65_536):
                said += piece
        except ConnectionResetError:
            pass

    line = until(server, "handshake.failed")
    page = metrics(server)

    assert b"HTTP/" not in said
    assert (line["client"], line["reason"]) == ("127.0.0.1", "clear_text")
    assert 'holdfast_handshakes_failed_total{reason="clear_text"} 1' in page
    assert "Traceback" not in server.log.read_text()


def spoilt(authority: PublicAuthority) -> dict[str, tuple[bytes | None, bytes | None, str, str]]:
    """Return {what is wrong: (certificate, key, which variable is named, what is said)}."""
    good, other = authority.issue(), authority.issue()
    expired = authority.issue(begins_s=-DAY_S, ends_s=-60)
    early = authority.issue(begins_s=DAY_S)
    weak = authority.issue(key=rsa.generate_private_key(65_537, 1_024))
    half = good.certificate[: len(good.certificate) // 2]
    return {
        "no certificate": (None, good.key, CERT, "No such file or directory; set it to a file"),
        "no key": (good.certificate, None, KEY, "No such file or directory; set it to a file"),
        "half a certificate": (half, good.key, CERT, "no certificates in PEM"),
        "half a key": (good.certificate, good.key[:100], KEY, "no private key in PEM"),
        "an empty key": (good.certificate, b"", KEY, "no private key in PEM"),
        "the key of another": (good.certificate, other.key, KEY, "it is not the key of the"),
        "expired": (expired.certificate, expired.key, CERT, "it expired at .*; issue it again"),
        "not valid yet": (early.certificate, early.key, CERT, "it is not valid before "),
        "a short key": (weak.certificate, weak.key, CERT, "TLS does not take it: .* 2,048 bits"),
    }


SPOILT = list(spoilt(PublicAuthority()))


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("command", [("run", "tiny"), ("run", "tiny", "--split")])
def test_a_pair_that_is_no_good_is_one_line_at_the_start(
    cli: Cli, tmp_path: Path, authority: PublicAuthority, kind: str, command: tuple[str, ...]
) -> None:
    """It names the variable, the file and the remedy."""
    certificate, key, variable, says = spoilt(authority)[kind]
    mounted = Mounted(tmp_path / "public", Pair(certificate or b"", key or b"", ""))
    for path, content in ((mounted.certificate, certificate), (mounted.key, key)):
        if content is None:
            path.unlink()
    at = mounted.environ[variable]

    done = cli.quick(*command, **mounted.environ, BROKER_URL="nats://127.0.0.1:1")

    assert done.code == 1
    assert done.err.count("\n") == 1
    assert f"{variable}={at}: " in done.err
    assert re.search(says, done.err), done.err


@pytest.mark.parametrize("missing", [CERT, KEY])
def test_half_of_it_is_refused(
    cli: Cli, tmp_path: Path, authority: PublicAuthority, missing: str
) -> None:
    """Whoever forgets one must not serve in clear."""
    mounted = Mounted(tmp_path / "public", authority.issue())
    named = {name: path for name, path in mounted.environ.items() if name != missing}

    done = cli.quick("run", "tiny", **named)

    assert done.code == 1
    assert f"{missing} is missing; set {CERT} and {KEY}, or none" in done.err


def test_a_key_that_everybody_may_read_is_refused(
    cli: Cli, tmp_path: Path, authority: PublicAuthority
) -> None:
    """The line says what closes it."""
    mounted = Mounted(tmp_path / "public", authority.issue())
    mounted.key.chmod(0o644)

    done = cli.quick("run", "tiny", **mounted.environ)

    assert done.code == 1
    assert f"{KEY}={mounted.key}: every user may read it; run `chmod o= " in done.err


def test_a_socket_speaks_no_tls(cli: Cli, tmp_path: Path, authority: PublicAuthority) -> None:
    """Whoever gives both has made a mistake with one of them."""
    mounted = Mounted(tmp_path / "public", authority.issue())

    done = cli.quick("run", "tiny", "--host", f"unix:{tmp_path}/s", **mounted.environ)

    assert done.code == 1
    assert "unset HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY, or name a host" in done.err


@dataclass
class Load:
    """Clients without a pause: some keep their connection, some make one for each request."""

    port: int
    client: ssl.SSLContext
    answered: int = 0
    failed: list[str] = field(default_factory=list[str])
    serials: list[str] = field(default_factory=list[str])
    enough: bool = False

    async def run(self, *, kept: bool) -> None:
        """Ask until it is enough."""
        while not self.enough:
            try:
                await self._ask(kept=kept)
            except OSError as exc:
                self.failed.append(repr(exc))

    async def _ask(self, *, kept: bool) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.client, server_hostname=HOST
        )
        shown = writer.get_extra_info("ssl_object").getpeercert()
        self.serials.append(number(shown))
        while not self.enough:
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                self.failed.append(head.decode())
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            self.answered += 1
            if not kept:
                break
            await asyncio.sleep(0.002)
        writer.close()


async def test_a_certificate_is_followed_by_another_under_load(
    serve: Callable[..., Server], tmp_path: Path, authority: PublicAuthority
) -> None:
    """New connections see it, old ones go on, and no request fails. The key is of another kind."""
    old = authority.issue()
    new = authority.issue(key=rsa.generate_private_key(65_537, 2_048))
    mounted = Mounted(tmp_path / "public", old)
    server = await asyncio.to_thread(serve, "run", "tiny", environ=mounted.environ)
    load = Load(port_of(server), authority.trusting())
    kept = [asyncio.create_task(load.run(kept=True)) for _ in range(4)]
    fresh = [asyncio.create_task(load.run(kept=False)) for _ in range(2)]
    while load.answered < 100:
        await asyncio.sleep(0.01)
    mounted.swap(new)
    while not (lines := told(server, "certificate.renewed")):
        await asyncio.sleep(0.05)
    at = load.answered
    while load.answered < at + 100 or load.serials[-1] != new.serial:
        await asyncio.sleep(0.01)
    load.enough = True
    await asyncio.gather(*kept, *fresh)

    assert load.failed == []
    assert [line["serial"] for line in lines] == [new.serial]
    assert set(load.serials) == {old.serial, new.serial}
    assert load.serials.count(new.serial) > 0
    first = load.serials.index(new.serial)
    assert set(load.serials[first + 2 :]) == {new.serial}, "an old one was shown after the new one"
    assert server.stop() == 0


def test_a_pair_that_is_no_good_leaves_the_last_one_in_use(
    serve: Callable[..., Server], tmp_path: Path, authority: PublicAuthority
) -> None:
    """Each is an alarm, in the log and the metrics; a good one ends it."""
    first, last = authority.issue(), authority.issue()
    mounted = Mounted(tmp_path / "public", first)
    server = serve("run", "tiny", environ=mounted.environ)
    port, client = port_of(server), authority.trusting()
    assert 'holdfast_certificate_trouble{certificate="public"} 0' in metrics(server)
    bad = spoilt(authority)
    for count, kind in enumerate(("half a certificate", "the key of another", "expired"), 1):
        certificate, key, _, says = bad[kind]
        mounted.swap(Pair(certificate or b"", key or b"", ""))
        line = until(server, "certificate.trouble", count)
        with connected(port, client) as connection:
            assert serial_of(connection) == first.serial, kind
            assert asked(connection) == b"HTTP/1.1 200 OK"
        assert line["level"] == "error"
        assert "the last good certificate is in use" in line["why"]
        assert re.search(says, line["why"])
    assert 'holdfast_certificate_trouble{certificate="public"} 1' in metrics(server)
    mounted.swap(last)
    until(server, "certificate.renewed")
    with connected(port, client) as connection:
        shown = serial_of(connection)
    page = metrics(server)
    code = server.stop()

    assert shown == last.serial
    assert 'holdfast_certificate_trouble{certificate="public"} 0' in page
    assert 'holdfast_certificate_expires_seconds{certificate="public"} 2' in page
    assert code == 0
