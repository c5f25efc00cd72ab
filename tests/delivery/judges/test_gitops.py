"""The scripts of the pipeline, and what has clusters follow Git, before their judges."""

from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest

from shop.system import shop
from tests.delivery.judges.cluster_tools import kustomized
from tests.delivery.judges.objects import Object, objects_of
from tests.delivery.judges.programs import RELEASES
from tests.delivery.judges.scanners import checked_scripts
from tests.delivery.judges.schemas import schema_problems

pytestmark = pytest.mark.deploy

ENVIRONMENTS = [environment.name for environment in shop.deploy.environments]


def test_the_scripts_are_accepted_by_shellcheck(deploy: Path) -> None:
    """Whatever the level of its remarks."""
    scripts = sorted((deploy / "ci").glob("*.sh"))

    assert len(scripts) == 6
    assert checked_scripts(*scripts) == []


def objects(deploy: Path) -> Iterator[Object]:
    """Yield what is applied to a cluster by hand, so that it follows Git."""
    for folder in ("argo-cd", "flux"):
        for file in sorted((deploy / "gitops" / folder).iterdir()):
            yield from objects_of(file)


def test_what_follows_git_fits_its_kinds(deploy: Path) -> None:
    """Of Argo CD and of Flux."""
    found = list(objects(deploy))

    assert [p for each in found for p in schema_problems(each, "1.35")] == []
    assert {each["kind"] for each in found} == {
        *("AppProject", "Application", "GitRepository", "Kustomization")
    }


@pytest.mark.parametrize("minor", RELEASES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_canaries_are_the_overlay_with_rollouts(deploy: Path, environment: str, minor: str) -> None:
    """Nothing else is changed by it; each Rollout is scaled by what scaled its Deployment."""
    plain = kustomized(deploy / "kustomize" / "overlays" / environment, minor)
    found = kustomized(deploy / "gitops" / "argo-rollouts" / environment, minor)

    added = [each for each in found if each["kind"] in ("Rollout", "AnalysisTemplate")]
    changed = [each for each in found if each not in plain and each not in added]
    rolled = {each["metadata"]["name"] for each in added if each["kind"] == "Rollout"}
    assert len(found) == len(plain) + len(added)
    assert rolled == {"gateway", "users", "inventory", "orders"}
    assert {(each["kind"], each["metadata"]["name"]) for each in changed} == {
        ("HorizontalPodAutoscaler", "gateway"),
        *(("VerticalPodAutoscaler", name) for name in rolled),
        *(("ScaledObject", name) for name in rolled - {"gateway"}),
    }
    assert [p for each in (*added, *changed) for p in schema_problems(each, f"1.{minor}")] == []


def test_what_a_canary_asks_is_promql(deploy: Path) -> None:
    """As its parser reads it."""
    queries = [
        metric["provider"]["prometheus"]["query"]
        for each in objects_of(deploy / "gitops" / "argo-rollouts" / "component" / "analyses.yaml")
        for metric in each["spec"]["metrics"]
    ]

    assert len(queries) == 7
    for query in queries:
        promql_parser.parse(query)
