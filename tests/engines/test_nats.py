"""JetStream keeps the broker's contract; and what is its own."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.engines.nats import NatsBroker
from holdfast.engines.nats_pull import ends_pull
from holdfast.engines.nats_streams import NatsStreams
from holdfast.errors import SettingError, Unreachable
from holdfast.ports import Broker
from holdfast.runtime.engines import broker_of, engines_of, newest_broker
from holdfast.runtime.environ import Environ
from holdfast.runtime.secret_file import SecretFile
from holdfast.runtime.variables import BROKER_URL
from tests.certificates import Authority
from tests.contracts.broker import BrokerContract, Inbox
from tests.servers import Nats, nats_server

NUMBERS = itertools.count(1)


class TestNats(BrokerContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, nats: Nats, caplog: pytest.LogCaptureFixture) -> None:
        """Keep the server; a delivery that fails is logged, as it should be."""
        caplog.set_level(logging.CRITICAL, "holdfast")
        self.url = nats.url

    async def make(self) -> Broker:
        """Return the broker of a system of its own."""
        return NatsBroker(f"test{next(NUMBERS)}", self.url)


async def publish_until(broker: NatsBroker, done: Callable[[], bool]) -> None:
    """Publish again and again, as the outbox does, until something is so."""
    async with asyncio.timeout(60):
        while not done():
            try:
                await broker.publish("mine", "work", b"x", sender="ada")
            except Unreachable:
                pass  # its row stays, and is sent again
            await asyncio.sleep(0.1)


async def until_unreachable(broker: NatsBroker) -> None:
    """Publish until it is refused: the client has noticed that the server is gone."""
    async with asyncio.timeout(60):
        while True:
            try:
                await broker.publish("mine", "work", b"x", sender="ada")
            except Unreachable:
                return
            await asyncio.sleep(0.05)


async def test_a_server_that_forgot_everything_is_set_up_again() -> None:
    """Its streams and consumers are gone, and nobody restarts the subscriber."""
    with nats_server() as server:
        broker, inbox = NatsBroker("forgetful", server.url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        server.stop()
        await until_unreachable(broker)
        server.forget()
        await asyncio.to_thread(server.start)
        before = len(inbox.parcels)
        await publish_until(broker, lambda: len(inbox.parcels) > before)
        await broker.stop()


async def test_a_server_that_comes_later_is_waited_for() -> None:
    """A process starts without its broker, and its letters wait in the tables."""
    with nats_server() as server:
        server.stop()
        broker, inbox = NatsBroker("late", server.url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        with pytest.raises(Unreachable):
            await broker.publish("mine", "work", b"x", sender="ada")
        away = broker.trouble()
        await asyncio.to_thread(server.start)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        there = broker.trouble()
        await broker.stop()

    assert (away, there) == ("the broker is away", None)


async def test_replicas_share_what_comes(nats: Nats) -> None:
    """Each parcel goes to one of them."""
    replicas = [NatsBroker("shared", nats.url) for _ in range(2)]
    inboxes = [Inbox(), Inbox()]
    for broker, inbox in zip(replicas, inboxes, strict=True):
        await broker.subscribe("mine", "work", inbox.deliver)
    parcels = [str(n).encode() for n in range(400)]
    for parcel in parcels:
        await replicas[0].publish("mine", "work", parcel, sender="ada")
    async with asyncio.timeout(60):
        while sum(len(inbox.parcels) for inbox in inboxes) < len(parcels):
            await asyncio.sleep(0.01)
    for broker in replicas:
        await broker.stop()

    assert sorted(inboxes[0].parcels + inboxes[1].parcels) == sorted(parcels)
    assert min(len(inbox.parcels) for inbox in inboxes) > 0


PATIENCE_S = 60.0


async def until(broker: NatsBroker, is_so: Callable[[str | None], bool]) -> str | None:
    """Wait, not for ever, until the broker's trouble is such; return it."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(broker.trouble()):
            await asyncio.sleep(0.02)
    return broker.trouble()


