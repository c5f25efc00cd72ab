"""The shop as rendered for a cluster starts, sells, and is what its graph says."""

import asyncio
import os
import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509

from holdfast.errors import CallError, ConnectionLost
from holdfast.testing import Client
from holdfast.testing.run import Answer
from shop.demo.customers import Wish, wishes
from shop.system import shop
from tests.delivery.compose_machine import counts_alone
from tests.delivery.kubelet.images import base, bytes_of
from tests.delivery.kubelet.manifests import Object
from tests.delivery.kubelet.pod import Pod
from tests.delivery.shop_on_cluster import (
    LINES,
    NAMESPACE,
    PROCESSOR_AT,
    ShopOnCluster,
    image,
    manifests,
    shop_on_cluster,
)

pytestmark = [pytest.mark.deploy, pytest.mark.asyncio(loop_scope="module")]

SERVICES = [service.name for service in shop.services]
WORKLOADS = ["gateway", *SERVICES]
PORTS = {
    **dict.fromkeys(WORKLOADS, (8000, 8001, 9999)),
    "nats": (4222, 6222, 8222),
    "provisioner": (8001, 9999),
    "postgres": (5432, 8000),
    "redis": (6379,),
    "collector": (4318, 13133),
}
IMAGE_BYTES_MAX = 160_000_000
Edge = tuple[str, str, int]
"""Who reaches whom, at which port."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ShopOnCluster]:
    """The shop on its cluster; tests do not disturb each other's."""
    built = await image()
    folder = tmp_path_factory.mktemp("cluster")
    async with shop_on_cluster(manifests(), built, folder) as made:
        yield made


def edges_of_the_graph() -> set[Edge]:
    """Return who has to reach whom, from the declaration, and not from what is rendered."""
    found: set[Edge] = set()
    for edge in shop.graph().edges:
        if edge.kind in ("route", "mount", "query") and edge.sender != edge.receiver:
            found.add((edge.sender, edge.receiver, 8000))
        if edge.kind == "external":
            found.add((edge.sender, "elsewhere", 443))
    for name in SERVICES:
        found |= {(name, "postgres", 5432), (name, "nats", 4222), ("migrate", "postgres", 5432)}
    for service in shop.services:
        if any(route.attempts for route in service.routes):
            found.add((service.name, "redis", 6379))
    for name in WORKLOADS:
        found |= {("monitoring", name, 8001), (name, "collector", 4318)}
    found.add(("monitoring", "provisioner", 8001))
    found.add(("migrate", "collector", 4318))
    found |= {("gateway", "users", 8000), ("gateway", "redis", 6379), ("provisioner", "nats", 4222)}
    found |= {("entry", "gateway", 8000), ("keda", "nats", 8222), ("nats", "nats", 6222)}
    return found | {("operator", "postgres", port) for port in (5432, 8000)}


async def edges_of_the_network(running: ShopOnCluster) -> set[Edge]:
    """Return who reaches whom: from each pod, and from some that are not there, to each port."""
    made = running.cluster
    pods = {name: made.of(name)[0] for name in PORTS}
    networks = {name: pod.network for name, pod in pods.items()}
    networks["nats"] = made.of("nats")[1].network  # not to itself
    networks["entry"] = running.entry
    networks["provisioner"] = made.of("provisioner")[0].network
    job = next(pod for pod in made.pods.values() if pod.origin.kind == "Job")
    guests: list[tuple[str, str, dict[str, str]]] = [
        ("migrate", NAMESPACE, job.labels),
        ("monitoring", shop.deploy.monitoring_namespace, {}),
        ("keda", shop.deploy.keda_namespace, {}),
        ("operator", "cnpg-system", {}),
        ("nobody", NAMESPACE, {}),
        ("stranger", "default", {}),
        ("same labels elsewhere", "default", pods["orders"].labels),
    ]
    for name, namespace, said in guests:
        networks[name] = await running.guest(namespace, name, said)
    wanted = [(name, port, pods[name].address) for name in PORTS for port in PORTS[name]]
    wanted += [("elsewhere", port, PROCESSOR_AT) for port in (443, 80)]
    found: set[Edge] = set()

    async def look(sender: str, network: str, name: str, port: int, address: str) -> None:
        if await made.reaches(network, address, port):
            found.add((sender, name, port))

    async with asyncio.TaskGroup() as group:
        for sender, network in networks.items():
            for name, port, address in wanted:
                if sender != name or name == "nats":
                    group.create_task(look(sender, network, name, port, address))
    return {edge for edge in found if edge[0] not in OUTSIDERS or edge[1] != "elsewhere"}


