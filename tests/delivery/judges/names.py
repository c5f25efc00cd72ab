"""Names, labels and ports, as the API server would take them."""

import re
from collections.abc import Iterator

from tests.delivery.judges.objects import (
    CLUSTER_KINDS,
    Object,
    kind_of,
    name_of,
    of_kind,
    pods_of,
    space_of,
)

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123, one label."""
SUBDOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1035: the name of a Service may not begin with a digit."""
PORT = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
"""The name of a port: 15 characters at most, one letter at least."""
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

LABELLED = frozenset(("Namespace", "Service", "Deployment", "StatefulSet", "Job", "Pod"))
"""Kinds whose name becomes a DNS label, its own or a pod's."""


def name_problems(items: list[Object]) -> list[str]:
    """Return names that the API server would refuse, and objects that would be one."""
    found = [f"{name_of(item)}: {line}" for item in items for line in _of_object(item)]
    keys = [(kind_of(item), name_of(item)) for item in items]
    twice = sorted({name for kind, name in keys if keys.count((kind, name)) > 1})
    return found + [f"{name}: stands there twice" for name in twice]


def _of_object(item: Object) -> Iterator[str]:
    metadata, kind = item.get("metadata", {}), item.get("kind")
    name = str(metadata.get("name", ""))
    pattern = SERVICE if kind == "Service" else LABEL if kind in LABELLED else SUBDOMAIN
    if not pattern.fullmatch(name):
        yield "no name of that kind"
    if kind in ("Deployment", "StatefulSet", "Job", "CronJob") and len(name) > 52:
        yield "a name over 52 characters leaves no room for the pods' suffix"
    if kind in CLUSTER_KINDS and space_of(item):
        yield "a namespace on what is in none"
    if kind not in CLUSTER_KINDS and not LABEL.fullmatch(space_of(item)):
        yield "no namespace"
    for key, value in (metadata.get("labels") or {}).items():
        yield from _of_label(key, value)
    for pod in pods_of([item]):
        for key, value in pod.labels.items():
            yield from _of_label(key, value)


def _of_label(key: str, value: object) -> Iterator[str]:
    if not KEY.fullmatch(key):
        yield f"label {key}: no key of a label"
    if not isinstance(value, str) or not VALUE.fullmatch(value):
        yield f"label {key}: {value!r} is no value of a label"


def port_problems(items: list[Object]) -> list[str]:
    """Return ports out of range, names of ports, and variables that no process could have."""
    found = []
    for pod in pods_of(items):
        for container in pod.containers:
            ports = container.get("ports", [])
            found += [f"{pod.name}: {line}" for line in _of_ports(ports, "containerPort")]
            found += [
                f"{pod.name}: {entry['name']} is no name of a variable"
                for entry in container.get("env") or []
                if not VARIABLE.fullmatch(str(entry["name"]))
            ]
    for service in of_kind(items, "Service"):
        ports = service["spec"].get("ports", [])
        found += [f"{name_of(service)}: {line}" for line in _of_ports(ports, "port")]
        if len(ports) > 1 and any(not port.get("name") for port in ports):
            found.append(f"{name_of(service)}: of several ports each has a name")
    return found


def _of_ports(ports: list[dict[str, object]], field: str) -> Iterator[str]:
    for entry in ports:
        number, name = entry.get(field), entry.get("name")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            yield f"{field} {number} is no port"
        if name is not None and not PORT.fullmatch(str(name)):
            yield f"{name} is no name of a port"
        if entry.get("protocol", "TCP") not in ("TCP", "UDP", "SCTP"):
            yield f"{entry['protocol']} is no protocol"
    names = [entry["name"] for entry in ports if entry.get("name")]
    yield from (
        f"two ports are {name}" for name in sorted({n for n in names if names.count(n) > 1})
    )