async def test_a_server_that_loses_its_store_while_it_runs_is_noticed_and_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It goes on answering, and acknowledges nothing: that is said, and the streams are remade."""
    with nats_server() as server:
        broker, inbox = NatsBroker("hollow", server.url, patience_s=2.0), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        server.forget()
        said = await until(broker, lambda why: why is not None)
        await until(broker, lambda why: why is None)
        before = len(inbox.parcels)
        await publish_until(broker, lambda: len(inbox.parcels) > before)
        counts = broker.counts()
        await broker.stop()

    assert said is not None and said.startswith("mine work: its stream acknowledged nothing")
    assert counts.remade_total >= 1
    assert "broker: mine work: its stream acknowledged nothing" in caplog.text


async def test_a_subscriber_that_comes_to_a_hollow_server_makes_its_streams_again() -> None:
    """The server still knows the stream by name, and fails at every file of it."""
    with nats_server() as server:
        first = NatsBroker("hollow", server.url)
        await first.subscribe("mine", "work", Inbox().deliver)
        await first.stop()
        server.forget()
        broker, inbox = NatsBroker("hollow", server.url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        counts = broker.counts()
        await broker.stop()

    assert counts.remade_total >= 1


def settings(password: str, permissions: str = "") -> str:
    """Return a server's settings, with one user."""
    user = f'user: shop, password: "{password}", permissions: {{{permissions}}}'
    return f"authorization {{ users: [{{{user}}}] }}"


