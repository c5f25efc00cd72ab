"""Services: who is behind them, as an nftables table and as names.

The endpoints are the ready pods that the selector matches. A Service with an address is turned
into one of them by chance, for each connection; a headless one is a name for all of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.delivery.kubelet.manifests import Object
from tests.delivery.kubelet.policies import PodAt
from tests.delivery.selectors import matches

TABLE = "kubelet_services"
DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class ServiceAt:
    """A Service and its address; "": it is headless."""

    declared: Object
    address: str

    @property
    def namespace(self) -> str:
        """Where it is."""
        return str(self.declared["metadata"].get("namespace", "default"))

    @property
    def name(self) -> str:
        """What it is called there."""
        return str(self.declared["metadata"]["name"])

    @property
    def ports(self) -> list[dict[str, Any]]:
        """What it is asked at."""
        return self.declared["spec"].get("ports") or []


def endpoints(service: ServiceAt, pods: Iterable[PodAt]) -> list[PodAt]:
    """Return the pods that stand behind a Service now."""
    spec = service.declared["spec"]
    unready = spec.get("publishNotReadyAddresses", False)
    selector = spec.get("selector")
    return [
        pod
        for pod in pods
        if selector
        and pod.namespace == service.namespace
        and matches({"matchLabels": selector}, pod.labels)
        and (pod.ready or unready)
    ]


def target(port: Mapping[str, Any], pod: PodAt) -> int | None:
    """Return at which port of a pod a Service's port ends; None: the pod has none of that name."""
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    named = pod.ports.get(wanted)
    return named[1] if named and named[0] == port.get("protocol", "TCP") else None


def nat_table(services: Iterable[ServiceAt], pods: list[PodAt]) -> str:
    """Return the table, in the words of `nft -f`; it replaces the one that was there."""
    rules: list[str] = []
    for service in services:
        behind = endpoints(service, pods) if service.address else []
        for port in service.ports:
            ends = [(pod.address, at) for pod in behind if (at := target(port, pod)) is not None]
            if not ends:
                continue  # the node takes it, and refuses: nothing listens there
            chosen = ", ".join(f"{n} : {address} . {at}" for n, (address, at) in enumerate(ends))
            rules.append(
                f"ip daddr {service.address} {port.get('protocol', 'TCP').lower()} "
                f"dport {port['port']} dnat to numgen random mod {len(ends)} map {{ {chosen} }}"
            )
    hooks = (
        ("prerouting", "type nat hook prerouting priority dstnat; policy accept;", rules),
        ("output", "type nat hook output priority -100; policy accept;", rules),
        (
            "postrouting",  # who reaches itself through its Service would answer past the node
            "type nat hook postrouting priority srcnat; policy accept;",
            [f"ip saddr {pod.address} ip daddr {pod.address} masquerade" for pod in pods],
        ),
    )
    chains = "\n".join(
        "\n".join([f"  chain {name} {{", *(f"    {line}" for line in [hook, *lines]), "  }"])
        for name, hook, lines in hooks
    )
    return f"table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{chains}\n}}\n"


def names(services: Iterable[ServiceAt], pods: list[PodAt]) -> dict[str, list[str]]:
    """Return {full name: addresses}; a headless Service names its pods one by one, too."""
    found: dict[str, list[str]] = {}
    for service in services:
        full = f"{service.name}.{service.namespace}.svc.{DOMAIN}"
        if service.address:
            found[full] = [service.address]
            continue
        behind = endpoints(service, pods)
        found[full] = [pod.address for pod in behind]
        for pod in behind:
            if pod.host and pod.subdomain == service.name:
                found[f"{pod.host}.{full}"] = [pod.address]
    return found


def links(services: Iterable[ServiceAt], namespace: str) -> Iterator[tuple[str, str]]:
    """Return the variables of a namespace's Services, which a pod gets unless it refuses them.

    Source: Kubernetes, "Discovering services: environment variables".
    """
    for service in services:
        if service.namespace != namespace or not service.address or not service.ports:
            continue
        prefix = service.name.upper().replace("-", "_")
        first = service.ports[0]
        yield f"{prefix}_SERVICE_HOST", service.address
        yield f"{prefix}_SERVICE_PORT", str(first["port"])
        yield f"{prefix}_PORT", _url(service, first)
        for port in service.ports:
            protocol = port.get("protocol", "TCP")
            if "name" in port:
                name = port["name"].upper().replace("-", "_")
                yield f"{prefix}_SERVICE_PORT_{name}", str(port["port"])
            of_port = f"{prefix}_PORT_{port['port']}_{protocol}"
            yield of_port, _url(service, port)
            yield f"{of_port}_PROTO", protocol.lower()
            yield f"{of_port}_PORT", str(port["port"])
            yield f"{of_port}_ADDR", service.address


def _url(service: ServiceAt, port: Mapping[str, Any]) -> str:
    return f"{port.get('protocol', 'TCP').lower()}://{service.address}:{port['port']}"
