"""Clients over TLS are held to the limits of clients in clear, on both event loops."""

import asyncio
import gc
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import uvloop

from holdfast.communication import HttpLimits, HttpServer, Occupancy
from holdfast.contract.http import Handler, Request, Response
from holdfast.engines import secured
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.engines.public_tls import PublicFiles, PublicTls
from tests.public_pairs import HOST, Mounted, PublicAuthority

Loop = Callable[[Coroutine[object, None, None]], None]
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = 8 << 20
HELLO = bytes.fromhex("160301")  # how a handshake begins


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Loop:
    """Runs a test in one of the event loops."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@dataclass
class Till:
    """A server for clients over TLS.

    Attributes:
        failed: the handshakes that did. requests: what its handler was given.
    """

    authority: PublicAuthority
    server: HttpServer
    port: int
    failed: list[str]
    requests: list[Request] = field(default_factory=list[Request])

    async def connect(
        self, client: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as a client who trusts the authority."""
        tls = client or self.authority.trusting()
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname=HOST)

    async def silent(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and begin no handshake."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    def shake(self, client: ssl.SSLContext) -> ssl.SSLSocket:
        """Connect in a thread, which tells the other side what it does not take."""
        with socket.create_connection(("127.0.0.1", self.port)) as plain:
            return client.wrap_socket(plain, server_hostname=HOST)

    async def count(self, connections: int) -> None:
        """Wait until so many are connected; the test's time-out is the bound."""
        while self.server.stats().connections != connections:
            await asyncio.sleep(0.005)

    async def fails(self, count: int = 1) -> list[str]:
        """Wait until so many handshakes have failed; return why."""
        while len(self.failed) < count:
            await asyncio.sleep(0.005)
        return self.failed


@asynccontextmanager
async def till(
    folder: Path,
    handler: Handler | None = None,
    limits: HttpLimits | None = None,
    per_address: int | None = None,
) -> AsyncIterator[Till]:
    """Serve; a handler that is not given answers at once."""
    authority = PublicAuthority()
    mounted = Mounted(folder / "public", authority.issue())
    tls = PublicTls(PublicFiles(mounted.certificate, mounted.key), MachineClock())
    failed, requests = list[str](), list[Request]()

    async def handle(request: Request) -> Response:
        requests.append(request)
        return Response(200, [], b"done") if handler is None else await handler(request)

    server = HttpServer(
        handle,
        network=SystemNetwork(),
        clock=MachineClock(),
        limits=limits or HttpLimits(),
        occupancy=Occupancy(per_address),
        on_handshake=lambda address, reason, why: failed.append(reason),
    )
    listener = await server.start("127.0.0.1", 0, tls=tls.listens())
    try:
        yield Till(authority, server, listener.address[1], failed, requests)
    finally:
        await server.drain(1.0)


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one answer with its length; return its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    return head, await reader.readexactly(length)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_come_and_answers_go(run: Loop, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Several on one connection, pipelined, with bodies of megabytes; their scheme is `https`."""

    async def echo(request: Request) -> Response:
        return Response(200, [], request.body * 2)

    async def main() -> None:
        body = bytes(range(256)) * 3_000
        async with till(tmp_path, echo) as served:
            client = served.authority.trusting()
            client.minimum_version = client.maximum_version = version
            reader, writer = await served.connect(client)
            asked = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b"
            writer.write(asked % (len(body), body) * 3 + asked % (2, b"ab"))
            found = [(await answer(reader))[1] for _ in range(4)]
            writer.close()

        assert found == [body * 2] * 3 + [b"abab"]
        assert {(each.scheme, each.peer.scheme) for each in served.requests} == {("https", "https")}

    run(main())


@pytest.mark.parametrize("begins", [b"", HELLO, b"\x16"], ids=["nothing", "some", "a byte"])
def test_who_shakes_no_hands_is_gone_by_the_deadline_of_a_head(
    run: Loop, tmp_path: Path, begins: bytes
) -> None:
    """He is counted meanwhile, and it is told why he is gone. A byte now and then helps not."""

    async def main() -> None:
        async with till(tmp_path, limits=HttpLimits(header_deadline_s=0.5)) as served:
            reader, writer = await served.silent()
            writer.write(begins)
            await served.count(1)
            loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
            while served.server.stats().connections:
                if begins:
                    writer.write(b"\x01" if len(begins) == 3 else b"")
                await asyncio.sleep(0.02)
            took_s = loop.time() - begun
            said = await reader.read()
            writer.close()

            assert served.failed == ["timed_out"] or (len(begins) == 3 and served.failed)
            assert took_s < 5.0
            assert b"HTTP" not in said

    run(main())


def test_who_is_done_with_his_handshake_late_has_what_is_left_of_the_deadline(
    run: Loop, tmp_path: Path
) -> None:
    """A handshake and a silence after it have one deadline between them."""

    async def main() -> None:
        async with till(tmp_path, limits=HttpLimits(header_deadline_s=3.0)) as served:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            plain = socket.create_connection(("127.0.0.1", served.port))
            plain.setblocking(False)
            await served.count(1)
            await asyncio.sleep(2.0)
            reader, writer = await asyncio.open_connection(
                sock=plain, ssl=served.authority.trusting(), server_hostname=HOST
            )
            await reader.read()
            took_s = loop.time() - begun
            writer.close()

            assert 2.9 < took_s < 4.9
            assert served.failed == []

    run(main())


def test_handshakes_count_among_the_connections_of_an_address(run: Loop, tmp_path: Path) -> None:
    """Who has too many open is closed before his handshake, which would cost more than a no."""

    async def main() -> None:
        async with till(tmp_path, per_address=2) as served:
            _, silent = await served.silent()
            reader, writer = await served.connect()
            await served.count(2)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await served.connect()
            refused = served.server.stats().refused
            writer.write(GET)
            head, _ = await answer(reader)
            writer.close()
            await served.count(1)
            _, again = await served.connect()
            again.close()
            silent.close()

            assert refused == {"too_many_of_address": 1}
            assert head.startswith(b"HTTP/1.1 200 ")
            assert served.failed == []

    run(main())


def test_handshakes_count_among_all_connections(run: Loop, tmp_path: Path) -> None:
    """As many as there may be, and one above."""

    async def main() -> None:
        async with till(tmp_path, limits=HttpLimits(connections_max=3)) as served:
            silent = [await served.silent() for _ in range(3)]
            await served.count(3)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await served.connect()

            assert served.server.stats().refused == {"too_many_connections": 1}
            for _, each in silent:
                each.close()

    run(main())


def test_each_handshake_that_fails_is_told(run: Loop, tmp_path: Path) -> None:
    """With its reason; who comes and goes without a word, as probes do, is none."""

    async def main() -> None:
        async with till(tmp_path) as served:
            _, probe = await served.silent()
            probe.close()
            await served.count(0)
            reader, writer = await served.silent()
            writer.write(GET)
            clear = await reader.read()
            writer.close()
            await served.fails(1)
            await served.count(0)
            _, writer = await served.silent()
            writer.write(HELLO)
            await served.count(1)
            writer.close()
            await served.fails(2)
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(served.shake, ssl.create_default_context())
            await served.fails(3)
            odd = served.authority.trusting()
            odd.maximum_version = ssl.TLSVersion.TLSv1_2
            odd.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(served.shake, odd)
            await served.fails(4)
            await served.count(0)

            assert b"HTTP" not in clear
            assert served.failed == ["clear_text", "gone", "refused", "version"]

    run(main())


@pytest.mark.parametrize("pieces", [1, 8], ids=["at once", "stream"])
def test_who_takes_nothing_is_cut_off(run: Loop, tmp_path: Path, pieces: int) -> None:
    """An answer of megabytes, written at once or piece by piece, is not kept for him."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(pieces - 1):
            yield b"a" * (LARGE // pieces)

    async def large(request: Request) -> Response:
        return Response(200, [], b"a" * (LARGE // pieces), parts() if pieces > 1 else None)

    async def main() -> None:
        limits = HttpLimits(write_stall_s=0.5, linger_s=0.5, idle_s=60.0)
        async with till(tmp_path, large, limits) as served:
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await asyncio.to_thread(plain.connect, ("127.0.0.1", served.port))
            wrap = partial(served.authority.trusting().wrap_socket, plain, server_hostname=HOST)
            client = await asyncio.to_thread(wrap)
            await asyncio.to_thread(client.sendall, GET)
            await served.count(1)
            loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
            await served.count(0)
            took_s = loop.time() - begun

            with (
                socket.socket(fileno=os.dup(client.fileno())) as below,  # TLS takes it for an end
                pytest.raises(ConnectionResetError),
            ):
                await asyncio.to_thread(read_on, below)
            client.close()

            assert took_s < 10.0

    run(main())


def read_on(below: socket.socket) -> None:
    """Read to the end."""
    while below.recv(65_536):
        pass


def test_who_takes_an_answer_slowly_gets_all_of_it(run: Loop, tmp_path: Path) -> None:
    """Megabytes go through buffers of kilobytes, and a stream waits for its client."""
    made: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(64):
            made.append(65_536)
            yield b"a" * 65_536

    async def large(request: Request) -> Response:
        return Response(200, [], b"", parts())

    async def main() -> None:
        async with till(tmp_path, large) as served:
            reader, writer = await served.connect()
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            came = b""
            while not came.endswith(b"\r\n0\r\n\r\n"):
                came += await reader.read(65_536)
            writer.close()

            assert came.count(b"a") == 64 * 65_536

    run(main())


@pytest.mark.parametrize("how", ["closes", "resets", "says goodbye"])
def test_a_stream_ends_with_its_client(run: Loop, tmp_path: Path, how: str) -> None:
    """Server-sent events go out one by one, and stop when nobody is there any more."""

    async def main() -> None:
        ended = asyncio.Event()

        async def events() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"data: x\n\n"
                    await asyncio.sleep(0.01)
            finally:
                ended.set()

        async def stream(request: Request) -> Response:
            return Response(200, [(b"content-type", b"text/event-stream")], b"", events())

        async with till(tmp_path, stream) as served:
            client = await asyncio.to_thread(served.shake, served.authority.trusting())
            await asyncio.to_thread(client.sendall, GET)
            came = b""
            while came.count(b"data: x") < 3:
                came += await asyncio.to_thread(client.recv, 4_096)
            if how == "resets":
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            if how == "says goodbye":
                leaving = asyncio.get_running_loop().run_in_executor(None, unwrapped, client)
                await ended.wait()
                await leaving
            else:
                client.close()
                await ended.wait()
            await served.count(0)

    run(main())


def unwrapped(client: ssl.SSLSocket) -> None:
    """Say goodbye by TLS, and go."""
    try:
        client.unwrap()
    except OSError:  # the other side's last words came first
        pass
    client.close()


def test_what_runs_is_told_that_its_client_has_gone(run: Loop, tmp_path: Path) -> None:
    """It may then stop; whoever hung up before he was read is known to have gone."""

    async def main() -> None:
        begun, seen = asyncio.Event(), asyncio.Event()

        async def wait(request: Request) -> Response:
            begun.set()
            while not request.gone:
                await asyncio.sleep(0.005)
            seen.set()
            return Response(200)

        async with till(tmp_path, wait) as served:
            _, writer = await served.connect()
            writer.write(GET)
            await begun.wait()
            writer.transport.abort()
            await seen.wait()
            await served.count(0)

    run(main())


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux tells when bytes came")
def test_a_request_is_dated_by_when_it_came_and_by_how_long_its_handshake_was_held_up(
    run: Loop, tmp_path: Path
) -> None:
    """By us, that is: a process that stood still is late, and a client on a slow line is not."""
    held_s, begun = 1.0, list[float]()

    async def note(request: Request) -> Response:
        begun.append(MachineClock().monotonic())
        return Response(200)

    async def main() -> None:
        async with till(tmp_path, note) as served:
            plain = socket.create_connection(("127.0.0.1", served.port))
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = served.authority.trusting().wrap_bio(incoming, outgoing, server_hostname=HOST)
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            plain.sendall(outgoing.read())
            time.sleep(held_s)  # this loop stands still, and the beginning of a handshake waits
            plain.setblocking(False)
            loop = asyncio.get_running_loop()
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(await loop.sock_recv(plain, 65_536))
            await loop.sock_sendall(plain, outgoing.read())
            await asyncio.sleep(held_s)  # the client is slow, which is his own affair
            client.write(GET)
            data = outgoing.read()
            await loop.sock_sendall(plain, data)
            while not begun:
                await asyncio.sleep(0.001)
            waited_s = begun[0] - served.requests[0].received_at
            plain.close()

            assert held_s * 0.9 < waited_s < held_s * 1.9

    run(main())


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux tells who has hung up")
def test_who_has_hung_up_is_worth_no_handshake(
    run: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His place is free at once."""
    shaken: list[bytes] = []
    real = secured.Secured.data_received
    monkeypatch.setattr(
        secured.Secured,
        "data_received",
        lambda self, data: (shaken.append(data), real(self, data))[1],
    )

    async def main() -> None:
        async with till(tmp_path) as served:
            plain = socket.create_connection(("127.0.0.1", served.port))
            plain.sendall(HELLO)
            plain.close()
            await asyncio.sleep(0.05)
            await served.count(0)
            assert shaken == []

    run(main())


def test_a_drain_ends_what_runs_and_closes_who_only_shakes_hands(run: Loop, tmp_path: Path) -> None:
    """The last answer says that it is the last one."""

    async def main() -> None:
        begun, enough = asyncio.Event(), asyncio.Event()

        async def wait(request: Request) -> Response:
            begun.set()
            await enough.wait()
            return Response(200, [], b"done")

        async with till(tmp_path, wait) as served:
            idle_reader, idle = await served.connect()
            silent_reader, silent = await served.silent()
            silent.write(HELLO)
            reader, writer = await served.connect()
            writer.write(GET)
            await begun.wait()
            await served.count(3)
            draining = asyncio.create_task(served.server.drain(30.0))
            assert await idle_reader.read() == b""
            assert await silent_reader.read() == b""
            enough.set()
            head, body = await answer(reader)
            last = await reader.read()
            left = await draining
            for each in (idle, silent, writer):
                each.close()

            assert b"connection: close" in head.lower()
            assert (body, last, left) == (b"done", b"", 0)
            assert served.failed == []

    run(main())


def test_who_is_refused_while_he_sends_reads_why(run: Loop, tmp_path: Path) -> None:
    """The refusal is not lost to a reset: the rest of what he sends is dropped for a while."""

    async def main() -> None:
        async with till(tmp_path, limits=HttpLimits(body_bytes_max=1_000)) as served:
            reader, writer = await served.connect()
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n")
            writer.write(b"a" * 5_000_000)
            head, _ = await answer(reader)
            rest = await reader.read()
            writer.close()

            assert head.startswith(b"HTTP/1.1 413 ")
            assert rest == b""

    run(main())


def test_who_has_gone_leaves_nothing_behind(run: Loop, tmp_path: Path) -> None:
    """No cycle keeps a connection alive: the collector looks seldom in a serving process."""

    async def main() -> None:
        async with till(tmp_path) as served:
            for _ in range(3):
                reader, writer = await served.connect()
                writer.write(GET)
                await answer(reader)
                writer.close()
                await writer.wait_closed()
            await served.count(0)
            await asyncio.sleep(0.05)
            gc_found = [each for each in gc.get_objects() if type(each) is secured.Secured]
            assert gc_found == []

    gc.collect()
    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()
