"""NATS as it knows who is who: letters, streams that are lost, connections that grow old."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from holdfast.contract.spiffe import PROVISIONER
from holdfast.engines import nats_provisioner
from holdfast.engines.machine import MachineClock
from holdfast.engines.nats import NatsBroker
from holdfast.engines.nats_names import provision_of, sender_of
from holdfast.engines.nats_provisioner import NatsProvisioner
from holdfast.errors import SettingError, Unreachable
from holdfast.runtime.engines import broker_of
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.nats_rights import nats_rights
from holdfast.runtime.nats_settings import STREAMS, nats_accounts
from shop.system import shop
from tests.contracts.broker import Inbox
from tests.guarded_nats import PATIENCE_S, GuardedNats, guarded
from tests.servers import nats_server

SHOP = shop.graph()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[GuardedNats]:
    """The shop's server, with its streams."""
    async with guarded(SHOP, tmp_path) as server:
        yield server


async def publish_until(broker: NatsBroker, done: Callable[[], bool]) -> None:
    """Publish to payments again and again, as the outbox does, until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            try:
                await broker.publish("payments", "work", b"x", sender="orders")
            except Unreachable:
                pass  # its row stays, and is sent again
            await asyncio.sleep(0.1)


async def until(broker: NatsBroker, is_so: Callable[[str | None], bool]) -> str | None:
    """Wait, not for ever, until a broker's trouble is such; return it."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(broker.trouble()):
            await asyncio.sleep(0.02)
    return broker.trouble()


async def test_a_letter_brings_its_sender_along(nats: GuardedNats) -> None:
    """By the server's word: whoever publishes may do so under its own name alone."""
    orders, inbox = await nats.broker("orders"), Inbox()
    payments = await nats.broker("payments")
    await payments.subscribe("payments", "work", inbox.deliver)
    await orders.publish("payments", "work", b"a letter", sender="orders")
    await inbox.wait_for(1)
    await orders.publish("payments", "work", b"forged", sender="inventory")
    said = await until(orders, lambda why: why is not None)
    await orders.publish("payments", "work", b"another", sender="orders")
    await inbox.wait_for(2)
    counts = orders.counts()

    assert (inbox.parcels, inbox.senders) == ([b"a letter", b"another"], ["orders"] * 2)
    assert said is not None and 'publish to "shop.payments.work.inventory"' in said
    assert counts.refused_total == 1


async def test_a_stolen_identity_gets_nothing_of_anothers(nats: GuardedNats) -> None:
    """Notifications, taken over, tries to read, forge, answer for another and drain a stream."""
    orders, inbox = await nats.broker("orders"), Inbox()
    payments = await nats.broker("payments")
    stream = "shop_payments_work"
    tries = [
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{stream}",  # read letters for payments
        f"_js.CONSUMER.MSG.NEXT.{stream}.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.own",
        "shop.payments.work.orders",  # publish as orders
        "shop.payments.work.notifications",  # along no edge
        "shop.orders.urgent.inventory",  # answer for inventory
        f"$JS.API.STREAM.PURGE.{stream}",  # drain a stream
        f"$JS.API.STREAM.DELETE.{stream}",
        f"$JS.ACK.{stream}.{stream}.1.1.1.1.0",
        "_provision.shop.payments",
    ]

    async def stolen(msg: Msg) -> None:
        inbox.parcels.append(msg.data)

    async with nats.visitor("notifications") as thief:
        for subject in ("shop.payments.work.*", "_INBOX_shop_payments.>", ">"):
            await thief.client.subscribe(subject, cb=stolen)
        for subject in tries:
            await thief.client.publish(subject, b"", reply=thief.client.new_inbox())
        refused = await thief.refusals()
        await payments.subscribe("payments", "work", inbox.deliver)
        await orders.publish("payments", "work", b"a letter", sender="orders")
        await inbox.wait_for(1)

    assert len(refused) == len(tries) + 3
    assert (inbox.parcels, inbox.senders) == ([b"a letter"], ["orders"])


async def test_a_certificate_of_another_system_is_nobody_here(
    nats: GuardedNats, tmp_path: Path
) -> None:
    """Even with a service of the same name, and even of the same authority."""
    shared = LocalAuthority(tmp_path / "identities", "bakery", MachineClock())
    files = shared.issue("orders")
    context = ssl.create_default_context(cafile=files.trusted)
    context.load_cert_chain(files.certificate, files.key)
    with pytest.raises(NatsError, match="Authorization Violation"):
        async with asyncio.timeout(20), nats.visitor("orders", context=context):
            pass


