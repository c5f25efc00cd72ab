"""Scaling and disruption: one scaler a target, lags of consumers that are there, budgets."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from tests.delivery.judges.objects import Object, Pod, name_of, of_kind, pods_of, space_of
from tests.delivery.selectors import matches

SCALED_NAME_MAX = 54
"""KEDA makes an autoscaler `keda-hpa-<name>`, and 63 characters is all that it may have."""


def scaling_problems(items: list[Object], durables: Collection[str] | None = None) -> list[str]:
    """Return what is wrong with autoscalers, each with its target.

    Args:
        durables: the names of the durable consumers that the services make, if they are known.
            KEDA takes a name that nobody has for an endless backlog, and scales to the maximum.
    """
    found = [f"{name_of(i)}: {line}" for i in items for line in _of_scaler(i, items, durables)]
    by_target: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for scaler in of_kind(items, "HorizontalPodAutoscaler", "ScaledObject"):
        by_target[_target(scaler)].append(name_of(scaler))
    for (space, kind, name), scalers in sorted(by_target.items()):
        if len(scalers) > 1:
            found.append(f"{kind} {space}/{name}: scaled by {' and '.join(sorted(scalers))}")
        workload = _workload(items, space, kind, name)
        if workload is None:
            found.append(f"{scalers[0]}: there is no {kind} {space}/{name}")
        elif "replicas" in workload["spec"]:
            found.append(f"{name_of(workload)}: says replicas, which {scalers[0]} decides")
    return found


def _target(scaler: Object) -> tuple[str, str, str]:
    target = scaler["spec"].get("scaleTargetRef") or scaler["spec"].get("targetRef") or {}
    return space_of(scaler), target.get("kind", "Deployment"), target.get("name", "")


def _workload(items: list[Object], space: str, kind: str, name: str) -> Object | None:
    for item in of_kind(items, kind):
        if (space_of(item), item["metadata"]["name"]) == (space, name):
            return item
    return None


def _of_scaler(
    item: Object, items: list[Object], durables: Collection[str] | None
) -> Iterator[str]:
    spec = item.get("spec", {})
    if item["kind"] == "HorizontalPodAutoscaler":
        if spec.get("minReplicas", 1) > spec.get("maxReplicas", 0):
            yield "minReplicas is more than maxReplicas"
        workload = _workload(items, *_target(item))
        for pod in pods_of([workload] if workload else []):
            yield from _unmeasured(spec, pod)
    elif item["kind"] == "ScaledObject":
        yield from _of_scaled_object(item, spec, durables)
    elif item["kind"] == "VerticalPodAutoscaler":
        if _workload(items, *_target(item)) is None:
            yield f"there is no {' '.join(_target(item)[1:])}"
        if (spec.get("updatePolicy") or {}).get("updateMode") != "Off":
            horizontal = of_kind(items, "HorizontalPodAutoscaler", "ScaledObject")
            if any(_target(other) == _target(item) for other in horizontal):
                yield "changes what another scaler measures; updateMode must be Off"


def _unmeasured(spec: dict[str, Any], pod: Pod) -> Iterator[str]:
    for metric in spec.get("metrics") or []:
        name = (metric.get("resource") or {}).get("name")
        for container in pod.containers if name else []:
            if name not in ((container.get("resources") or {}).get("requests") or {}):
                yield f"a share of {name}, and container {container['name']} requests none"


def _of_scaled_object(
    item: Object, spec: dict[str, Any], durables: Collection[str] | None
) -> Iterator[str]:
    if len(item["metadata"]["name"]) > SCALED_NAME_MAX:
        yield f"a name over {SCALED_NAME_MAX} characters"
    least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    if least > most:
        yield "minReplicaCount is more than maxReplicaCount"
    if not spec.get("fallback"):
        yield "no fallback for when the metric cannot be read"
    for trigger in spec.get("triggers", []):
        if trigger.get("type") != "nats-jetstream" or durables is None:
            continue
        consumer = trigger["metadata"].get("consumer")
        if consumer not in durables:
            yield f"consumer {consumer} is no durable consumer of the system"


def disruption_problems(items: list[Object]) -> list[str]:
    """Return budgets that select nothing or too much, or that would block every drain."""
    return [
        f"{name_of(budget)}: {line}"
        for budget in of_kind(items, "PodDisruptionBudget")
        for line in _of_budget(budget, items)
    ]


def _of_budget(budget: Object, items: list[Object]) -> Iterator[str]:
    spec = budget["spec"]
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        yield "has minAvailable and maxUnavailable; the API server takes one"
    if least is None and most is None:
        yield "has neither minAvailable nor maxUnavailable"
    for bound in (least, most):
        if isinstance(bound, str) and not bound.endswith("%"):
            yield f"{bound!r} is a text, and no share"
    if most in (0, "0%"):
        yield "lets nothing be moved"
    if not spec.get("selector"):
        yield "has no selector, and so protects nothing"
        return
    chosen = [
        pod
        for pod in pods_of(items)
        if space_of(pod.owner) == space_of(budget) and matches(spec["selector"], pod.labels)
        if pod.owner["kind"] in ("Deployment", "StatefulSet", "ReplicaSet")
    ]
    if len(chosen) != 1:
        yield f"selects {len(chosen)} workloads; one budget is for one"
    for pod in chosen:
        replicas = fewest(pod.owner, items)
        if isinstance(least, int) and least >= replicas:
            yield f"keeps {least} of {replicas}, so that no node can be drained"


def fewest(workload: Object, items: list[Object]) -> int:
    """Return how many pods a workload has at least, by its scaler or by itself."""
    for scaler in of_kind(items, "HorizontalPodAutoscaler", "ScaledObject"):
        if _target(scaler) == (space_of(workload), workload["kind"], workload["metadata"]["name"]):
            spec = scaler["spec"]
            return int(spec.get("minReplicas", spec.get("minReplicaCount", 1)))
    return int(workload["spec"].get("replicas", 1))
