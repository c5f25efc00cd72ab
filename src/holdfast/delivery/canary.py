"""Canary: Rollouts in place of Deployments, which go on only while the service keeps its promises.

It is a component of Kustomize that an environment takes or leaves. The Deployments stay what is
declared, and Argo Rollouts takes the pods from them. A service that promises nothing, or whose work
may wait, has nothing by which a canary could be judged, and keeps its Deployment.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.delivery.burn import ERRORS_MIN, FAST, plain
from holdfast.delivery.files import Files
from holdfast.delivery.indicators import Indicator, indicators_of
from holdfast.delivery.kubernetes import manifests
from holdfast.delivery.kustomize import API, objects_of
from holdfast.delivery.objective_rules import recorded, recorded_names
from holdfast.delivery.parts import Rendering
from holdfast.delivery.plan import GATEWAY, Workload
from holdfast.delivery.promql import checked, equal
from holdfast.delivery.values import values_of
from holdfast.delivery.yaml import Value, dump

ARGO: Final = "argoproj.io/v1alpha1"
STEPS: Final = (20, 50)
"""Percent of the pods that are new; at each, it is watched for `PAUSE`."""
PAUSE: Final = "5m"
SCALERS: Final = {
    "HorizontalPodAutoscaler": "scaleTargetRef",
    "ScaledObject": "scaleTargetRef",
    "VerticalPodAutoscaler": "targetRef",
}
"""{kind of what scales a workload: the field that names it}."""


def files(rendering: Rendering) -> Files:
    """Return {path: text} of the component, and of an overlay with it for each environment.

    Where nothing can be judged there is none.
    """
    judged = dict(_judged(rendering))
    if not judged:
        return {}
    kustomization: dict[str, Value] = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "resources": ["analyses.yaml", "rollouts.yaml"],
        "patches": list(_patches(rendering, list(judged))),
    }
    services = dict.fromkeys(i.objective.service for i in indicators_of(rendering.system))
    analyses = [_analysis(rendering, service) for service in services]
    rollouts = [_rollout(rendering, *each) for each in judged.values()]
    found: dict[str, list[Value]] = {
        "kustomization": [kustomization],
        "analyses": analyses,
        "rollouts": rollouts,
    }
    return {
        f"component/{file}.yaml": "---\n".join(map(dump, documents))
        for file, documents in found.items()
    } | {
        f"{environment.name}/kustomization.yaml": dump(_overlay(environment.name))
        for environment in rendering.system.deploy.environments
    }


def _overlay(environment: str) -> dict[str, Value]:
    """Return an environment's overlay with the component."""
    return {
        **API,
        "resources": [f"../../../kustomize/overlays/{environment}"],
        "components": ["../component"],
    }


def _judged(rendering: Rendering) -> Iterator[tuple[str, tuple[Workload, list[str]]]]:
    """Yield the workloads that get a Rollout, each with the services whose promises judge it."""
    indicators = list(indicators_of(rendering.system))
    promising = list(dict.fromkeys(each.objective.service for each in indicators))
    asked = list(dict.fromkeys(e.objective.service for e in indicators if e.objective.routes))
    for workload in rendering.plan.workloads:
        judges = asked if workload.name == GATEWAY else [workload.name]
        if judges and set(judges) <= set(promising) and not workload.pods.bulk:
            yield workload.name, (workload, judges)


def _rollout(rendering: Rendering, workload: Workload, judges: list[str]) -> Value:
    steps: list[Value] = []
    for percent in STEPS:
        steps += [{"setWeight": percent}, {"pause": {"duration": PAUSE}}]
    return {
        "apiVersion": ARGO,
        "kind": "Rollout",
        "metadata": _metadata(rendering, workload.name),
        "spec": {
            "workloadRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": workload.name,
                "scaleDown": "progressively",
            },
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 600,
            "progressDeadlineAbort": True,
            "rollbackWindow": {"revisions": 3},
            "strategy": {
                "canary": {
                    "maxSurge": 1,
                    "maxUnavailable": 0,
                    "steps": steps,
                    "analysis": {
                        "startingStep": 1,
                        "templates": [{"templateName": f"{judge}-promises"} for judge in judges],
                    },
                }
            },
        },
    }


def _analysis(rendering: Rendering, service: str) -> Value:
    metrics = [
        _metric(rendering, each)
        for each in indicators_of(rendering.system)
        if each.objective.service == service
    ]
    return {
        "apiVersion": ARGO,
        "kind": "AnalysisTemplate",
        "metadata": _metadata(rendering, f"{service}-promises"),
        "spec": {"metrics": metrics},
    }


def _metric(rendering: Rendering, indicator: Indicator) -> Value:
    monitoring = rendering.system.deploy.monitoring_namespace
    return {
        "name": f"{indicator.objective.name} {indicator.sli}",
        "initialDelay": "1m",
        "interval": "30s",
        # What is not recorded is no success: an empty answer says nothing of the release.
        "successCondition": "len(result) > 0 && result[0] <= "
        + plain(FAST.factor * indicator.budget),
        "failureLimit": 1,
        "consecutiveErrorLimit": 4,
        "provider": {
            "prometheus": {
                "address": f"http://prometheus-operated.{monitoring}.svc.cluster.local:9090",
                "query": share_of(indicator),
            }
        },
    }


def share_of(indicator: Indicator) -> str:
    """Return the share of a promise's events that went wrong, as PromQL.

    With fewer errors than would wake anybody it is 0, and so it is while nobody asks: the result
    is empty only if nothing is recorded.
    """
    which = ",".join(equal(name, value) for name, value in indicator.labels.items())
    errors, events = (f"{recorded(kind, FAST.short)}{{{which}}}" for kind in ("errors", "events"))
    return checked(f"({errors} >= {ERRORS_MIN}) / {events} or {events} * 0", recorded_names())


def _patches(rendering: Rendering, names: list[str]) -> Iterator[Value]:
    """Yield patches by which what scales a workload scales its Rollout."""
    environment = rendering.system.deploy.environments[-1]
    texts = manifests(rendering, values_of(rendering.plan, environment, rendering.images))
    for version, kind, _, name in objects_of(texts):
        if kind in SCALERS and name in names:
            group, _, bare = version.rpartition("/")
            rollout: Value = {"apiVersion": ARGO, "kind": "Rollout", "name": name}
            operation: Value = {"op": "replace", "path": f"/spec/{SCALERS[kind]}", "value": rollout}
            yield {
                "target": {"group": group, "version": bare, "kind": kind, "name": name},
                "patch": dump([operation]).rstrip("\n"),
            }


def _metadata(rendering: Rendering, name: str) -> Value:
    system = rendering.system.name
    labels = {"app.kubernetes.io/part-of": system, "app.kubernetes.io/managed-by": "holdfast"}
    return {"name": name, "namespace": rendering.plan.namespace, "labels": labels}
