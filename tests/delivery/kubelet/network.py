"""The cluster's network: addresses, names, Services and policies, as they follow from its pods."""

import asyncio
import socket
from collections.abc import Iterable

from tests.delivery.kubelet.dns import Datagrams, over_tcp
from tests.delivery.kubelet.manifests import Objects
from tests.delivery.kubelet.node import Node
from tests.delivery.kubelet.pod import DNS_ADDRESS
from tests.delivery.kubelet.policies import PodAt, World, filter_table
from tests.delivery.kubelet.services import ServiceAt, names, nat_table

_DNS_SERVICE = {
    "metadata": {"name": "kube-dns", "namespace": "kube-system"},
    "spec": {
        "selector": {"k8s-app": "kube-dns"},
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    },
}


class ClusterNetwork:
    """All of it.

    Attributes:
        guests: {network: pod} of those that are there without processes: the cluster's own DNS, and
            whom a test puts into some namespace to ask from there.
        elsewhere: {name: addresses} outside the cluster.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.guests: dict[str, PodAt] = {}
        self.elsewhere: dict[str, list[str]] = {}
        self._addresses = (f"10.244.{n // 250}.{n % 250 + 1}" for n in range(60_000))
        self._service_addresses = (f"10.96.{n // 250 + 1}.{n % 250 + 1}" for n in range(60_000))
        self._given: dict[tuple[str, str], str] = {("kube-system", "kube-dns"): DNS_ADDRESS}
        self._loaded = ""
        self._names: dict[str, list[str]] = {}
        self._known: set[str] = set()
        self._news = asyncio.Condition()
        self._servers: list[asyncio.BaseTransport | asyncio.Server] = []

    async def start(self) -> None:
        """Start the DNS server, in a pod of its own as in any cluster."""
        labels = {"k8s-app": "kube-dns"}
        ports = {"dns": ("UDP", 53), "dns-tcp": ("TCP", 53)}
        network = await self.add_guest("kube-system", "kube-dns", labels, ports)
        address = self.guests[network].address
        udp = self._node.socket(network, socket.SOCK_DGRAM)
        udp.bind((address, 53))
        tcp = self._node.socket(network)
        tcp.bind((address, 53))
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(self.names), sock=udp)
        self._servers.append(transport)
        self._servers.append(
            await asyncio.start_server(lambda r, w: over_tcp(r, w, self.names), sock=tcp)
        )

    def stop(self) -> None:
        """Stop the DNS server."""
        for server in self._servers:
            server.close()

    def names(self) -> dict[str, list[str]]:
        """Return all names and their addresses."""
        return {**self._names, **self.elsewhere}

    def address(self) -> str:
        """Return one that nobody has."""
        return next(self._addresses)

    def services(self, objects: Objects) -> list[ServiceAt]:
        """Return all Services with their addresses, which stay as long as the cluster does."""
        found = [ServiceAt(_DNS_SERVICE, DNS_ADDRESS)]
        for key, thing in objects.of("Service"):
            if thing["spec"].get("type") == "ExternalName":
                continue
            headless = thing["spec"].get("clusterIP") == "None"
            if not headless and key[1:] not in self._given:
                self._given[key[1:]] = next(self._service_addresses)
            found.append(ServiceAt(thing, "" if headless else self._given[key[1:]]))
        return found

    async def add_guest(
        self,
        namespace: str,
        name: str,
        labels: dict[str, str],
        ports: dict[str, tuple[str, int]] | None = None,
    ) -> str:
        """Make a pod without processes; return its network."""
        address = self.address()
        network = f"g{address.replace('.', '-')}"
        await self._node.add_network(network, address)
        self.guests[network] = PodAt(namespace, name, address, labels, ports or {})
        return network

    async def add_elsewhere(self, name: str, address: str) -> str:
        """Make a machine outside the cluster; return its network."""
        network = f"o{address.replace('.', '-')}"
        await self._node.add_network(network, address)
        self.elsewhere[name] = [address]
        return network

    async def update(self, objects: Objects, pods: Iterable[PodAt]) -> None:
        """Have the network be as the objects and the pods are now."""
        seen = [*self.guests.values(), *pods]
        services = self.services(objects)
        namespaces = {pod.namespace: objects.labels_of_namespace(pod.namespace) for pod in seen}
        policies = [thing for _, thing in objects.of("NetworkPolicy")]
        rules = nat_table(services, seen) + filter_table(World(policies, namespaces, seen))
        if rules != self._loaded:
            await self._node.run("nft", "-f", "-", stdin=rules)
            self._loaded = rules
        self._names = names(services, seen)
        async with self._news:
            self._known = {pod.address for pod in seen}
            self._news.notify_all()

    async def joined(self, address: str) -> None:
        """Return when the network knows a pod's address."""
        async with self._news:
            await self._news.wait_for(lambda: address in self._known)
