"""NATS as it is rendered: who may come to it, and whose certificate it shows after a while."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast.contract.spiffe import NATS
from holdfast.delivery.identities import IDENTITY, identities_of
from holdfast.delivery.nats import LOOK_S, TAKEN_S, nats_conf, one_nats_conf, serve_sh
from holdfast.delivery.plan import NATS_ROUTES, PORTS, plan_of
from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.security import Authority
from shop.system import shop
from tests.servers import BIN

PLAN = plan_of(shop, typed="shop")


class Server:
    """A server with a rendered configuration, started by the rendered script."""

    def __init__(self, folder: Path, conf: str) -> None:
        self.folder = folder
        self.authority = LocalAuthority(folder / "identities", shop.name, MachineClock())
        self.ports = {number: free_port() for number in (PORTS[NATS], NATS_ROUTES, 8222)}
        self._place = str(self.authority.issue(NATS).certificate.parent)
        conf = self._here(conf).replace("/data", str(folder / "data"))
        for number, port in self.ports.items():
            conf = conf.replace(f"0.0.0.0:{number}", f"127.0.0.1:{port}")
        (folder / "nats.conf").write_text(conf)
        script = self._here(serve_sh()).replace("/etc/nats", str(folder))
        for pause_s in (LOOK_S, TAKEN_S):
            script = script.replace(f"sleep {pause_s}\n", "sleep 0.2\n")
            script = script.replace(f"sleep {pause_s};", "sleep 0.2;")
        (folder / "serve.sh").write_text(script.replace("127.0.0.1:8222", self._monitor))

    @property
    def _monitor(self) -> str:
        return f"127.0.0.1:{self.ports[8222]}"

    def _here(self, text: str) -> str:
        return text.replace(IDENTITY, self._place)

    async def start(self) -> asyncio.subprocess.Process:
        """Start it; return the script."""
        environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "POD_NAME": "nats-0"}
        with (self.folder / "log").open("wb") as log:
            words = ("sh", "-e", str(self.folder / "serve.sh"))
            child = await asyncio.create_subprocess_exec(*words, env=environ, stderr=log)
        async with asyncio.timeout(60):
            while not await self.listens():
                assert child.returncode is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.05)
        return child

    @property
    def log(self) -> str:
        """What the server and the script have said."""
        return (self.folder / "log").read_text()

    async def listens(self) -> bool:
        """Whether it takes connections."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.ports[PORTS[NATS]])
        except OSError:
            return False
        writer.close()
        return True

    def of_the_cluster(self) -> Path:
        """Return the folder of a certificate as cert-manager issues it to the servers."""
        issued = self.folder / "identities"
        pair = [(issued / f"own.{part}").read_bytes() for part in ("crt", "key")]
        [dns] = [identity.dns for identity in identities_of(PLAN) if identity.name == NATS]
        made = Authority.from_pem(shop.name, *pair).issue(
            NATS, now_s=MachineClock().now(), dns=dns[1:]
        )
        folder = issued / "of-the-cluster"
        folder.mkdir()
        (folder / "tls.crt").write_bytes(made.certificate)
        (folder / "tls.key").write_bytes(made.key)
        return folder

    async def says(
        self, name: str, port: int = PORTS[NATS], *, folder: Path | None = None
    ) -> tuple[bytes, bytes]:
        """Return the certificate that it shows to a workload, and what it says then."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        files: IdentityFiles = self.authority.issue(name)
        context.check_hostname = False
        context.load_verify_locations(files.trusted)
        own = folder or files.certificate.parent
        context.load_cert_chain(own / "tls.crt", own / "tls.key")
        where = ("127.0.0.1", self.ports[port])
        reader, writer = await asyncio.open_connection(*where, ssl=context)
        shown = bytes(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        said = b""
        try:
            async with asyncio.timeout(20):
                await reader.readline()  # who it is itself
                writer.write(b'CONNECT {"verbose":true,"pedantic":false,"cluster":"shop"}\r\n')
                said = await reader.readline()
        except OSError:
            pass  # it has ended the connection
        finally:
            writer.transport.abort()
        return shown, said


@asynccontextmanager
async def serving(folder: Path, conf: str) -> AsyncIterator[Server]:
    """Run a server, and end it as its container is ended."""
    server = Server(folder, conf)
    child = await server.start()
    try:
        yield server
    finally:
        child.terminate()
        code = await asyncio.wait_for(child.wait(), 60)
    assert code in (0, 1) and not await server.listens()  # 1 is its own code of SIGTERM


async def test_those_who_have_rights_come_in_and_nobody_else(tmp_path: Path) -> None:
    """Whom the graph gives nothing to do there is not let in, with the best of certificates."""
    async with serving(tmp_path, one_nats_conf(PLAN)) as server:
        for name in ("orders", "provisioner"):
            assert (await server.says(name))[1].startswith(b"+OK")
        for name in ("gateway", "migrator", "monitoring", "nats"):
            assert b"+OK" not in (await server.says(name))[1]


async def test_a_certificate_that_is_new_is_shown(tmp_path: Path) -> None:
    """The server reads it when it is told to, which is what the script does."""
    async with serving(tmp_path, one_nats_conf(PLAN)) as server:
        before, _ = await server.says("orders")
        server.authority.issue(NATS)

        async with asyncio.timeout(60):
            while (await server.says("orders"))[0] == before:
                await asyncio.sleep(0.1)
        assert (await server.says("orders"))[1].startswith(b"+OK")


async def test_a_key_that_cannot_be_read_is_said_and_the_next_one_is_taken(tmp_path: Path) -> None:
    """The server would go on with the one before, and nobody would tell it again."""
    async with serving(tmp_path, one_nats_conf(PLAN)) as server:
        before, _ = await server.says("orders")
        key = server.authority.issue(NATS).key
        good = key.read_bytes()
        async with asyncio.timeout(60):
            while (await server.says("orders"))[0] == before:
                await asyncio.sleep(0.1)
        key.write_text("broken")
        async with asyncio.timeout(60):
            while server.log.count("are not in use; those before are") < 2:
                await asyncio.sleep(0.1)
        shown, said = await server.says("orders")
        key.write_bytes(good)
        files = server.authority.issue(NATS)
        async with asyncio.timeout(60):
            while (await server.says("orders"))[0] == shown:
                await asyncio.sleep(0.1)

        assert said.startswith(b"+OK") and files.key == key


async def test_a_service_cannot_pass_for_a_server_of_the_cluster(tmp_path: Path) -> None:
    """It would be sent everything: the names in its certificate are not those of the servers."""
    async with serving(tmp_path, nats_conf(PLAN)) as server:
        for name in ("notifications", "provisioner"):
            assert b"Authorization Violation" in (await server.says(name, NATS_ROUTES))[1]
        assert (
            b"Authorization Violation"
            not in (await server.says("orders", NATS_ROUTES, folder=server.of_the_cluster()))[1]
        )
