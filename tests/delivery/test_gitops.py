"""What has a cluster follow Git: what is rendered and nothing else, by promises as declared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from holdfast import Deploy, Environment, Service, Slo, System
from holdfast.delivery.canary import SCALERS, share_of
from holdfast.delivery.files import Files
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from shop.system import shop

NIGHT = System(
    "night",
    [Service("reports")],
    deploy=Deploy(
        repository="ssh://git@git.example.com/night.git",
        namespace="after-dark",
        environments=[Environment("live")],
    ),
)


def rendered(system: System, folder: Path, *parts: RenderedPart) -> Files:
    """Return what some parts are for a system."""
    return render(rendering_of(system, folder, typed=system.name), parts)


def documents(files: Files, path: str) -> list[Any]:
    """Return what is in a rendered file."""
    return list(yaml.safe_load_all(files[f"gitops/{path}"]))


def test_an_application_follows_the_branch_of_its_environment(tmp_path: Path) -> None:
    """Argo CD's and Flux's alike; the overlay that it names is rendered."""
    files = rendered(shop, tmp_path, RenderedPart.GITOPS, RenderedPart.KUSTOMIZE)

    for name in ("staging", "production"):
        [application] = documents(files, f"argo-cd/{name}.yaml")
        source, kustomization = documents(files, f"flux/{name}.yaml")
        followed = application["spec"]["source"]
        assert followed["repoURL"] == source["spec"]["url"] == shop.deploy.repository
        assert followed["targetRevision"] == f"environments/{name}"
        assert source["spec"]["ref"] == {"branch": f"environments/{name}"}
        assert kustomization["spec"]["path"] == f"./{followed['path']}"
        path = followed["path"].removeprefix("deploy/")
        assert f"{path}/kustomization.yaml" in files
        assert application["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
        checked = [check["name"] for check in kustomization["spec"]["healthChecks"]]
        assert checked == ["gateway", *(service.name for service in shop.services)]


def test_a_project_allows_the_kinds_that_are_rendered_and_no_other(tmp_path: Path) -> None:
    """Those of the cluster apart from those of the namespace."""
    files = rendered(NIGHT, tmp_path, RenderedPart.GITOPS, RenderedPart.KUBERNETES)
    [project] = documents(files, "argo-cd/project.yaml")

    manifests = [
        document
        for path, text in files.items()
        if path.startswith("kubernetes/")
        for document in yaml.safe_load_all(text)
        if document
    ]
    wide = {d["kind"] for d in manifests if "namespace" not in d["metadata"]}
    within = {d["kind"] for d in manifests if "namespace" in d["metadata"]}
    spec = project["spec"]
    assert {each["kind"] for each in spec["clusterResourceWhitelist"]} == wide
    assert {each["kind"] for each in spec["namespaceResourceWhitelist"]} == (
        within | {"Rollout", "AnalysisTemplate"}
    )
    assert spec["sourceRepos"] == ["ssh://git@git.example.com/night.git"]
    assert [each["namespace"] for each in spec["destinations"]] == ["after-dark"]


def test_what_a_migration_needs_is_there_before_it(tmp_path: Path) -> None:
    """Argo CD waits for the Job, so that its account, values and secrets are of earlier waves."""
    files = rendered(shop, tmp_path, RenderedPart.KUBERNETES)

    for name in ("staging", "production"):
        waves = {
            each["kind"]: int(
                each["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0)
            )
            for each in yaml.safe_load_all(files[f"kubernetes/{name}/migrate.yaml"])
        }
        job = waves.pop("Job")
        assert {"Certificate", "ConfigMap", "NetworkPolicy", "ServiceAccount"} == set(waves)
        assert max(waves.values()) < job < 0


def test_a_canary_is_judged_by_its_own_promises(tmp_path: Path) -> None:
    """The gateway by those of all routes; who promises nothing has no Rollout."""
    files = rendered(shop, tmp_path, RenderedPart.GITOPS)
    rollouts = {
        each["metadata"]["name"]: each["spec"]
        for each in documents(files, "argo-rollouts/component/rollouts.yaml")
    }
    analyses = {
        each["metadata"]["name"]: each["spec"]["metrics"]
        for each in documents(files, "argo-rollouts/component/analyses.yaml")
    }

    judges = {
        name: [each["templateName"] for each in spec["strategy"]["canary"]["analysis"]["templates"]]
        for name, spec in rollouts.items()
    }
    promises = ["users-promises", "inventory-promises", "orders-promises"]
    assert judges == {
        "gateway": promises,
        "users": promises[:1],
        "inventory": promises[1:2],
        "orders": promises[2:],
    }
    assert list(analyses) == promises
    assert [metric["name"] for metric in analyses["orders-promises"]] == [
        "orders availability",
        "orders latency",
        "orders checkout settlement",
    ]
    assert all(spec["workloadRef"]["name"] == name for name, spec in rollouts.items())
    assert all("replicas" not in spec for spec in rollouts.values())


def test_a_threshold_is_that_of_the_declaration(tmp_path: Path) -> None:
    """14.4 times the budget; what is not recorded is no success."""
    strict = replace(shop, slo=Slo(availability=0.9999))

    found = {
        metric["name"]: metric["successCondition"]
        for each in documents(
            rendered(strict, tmp_path, RenderedPart.GITOPS),
            "argo-rollouts/component/analyses.yaml",
        )
        for metric in each["spec"]["metrics"]
    }

    assert found["users availability"] == "len(result) > 0 && result[0] <= 0.00144"
    assert all(condition.startswith("len(result) > 0 && ") for condition in found.values())


def test_a_share_is_asked_of_what_the_rules_record() -> None:
    """Of one promise alone, and with five errors at least."""
    [first, *_] = indicators_of(shop)
    of = '{job="shop",service="users",slo="users",sli="availability"}'
    errors, events = (f"holdfast_slo:{kind}:increase5m{of}" for kind in ("errors", "events"))

    assert share_of(first) == f"({errors} >= 5) / {events} or {events} * 0"


def test_what_scales_a_workload_scales_its_rollout(tmp_path: Path) -> None:
    """Every scaler of it, and none of a Deployment that stays."""
    files = rendered(shop, tmp_path, RenderedPart.GITOPS)
    [component] = documents(files, "argo-rollouts/component/kustomization.yaml")

    targets = {(p["target"]["kind"], p["target"]["name"]) for p in component["patches"]}
    assert targets == {
        ("HorizontalPodAutoscaler", "gateway"),
        ("VerticalPodAutoscaler", "gateway"),
        *(
            (kind, name)
            for kind in ("ScaledObject", "VerticalPodAutoscaler")
            for name in ("users", "inventory", "orders")
        ),
    }
    for patch in component["patches"]:
        [operation] = yaml.safe_load(patch["patch"])
        assert operation["path"] == f"/spec/{SCALERS[patch['target']['kind']]}"
        assert operation["value"]["name"] == patch["target"]["name"]


def test_nobody_promises_anything(tmp_path: Path) -> None:
    """Then there is nothing by which a canary could be judged, and none is rendered."""
    files = rendered(NIGHT, tmp_path, RenderedPart.GITOPS)

    assert sorted(path for path in files if path.startswith("gitops/")) == [
        "gitops/argo-cd/live.yaml",
        "gitops/argo-cd/project.yaml",
        "gitops/flux/live.yaml",
    ]