OUTSIDERS = ("entry", "monitoring", "keda", "operator", "stranger", "same labels elsewhere")
"""Pods of other namespaces: where they may go outside the cluster is not the shop's to say."""


async def test_figures_are_told(running: ShopOnCluster, capsys: pytest.CaptureFixture[str]) -> None:
    """How large the image is, and how soon a pod is ready that comes in the place of another."""
    made = running.cluster
    (pod,) = made.of("orders")
    built = pod.containers["orders"].image
    added = built.unpacked_bytes - bytes_of(base().root)

    await pod.end(0)
    await made.until(lambda: bool(made.of("orders")) and made.of("orders")[0].ready, 60)
    (pod,) = made.of("orders")

    with capsys.disabled():
        print(f"\nimage: {built.packed_bytes / 1e6:.0f} MB packed", end=", ")
        print(f"{built.unpacked_bytes / 1e6:.0f} MB unpacked, {added / 1e6:.0f} MB on its base")
        cpu_s = cpu_s_of(pod.containers["orders"].pid)
        print(f"ready after {pod.ready_after_s:.1f} s, {cpu_s:.1f} s of them computing")
    assert built.packed_bytes <= IMAGE_BYTES_MAX
    assert pod.ready_after_s


def cpu_s_of(pid: int) -> float:
    """Return how long a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_the_network_is_the_graph(running: ShopOnCluster) -> None:
    """From each pod every port of every other one: reached if, and only if, an edge says so."""
    wanted, found = edges_of_the_graph(), await edges_of_the_network(running)

    assert sorted(found - wanted) == []
    assert sorted(wanted - found) == []


async def test_orders_are_settled_though_a_pod_is_killed(running: ShopOnCluster) -> None:
    """200 orders through the gateway; the books of all agree."""
    before, victim = len(running.placed), running.cluster.of("orders")[0]
    buying = asyncio.create_task(running.order(wishes(200, random.Random(2))))
    await running.cluster.until(lambda: len(running.placed) >= before + 20, 60)
    under_way = not buying.done()
    victim.kill()
    placed = await buying

    assert under_way
    assert len(placed) == 200
    assert await running.wrong() == []
    assert victim.restarts == 1


async def test_a_rolling_update_fails_no_request(
    running: ShopOnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pods of all services and of the gateway are replaced under load.

    Each answer is 202, and each new connection is made. A kept one that its pod closes just as a
    request is written to it is lost: whoever forwards sends that again, with its key, as the
    customers do here.
    """
    made, over, ends = running.cluster, asyncio.Event(), list[int | CallError]()
    post = Client.post

    async def watched(self: Client, path: str, **options: Any) -> Answer:
        try:
            answer = await post(self, path, **options)
        except CallError as exc:
            ends.append(exc)
            raise
        ends.append(answer.status)
        return answer

    monkeypatch.setattr(Client, "post", watched)
    old = {pod for name in WORKLOADS for pod in made.of(name)}
    new = [deployment(running, name) for name in WORKLOADS]
    for workload in new:
        note = workload["spec"]["template"]["metadata"].setdefault("annotations", {})
        note["test/new"] = "yes"

    async def buy(customer: int) -> list[int]:
        tries, number = [], 0
        while not over.is_set():
            number += 1
            wish = Wish(f"roll-{customer}-{number}", "tok_ok", LINES)
            (placed,) = await running.order([wish])
            tries.append(placed.tries)
        return tries

    buying = [asyncio.create_task(buy(customer)) for customer in range(4)]
    made.apply(new)
    await made.until(lambda: not old & set(made.pods.values()), 180)
    await made.ready()
    over.set()
    tries = [n for each in await asyncio.gather(*buying) for n in each]

    assert len(tries) > 20
    failed = [end for end in ends if end != 202 and not isinstance(end, ConnectionLost)]
    assert failed == [], f"a customer's request failed\n{made.told()}"
    assert max(tries) <= 2, "the second connection was closed, too"
    assert await running.wrong() == []
    ended = {pod.containers[pod.origin.name].reason for pod in old}
    assert ended == {"exit code 0"}


