"""Connections in which both sides prove who they are, on the wire, on both event loops."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.errors import SettingError
from tests.ablations.off import off
from tests.identities import Identities, forge

Loop = Any


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Loop:
    """Run a coroutine on one of the event loops."""
    made = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def on(main: Coroutine[object, None, None]) -> None:
        with asyncio.Runner(loop_factory=made) as runner:
            runner.run(main)

    return on


@pytest.fixture
def bakery(tmp_path: Path) -> Identities:
    return Identities(tmp_path / "identities")


class Server:
    """Answers each line with the name of whoever wrote it."""

    def __init__(self, identity: TlsIdentity, port: int) -> None:
        self.identity, self.port = identity, port

    async def ask(self, tls: ssl.SSLContext | None, *, said: bytes = b"who am I\n") -> bytes:
        """Return what a client is answered; nothing, if it is refused after its handshake."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        try:
            writer.write(said)
            return await reader.readline()
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            writer.transport.abort()


@asynccontextmanager
async def served(identity: TlsIdentity, *, strangers: bool = False) -> AsyncIterator[Server]:
    """Yield a server that has an identity."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.write(identity.peer(writer.transport).encode() + b".\n")
        writer.close()

    tls = identity.listens(strangers=strangers)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield Server(identity, server.sockets[0].getsockname()[1])


def test_each_side_knows_the_other_by_its_spiffe_id(run: Loop, bakery: Identities) -> None:
    """Whatever the address is: that is the same for everybody here."""

    async def main() -> None:
        oven, _ = bakery.of("oven")
        counter, _ = bakery.of("counter")
        async with served(oven) as server:
            assert await server.ask(counter.reaches("oven")) == b"counter.\n"

    run(main())


def test_who_is_not_the_one_that_was_to_be_reached_hears_nothing(
    run: Loop, bakery: Identities
) -> None:
    """Its certificate is good, and it stands where another one should be."""

    async def main() -> None:
        thief, _ = bakery.of("counter")
        customer, refused = bakery.of("till")
        async with served(thief) as server:
            with pytest.raises(ssl.SSLCertVerificationError, match="it is counter, and oven was"):
                await server.ask(customer.reaches("oven"))
        assert refused.reasons == ["who"]

    run(main())


def test_without_its_safeguard_anybody_of_the_system_is_told(run: Loop, bakery: Identities) -> None:
    """Who stands where another one should be hears what was meant for that one."""

    async def main() -> None:
        thief, _ = bakery.of("counter")
        customer, refused = bakery.of("till")
        async with served(thief) as server:
            with off("server_is_who_was_meant"):
                assert await server.ask(customer.reaches("oven")) == b"till.\n"
        assert refused.reasons == []

    run(main())


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"ends_s": -1.0}, "expired"),
        ({"begins_s": 1800.0}, "not_yet_valid"),
        ({"uris": ()}, "who"),
        ({"uris": ("spiffe://bakery/oven", "spiffe://bakery/counter")}, "who"),
        ({"uris": ("spiffe://other/oven",)}, "who"),
        ({"uris": ("https://bakery/oven",)}, "who"),
        ({"uris": ("spiffe://bakery/",)}, "who"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    run: Loop, bakery: Identities, tmp_path: Path, forged: dict[str, Any], reason: str
) -> None:
    """Its authority is the right one; the server says why, which no event loop does."""

    async def main() -> None:
        oven, refused = bakery.of("oven")
        files = forge(tmp_path / "identities", **forged)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_cert_chain(files.certificate, files.key)
        tls.load_verify_locations(files.trusted)
        async with served(oven) as server:
            assert await server.ask(tls) == b""
        assert refused.reasons == [reason]

    run(main())


def test_strangers_and_other_systems_are_refused(
    run: Loop, bakery: Identities, tmp_path: Path
) -> None:
    """Without a certificate, with one of another authority, and in clear."""

    async def main() -> None:
        oven, refused = bakery.of("oven")
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname = False
        nobody.load_verify_locations(bakery.authority.trusted)
        stranger, _ = Identities(tmp_path / "others").of("counter")
        other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        other.check_hostname, other.verify_mode = False, ssl.CERT_NONE
        folder = tmp_path / "others" / "counter"
        other.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        async with served(oven) as server:
            assert await server.ask(nobody) == b""
            assert await server.ask(other) == b""
            assert await server.ask(None) == b""
            assert await server.ask(None, said=b"GET / HTTP/1.1\r\n\r\n") == b""
        assert refused.reasons == [
            *("no_certificate", "unknown_authority", "clear_text", "clear_text")
        ]
        assert stranger.name == "counter"

    run(main())


def test_an_older_tls_is_refused(run: Loop, bakery: Identities, tmp_path: Path) -> None:
    """Inside there is 1.3 alone."""

    async def main() -> None:
        oven, _ = bakery.of("oven")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname = False
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        files = bakery.authority.issue("counter")
        old.load_cert_chain(files.certificate, files.key)
        old.load_verify_locations(files.trusted)
        async with served(oven) as server:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", server.port, ssl=old)

    run(main())


def test_where_strangers_may_come_they_are_nobody(run: Loop, bakery: Identities) -> None:
    """A probe has no certificate; one that is bad is refused there, too."""

    async def main() -> None:
        oven, refused = bakery.of("oven")
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname = False
        nobody.load_verify_locations(bakery.authority.trusted)
        counter, _ = bakery.of("counter")
        async with served(oven, strangers=True) as server:
            assert await server.ask(nobody) == b".\n"
            assert await server.ask(counter.reaches("oven")) == b"counter.\n"
        assert refused.told == []

    run(main())


def test_no_session_is_resumed(run: Loop, bakery: Identities) -> None:
    """Who resumes one is not verified again: the server hands out no ticket."""

    async def main() -> None:
        oven, _ = bakery.of("oven")
        files = bakery.authority.issue("counter")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_cert_chain(files.certificate, files.key)
        tls.load_verify_locations(files.trusted)
        async with served(oven) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=tls)
            writer.write(b"who am I\n")
            assert await reader.readline() == b"counter.\n"
            session = writer.get_extra_info("ssl_object").session
            writer.transport.abort()
        assert session is None or not session.has_ticket

    run(main())


def test_leaf_key_and_authority_are_rotated_while_it_runs(run: Loop, bakery: Identities) -> None:
    """At each step the next connection is made, and shows what is new; nobody is restarted."""

    async def main() -> None:
        oven, _ = bakery.of("oven")
        counter, _ = bakery.of("counter")
        tls = counter.reaches("oven")
        async with served(oven) as server:
            before = oven.certificate.serial
            for step in (
                lambda: bakery.authority.issue("oven"),
                lambda: bakery.authority.issue("counter"),
                bakery.authority.announce,
                bakery.authority.switch,
                bakery.authority.forget,
            ):
                step()
                for identity in (oven, counter):
                    identity.look()
                    assert identity.trouble is None
                    assert await server.ask(tls) == b"counter.\n"
            assert oven.certificate.serial != before

    run(main())


def test_an_authority_that_is_forgotten_is_out_at_once(
    run: Loop, bakery: Identities, tmp_path: Path
) -> None:
    """What it has issued is refused by who has looked; a context only ever adds authorities."""

    async def main() -> None:
        oven, refused = bakery.of("oven")
        stolen = bakery.authority.issue("counter")
        kept = tmp_path / "kept"
        kept.mkdir()
        for file in (stolen.certificate, stolen.key):
            (kept / file.name).write_bytes(file.read_bytes())
        thief = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        thief.check_hostname, thief.verify_mode = False, ssl.CERT_NONE
        thief.load_cert_chain(kept / "tls.crt", kept / "tls.key")
        async with served(oven) as server:
            assert await server.ask(thief) == b"counter.\n"
            bakery.authority.announce()
            bakery.authority.switch()
            bakery.authority.forget()
            assert oven.look()

            assert await server.ask(thief) == b""
            assert refused.reasons == ["unknown_authority"]

    run(main())


def for_use(
    use: x509.ObjectIdentifier,
) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    """Return what makes a certificate one for that use alone."""
    usage = x509.ExtendedKeyUsage([use])
    return lambda builder: builder.add_extension(usage, critical=False)


def test_a_certificate_counts_for_what_it_was_issued_for(
    run: Loop, bakery: Identities, tmp_path: Path
) -> None:
    """One for servers alone lets nobody in as a client, and one for clients alone serves nobody."""

    async def main() -> None:
        oven, refused = bakery.of("oven")
        folder = tmp_path / "identities"
        serves = forge(folder, change=for_use(ExtendedKeyUsageOID.SERVER_AUTH))
        visits = forge(folder, change=for_use(ExtendedKeyUsageOID.CLIENT_AUTH))
        visitor, _ = bakery.read(serves)
        server, _ = bakery.read(visits)
        async with served(oven) as well:
            assert await well.ask(visitor.reaches("oven")) == b""
        async with served(server) as ill:
            with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
                await ill.ask(oven.reaches("oven"))
        assert refused.reasons == ["other", "other"]

    run(main())


def test_a_key_of_another_kind_is_taken_up(run: Loop, bakery: Identities, tmp_path: Path) -> None:
    """A context that is in use would go on with the key of the old kind, and say nothing."""

    async def main() -> None:
        oven, _ = bakery.of("oven")
        counter, _ = bakery.of("counter")
        files = bakery.authority.issue("oven")
        oven.look()
        async with served(oven) as server:
            assert await server.ask(counter.reaches("oven")) == b"counter.\n"
            rsa_key = rsa.generate_private_key(65_537, 2048)
            forged = forge(tmp_path / "identities", key=rsa_key)
            forged.key.replace(files.key)
            forged.certificate.replace(files.certificate)
            assert oven.look()
            told: list[object] = []
            _, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=counter.reaches("oven")
            )
            told.append(writer.get_extra_info("ssl_object").getpeercert()["serialNumber"])
            writer.transport.abort()

        assert told == [oven.certificate.serial.upper().zfill(len(str(told[0])))]

    run(main())


def test_files_that_are_half_written_change_nothing(run: Loop, bakery: Identities) -> None:
    """A key that does not fit would leave a live context without any: the last good one stays."""

    async def main() -> None:
        oven, _ = bakery.of("oven")
        counter, _ = bakery.of("counter")
        files = bakery.authority.issue("oven")
        oven.look()
        good = files.key.read_bytes()
        async with served(oven) as server:
            files.key.write_bytes(bakery.authority.issue("till").key.read_bytes())
            assert not oven.look()
            assert oven.trouble is not None
            assert "last good certificate" in oven.trouble
            assert "not the key of the certificate" in oven.trouble
            assert await server.ask(counter.reaches("oven")) == b"counter.\n"

            files.key.write_bytes(good)
            assert oven.look()
            assert oven.trouble is None

    run(main())


def of_no_known_kind(key: bytes) -> bytes:
    """Return a private key, but that its kind is one that nobody has heard of."""
    der = load_pem_private_key(key, None).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    assert der.count(bytes.fromhex("2a8648ce3d0201")) == 1
    odd = der.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0209"))
    text = base64.encodebytes(odd).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n".encode()


def test_a_key_of_no_known_kind_ends_nothing(bakery: Identities) -> None:
    """It is refused like any other that cannot be read, and what comes after it is taken up."""
    oven, _ = bakery.of("oven")
    files = bakery.authority.issue("oven")
    good = files.key.read_bytes()
    files.key.write_bytes(of_no_known_kind(good))

    assert not oven.look()
    assert "no private key in PEM" in (oven.trouble or "")

    files.key.write_bytes(good)
    assert oven.look()
    assert oven.trouble is None


def test_files_that_come_back_are_no_trouble_any_more(bakery: Identities, tmp_path: Path) -> None:
    """They are the ones that are in use: nothing is new, and nothing is wrong."""
    files = bakery.authority.issue("oven")
    oven, _ = bakery.read(files)
    files.key.rename(tmp_path / "away")
    oven.look()
    assert oven.trouble is not None

    (tmp_path / "away").rename(files.key)
    assert not oven.look()
    assert oven.trouble is None


HALF = "it is half written; write it whole, or issue it again"


def halve(path: Path) -> None:
    """Leave half of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def damage(path: Path) -> None:
    """Leave its first and last lines alone."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"bm8=\n", lines[-1]]))


def lock(path: Path, form: PrivateFormat) -> None:
    """Encrypt a key."""
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda f: f.certificate.unlink(), r"CERT=.*tls.crt: No such file.* this user may read"),
        (
            lambda f: f.certificate.write_text("no"),
            r"CERT=.*tls.crt: no certificates in PEM; name a file that has a line -----BEGIN",
        ),
        (lambda f: halve(f.certificate), r"CERT=.*tls.crt: no certificates in PEM: " + HALF),
        (lambda f: damage(f.certificate), r"CERT=.*tls.crt: no certificates in PEM: .*; issue it "),
        (lambda f: f.key.unlink(), r"KEY=.*tls.key: No such file"),
        (lambda f: f.key.write_text("no"), r"KEY=.*tls.key: no private key in PEM"),
        (lambda f: halve(f.key), r"KEY=.*tls.key: no private key in PEM: " + HALF),
        (
            lambda f: lock(f.key, PrivateFormat.PKCS8),
            r"KEY=.*tls.key: it is encrypted, .*; store it without one",
        ),
        (
            lambda f: lock(f.key, PrivateFormat.TraditionalOpenSSL),
            r"KEY=.*tls.key: it is encrypted, .*; store it without one",
        ),
        (lambda f: f.key.chmod(0o644), r"KEY=.*tls.key: every user may read it; run `chmod o= "),
        (lambda f: f.trusted.write_text(""), r"CA=.*ca.crt: no certificates in PEM"),
        (lambda f: halve(f.trusted), r"CA=.*ca.crt: no certificates in PEM: " + HALF),
        (
            lambda f: f.trusted.write_bytes(f.certificate.read_bytes()),
            r"CERT=.*: no authority of CA=.* has issued it",
        ),
        (
            lambda f: f.certificate.write_bytes(f.trusted.read_bytes()),
            r"CERT=.*: its URI SAN 'spiffe://bakery' is no SPIFFE ID, spiffe://bakery/<name>",
        ),
    ],
)
def test_bad_files_are_refused_with_the_remedy(bakery: Identities, spoil: Any, match: str) -> None:
    """At the start, with the variable, the file and what to do."""
    files = bakery.authority.issue("oven")
    spoil(files)

    with pytest.raises(SettingError, match=match):
        bakery.read(files)


@pytest.mark.parametrize(
    ("forged", "match"),
    [
        ({"ends_s": -1.0}, "it expired at .*; issue it again"),
        ({"begins_s": 1800.0}, "it is not valid before .*; look at this machine's clock"),
        ({"uris": ()}, "must be one SPIFFE ID, and are 0"),
        ({"uris": ("spiffe://bakery/a", "spiffe://bakery/b")}, "must be one SPIFFE ID, and are 2"),
        ({"uris": ("spiffe://other/oven",)}, "of another trust domain than 'bakery'"),
    ],
)
def test_a_certificate_that_nobody_would_take_is_not_begun_with(
    bakery: Identities, tmp_path: Path, forged: dict[str, Any], match: str
) -> None:
    """Its process would come up, and be refused by everybody."""
    bakery.authority.issue("oven")
    files = forge(tmp_path / "identities", **forged)

    with pytest.raises(SettingError, match=match):
        bakery.read(files)


def test_it_tells_how_long_it_is_good(bakery: Identities) -> None:
    """In seconds, for the alarm before it ends."""
    oven, _ = bakery.of("oven")

    assert 3500 < oven.expires_s() <= 3600
