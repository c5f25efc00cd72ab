"""`holdfast provision`: the streams of a system, by who has the right to make them."""

import asyncio
import signal
import subprocess
from pathlib import Path

import nats
import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy

from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.nats_streams import STREAM_BYTES_MAX
from holdfast.errors import SettingError, Unreachable
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.provisioning import provisioner_of
from holdfast.runtime.variables import BROKER_URL
from shop.system import shop
from tests.cli.conftest import COMMAND, LIMIT_S, Cli
from tests.servers import nats_server


def identity(folder: Path, name: str) -> TlsIdentity:
    """Issue an identity in the shop."""
    files = LocalAuthority(folder, "shop", MachineClock()).issue(name)
    return TlsIdentity(files, "shop", MachineClock(), lambda reason, why: None)


async def test_the_streams_of_all_services_are_made_and_may_be_made_again() -> None:
    """Two for each service; a second run changes nothing."""
    with nats_server() as server:
        for _ in range(2):
            provisioner = provisioner_of(shop, {BROKER_URL: server.url}, None)
            await provisioner.once()
            client = await provisioner.connection.half_typed()
            found = sorted(one.config.name for one in await client.jetstream().streams_info())
            await provisioner.stop()

    names = [service.name for service in shop.services]
    assert found == sorted(f"shop_{name}_{lane}" for name in names for lane in ("work", "urgent"))


async def test_a_stream_with_settings_of_before_is_updated() -> None:
    """An older release made it: it takes what this one publishes, and keeps what it holds."""
    with nats_server() as server:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(
            name="shop_orders_work",
            subjects=["shop.orders.work"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.OLD,
            max_bytes=1 << 20,
        )
        await client.jetstream().publish("shop.orders.work", b"a letter")
        provisioner = provisioner_of(shop, {BROKER_URL: server.url}, None)
        await provisioner.once()
        await client.jetstream().publish("shop.orders.work.users", b"another")
        found = await client.jetstream().stream_info("shop_orders_work")
        await provisioner.stop()
        await client.close()

    assert found.config.subjects == ["shop.orders.work.*", "shop.orders.work"]
    assert found.config.max_bytes == STREAM_BYTES_MAX
    assert found.state.messages == 2


async def streams_of(url: str) -> list[str]:
    """Return the names of the streams that a broker has."""
    client = await nats.connect(url)
    found = sorted(one.config.name for one in await client.jetstream().streams_info())
    await client.close()
    return found


def test_the_command_makes_them_and_ends(cli: Cli) -> None:
    """A step of a deployment goes on when it has said so."""
    with nats_server() as server:
        done = cli("provision", "shop", BROKER_URL=server.url)
        found = asyncio.run(streams_of(server.url))

    assert (done.code, done.out) == (0, "the streams of shop are there\n")
    assert len(found) == 2 * len(shop.services)


def test_with_keep_it_stays_until_it_is_told_to_end(cli: Cli) -> None:
    """What the broker has is made all the same; SIGTERM is no failure."""
    with nats_server() as server:
        environ = cli.environ({"BROKER_URL": server.url})
        command = [*COMMAND, "provision", "shop", "--keep"]
        with subprocess.Popen(command, cwd=cli.folder, env=environ) as process:
            while len(found := asyncio.run(streams_of(server.url))) < 2 * len(shop.services):
                assert process.poll() is None, "it has ended"
            process.send_signal(signal.SIGTERM)
            code = process.wait(LIMIT_S)

    assert (code, len(found)) == (0, 2 * len(shop.services))


async def test_a_broker_that_is_away_is_said() -> None:
    """Whoever runs a step of a deployment sees it fail."""
    with nats_server() as server:
        server.stop()
        provisioner = provisioner_of(shop, {BROKER_URL: server.url}, None)
        with pytest.raises(Unreachable, match="the broker is away"):
            await provisioner.once()
        await provisioner.stop()


def test_another_ones_identity_is_refused(tmp_path: Path) -> None:
    """It would have no right; the remedy is named."""
    with pytest.raises(SettingError, match="it is of orders; give it the one of 'provisioner'"):
        provisioner_of(shop, {BROKER_URL: "tls://host:4222"}, identity(tmp_path, "orders"))


def test_without_a_broker_there_is_nothing_to_provide() -> None:
    """In one process letters stay in memory."""
    with pytest.raises(SettingError, match="BROKER_URL is not set"):
        provisioner_of(shop, {}, None)