async def test_certificates_are_rotated_under_load(running: ShopOnCluster) -> None:
    """All workloads get new ones while customers buy: no pod ends, no order is refused or lost."""
    made, over = running.cluster, asyncio.Event()
    servers = ("nats", "redis")
    everybody = (*WORKLOADS, *servers, "provisioner")
    before = {pod: serial_of(pod) for name in everybody for pod in made.of(name)}
    shown = {pod: await served(running, pod) for name in servers for pod in made.of(name)}
    secrets = running.issuing.rotate_leaves()

    async def buy(customer: int) -> list[int]:
        tries, number = [], 0
        while not over.is_set():
            number += 1
            wish = Wish(f"turn-{customer}-{number}", "tok_ok", LINES)
            (placed,) = await running.order([wish])
            tries.append(placed.tries)
        return tries

    buying = [asyncio.create_task(buy(customer)) for customer in range(4)]
    made.apply(secrets)
    renewed = "identity.renewed"
    ours = [pod for pod in before if pod not in shown]
    await made.until(lambda: all(renewed in made.log(pod) for pod in ours), 60)
    async with asyncio.timeout(60):
        for pod, old in shown.items():
            while await served(running, pod) == old:
                await asyncio.sleep(1)
    over.set()
    tries = [n for each in await asyncio.gather(*buying) for n in each]

    assert len(tries) > 20 and max(tries) == 1
    assert await running.wrong() == []
    said = [line for pod in ours for line in made.log(pod).splitlines()]
    assert [line for line in said if counts_alone(line)] == []
    for pod, serial in before.items():
        assert serial_of(pod) != serial
        assert pod.ready and pod.restarts == 0


async def served(running: ShopOnCluster, pod: Pod) -> bytes:
    """Return the certificate that a server shows to whoever may come to it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    network = running.cluster.of("gateway")[0].network
    if pod.origin.name == "nats":
        network = running.cluster.of("orders")[0].network
    port = PORTS[pod.origin.name][0]
    made = await running.cluster.node.connected(network, pod.address, port)
    _, writer = await asyncio.open_connection(sock=made, ssl=context, server_hostname="")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(shown)


def serial_of(pod: Pod) -> int:
    """Return which certificate a pod finds."""
    pem = (pod.volumes["identity"] / "tls.crt").read_bytes()
    return x509.load_pem_x509_certificate(pem).serial_number


async def test_who_has_no_certificate_sees_whether_a_pod_is_ready_and_nothing_else(
    running: ShopOnCluster,
) -> None:
    """From where Prometheus runs, which may connect: metrics are for the certificate of that."""
    made = running.cluster
    network = await running.guest(shop.deploy.monitoring_namespace, "monitoring", {})
    for name in WORKLOADS:
        pod = made.of(name)[0]
        metrics = ("/metrics", "/health/ready")
        nobody = [await asked(running, network, pod, path, "") for path in metrics]
        other = [await asked(running, network, pod, path, "identity-orders") for path in metrics]
        reader = await asked(running, network, pod, "/metrics", "identity-monitoring")

        assert nobody == other == [403, 200]
        assert reader == 200


async def asked(running: ShopOnCluster, network: str, pod: Pod, path: str, secret: str) -> int:
    """Return the status by which a pod answers whoever shows the certificate of a Secret."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as folder:
        if secret:
            files = running.issuing.secrets[NAMESPACE, secret]["stringData"]
            for name, text in files.items():
                (Path(folder) / name).write_text(text)
            context.load_cert_chain(Path(folder) / "tls.crt", Path(folder) / "tls.key")
    made = await running.cluster.node.connected(network, pod.address, 8001)
    reader, writer = await asyncio.open_connection(sock=made, ssl=context, server_hostname="")
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


