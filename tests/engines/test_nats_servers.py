"""What the provisioner sees of the servers: connections that are too old, certificates, losses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats import connect as nats_connect

from holdfast.contract.spiffe import NATS, PROVISIONER
from holdfast.engines import nats_connection, nats_provisioner
from holdfast.engines.machine import MachineClock
from holdfast.engines.nats_connection import AGE_S, RETIRE_S, NatsProof
from holdfast.engines.nats_names import API, TERMINATED
from holdfast.engines.nats_provisioner import LOOK_S, NatsProvisioner, lost_why
from holdfast.engines.nats_servers import (
    LIFE_S,
    SHOWN_SOON_S,
    Figures,
    NatsClient,
    NatsClients,
    NatsServers,
    grown_old,
    out_of_date,
)
from holdfast.errors import Unreachable
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.nats_settings import nats_accounts, nats_tls
from shop.system import shop
from tests.contracts.broker import Inbox
from tests.guarded_nats import PATIENCE_S, GuardedNats, guarded
from tests.servers import Nats, nats_server

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SHOP = shop.graph()


def told_of(*ages_s: float) -> NatsClients:
    """Return connections of such ages, as a server tells of them."""
    ours = [NatsClient(n, NOW - timedelta(seconds=s), "::1", "x") for n, s in enumerate(ages_s)]
    return NatsClients("S", NOW, ours)


def test_who_is_older_than_ours_ever_get_is_ended() -> None:
    """By the server's clock alone; who asks would end nobody's, if it ended its own."""
    old = grown_old(told_of(900.0, 100.0, 100.1), life_s=100.0)
    but_own = grown_old(told_of(900.0, 100.0, 100.1), life_s=100.0, own=("S", 0))
    of_another = grown_old(told_of(900.0), life_s=100.0, own=("T", 0))

    assert [one.cid for one in old] == [0, 2]
    assert [one.cid for one in but_own] == [2]
    assert [one.cid for one in of_another] == [0]


def test_ours_are_gone_long_before_they_would_be_ended() -> None:
    """Renewed, retired, and tried again a dozen times if the first one fails."""
    assert LIFE_S > AGE_S + RETIRE_S + 12 * nats_connection.RENEW_PAUSE_S
    assert LIFE_S + LOOK_S <= 750.0  # as docs/security.md says


@pytest.mark.parametrize(
    ("left_s", "says"),
    [(SHOWN_SOON_S, False), (SHOWN_SOON_S - 1, True), (-1.0, True), (None, False)],
)
def test_a_certificate_that_should_have_been_followed_is_said(
    left_s: float | None, says: bool
) -> None:
    """Before anybody is refused: ours live an hour and are issued anew at half of it."""
    ends = None if left_s is None else NOW + timedelta(seconds=left_s)
    why = out_of_date([Figures("S", "nats-1", NOW, NOW, ends)])

    assert (why is not None and "nats-1 shows a certificate that ends in" in why) is says


@asynccontextmanager
async def provisioned(
    nats: GuardedNats, proof: NatsProof | None = None, *, life_s: float = LIFE_S
) -> AsyncIterator[NatsProvisioner]:
    """Run a provisioner that ends connections of such an age."""
    proof = proof or replace(nats.proof(PROVISIONER), api=API)
    provisioner = NatsProvisioner("shop", SHOP.services, nats.url, proof=proof, life_s=life_s)
    provisioner.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await provisioner.ready()
        yield provisioner
    finally:
        await provisioner.stop()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait, not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # a server tells nobody
            await asyncio.sleep(0.05)


async def test_a_thiefs_connection_ends_and_ours_lose_nothing(tmp_path: Path) -> None:
    """Opened before its authority was revoked: it is out by its age, and does not come back."""
    names, inbox, sent = (PROVISIONER, "orders", "payments"), Inbox(), list[bytes]()
    async with guarded(SHOP, tmp_path, provide=False) as nats, nats.visitor("notifications") as v:
        stolen = nats.identity("notifications")
        await asyncio.sleep(0.3)
        begun_s = asyncio.get_running_loop().time()  # the thief is older, and all of ours younger
        identities = {name: nats.identity(name) for name in names}
        proofs = {n: replace(nats.proof_of(own), age_s=0.5) for n, own in identities.items()}
        async with provisioned(nats, replace(proofs[PROVISIONER], api=API)) as provisioner:
            orders = await nats.broker("orders", proof=proofs["orders"])
            payments = await nats.broker("payments", proof=proofs["payments"])
            await payments.subscribe("payments", "work", inbox.deliver)

            async def send() -> None:
                while True:
                    sent.append(str(len(sent)).encode())
                    await orders.publish("payments", "work", sent[-1], sender="orders")
                    await asyncio.sleep(0.01)

            sending = asyncio.create_task(send())
            for step in (nats.authority.announce, nats.authority.switch, nats.authority.forget):
                step()
                await read_again(nats, provisioner)
                for identity in identities.values():
                    identity.look()
            assert v.client.is_connected  # nothing else ends it
            age_s = asyncio.get_running_loop().time() - begun_s + 0.15
            servers = NatsServers(provisioner.connection, provisioner.troubles, life_s=age_s)
            await servers.look()
            await until(lambda: not v.client.is_connected)
            before = len(sent)
            await until(lambda: sending.done() or len(sent) > before + 100)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            found = await inbox.wait_for(len(sent))
            with pytest.raises(Unreachable, match="no TLS with the broker"):
                await nats.broker("notifications", proof=nats.proof_of(stolen))

    assert sending.cancelled() and servers.ended_total == 1
    assert sorted(found, key=int) == sent


async def read_again(nats: GuardedNats, provisioner: NatsProvisioner) -> None:
    """Have the server read its files, and wait until it has."""
    assert provisioner.servers is not None
    [before] = await provisioner.servers.figures()
    nats.server.read_again()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            [now] = await provisioner.servers.figures()
            if now.config_load_time > before.config_load_time:
                return


async def test_in_a_cluster_a_connection_of_any_server_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provisioner is at one of three servers, and the thief at another one."""
    monkeypatch.setattr(nats_provisioner, "LOOK_S", 0.5)
    authority = LocalAuthority(tmp_path / "identities", "shop", MachineClock())
    files = authority.issue(NATS)
    settings = nats_tls(files.certificate, files.key, files.trusted) + nats_accounts(SHOP)
    routes = [free_port() for _ in range(3)]
    nodes = [Nats(f"n{n}", routes, route) for n, route in enumerate(routes)]
    try:
        for node in nodes:
            node.configure(settings)
            node.start()
        at = [GuardedNats(node, SHOP, authority) for node in nodes]
        async with (
            at[2].visitor("notifications") as thief,
            provisioned(at[0], life_s=1.0) as provisioner,
        ):
            await until(lambda: not thief.client.is_connected)
            servers = provisioner.servers
            await until(lambda: servers is not None and servers.ended_total >= 1)
    finally:
        for node in nodes:
            node.stop()


