"""GitOps: what has a cluster follow Git, by Argo CD or by Flux, and by canaries if wanted."""

from typing import Final

from holdfast.delivery import canary
from holdfast.delivery.files import Files, head
from holdfast.delivery.kubernetes import manifests
from holdfast.delivery.kustomize import objects_of
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.release import FOLDER, branch_of
from holdfast.delivery.values import values_of

PART: Final = RenderedPart.GITOPS


def files(rendering: Rendering) -> Files:
    """Return {path: text} of projects, applications, canaries, and Flux's sources."""
    words = _words(rendering)
    found = {"argo-cd/project.yaml": _of(rendering, "argo-cd/project.yaml", words)}
    for environment in rendering.system.deploy.environments:
        name = environment.name
        more = words | {"environment": name, "branch": branch_of(name)}
        found[f"argo-cd/{name}.yaml"] = _of(rendering, "argo-cd/application.yaml", more)
        found[f"flux/{name}.yaml"] = _of(rendering, "flux/environment.yaml", more)
    found |= {f"argo-rollouts/{path}": text for path, text in canary.files(rendering).items()}
    above = head(rendering.system.name, PART)
    return {f"{PART}/{path}": above + text for path, text in found.items()}


def _of(rendering: Rendering, template: str, words: dict[str, object]) -> str:
    return rendering.templates.render(f"{PART}/{template}", **words)


def _words(rendering: Rendering) -> dict[str, object]:
    """Return {name: what a template finds under it}."""
    plan = rendering.plan
    wide, within = _kinds(rendering)
    return {
        "system": rendering.system.name,
        "namespace": plan.namespace,
        "repository": rendering.system.deploy.repository,
        "folder": FOLDER,
        "workloads": [workload.name for workload in plan.workloads],
        "wide": wide,
        "within": within,
    }


def _kinds(rendering: Rendering) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the kinds that are rendered: those of the whole cluster, and those of a namespace."""
    found = {(canary.ARGO, "Rollout", True), (canary.ARGO, "AnalysisTemplate", True)}
    for environment in rendering.system.deploy.environments:
        texts = manifests(rendering, values_of(rendering.plan, environment, rendering.images))
        found |= {(version, kind, bool(where)) for version, kind, where, _ in objects_of(texts)}
    kinds = sorted((version.rpartition("/")[0], kind, where) for version, kind, where in found)
    both = [[{"group": g, "kind": k} for g, k, where in kinds if where is w] for w in (False, True)]
    return both[0], both[1]