def deployment(running: ShopOnCluster, name: str) -> Object:
    """Return a copy of a Deployment, to be changed."""
    found = running.cluster.objects.find("Deployment", NAMESPACE, name)
    assert found is not None
    return deepcopy(found)


def wrong_port(thing: Object) -> None:
    """Its port for clients is not the one on which it listens; no probe asks there."""
    (container,) = thing["spec"]["template"]["spec"]["containers"]
    (port,) = [port for port in container["ports"] if port["name"] == "http"]
    port["containerPort"] += 80


def no_egress(thing: Object) -> None:
    """It may not speak with the broker."""
    rules = thing["spec"]["egress"]
    thing["spec"]["egress"] = [rule for rule in rules if rule["ports"][0]["port"] != 4222]
    assert len(thing["spec"]["egress"]) == len(rules) - 1


def no_such_probe(thing: Object) -> None:
    """It is asked at a path that it does not serve."""
    (container,) = thing["spec"]["template"]["spec"]["containers"]
    container["startupProbe"] |= {"failureThreshold": 3}
    container["startupProbe"]["httpGet"]["path"] = "/health/steady"


def no_writing(thing: Object) -> None:
    """It writes where its root is, which is read-only."""
    (container,) = thing["spec"]["template"]["spec"]["containers"]
    at = container["args"].index("--data")
    container["args"][at + 1] = "/app/data"


def somebody_else(thing: Object) -> None:
    """It has the certificate of another service."""
    volumes = thing["spec"]["template"]["spec"]["volumes"]
    (volume,) = [volume for volume in volumes if volume["name"] == "identity"]
    volume["secret"]["secretName"] = "identity-notifications"


def for_everybody(thing: Object) -> None:
    """Every user of its machine may read its key."""
    volumes = thing["spec"]["template"]["spec"]["volumes"]
    (volume,) = [volume for volume in volumes if volume["name"] == "identity"]
    volume["secret"]["defaultMode"] = 0o444


@pytest.mark.parametrize(
    ("kind", "name", "mutate", "seen"),
    [
        ("Deployment", "payments", somebody_else, "it is of notifications"),
        ("Deployment", "users", for_everybody, "every user may read it"),
        ("Deployment", "orders", wrong_port, "an order is answered 50"),
        ("NetworkPolicy", "payments", no_egress, "the network is not the graph"),
        ("Deployment", "users", no_such_probe, "startupProbe failed 3 times"),
        ("Deployment", "inventory", no_writing, "Read-only file system"),
    ],
)
async def test_a_mutated_manifest_is_seen(
    running: ShopOnCluster, kind: str, name: str, mutate: Callable[[Object], None], seen: str
) -> None:
    """What is wrong fails here as it would on a cluster; and taking it back mends it."""
    made = running.cluster
    good = made.objects.find(kind, NAMESPACE, name)
    assert good is not None
    bad = deepcopy(good)
    mutate(bad)

    made.apply([bad])
    try:
        told = await failure(running, seen)
    finally:
        made.apply([good])
    await made.ready()

    assert seen in told
    assert await failure(running) == ""


async def failure(running: ShopOnCluster, sign: str = "") -> str:
    """Return why the shop is not as it should be; "" if it is.

    Args:
        sign: what says, while pods start, that they will not.
    """
    made = running.cluster
    await made.until(lambda: made.is_ready() or bool(sign and sign in made.told()), 120)
    if not made.is_ready():
        return made.told()
    found, wanted = await edges_of_the_network(running), edges_of_the_graph()
    if found != wanted:
        return f"the network is not the graph: {sorted(found ^ wanted)}"
    if (status := await running.order_once(f"check-{len(running.placed)}")) != 202:
        return f"an order is answered {status}"
    return "; ".join(await running.wrong())
