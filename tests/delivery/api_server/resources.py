"""The kinds of objects that the stand-in serves, and how a client discovers them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.delivery.judges.objects import CLUSTER_KINDS

BUILTIN = """
v1/ConfigMap v1/Secret v1/Service v1/ServiceAccount v1/Namespace v1/Pod v1/Event
v1/PersistentVolumeClaim apps/v1/Deployment apps/v1/StatefulSet apps/v1/ReplicaSet
batch/v1/Job batch/v1/CronJob networking.k8s.io/v1/NetworkPolicy networking.k8s.io/v1/Ingress
policy/v1/PodDisruptionBudget autoscaling/v2/HorizontalPodAutoscaler
rbac.authorization.k8s.io/v1/Role rbac.authorization.k8s.io/v1/RoleBinding
admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy
admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding
"""
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: where it is served, and how it is called there."""

    version: str
    kind: str

    @property
    def plural(self) -> str:
        """The name of its resource."""
        word = self.kind.lower()
        if word.endswith("y") and not word.endswith("ay"):
            return word[:-1] + "ies"
        return word + ("es" if word.endswith("s") else "s")

    @property
    def namespaced(self) -> bool:
        """Whether its objects are in namespaces."""
        return self.kind not in CLUSTER_KINDS

    @property
    def prefix(self) -> str:
        """The path below which its version is served."""
        return f"/api/{self.version}" if self.version == "v1" else f"/apis/{self.version}"


class Discovery:
    """What a client asks before it asks for objects.

    Args:
        custom: `apiVersion/Kind` of kinds beside those of Kubernetes itself.
    """

    def __init__(self, custom: Iterable[str]) -> None:
        parted = [name.rpartition("/") for name in (*BUILTIN.split(), *custom)]
        self.kinds = [Kind(version, kind) for version, _, kind in parted]
        self.versions = sorted({kind.version for kind in self.kinds})

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return what is at a path, or None if nothing of discovery is there."""
        if path == "/version":
            return {"major": "1", "minor": "37", "gitVersion": "v1.37.1"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": self._groups()}
        if path == "/openapi/v3":
            paths = {self._prefix(version)[1:]: version for version in self.versions}
            return {"paths": {p: {"serverRelativeURL": f"/openapi/v3/{p}"} for p in paths}}
        if path.startswith("/openapi/v3/"):
            return self._openapi(path.removeprefix("/openapi/v3"))
        for version in self.versions:
            if path == self._prefix(version):
                return self._resources(version)
        return None

    @staticmethod
    def _prefix(version: str) -> str:
        return Kind(version, "").prefix

    def _groups(self) -> list[dict[str, Any]]:
        groups: dict[str, list[dict[str, str]]] = {}
        for version in self.versions:
            group, _, number = version.rpartition("/")
            if group:
                entry = {"groupVersion": version, "version": number}
                groups.setdefault(group, []).append(entry)
        return [
            {"name": name, "versions": found, "preferredVersion": found[0]}
            for name, found in groups.items()
        ]

    def _resources(self, version: str) -> dict[str, Any]:
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": [
                {
                    "name": kind.plural,
                    "singularName": kind.kind.lower(),
                    "namespaced": kind.namespaced,
                    "kind": kind.kind,
                    "verbs": VERBS,
                }
                for kind in self.kinds
                if kind.version == version
            ],
        }

    def _openapi(self, prefix: str) -> dict[str, Any]:
        """Return no more than that a PATCH takes `fieldValidation`: without it clients refuse."""
        paths = {}
        for kind in self.kinds:
            if kind.prefix != prefix:
                continue
            group, _, number = kind.version.rpartition("/")
            space = "/namespaces/{namespace}" if kind.namespaced else ""
            asked = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
            called = {"group": group, "version": number, "kind": kind.kind}
            patch = {
                "parameters": [asked],
                "responses": {},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": called,
            }
            paths[f"{prefix}{space}/{kind.plural}/{{name}}"] = {"patch": patch}
        return {"openapi": "3.0.0", "info": {"title": "", "version": ""}, "paths": paths}
