"""The shop as it is rendered for a cluster, run by the test kubelet, with what is around it.

Around it are its card processor, elsewhere and over TLS; whoever comes in through the cluster's
Gateway; a store of secrets; and an auditor who reads the databases from outside.
"""

import asyncio
import json
import random
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from holdfast.communication import HttpServer
from holdfast.delivery.kubernetes import ENVOY_NAMESPACE
from holdfast.engines.machine import MachineClock
from holdfast.testing import Client
from shop.demo.audit import audit
from shop.demo.books import SERVICES, read_books, settled, unfinished
from shop.demo.customers import CUSTOMERS, PASSWORD, Customers, Placed, Wish
from shop.processor.ledger import Ledger
from shop.processor.simulated import CardProcessor
from tests.certificates import Authority
from tests.chaos.books import Tables
from tests.delivery.kubelet.cert_manager import CertManager
from tests.delivery.kubelet.cluster import Cluster, cluster
from tests.delivery.kubelet.images import Image, build
from tests.delivery.kubelet.manifests import Object, Objects, load
from tests.delivery.kubelet.operators import carried_out
from tests.delivery.kubelet.reach import FromNetwork
from tests.delivery.kubelet.wheels import servers

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
"""What is committed, which another test holds to the declaration."""
ENVIRONMENT = "staging"
NAMESPACE = "shop"
PROCESSOR_AT = "203.0.113.7"
HANG_S = 3.0
SETTLE_S = 120.0
AT_ONCE = 8
LINES = (("LANTERN", 1),)
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def manifests() -> list[Object]:
    """Return the rendered objects of the environment that is run here."""
    return load(DEPLOY / "kubernetes" / ENVIRONMENT)


async def image() -> Image:
    """Return the shop's image, built from the rendered Dockerfile."""
    return await build(DEPLOY / "image" / "Dockerfile", ROOT, name="shop")


def stored(key: str, name: str) -> str:
    """Return what the store of secrets has; a password that has to be quoted in a URL."""
    return f"{key}+{name} %&/@:?"


@dataclass
class ShopOnCluster:
    """The shop, and what a test does with it.

    Attributes:
        entry: the network of whoever comes in through the cluster's Gateway.
        issuing: makes the Secrets of certificates, again when it is asked to.
        short: a name for the folder of Postgres's socket, whose path has to be short.
        placed: all orders that were taken.
        guests: {name: network} of those that were made.
    """

    cluster: Cluster
    entry: str
    client: Client
    ledger: Path
    customers: Customers
    short: Path
    issuing: CertManager
    placed: list[Placed] = field(default_factory=list[Placed])
    guests: dict[str, str] = field(default_factory=dict[str, str])

    async def guest(self, namespace: str, name: str, labels: Mapping[str, str]) -> str:
        """Return the network of a pod without processes, made when it is first asked for."""
        if name not in self.guests:
            self.guests[name] = await self.cluster.guest(namespace, name, dict(labels))
        return self.guests[name]

    async def order(self, wishes: Sequence[Wish]) -> list[Placed]:
        """Place orders, some at once; return them."""
        room = asyncio.Semaphore(AT_ONCE)

        async def place(number: int, wish: Wish) -> Placed:
            async with room:
                placed = await self.customers.place(number % CUSTOMERS, wish)
            self.placed.append(placed)
            return placed

        return await asyncio.gather(*(place(n, wish) for n, wish in enumerate(wishes)))

    async def order_once(self, key: str) -> int:
        """Try once to place an order; return the status of the answer."""
        login = {"email": "customer-0@example.com", "password": PASSWORD}
        answer = await self.client.post("/v1/tokens", json=login)
        if answer.status == 200:
            token, wish = json.loads(answer.body)["access_token"], Wish(key, "tok_ok", LINES)
            sent, headers = datetime.now(UTC), {"idempotency-key": key}
            body = wish.body()
            answer = await self.client.post("/v1/orders", json=body, token=token, headers=headers)
            if answer.status == 202:
                order = UUID(json.loads(answer.body)["id"])
                self.placed.append(Placed(order, wish, sent, datetime.now(UTC), 1))
        return answer.status

    async def wrong(self, settle_s: float = SETTLE_S) -> list[str]:
        """Wait until all is settled, or long enough; return what the auditor finds."""
        loop = asyncio.get_running_loop()
        tables, give_up = self._tables(), loop.time() + settle_s
        while loop.time() < give_up:
            done = await asyncio.to_thread(settled, tables)
            if done >= len(self.placed) and not await asyncio.to_thread(unfinished, tables):
                break
            await asyncio.sleep(0.5)
        books = await asyncio.to_thread(read_books, tables, self.ledger)
        return audit([order.id for order in self.placed], books).all()

    def _tables(self) -> Tables:
        """Return the databases, by the server's own socket: no network leads there from outside."""
        (pod,) = self.cluster.of("postgres")
        self.short.unlink(missing_ok=True)
        self.short.symlink_to(pod.volumes["scratch"])
        urls: dict[str, str] = {}
        for service in SERVICES:
            urls[service] = f"postgresql://{service}@/{service}?host={self.short}"
        return Tables(urls)


