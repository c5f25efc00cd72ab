"""A nats-server of `--on` gets another identity: it takes it up, or that it does not is said."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast.contract.spiffe import NATS
from holdfast.engines.machine import MachineClock
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.nats_rotation import NatsRotation
from holdfast.runtime.servers import Servers
from shop.system import shop


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[LocalAuthority, NatsRotation]]:
    """Start the server of the shop, with identities."""
    authority = LocalAuthority(folder / "identities", shop.name, MachineClock())
    servers = Servers(folder / "servers", ("nats",), shop, authority=authority)
    await servers.start()
    try:
        assert servers.nats_rotation is not None
        servers.nats_rotation.read_s = 60.0
        yield authority, servers.nats_rotation
    finally:
        await servers.stop()


async def test_a_new_certificate_and_a_new_authority_are_taken_up(tmp_path: Path) -> None:
    """Each step is seen to have been read, the one too that leaves the certificate as it was."""
    async with running(tmp_path) as (authority, rotation):
        authority.issue(NATS)
        await rotation.seen()
        for step in (authority.announce, authority.switch, authority.forget):
            step()
            await rotation.seen()

        assert rotation.troubles.now() is None


async def test_a_key_that_it_cannot_read_is_said_and_so_is_the_next_one(tmp_path: Path) -> None:
    """The server goes on with the one before; nothing but its own log would tell."""
    async with running(tmp_path) as (authority, rotation):
        key = authority.issue(NATS).key
        await rotation.seen()
        good = key.read_bytes()
        key.write_text("broken")
        rotation.read_s = 1.0
        rotation.begin()
        await rotation.seen()
        told = rotation.troubles.now() or ""
        key.write_bytes(good)
        rotation.read_s = 60.0
        rotation.begin()
        await rotation.seen()

        assert "identity: its newest one is not in use" in told
        assert rotation.troubles.now() is None


async def test_a_server_that_shows_another_certificate_is_said(tmp_path: Path) -> None:
    """It has read its files, and one of them was written after that."""
    async with running(tmp_path) as (_, rotation):
        other = LocalAuthority(tmp_path / "others", shop.name, MachineClock(), life_s=7_200.0)
        files = other.issue(NATS)
        served = NatsRotation(files.certificate, rotation._tell, rotation._figures)
        served.read_s = 5.0  # long enough to be asked several times
        served.begin()
        await served.seen()

        assert "its newest one is not in use" in (served.troubles.now() or "")
