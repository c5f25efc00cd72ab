"""NetworkPolicies as an nftables table: what a pod may send to whom, and take from whom.

A pod that a policy selects for a direction may do in that direction what some policy allows, and
no more; a connection passes if the sender's egress and the receiver's ingress both let it. What
is asked of a Service is judged as it arrives: at the pod's address and its own port. Answers pass
by the direction of their connection, not by its state, so that a policy that goes away is felt by
connections that are open. The kubelet's own probes come from the node, which no policy holds back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.delivery.kubelet.manifests import Object
from tests.delivery.selectors import matches

TABLE = "kubelet_policies"


@dataclass(frozen=True, slots=True)
class PodAt:
    """What the network needs to know of a pod.

    Attributes:
        ports: {name: (protocol, number)} of its containers.
        ready: it is among the endpoints of its Services.
        host, subdomain: what a headless Service calls it by, or "".
    """

    namespace: str
    name: str
    address: str
    labels: Mapping[str, str]
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    ready: bool = True
    host: str = ""
    subdomain: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """All policies, the labels of all namespaces, and all pods."""

    policies: list[Object]
    namespaces: Mapping[str, Mapping[str, str]]
    pods: list[PodAt]


def filter_table(world: World) -> str:
    """Return the table, in the words of `nft -f`; it replaces the one that was there."""
    chains: list[str] = []
    jumps: dict[str, list[str]] = {"saddr": [], "daddr": []}
    for pod in world.pods:
        for direction, own in (("Egress", "saddr"), ("Ingress", "daddr")):
            selecting = [p for p in world.policies if _selects(p, pod, direction)]
            if selecting:
                name = f"{direction.lower()}_{pod.address.replace('.', '_')}"
                jumps[own].append(f"{pod.address} : jump {name}")
                rules = _rules(world, pod, selecting, direction)
                chains.append(_chain(name, [*rules, "reject with icmp type admin-prohibited"]))
    to_itself = [f"{pod.address} . {pod.address}" for pod in world.pods]
    forward = [
        "type filter hook forward priority filter; policy accept;",
        "ct direction reply accept",
    ]
    if to_itself:
        forward.append(f"ip saddr . ip daddr {{ {', '.join(to_itself)} }} accept")
    forward += [f"ip {own} vmap {{ {', '.join(to)} }}" for own, to in jumps.items() if to]
    body = "\n".join([*chains, _chain("forward", forward)])
    return f"table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{body}\n}}\n"


def _chain(name: str, rules: Iterable[str]) -> str:
    return "\n".join([f"  chain {name} {{", *(f"    {rule}" for rule in rules), "  }"])


def _selects(policy: Object, pod: PodAt, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return (
        direction in types
        and policy["metadata"].get("namespace", "default") == pod.namespace
        and matches(spec.get("podSelector") or {}, pod.labels)
    )


def _rules(world: World, pod: PodAt, selecting: list[Object], direction: str) -> list[str]:
    """Return what lets a packet go on, for one pod and one direction."""
    rules: list[str] = []
    for policy in selecting:
        own = policy["metadata"].get("namespace", "default")
        for rule in policy["spec"].get(direction.lower()) or []:
            peers = rule.get("to" if direction == "Egress" else "from")
            for port in rule.get("ports") or [{}]:
                if direction == "Ingress":
                    rules += _allowed(_others(world, peers, own, "saddr"), _port(port, pod))
                elif isinstance(port.get("port"), str):  # each receiver has a number of its own
                    for peer in _pods(world, peers, own):
                        rules += _allowed([f"ip daddr {peer.address}"], _port(port, peer))
                else:
                    rules += _allowed(_others(world, peers, own, "daddr"), _port(port, pod))
    return list(dict.fromkeys(rules))


def _allowed(others: list[str], port: str | None) -> list[str]:
    """Return a rule for each of the others; a port None: one that nobody has."""
    if port is None:
        return []
    return [" ".join(word for word in (other, port, "return") if word) for other in others]


def _port(port: Mapping[str, Any], target: PodAt) -> str | None:
    """Return how a packet to such a port of a pod is known; "": any port of any protocol."""
    if not port:
        return ""
    protocol, number = port.get("protocol", "TCP"), port.get("port")
    if number is None:
        return f"ip protocol {protocol.lower()}"
    if isinstance(number, str):
        named = target.ports.get(number)
        if named is None or named[0] != protocol:
            return None
        number = named[1]
    last = port.get("endPort", number)
    return f"{protocol.lower()} dport {number if last == number else f'{number}-{last}'}"


def _others(world: World, peers: list[Object] | None, own: str, at: str) -> list[str]:
    """Return how packets of peers are known by their `saddr` or `daddr`; "": anybody's."""
    if not peers:
        return [""]
    found: list[str] = []
    addresses = [pod.address for pod in _pods(world, peers, own)]
    if addresses:
        found.append(f"ip {at} {{ {', '.join(addresses)} }}")
    for block in (peer["ipBlock"] for peer in peers if "ipBlock" in peer):
        excepted = block.get("except")
        found.append(
            f"ip {at} {block['cidr']}"
            + (f" ip {at} != {{ {', '.join(excepted)} }}" if excepted else "")
        )
    return found


def _pods(world: World, peers: list[Object] | None, own: str) -> list[PodAt]:
    """Return the pods that peers choose, each once; without peers, all."""
    return [pod for pod in world.pods if not peers or any(_is(world, pod, p, own) for p in peers)]


def _is(world: World, pod: PodAt, peer: Object, own: str) -> bool:
    """Whether a peer chooses a pod: in the policy's own namespace, where it names none."""
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        labels = world.namespaces.get(pod.namespace, {})
        inside = matches(peer["namespaceSelector"], labels)
    else:
        inside = pod.namespace == own
    return inside and ("podSelector" not in peer or matches(peer["podSelector"], pod.labels))
