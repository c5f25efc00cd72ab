"""Workloads: what their objects say of how many pods there are, and how each is made."""

from collections.abc import Sequence
from copy import deepcopy

from tests.delivery.kubelet.manifests import Object, Objects
from tests.delivery.kubelet.rollout import Member, Step, deployment_step, stateful_step

KINDS = ("StatefulSet", "Job", "Deployment")


def replicas_of(workload: Object, objects: Objects) -> int:
    """Return how many pods a workload has: where a scaler owns that, the fewest that it allows."""
    declared = workload["spec"].get("replicas")
    if declared is not None:
        return int(declared)
    meta, kind = workload["metadata"], workload["kind"]
    namespace = meta.get("namespace", "default")
    for key, scaler in objects.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        if (key.namespace, target.get("kind", "Deployment"), target["name"]) == (
            namespace,
            kind,
            meta["name"],
        ):
            fewest = "minReplicas" if key.kind == "HorizontalPodAutoscaler" else "minReplicaCount"
            return max(1, int(scaler["spec"].get(fewest, 1)))  # none: until something waits
    return 1


def next_step(
    workload: Object, replicas: int, members: Sequence[Member], ending: Sequence[str]
) -> Step:
    """Return the next step of a Deployment or of a StatefulSet, which waits for what ends."""
    if workload["kind"] == "Deployment":
        return deployment_step(workload["spec"], replicas, members, len(ending))
    return Step() if ending else stateful_step(workload["spec"], replicas, members)


def pod_names(workload: Object, template: str, taken: set[str], count: int) -> list[str]:
    """Return the names of the pods that come next."""
    name = workload["metadata"]["name"]
    stem = name if workload["kind"] == "StatefulSet" else f"{name}-{template[:6]}"
    names: list[str] = []
    number = 0
    while len(names) < count:
        if f"{stem}-{number}" not in taken:
            names.append(f"{stem}-{number}")
        number += 1
    return names


def pod_of(workload: Object, name: str) -> Object:
    """Return a pod's metadata and spec, as its controller makes them of the template."""
    spec = workload["spec"]
    pod: Object = deepcopy(spec["template"])
    pod.setdefault("metadata", {})
    if workload["kind"] == "StatefulSet":
        pod["metadata"]["labels"] = {
            **pod["metadata"].get("labels", {}),
            "statefulset.kubernetes.io/pod-name": name,
        }
        pod["spec"] = {"hostname": name, "subdomain": spec.get("serviceName", ""), **pod["spec"]}
        claimed = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or []]
        pod["spec"]["volumes"] = [
            *(v for v in pod["spec"].get("volumes") or [] if v["name"] not in claimed),
            *(
                {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}}
                for claim in claimed
            ),
        ]
    return pod