async def test_streams_that_a_server_has_lost_are_made_by_the_provisioner(
    nats: GuardedNats,
) -> None:
    """Emptied while it was down: nobody restarts anything, and services have no right to."""
    orders, inbox = await nats.broker("orders"), Inbox()
    payments = await nats.broker("payments")
    await payments.subscribe("payments", "work", inbox.deliver)
    await publish_until(orders, lambda: len(inbox.parcels) > 0)
    nats.server.stop()
    nats.server.forget()
    await asyncio.to_thread(nats.server.start)
    before = len(inbox.parcels)
    await publish_until(orders, lambda: len(inbox.parcels) > before)


async def test_a_stream_that_keeps_nothing_is_made_anew_by_the_provisioner(
    nats: GuardedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emptied while it runs: it answers, and acknowledges nothing. Who notices it asks."""
    monkeypatch.setattr(nats_provisioner, "LOOK_S", 3_600.0)  # none of it is found by a look
    orders, inbox = await nats.broker("orders"), Inbox()
    payments = await nats.broker("payments", patience_s=2.0)
    await payments.subscribe("payments", "work", inbox.deliver)
    await publish_until(orders, lambda: len(inbox.parcels) > 0)
    nats.server.forget()
    said = await until(payments, lambda why: why is not None)
    await until(payments, lambda why: why is None)
    before = len(inbox.parcels)
    await publish_until(orders, lambda: len(inbox.parcels) > before)
    remade = payments.counts().remade_total

    assert said is not None and "its stream acknowledged nothing" in said
    assert remade >= 1


async def test_a_stream_is_made_anew_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas notice it together: what came into the new one is not lost to the second of them."""
    monkeypatch.setattr(nats_provisioner, "APART_S", 3_600.0)
    with nats_server() as plain:
        provisioner = NatsProvisioner("shop", ["orders"], plain.url)
        provisioner.start()
        async with asyncio.timeout(PATIENCE_S):
            await provisioner.ready()
        asker = NatsBroker("shop", plain.url)
        client = await asker.connection.half_typed()
        held = list[int]()
        for wanted in (b"work", b"work anew", b"work anew"):
            await client.jetstream().publish("shop.orders.work.users", b"a letter")
            answer = await client.request(provision_of("shop", "orders"), wanted, timeout=20)
            info = await client.jetstream().stream_info("shop_orders_work")
            held.append(info.state.messages)
            assert answer.data == b"done"
        await asker.stop()
        await provisioner.stop()

    assert held == [1, 0, 1]


async def test_rights_that_were_taken_and_given_back_end_nothing(nats: GuardedNats) -> None:
    """By new settings of a server: it is said, and letters come again by themselves."""
    orders, inbox = await nats.broker("orders"), Inbox()
    payments = await nats.broker("payments", patience_s=2.0)
    await payments.subscribe("payments", "work", inbox.deliver)
    await publish_until(orders, lambda: len(inbox.parcels) > 0)
    file = nats.server.folder / "settings"
    before = file.read_text()
    mine = '"_INBOX_shop_payments.>"'
    assert before.count(mine) == 1
    nats.server.configure(before.replace(mine, '"_INBOX_shop_payments.nowhere"'))
    said = await until(payments, lambda why: why is not None)
    nats.server.configure(before)
    count = len(inbox.parcels)
    await publish_until(orders, lambda: len(inbox.parcels) > count)
    await until(payments, lambda why: why is None or why.startswith("permissions"))

    assert said is not None and "payments" in said


async def test_that_nobody_provides_is_said_with_the_remedy(tmp_path: Path) -> None:
    """It is no outage, and ends when somebody does."""
    async with guarded(SHOP, tmp_path, provide=False) as nats:
        orders, inbox = await nats.broker("orders"), Inbox()
        payments = await nats.broker("payments")
        await payments.subscribe("payments", "work", inbox.deliver)
        said = payments.trouble()
        provisioner = nats.provisioner()
        provisioner.start()
        await publish_until(orders, lambda: len(inbox.parcels) > 0)
        await until(payments, lambda why: why is None)
        await provisioner.stop()

    assert said is not None and "nobody makes it; run `holdfast provision SYSTEM --keep`" in said


async def test_a_connection_is_followed_by_another_one_and_nothing_is_lost(
    nats: GuardedNats,
) -> None:
    """Under way all the time: each parcel comes once, and none is refused."""
    orders = await nats.broker("orders", proof=nats.proof("orders", age_s=0.5))
    payments = await nats.broker("payments", proof=nats.proof("payments", age_s=0.5))
    inbox, clients, repeated = Inbox(), set[int](), list[bytes]()

    async def deliver(parcel: bytes, again: bool, sender: str) -> None:
        repeated.extend([parcel] if again else [])
        await inbox.deliver(parcel, again, sender)

    await payments.subscribe("payments", "work", deliver)
    sent = 0
    async with asyncio.timeout(PATIENCE_S):
        while len(clients) < 4:
            clients.add(id(await payments.connection.client()))
            for number in range(sent, sent + 20):
                await orders.publish("payments", "work", str(number).encode(), sender="orders")
            sent += 20
            await asyncio.sleep(0.002)
    found = await inbox.wait_for(sent)

    assert sorted(map(int, found)) == list(range(sent))
    assert repeated == []  # what was on its way by the last connection came, too


async def test_a_rotated_authority_ends_nothing_and_the_old_one_is_out(
    nats: GuardedNats,
) -> None:
    """Old and new together, then the new one alone: what the old one has issued is refused."""
    names = ("orders", "payments")
    identities = {name: nats.identity(name) for name in names}
    brokers = {
        name: await nats.broker(name, proof=nats.proof_of(identities[name])) for name in names
    }
    inbox, old = Inbox(), nats.identity("orders")
    await brokers["payments"].subscribe("payments", "work", inbox.deliver)
    await publish_until(brokers["orders"], lambda: len(inbox.parcels) > 0)
    for step in (nats.authority.announce, nats.authority.switch, nats.authority.forget):
        step()
        nats.server.read_again()
        for name in names:
            identities[name].look()
            await brokers[name].connection.renew()
        before = len(inbox.parcels)
        await publish_until(brokers["orders"], lambda before=before: len(inbox.parcels) > before)
    with pytest.raises(Unreachable, match="no TLS with the broker"):
        await nats.broker("orders", proof=nats.proof_of(old))


async def test_a_server_in_clear_hears_nothing(nats: GuardedNats) -> None:
    """Where this process has an identity, the first byte is TLS's."""
    with nats_server() as clear:
        url = f"tls://127.0.0.1:{clear.port}"
        broker = NatsBroker("shop", url, proof=nats.proof("orders"))
        with pytest.raises(Unreachable, match="no TLS with the broker"):
            await broker.connection.client()
        await broker.stop()


async def test_the_provisioner_answers_into_inboxes_alone(nats: GuardedNats) -> None:
    """Else who asks could have it speak to somebody else for him."""
    with nats_server() as plain:
        provisioner = NatsProvisioner("shop", ["orders"], plain.url)
        provisioner.start()
        async with asyncio.timeout(PATIENCE_S):
            await provisioner.ready()
        asker = NatsBroker("shop", plain.url)
        client = await asker.connection.half_typed()
        heard = await client.subscribe("elsewhere")
        await client.publish(provision_of("shop", "orders"), b"work", reply="elsewhere")
        answer = await client.request(provision_of("shop", "orders"), b"work", timeout=20)
        await client.publish("elsewhere", b"the last")  # behind whatever was said there
        last = await heard.next_msg(timeout=20)
        await asker.stop()
        await provisioner.stop()

    assert (answer.data, last.data) == (b"done", b"the last")


def test_nobody_shares_an_account_with_the_streams() -> None:
    """In one account a server publishes wherever a request says that its answer shall go."""
    head, *accounts = nats_accounts(SHOP).split("\n  }\n")
    users = {part.split("{")[0].strip(): part.count("user:") for part in accounts if "{" in part}

    assert f"{STREAMS} {{" in head and head.count("user:") == 1
    assert f"spiffe://shop/{PROVISIONER}" in head
    assert users.pop("$SYS") == 0, "nobody is in the system's own account"
    assert users == dict.fromkeys(nats_rights(SHOP).keys() - {PROVISIONER}, 1)


@pytest.mark.parametrize(
    ("subject", "sender"),
    [
        ("shop.payments.work.orders", "orders"),
        ("shop.payments.work", ""),
        ("shop.payments.urgent.orders", None),
        ("shop.inventory.work.orders", None),
        ("shop.payments.work.orders.x", None),
        ("_INBOX_shop_payments.x", None),
        ("other.payments.work.orders", None),
    ],
)
def test_who_sent_what_is_in_its_subject(subject: str, sender: str | None) -> None:
    """Of the lane alone: anything else did not come from its stream."""
    assert sender_of("shop", "payments", "work", subject) == sender


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats://host:4222", "to be shown by TLS alone: write it as tls://host:4222"),
        ("tls://host:4222?sslcert=/x", "sslcert: this process has an identity; leave it out"),
        ("tls://a:4222,nats://b:4222", "to be shown by TLS alone"),
    ],
)
def test_with_an_identity_a_url_in_clear_is_refused(nats: GuardedNats, url: str, why: str) -> None:
    """At the start, with the variable."""
    with pytest.raises(SettingError, match="BROKER_URL") as refused:
        broker_of("shop", url, identity=nats.identity("orders"))

    assert why in refused.value.problems[0]