@asynccontextmanager
async def shop_on_cluster(
    objects: list[Object], built: Image, folder: Path
) -> AsyncGenerator[ShopOnCluster]:
    """Run rendered objects with all that is around them, until they are ready."""
    for name in ("authorities", "state"):
        (folder / name).mkdir()
    authority = Authority(folder / "authorities")
    bundle = folder / "authorities.pem"
    bundle.write_bytes((built.root / _BUNDLE[1:]).read_bytes() + authority.file.read_bytes())
    images = {**servers(), "/shop": replace(built, binds={_BUNDLE: bundle})}
    issuing = CertManager(objects)
    given = carried_out(objects, store=stored, issuing=issuing)
    async with cluster(given, images=images, folder=folder / "state") as made:
        host = processor_of(objects)
        elsewhere = await made.network.add_elsewhere(host, PROCESSOR_AT)
        ledger = Ledger(str(folder / "processor.db"), MachineClock())
        network = FromNetwork(made.node, elsewhere)
        processor = CardProcessor(ledger, hang_s=HANG_S)
        server = HttpServer(processor.handle, network=network, clock=MachineClock())
        await server.start(PROCESSOR_AT, 443, tls=authority.server(host))
        try:
            await made.ready()
            entry = await made.guest(ENVOY_NAMESPACE, "entry", {})
            address = made.address_of(f"{backend_of(objects)}.{NAMESPACE}.svc.cluster.local")
            client = made.client(entry, address, 8000)
            customers = Customers(client, random.Random(1))
            await customers.register()
            with tempfile.TemporaryDirectory(prefix="shop-") as short:
                ledger_file, socket = folder / "processor.db", Path(short) / "run"
                yield ShopOnCluster(made, entry, client, ledger_file, customers, socket, issuing)
            await client.close()
        finally:
            await server.drain(0.1)
            ledger.close()


def processor_of(objects: list[Object]) -> str:
    """Return where the manifests say that the card processor is."""
    for _, thing in Objects(objects).of("ConfigMap"):
        data: dict[str, str] = thing.get("data") or {}
        if "PROCESSOR_URL" in data:
            return str(urlsplit(data["PROCESSOR_URL"]).hostname)
    raise AssertionError("no ConfigMap says where the processor is")


def backend_of(objects: list[Object]) -> str:
    """Return the Service to which the route from outside leads."""
    found: list[str] = []
    for _, route in Objects(objects).of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            backends: list[dict[str, str]] = rule.get("backendRefs") or []
            found += [backend["name"] for backend in backends]
    assert len(found) == 1, found
    return found[0]