async def test_a_server_that_goes_on_with_its_old_certificate_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told to read a file that it cannot: a line of its own log is all it says."""
    monkeypatch.setattr(nats_provisioner, "LOOK_S", 0.2)
    async with (
        guarded(SHOP, tmp_path, provide=False) as nats,
        provisioned(nats) as provisioner,
    ):
        assert provisioner.troubles.now() is None
        monkeypatch.setattr("holdfast.engines.nats_servers.SHOWN_SOON_S", 3_600.0)
        await until(lambda: "shows a certificate that ends" in (provisioner.troubles.now() or ""))
        monkeypatch.setattr("holdfast.engines.nats_servers.SHOWN_SOON_S", 1_200.0)
        await until(lambda: provisioner.troubles.now() is None)


async def test_a_parcel_that_somebody_throws_away_is_said(tmp_path: Path) -> None:
    """`+TERM` is an acknowledgement, which a service may give, and no process of ours does."""
    async with (
        guarded(SHOP, tmp_path, provide=False) as nats,
        provisioned(nats) as provisioner,
        nats.visitor("payments") as thief,
    ):
        orders, stream = await nats.broker("orders"), "shop_payments_work"
        await orders.publish("payments", "work", b"x", sender="orders")
        heard = await thief.client.subscribe(thief.client.new_inbox())
        asked, subject = b'{"batch":1}', f"_js.CONSUMER.MSG.NEXT.{stream}.{stream}"
        await thief.client.publish(subject, asked, reply=heard.subject)
        parcel = await heard.next_msg(timeout=20)
        await thief.client.publish(parcel.reply, b"+TERM")
        await until(lambda: provisioner.terminated_total == 1)

        assert f"stream {stream}: a parcel was thrown away" in (provisioner.troubles.now() or "")


async def test_a_full_stream_says_another_thing_of_what_it_loses() -> None:
    """The server's own words, of a plain stream that holds one parcel."""
    with nats_server() as server:
        client = await nats_connect(server.url)
        streams = client.jetstream()
        await streams.add_stream(name="s", subjects=["s"], max_msgs=1, discard="old")
        heard = await client.subscribe(f"{TERMINATED}.s.s")
        pull = await streams.pull_subscribe("s", durable="s")
        await streams.publish("s", b"the first")
        await pull.fetch(1)
        await streams.publish("s", b"the second")
        advisory = await heard.next_msg(timeout=20)
        await client.close()

    assert "made room" in lost_why(advisory.data)


async def test_servers_with_settings_of_before_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams are made all the same; that nobody ends old connections is told, with why."""
    monkeypatch.setattr("holdfast.engines.nats_servers.CONNECTIONS", "_server.NOTHING")
    async with (
        guarded(SHOP, tmp_path, provide=False) as nats,
        provisioned(nats) as provisioner,
    ):
        await until(lambda: "nobody looks after them" in (provisioner.troubles.now() or ""))
