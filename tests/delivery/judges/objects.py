"""Kubernetes objects as parsed YAML: read strictly, named, compared, and their pods taken out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
"""One parsed document: {apiVersion, kind, metadata, ...}."""

CLUSTER_KINDS = frozenset(
    (
        *("Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "PriorityClass"),
        *("StorageClass", "ClusterIssuer", "ClusterSecretStore", "GatewayClass"),
    )
)
"""Kinds that are in no namespace."""


class _Strict(yaml.SafeLoader):
    """A loader that refuses a key that stands twice; what most others do is keep the last."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[object, object]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {str(key) for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(
            None, None, f"keys that stand twice: {', '.join(sorted(twice))}", node.start_mark
        )
    return dict(loader.construct_pairs(node, deep=True))


_Strict.add_constructor("tag:yaml.org,2002:map", _mapping)


def parsed(text: str) -> list[Any]:
    """Return the documents of a text, without those that are empty.

    Raises:
        yaml.YAMLError: it is no YAML, or a key stands twice in one mapping.
    """
    return [item for item in yaml.load_all(text, Loader=_Strict) if item is not None]


def objects_of(path: Path) -> list[Object]:
    """Return the objects of a file, or of all YAML files of a folder and below, by path."""
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    return [item for file in files for item in parsed(file.read_text())]


def kind_of(item: Object) -> str:
    """Return `apiVersion/Kind`."""
    return f"{item.get('apiVersion')}/{item.get('kind')}"


def name_of(item: Object) -> str:
    """Return `Kind namespace/name`, as problems name an object."""
    metadata = item.get("metadata", {})
    space = "" if item.get("kind") in CLUSTER_KINDS else f"{metadata.get('namespace', '')}/"
    return f"{item.get('kind')} {space}{metadata.get('name')}"


def space_of(item: Object) -> str:
    """Return the namespace that an object is in, `""` where it is in none or does not say."""
    return str(item.get("metadata", {}).get("namespace", ""))


def of_kind(items: Iterable[Object], *kinds: str) -> list[Object]:
    """Return the objects of the named kinds, whatever their API version."""
    return [item for item in items if item.get("kind") in kinds]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as its owner declares it."""

    owner: Object
    spec: dict[str, Any]
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """The owner's name, as problems name it."""
        return name_of(self.owner)

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers; those that run before come first."""
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]


def pods_of(items: Iterable[Object]) -> Iterator[Pod]:
    """Yield the pods that the objects declare: of workloads, jobs, schedules, rollouts."""
    for item in items:
        spec = item.get("spec", {})
        if item.get("kind") == "Pod":
            yield Pod(item, spec, item["metadata"].get("labels", {}))
            continue
        if item.get("kind") == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        template = spec.get("template") if isinstance(spec, dict) else None
        if isinstance(template, dict) and "containers" in template.get("spec", {}):
            yield Pod(item, template["spec"], template.get("metadata", {}).get("labels", {}))


def actors_of(items: Iterable[Object]) -> Iterator[Pod]:
    """Yield all that has an address in the namespaces: declared pods, and those of databases.

    CloudNativePG makes the pods of a Cluster, with its labels.
    """
    items = list(items)
    yield from pods_of(items)
    for item in of_kind(items, "Cluster"):
        name = item["metadata"]["name"]
        inherited = (item["spec"].get("inheritedMetadata") or {}).get("labels") or {}
        port = {"name": "postgresql", "containerPort": 5432}
        spec = {"containers": [{"name": "postgres", "ports": [port]}]}
        yield Pod(item, spec, {**inherited, "cnpg.io/cluster": name})


def differences(left: Iterable[Object], right: Iterable[Object]) -> list[str]:
    """Return how two sets of objects differ, by their paths; their order means nothing."""
    ours = {(kind_of(item), name_of(item)): item for item in left}
    theirs = {(kind_of(item), name_of(item)): item for item in right}
    found = [f"{name}: only on the left" for _, name in sorted(ours.keys() - theirs.keys())]
    found += [f"{name}: only on the right" for _, name in sorted(theirs.keys() - ours.keys())]
    for key in sorted(ours.keys() & theirs.keys()):
        found += [f"{key[1]}: {line}" for line in unequal(ours[key], theirs[key])]
    return found


def unequal(left: object, right: object, path: str = "") -> Iterator[str]:
    """Yield where two values differ; `1`, `1.0`, `"1"` and `true` are four different values."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}, key=str):
            inner = f"{path}.{key}"
            if key not in left or key not in right:
                yield f"{inner} only on the {'left' if key in left else 'right'}"
            else:
                yield from unequal(left[key], right[key], inner)
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            yield f"{path} has {len(left)} items on the left, {len(right)} on the right"
        for at, (one, other) in enumerate(zip(left, right, strict=False)):
            yield from unequal(one, other, f"{path}[{at}]")
    elif type(left) is not type(right) or left != right:
        yield f"{path} is {left!r} on the left, {right!r} on the right"
