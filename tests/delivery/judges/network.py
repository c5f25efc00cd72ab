"""NetworkPolicies: what every tool leaves green, and the edges that they allow, both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.delivery.judges.objects import (
    Object,
    Pod,
    actors_of,
    name_of,
    of_kind,
    pods_of,
    space_of,
)
from tests.delivery.selectors import matches

SPACE_LABEL = "kubernetes.io/metadata.name"
"""The label that every namespace has, with its own name."""


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """One way that the policies leave open: who connects, to whom, where.

    A party is `namespace/owner` for a pod of the objects, `namespace/*` or `namespace/{labels}`
    for pods elsewhere, and the block for addresses.
    """

    sender: str
    receiver: str
    port: int
    protocol: str = "TCP"


def policy_problems(items: list[Object]) -> list[str]:
    """Return what is wrong with single policies, and which namespaces are not closed first."""
    policies = of_kind(items, "NetworkPolicy")
    found = [f"{name_of(policy)}: {line}" for policy in policies for line in _of_policy(policy)]
    closed = {space_of(p) for p in policies if _denies_all(p)}
    spaces = {space_of(pod.owner) for pod in pods_of(items)}
    return found + [f"namespace {space}: no default deny" for space in sorted(spaces - closed)]


def _of_policy(policy: Object) -> Iterator[str]:
    spec = policy.get("spec", {})
    if "podSelector" not in spec:
        yield "no podSelector, so that it selects every pod of the namespace"
    if not spec.get("policyTypes"):
        yield "no policyTypes, so that they are guessed from what else is there"
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        if direction in spec and direction.title() not in spec.get("policyTypes", []):
            yield f"{direction} rules, and policyTypes does not name {direction.title()}"
        for at, rule in enumerate(spec.get(direction) or []):
            if not rule.get(peers):
                yield f"{direction}[{at}]: no `{peers}` or an empty one, so that it is anybody"
            if not rule.get("ports"):
                yield f"{direction}[{at}]: no ports, so that it is every port"
            for peer in rule.get(peers) or []:
                yield from (f"{direction}[{at}]: {line}" for line in _of_peer(peer))


def _of_peer(peer: dict[str, Any]) -> Iterator[str]:
    block = peer.get("ipBlock")
    if block is not None and block.get("cidr") in ("0.0.0.0/0", "::/0") and not block.get("except"):
        yield f"{block['cidr']} is everywhere, also inside; name what it must not reach"
    everywhere = not peer or peer.get("namespaceSelector") == {}
    if everywhere and not peer.get("podSelector"):
        yield "a peer that selects every pod of every namespace"


def _denies_all(policy: Object) -> bool:
    spec = policy.get("spec", {})
    return (
        spec.get("podSelector") == {}
        and {"Ingress", "Egress"} <= set(spec.get("policyTypes", []))
        and not spec.get("ingress")
        and not spec.get("egress")
    )


def ways(items: list[Object]) -> set[Way]:
    """Return what the policies leave open, once both ends agree.

    Between two pods of the objects an egress rule of the one and an ingress rule of the other
    must agree on the port; with anybody else the one rule decides.
    """
    out = set(_ways(items, "egress"))
    into = set(_ways(items, "ingress"))
    ours = {party(pod) for pod in actors_of(items)}
    return {w for w in out if w.receiver not in ours or w in into} | {
        w for w in into if w.sender not in ours
    }


def half_open(items: list[Object]) -> list[str]:
    """Return ways that only one of two ends allows: nothing passes, and one rule is idle."""
    out, into = set(_ways(items, "egress")), set(_ways(items, "ingress"))
    ours = {party(pod) for pod in actors_of(items)}
    return [
        f"{way.sender} -> {way.receiver}:{way.port}/{way.protocol}: only the "
        f"{'sender' if way in out else 'receiver'} allows it"
        for way in sorted(out ^ into)
        if way.sender in ours and way.receiver in ours
    ]


def way_problems(items: list[Object], wanted: Iterable[Way]) -> list[str]:
    """Return where the ways that are open are not exactly those that are wanted."""
    opened, needed = ways(items), set(wanted)
    return [f"missing: {_text(way)}" for way in sorted(needed - opened)] + [
        f"too much: {_text(way)}" for way in sorted(opened - needed)
    ]


def _text(way: Way) -> str:
    return f"{way.sender} -> {way.receiver}:{way.port}/{way.protocol}"


def party(pod: Pod) -> str:
    """Return how a pod of the objects is named in a way."""
    return f"{space_of(pod.owner)}/{pod.owner['metadata']['name']}"


def _ways(items: list[Object], direction: str) -> Iterator[Way]:
    pods = list(actors_of(items))
    for policy in of_kind(items, "NetworkPolicy"):
        space, spec = space_of(policy), policy["spec"]
        subjects = [
            pod
            for pod in pods
            if space_of(pod.owner) == space and matches(spec.get("podSelector", {}), pod.labels)
        ]
        for rule in spec.get(direction) or []:
            for peer in rule.get("to" if direction == "egress" else "from") or []:
                for subject in subjects:
                    for other, pod in _parties(peer, space, pods):
                        target = pod if direction == "egress" else subject
                        for port, protocol in _ports(rule, target):
                            one, two = party(subject), other
                            if direction == "ingress":
                                one, two = two, one
                            yield Way(one, two, port, protocol)


def _parties(peer: dict[str, Any], space: str, pods: list[Pod]) -> Iterator[tuple[str, Pod | None]]:
    """Yield (name, pod) of whom a peer means; no pod where it is somebody else."""
    if "ipBlock" in peer:
        yield peer["ipBlock"]["cidr"], None
        return
    labels = peer.get("podSelector", {})
    where = peer.get("namespaceSelector")
    named = space if where is None else where.get("matchLabels", {}).get(SPACE_LABEL, "*")
    found = [
        pod for pod in pods if named in ("*", space_of(pod.owner)) and matches(labels, pod.labels)
    ]
    yield from ((party(pod), pod) for pod in found)
    if not found:
        wanted = labels.get("matchLabels", {})
        text = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        yield f"{named}/{text or '*'}", None


def _ports(rule: dict[str, Any], target: Pod | None) -> Iterator[tuple[int, str]]:
    """Yield (port, protocol) of a rule; a named port is one of the target's, if it has it."""
    for entry in rule.get("ports") or [{"port": 0}]:
        port, protocol = entry.get("port", 0), entry.get("protocol", "TCP")
        if isinstance(port, int):
            yield from ((at, protocol) for at in range(port, entry.get("endPort", port) + 1))
        elif target is not None:
            yield from (
                (declared["containerPort"], protocol)
                for container in target.containers
                for declared in container.get("ports", [])
                if declared.get("name") == port and declared.get("protocol", "TCP") == protocol
            )
