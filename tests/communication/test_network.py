"""Server and client over TLS and over Unix sockets."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.communication import ClientPool, HttpLimits, HttpServer, Origin
from holdfast.contract.http import Request, Response
from holdfast.engines.network import SystemNetwork
from holdfast.errors import CallError, Unreachable

from .conftest import LoopClock, Serve


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate that signs itself, for `localhost`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


async def who(request: Request) -> Response:
    """Answer with the peer that the connection's certificate names, and the length sent."""
    return Response(200, [], f"{request.peer.identity} {len(request.body)}".encode())


def common_name(transport: asyncio.Transport) -> object:
    certificate = transport.get_extra_info("peercert") or {}
    return dict(pair[0] for pair in certificate.get("subject", ())).get("commonName")


class Secured:
    """A server with mutual TLS, and the contexts of its clients."""

    def __init__(self, folder: Path) -> None:
        self.server_files = make_certificate(folder, "server")
        self.client_files = make_certificate(folder, "client")

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server_files)
        context.load_verify_locations(self.client_files[0])
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, *, named: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.server_files[0]))
        if named:
            context.load_cert_chain(*self.client_files)
        return context


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[tuple[Secured, HttpServer, int]]:
    """A running server that asks for a client certificate."""
    files = Secured(tmp_path)
    server = HttpServer(who, network=SystemNetwork(), clock=LoopClock(), identify=common_name)
    listener = await server.start("127.0.0.1", 0, tls=files.server_context())
    yield files, server, listener.address[1]
    await server.drain(0.1)


async def test_mutual_tls_names_the_peer(secured: tuple[Secured, HttpServer, int]) -> None:
    """Both sides prove who they are, and a large body passes on a kept connection."""
    files, _, port = secured
    tls = files.client_context(named=True)
    pool = ClientPool(network=SystemNetwork(), clock=LoopClock(), tls=tls)
    for size in (1, 1_000_000):
        response = await pool.request(
            Origin.parse(f"https://localhost:{port}"),
            Request("POST", "/", body=b"a" * size),
            deadline_s=60,
        )
        assert response.body == f"client {size}".encode()
    assert pool.stats().opened == 1
    await pool.close()


async def test_a_client_without_certificate_is_not_served(
    secured: tuple[Secured, HttpServer, int],
) -> None:
    """The handshake fails; no request reaches the handler."""
    files, server, port = secured
    tls = files.client_context(named=False)
    pool = ClientPool(network=SystemNetwork(), clock=LoopClock(), tls=tls)
    with pytest.raises(CallError, match="localhost"):
        await pool.request(Origin("localhost", port, tls=True), Request("GET", "/"), deadline_s=60)
    assert server.stats().requests == 0
    await pool.close()


async def test_a_server_that_is_not_trusted_gets_nothing(
    secured: tuple[Secured, HttpServer, int],
) -> None:
    """Without further settings only the system's authorities are trusted."""
    _, server, port = secured
    pool = ClientPool(network=SystemNetwork(), clock=LoopClock())
    with pytest.raises(Unreachable, match=r"(?i)certificate.verify.failed"):
        await pool.request(Origin("localhost", port, tls=True), Request("GET", "/"), deadline_s=60)
    assert server.stats().requests == 0
    await pool.close()


async def test_a_unix_socket_serves(tmp_path: Path, serve: Serve) -> None:
    """The same server listens on a path; its clients have no address."""
    served = await serve(who)
    path = str(tmp_path / "s")
    listener = await served.server.start("", 0, path=path)
    assert listener.address == (path, 0)
    pool = ClientPool(network=SystemNetwork(), clock=LoopClock())
    response = await pool.request(Origin.parse(f"unix:{path}"), Request("GET", "/"), deadline_s=60)
    assert response.body == b"None 0"
    await pool.close()


class Sleeper(threading.Thread):
    """A client over TLS that reads one answer and then nothing more, until it is woken."""

    def __init__(self, port: int, certificate: Path) -> None:
        super().__init__(daemon=True)
        self.answered, self.woken = threading.Event(), threading.Event()
        self._port, self._certificate = port, certificate

    def run(self) -> None:
        """Ask once, and sleep."""
        trust = ssl.create_default_context(cafile=str(self._certificate))
        with (
            socket.create_connection(("127.0.0.1", self._port)) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(4096)
            self.answered.set()
            self.woken.wait(60)


async def test_a_client_that_sleeps_holds_no_drain_up(serve: Serve, tmp_path: Path) -> None:
    """It owes TLS a goodbye; the server waits for it no longer than it lingers."""
    certificate, key = make_certificate(tmp_path, "server")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    server = HttpServer(
        who, network=SystemNetwork(), clock=LoopClock(), limits=HttpLimits(linger_s=0.05)
    )
    listener = await server.start("127.0.0.1", 0, tls=tls)
    sleeper = Sleeper(listener.address[1], certificate)
    sleeper.start()
    await asyncio.to_thread(sleeper.answered.wait, 300)

    try:
        async with asyncio.timeout(20):  # asyncio itself would wait for 30 s
            aborted = await server.drain(60)
    finally:
        sleeper.woken.set()
        await asyncio.to_thread(sleeper.join)

    assert aborted == 0
    assert server.stats().connections == 0