async def test_a_lane_outlives_what_nobody_foresaw(
    nats: Nats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug, here or in the vendor's client, ends neither the start nor the lane."""
    ensure, bugs = NatsStreams.ensure, [LookupError("a bug"), AttributeError("another")]

    async def broken(self: NatsStreams, service: str, lane: str) -> None:
        if bugs:
            raise bugs.pop()
        await ensure(self, service, lane)

    monkeypatch.setattr(NatsStreams, "ensure", broken)
    broker, inbox = NatsBroker(f"test{next(NUMBERS)}", nats.url), Inbox()
    async with asyncio.timeout(60):
        await broker.subscribe("mine", "work", inbox.deliver)
    await publish_until(broker, lambda: len(inbox.parcels) > 0)
    await broker.stop()

    assert not bugs
    assert "mine work: pulling" in caplog.text


async def test_a_password_that_is_changed_and_changed_back_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The vendor's client closes for good; ours is made anew, and says who refused whom."""
    with nats_server(settings("right")) as server:
        url = server.url.replace("//", "//shop:right@")
        broker, inbox = NatsBroker("rotated", url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        server.configure(settings("wrong"))
        said = await until(broker, lambda why: why is not None and "refuses" in why)
        with pytest.raises(Unreachable, match="refuses this process"):
            await broker.publish("mine", "work", b"x", sender="ada")
        server.configure(settings("right"))
        before = len(inbox.parcels)
        await publish_until(broker, lambda: len(inbox.parcels) > before)
        there, counts = broker.trouble(), broker.counts()
        await broker.stop()

    assert said is not None and "authorization" in said.lower()
    assert "right" not in caplog.text
    assert "refuses this process" in caplog.text
    assert (there, counts.refused_total > 0) == (None, True)


async def test_a_wrong_password_at_the_start_is_told_from_a_server_that_is_away() -> None:
    """Nobody waits for a start; what is wrong is said, and mended from outside."""
    with nats_server(settings("other")) as server:
        broker, inbox = NatsBroker("strange", server.url.replace("//", "//shop:right@")), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        refused = broker.trouble()
        server.stop()
        away = await until(broker, lambda why: why == "the broker is away")
        server.configure(settings("right"))
        await asyncio.to_thread(server.start)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        await broker.stop()

    assert refused is not None and "refuses this process" in refused
    assert away == "the broker is away"


async def test_a_subject_that_is_forbidden_is_said_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And what is allowed goes on."""
    with nats_server(settings("right", 'publish: {deny: ["narrow.other.>"]}')) as server:
        url = server.url.replace("//", "//shop:right@")
        broker, inbox = NatsBroker("narrow", url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await broker.publish("other", "work", b"x", sender="ada")
        said = await until(broker, lambda why: why is not None)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        counts = broker.counts()
        await broker.stop()

    assert said is not None and 'publish to "narrow.other.work.ada"' in said
    assert 'permissions violation for publish to "narrow.other.work.ada"' in caplog.text.lower()
    assert counts.refused_total >= 1


@pytest.mark.parametrize(("system", "service"), [("batch", "orders"), ("shop", "batch")])
async def test_a_service_with_any_name_gets_its_stream_again(system: str, service: str) -> None:
    """A refusal names the subject, which may hold any word."""
    with nats_server() as server:
        broker, inbox = NatsBroker(system, server.url), Inbox()
        await broker.subscribe(service, "work", inbox.deliver)
        client = await broker.connection.client()
        await client.jetstream().delete_stream(f"{system}_{service}_work")
        async with asyncio.timeout(PATIENCE_S):
            while not inbox.parcels:
                await broker.publish(service, "work", b"x", sender="ada")
                await asyncio.sleep(0.1)
        await broker.stop()


@pytest.mark.parametrize(
    ("status", "about", "ends"),
    [
        ("100", "Idle Heartbeat", None),
        ("404", "No Messages", False),
        ("408", "Request Timeout", False),
        ("409", "Batch Completed", False),
        ("409", "Exceeded MaxRequestBatch of 10", True),
        ("409", "Consumer Deleted", True),
        ("409", "Server Shutdown", True),
        ("503", "$JS.API.CONSUMER.MSG.NEXT.batch_orders_work.batch_orders_work", True),
        ("400", "Bad Request", True),
    ],
)
def test_what_a_status_ends(status: str, about: str, ends: bool | None) -> None:
    """The code decides; the description does for a 409 alone."""
    assert ends_pull(status, about) is ends


def tls_settings(authority: Authority, *, verify: bool = False) -> str:
    """Return the settings of a server that speaks TLS."""
    files = authority.issue("localhost")
    return (
        f'tls {{ cert_file: "{files.certificate}", key_file: "{files.key}", '
        f'ca_file: "{authority.file}", verify: {str(verify).lower()} }}'
    )


async def test_tls_is_spoken_and_a_certificate_shown(tmp_path: Path) -> None:
    """The parameters are those of a Postgres's URL."""
    authority = Authority(tmp_path)
    mine, inbox = authority.issue("orders"), Inbox()
    with nats_server(tls_settings(authority, verify=True)) as server:
        files = f"sslrootcert={authority.file}&sslcert={mine.certificate}&sslkey={mine.key}"
        broker = broker_of("secret", f"tls://localhost:{server.port}?{files}")
        await broker.subscribe("mine", "work", inbox.deliver)
        async with asyncio.timeout(PATIENCE_S):
            while not inbox.parcels:
                await broker.publish("mine", "work", b"x", sender="ada")
                await asyncio.sleep(0.1)
        await broker.stop()

    assert inbox.parcels[0] == b"x"


async def test_a_server_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    """That is a refusal, by us, and is said as one."""
    other = Authority(tmp_path, "other")
    with nats_server(tls_settings(Authority(tmp_path))) as server:
        broker = broker_of("secret", f"tls://localhost:{server.port}?sslrootcert={other.file}")
        await broker.subscribe("mine", "work", Inbox().deliver)
        said = broker.trouble()
        await broker.stop()

    assert said is not None and said.startswith("no TLS with the broker: ")
    assert "certificate verify failed" in said


async def test_a_server_in_clear_hears_no_password_of_a_tls_url() -> None:
    """The vendor's client would tell it: no name, no password, nothing."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","auth_required":true}\r\n')
        while received := await reader.read(1 << 16):
            heard.append(received)
            writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    broker = broker_of("secret", f"tls://ada:password@localhost:{port}")
    await broker.subscribe("mine", "work", Inbox().deliver)
    said = broker.trouble()
    await broker.stop()
    server.close()

    assert said is not None and "it offers none, and tls:// asks for it" in said
    assert heard == []


async def test_a_server_in_clear_is_refused_after_an_outage_too(tmp_path: Path) -> None:
    """A reconnection is as strict as the first connection."""
    authority, inbox = Authority(tmp_path), Inbox()
    with nats_server(tls_settings(authority)) as server:
        url = f"tls://localhost:{server.port}?sslrootcert={authority.file}"
        broker = broker_of("secret", url)
        await broker.subscribe("mine", "work", inbox.deliver)
        there = broker.trouble()
        server.stop()
        server.configure("max_connections: 100")
        await asyncio.to_thread(server.start)
        said = await until(broker, lambda why: why is not None and "no TLS" in why)
        await broker.stop()

    assert there is None
    assert said is not None and "it offers none" in said


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats://host:4222?sslrootcert=/ca.pem", "sslrootcert needs tls://host:4222"),
        ("tls://host:4222?sslrootcert=/nowhere.pem", "sslrootcert=/nowhere.pem: No such file"),
        ("http://host", "write it as nats://host:4222"),
    ],
)
def test_a_broker_url_that_cannot_be_kept_is_refused(url: str, why: str) -> None:
    """At the start, with the variable."""
    with pytest.raises(SettingError, match="BROKER_URL") as refused:
        broker_of("secret", url)

    assert why in refused.value.problems[0]


def told_by(file: Path) -> Environ:
    """Return an environment whose BROKER_URL came as a file."""
    return Environ({}, {BROKER_URL: SecretFile(str(file))})


def broker_told_by(file: Path) -> NatsBroker:
    """Return the broker of a process that was told so."""
    engines = engines_of("moved", [], told_by(file), lambda name: file, threads=1)
    assert isinstance(engines.broker, NatsBroker)
    return engines.broker


async def test_an_address_that_was_written_anew_is_taken_at_the_next_connection(
    tmp_path: Path,
) -> None:
    """The old server ends, as it does after a move; nobody restarts the process."""
    file = tmp_path / "url"
    with nats_server() as old, nats_server() as new:
        file.write_text(old.url)
        broker, inbox = broker_told_by(file), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        file.write_text(new.url)
        await publish_until(broker, lambda: len(inbox.parcels) > 1)
        kept = (await broker.connection.client()).connected_url
        old.stop()
        before = len(inbox.parcels)
        await publish_until(broker, lambda: len(inbox.parcels) > before)
        taken = (await broker.connection.client()).connected_url
        await broker.stop()

    assert kept is not None and kept.port == old.port  # as long as it is good
    assert taken is not None and taken.port == new.port


async def test_an_address_that_comes_while_the_broker_is_away_is_taken(tmp_path: Path) -> None:
    """The vendor's client would look for the old one for ever."""
    file = tmp_path / "url"
    with nats_server() as old, nats_server() as new:
        file.write_text(old.url)
        broker, inbox = broker_told_by(file), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        old.stop()
        await until_unreachable(broker)
        file.write_text("nonsense")
        async with asyncio.timeout(60):
            while "the last good one is in use" not in (broker._troubles.now() or ""):
                await asyncio.sleep(0.05)
        file.write_text(new.url)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        healed = broker._troubles.now()
        await broker.stop()

    assert healed is None or "the last good one" not in healed


def test_an_address_that_is_no_file_is_read_once() -> None:
    """There is nothing to read again."""
    assert newest_broker({BROKER_URL: "nats://a:4222"}, proven=False) is None
