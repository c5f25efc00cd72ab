"""Schemas refuse what they should, and accept the sample."""

import pytest

from tests.delivery.judges.objects import Object
from tests.delivery.judges.samples import GONE, changed, system
from tests.delivery.judges.schemas import MINORS, schema_problems, validators

pytestmark = pytest.mark.deploy

POD = "spec/template/spec"


def found(items: list[Object], minor: str = MINORS[-1]) -> list[str]:
    """Return what the schemas find in all objects."""
    return [problem for item in items for problem in schema_problems(item, minor)]


@pytest.mark.parametrize("minor", MINORS)
def test_the_sample_is_accepted(minor: str) -> None:
    """By each version; so what the tests below find is what they broke."""
    assert found(system(), minor) == []


REFUSED = [
    ("Deployment", "orders", f"{POD}/containers/0/livenesProbe", {}, "livenesProbe"),
    ("Deployment", "orders", f"{POD}/terminationGracePeriodSeconds", "45", "not of type"),
    ("Deployment", "orders", "spec/selector", GONE, "'selector' is a required"),
    ("Namespace", "store", "kind", "PodSecurityPolicy", "has no kind v1/PodSecurityPolicy"),
    ("HorizontalPodAutoscaler", "orders", "apiVersion", "autoscaling/v2beta2", "has no kind"),
    ("HTTPRoute", "store", "spec/rules/0/timeout", {"request": "30s"}, "'timeout' was unexpected"),
    ("HTTPRoute", "store", "spec/rules/0/timeouts/request", "30 seconds", "does not match"),
    ("HTTPRoute", "store", "spec/rules/0/backendRefs/0/port", 80800, "greater than the maximum"),
    ("Gateway", "store", "spec/listeners/0/protocol", "https", "is not one of"),
    ("Gateway", "store", "apiVersion", "gateway.networking.k8s.io/v1alpha2", "has no kind"),
    ("ScaledObject", "stock", "spec/scaleTarget", {}, "'scaleTarget' was unexpected"),
    ("ScaledObject", "stock", "spec/triggers/0/metadata/lagThreshold", 50, "not of type 'string'"),
    ("ScaledObject", "stock", "spec/triggers/0/metadata/consumers", "x", "'consumers' was unexp"),
    ("VerticalPodAutoscaler", "orders", "spec/updatePolicy/updateMode", "Auto", "not one of"),
    ("VerticalPodAutoscaler", "orders", "spec/updatePolicy/updateMode", False, "not one of"),
    ("ExternalSecret", "orders-database", "spec/data/0/remoteRef/ke", "x", "'ke' was unexpected"),
    ("ExternalSecret", "orders-database", "apiVersion", "external-secrets.io/v1beta1", "no kind"),
    ("SecretStore", "store", "spec/provider/aws/service", "Secrets", "is not one of"),
    ("Certificate", "store", "spec/issuerRef/kind", "issuer", "is not one of"),
    ("Issuer", "store", "spec/acme/solver", [], "'solver' was unexpected"),
    ("Cluster", "database", "spec/instances", 0, "less than the minimum"),
    ("Cluster", "database", "spec/backup", {"barmanObjectStore": {}}, "'backup' was unexpected"),
    ("Database", "orders", "spec/owner", GONE, "'owner' is a required"),
    ("ServiceMonitor", "store", "spec/endpoints/0/intervall", "1s", "'intervall' was unexpected"),
    ("PrometheusRule", "store", "spec/groups/0/rules/0/alert", "A", "is valid under each of"),
    ("AppProject", "store", "spec/destinations", [], "should be non-empty"),
    ("Application", "store", "spec/sources", [{"repoURL": "x"}], "is valid under each of"),
    ("AnalysisTemplate", "orders", "spec/metrics/0/provider", {}, "non-empty"),
    ("Rollout", "orders", "spec/strategy/canary/steps/0/setWeight", 120, "greater than the max"),
    ("GitRepository", "store", "spec/url", "git@example.com:store.git", "does not match"),
    ("Kustomization", "store", "spec/prune", GONE, "'prune' is a required"),
]
"""(kind, name, field, wrong value, what is said)."""


@pytest.mark.parametrize(("kind", "name", "path", "value", "said"), REFUSED)
def test_what_is_broken_is_refused(
    kind: str, name: str, path: str, value: object, said: str
) -> None:
    """One thing is broken, and one problem is found, which names it."""
    problems = found(changed(kind, name, path, value))

    assert len(problems) == 1, problems
    assert said in problems[0]


def test_every_custom_kind_of_the_sample_has_a_schema_of_its_own() -> None:
    """Without it an unknown kind would be a problem everywhere."""
    kinds = {f"{item['apiVersion']}/{item['kind']}" for item in system()}

    assert len(kinds & set(validators())) >= 18
