"""What a container is started with: its environment, its command, its user and what it mounts.

Read from the objects alone, before anything is started. What the API server or the kubelet would
refuse to start is refused here.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.delivery.kubelet.images import Image
from tests.delivery.kubelet.manifests import Object, Objects
from tests.delivery.kubelet.quantities import quantity, whole

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class NotStartable(Exception):
    """What is declared cannot be started; real pods wait with this reason."""


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is of this machine, `path` of the container."""

    source: Path
    path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a container needs to be started.

    Attributes:
        groups: further ones, `fsGroup` among them.
        capabilities: whether it keeps those of its image's user.
        ports: {name: (protocol, number)}.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    uid: int
    gid: int
    groups: tuple[int, ...]
    workdir: str
    read_only_root: bool
    capabilities: bool
    new_privileges: bool
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What a pod is told of itself and of its namespace.

    Attributes:
        links: variables of the namespace's Services.
    """

    name: str
    namespace: str
    address: str
    uid: str
    metadata: Object
    links: Mapping[str, str]


def launch(pod: Object, container: Object, image: Image, objects: Objects, told: Told) -> Launch:
    """Return how to start one container of a pod's spec.

    Raises:
        NotStartable: it names what is not there, or would be root where it must not.
    """
    env = {"HOSTNAME": told.name, **image.env}
    if pod.get("enableServiceLinks", True):
        env |= told.links
    env |= _variables(container, objects, told)
    command = container.get("command")
    argv = [*(command or image.entrypoint)]
    argv += container.get("args") or ([] if command else image.cmd)
    if not argv:
        raise NotStartable(f"{container['name']}: neither it nor its image has a command")
    of_pod = pod.get("securityContext") or {}
    security = {**of_pod, **(container.get("securityContext") or {})}
    uid, gid = _user(security, image)
    if security.get("runAsNonRoot") and uid == 0:
        raise NotStartable(f"{container['name']}: runAsNonRoot, and its user is root")
    groups = [*of_pod.get("supplementalGroups", [])]
    if "fsGroup" in of_pod:
        groups.append(of_pod["fsGroup"])
    return Launch(
        container["name"],
        tuple(_expanded(word, env) for word in argv),
        env,
        uid,
        gid,
        tuple(groups),
        container.get("workingDir") or image.workdir,
        bool(security.get("readOnlyRootFilesystem")),
        "ALL" not in (security.get("capabilities") or {}).get("drop", []),
        bool(security.get("allowPrivilegeEscalation", True)),
        (container.get("resources") or {}).get("limits") or {},
    )


def named_ports(pod: Object) -> dict[str, tuple[str, int]]:
    """Return {name: (protocol, number)} of all containers of a pod's spec."""
    return {
        port["name"]: (port.get("protocol", "TCP"), port["containerPort"])
        for container in [*pod["containers"], *pod.get("initContainers", [])]
        for port in container.get("ports") or []
        if "name" in port
    }


def data_of(thing: Object) -> dict[str, bytes]:
    """Return the contents of a ConfigMap or a Secret."""
    found = {name: text.encode() for name, text in (thing.get("stringData") or {}).items()}
    for name, text in (thing.get("data") or {}).items():
        secret = thing["kind"] == "Secret"
        found.setdefault(name, base64.b64decode(text) if secret else text.encode())
    for name, text in (thing.get("binaryData") or {}).items():
        found[name] = base64.b64decode(text)
    return found


def source(
    objects: Objects, kind: str, namespace: str, reference: Object
) -> dict[str, bytes] | None:
    """Return what a reference to a ConfigMap or Secret has; None: it is optional and not there.

    Raises:
        NotStartable: it is not there.
    """
    name = reference.get("name") or reference.get("secretName")
    found = objects.find(kind, namespace, str(name))
    if found is None:
        if reference.get("optional"):
            return None
        raise NotStartable(f"there is no {kind} {name} in {namespace}")
    return data_of(found)


def _user(security: Object, image: Image) -> tuple[int, int]:
    """Return uid and gid."""
    user, _, group = image.user.partition(":")
    for name in (user, group):
        if name and not name.isdigit() and "runAsUser" not in security:
            raise NotStartable(f"the image's user {image.user!r} is no number")
    uid = int(security.get("runAsUser", user or 0))
    gid = int(security.get("runAsGroup", group or 0 if "runAsUser" not in security else 0))
    return uid, gid


def _variables(container: Object, objects: Objects, told: Told) -> dict[str, str]:
    env: dict[str, str] = {}
    for whole_source in container.get("envFrom") or []:
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in whole_source:
                data = source(objects, kind, told.namespace, whole_source[key]) or {}
                prefix = whole_source.get("prefix", "")
                env |= {prefix + name: value.decode() for name, value in data.items()}
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _from(variable["valueFrom"], container, objects, told)
            if value is not None:
                env[variable["name"]] = value
        else:
            env[variable["name"]] = _expanded(variable.get("value", ""), env)
    return env


def _from(where: Object, container: Object, objects: Objects, told: Told) -> str | None:
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if key in where:
            data = source(objects, kind, told.namespace, where[key])
            if data is not None and where[key]["key"] in data:
                return data[where[key]["key"]].decode()
            if where[key].get("optional"):
                return None
            raise NotStartable(f"{kind} {where[key]['name']} has no {where[key]['key']}")
    if "fieldRef" in where:
        return field_of(where["fieldRef"]["fieldPath"], told)
    return _resource(where["resourceFieldRef"], container)


def field_of(path: str, told: Told) -> str:
    """Return what a pod is told of itself. Raises NotStartable."""
    known = {
        "metadata.name": told.name,
        "metadata.namespace": told.namespace,
        "metadata.uid": told.uid,
        "status.podIP": told.address,
        "status.podIPs": told.address,
        "status.hostIP": "169.254.1.1",
        "spec.nodeName": "node-1",
        "spec.serviceAccountName": "default",
    }
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((told.metadata.get(match[1]) or {}).get(match[2], ""))
    if path not in known:
        raise NotStartable(f"there is no field {path}")
    return known[path]


def _resource(reference: Mapping[str, Any], container: Object) -> str:
    kind, _, name = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    amount = (resources.get(kind) or {}).get(name)
    if amount is None:
        raise NotStartable(f"{container['name']} has no {reference['resource']}")
    return str(whole(str(quantity(amount) / quantity(reference.get("divisor", "1")))))


def _expanded(text: str, env: Mapping[str, str]) -> str:
    """Return a text with `$(NAME)` replaced where the name is known; `$$` is one `$`."""
    return _REFERENCE.sub(lambda m: env.get(m[1], m[0]) if m[1] else "$", text)
