"""Kubernetes objects as they are in files: read, and found by kind and name."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Object = dict[str, Any]
"""One object, as parsed."""


class Key(NamedTuple):
    """What an object is found by; `namespace` is "" where the kind has none."""

    kind: str
    namespace: str
    name: str


_CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "StorageClass"}


def load(*paths: Path) -> list[Object]:
    """Read all objects of files, and of the folders' `*.yaml` in order of their names."""
    found: list[Object] = []
    for path in paths:
        files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
        for file in files:
            found += parse(file.read_text())
    return found


def parse(text: str) -> list[Object]:
    """Read the objects of a YAML stream; a `List` is what is in it."""
    found: list[Object] = []
    for document in yaml.safe_load_all(text):
        if document:
            found += document["items"] if document.get("kind") == "List" else [document]
    return found


def key_of(thing: Object) -> Key:
    """Return by what an object is found; without a namespace it is in `default`."""
    meta, kind = thing["metadata"], str(thing["kind"])
    namespace = "" if kind in _CLUSTER_WIDE else meta.get("namespace", "default")
    return Key(kind, namespace, meta["name"])


class Objects:
    """All objects of a cluster; a later one replaces an earlier one of its key."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self._by_key = {key_of(thing): thing for thing in objects}

    def of(self, *kinds: str) -> Iterator[tuple[Key, Object]]:
        """Return those of some kinds, in the order in which they came."""
        return ((key, thing) for key, thing in self._by_key.items() if key.kind in kinds)

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return one, or None."""
        return self._by_key.get(Key(kind, namespace, name))

    def labels_of_namespace(self, name: str) -> dict[str, str]:
        """Return a namespace's labels; its name is one of them, as the API server sees to."""
        declared = self.find("Namespace", "", name) or {"metadata": {}}
        return {**declared["metadata"].get("labels", {}), "kubernetes.io/metadata.name": name}
