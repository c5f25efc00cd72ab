"""What is rendered for the shop: every judge accepts it, in each environment, in each form."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from holdfast.contract.spiffe import MIGRATOR
from holdfast.delivery.kubernetes import ENVOY_NAMESPACE
from holdfast.delivery.plan import (
    COLLECTOR,
    ENTRY,
    GATEWAY,
    MIGRATE,
    MONITORING,
    NATS,
    POSTGRES,
    Flow,
    plan_of,
)
from holdfast.delivery.values import DRAIN_S
from holdfast.observability.catalogue import CATALOGUE
from holdfast.runtime import variables
from holdfast.runtime.settings import ProcessSettings
from holdfast.runtime.trace_settings import OtelSettings
from holdfast.system.settings import variable_name
from holdfast.system.tables import settings_of
from shop.system import shop
from tests.delivery.judges.choices import choice_problems
from tests.delivery.judges.cluster_tools import (
    ChartError,
    decoding_problems,
    idle_entries,
    kustomized,
    read_by_kubectl,
    templated,
)
from tests.delivery.judges.configurations import admitted, nats_problems, rule_problems
from tests.delivery.judges.environment import (
    environment_problems,
    same_variables,
    secret_problems,
    variables_of_compose,
    variables_of_pods,
)
from tests.delivery.judges.identities import identity_problems
from tests.delivery.judges.metrics import query_problems
from tests.delivery.judges.names import name_problems, port_problems
from tests.delivery.judges.network import Way, half_open, policy_problems, way_problems, ways
from tests.delivery.judges.objects import Object, differences, objects_of, of_kind, parsed, pods_of
from tests.delivery.judges.pods import (
    ending_problems,
    probe_problems,
    resource_problems,
    security_problems,
)
from tests.delivery.judges.programs import RELEASES
from tests.delivery.judges.quantities import quantity_problems
from tests.delivery.judges.references import reference_problems
from tests.delivery.judges.scaling import disruption_problems, scaling_problems
from tests.delivery.judges.scanners import audited, linted, matched, scanned, scanned_workflows
from tests.delivery.judges.schemas import MINORS, schema_problems
from tests.delivery.judges.spelling import spelling_problems
from tests.delivery.judges.workflows import workflow_problems

pytestmark = pytest.mark.deploy

PLAN = plan_of(shop, typed="shop")
SPACE = PLAN.namespace
ENVIRONMENTS = tuple(environment.name for environment in shop.deploy.environments)
DURABLES = {name for workload in PLAN.workloads for name in workload.durables}
BESIDE_CHART = ("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
"""Kinds that whoever owns the cluster applies, and not the chart of one system."""
OUTSIDE = (f"ClusterIssuer/{shop.deploy.issuer}", f"ClusterSecretStore/{shop.deploy.store}")


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    """Each environment of the shop."""
    return str(request.param)


@pytest.fixture
def manifests(deploy: Path, environment: str) -> list[Object]:
    """The objects of an environment."""
    return objects_of(deploy / "kubernetes" / environment)


@pytest.mark.parametrize("minor", MINORS)
def test_manifests_match_the_schemas(manifests: list[Object], minor: str) -> None:
    """Of each version, and those of the custom kinds; no kind is unknown."""
    assert [line for item in manifests for line in schema_problems(item, minor)] == []


@pytest.mark.parametrize("minor", RELEASES)
def test_kubectl_decodes_manifests(manifests: list[Object], minor: str) -> None:
    """Into its own types."""
    assert decoding_problems(manifests, minor) == []


def known_metrics() -> set[str]:
    """Return the names that a scrape of Holdfast has, and what Prometheus adds."""
    parts = ("", "_bucket", "_count", "_sum")
    return {name + part for name in CATALOGUE for part in parts} | {"up"}


IN_CLEAR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "monitor")
"""Variables of those who have no identity, and the port of NATS that KEDA and probes ask."""

CHECKS: list[Callable[[list[Object]], list[str]]] = [
    *(security_problems, probe_problems, resource_problems, quantity_problems),
    *(policy_problems, half_open, disruption_problems, name_problems, port_problems),
    *(secret_problems, rule_problems, choice_problems),
    partial(ending_problems, drain_s=DRAIN_S),
    partial(identity_problems, names={MIGRATE: MIGRATOR}, apart=IN_CLEAR),
    partial(reference_problems, outside=OUTSIDE),
    partial(scaling_problems, durables=DURABLES),
    partial(query_problems, known=known_metrics()),
    partial(nats_problems, POD_NAME="nats-0"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_manifests_make_sense(
    manifests: list[Object], check: Callable[[list[Object]], list[str]]
) -> None:
    """What the tools above leave green."""
    assert check(manifests) == []


def test_manifests_are_read_alike_by_all(deploy: Path, environment: str) -> None:
    """kubectl reads what Python reads, and no word has two meanings."""
    folder = deploy / "kubernetes" / environment

    assert differences(objects_of(folder), read_by_kubectl(folder)) == []
    assert [line for file in folder.iterdir() for line in spelling_problems(file.read_text())] == []


def test_the_overlay_is_the_manifests(
    deploy: Path, environment: str, manifests: list[Object]
) -> None:
    """What Kustomize builds is equal to them as objects, and each of its entries does something."""
    overlay = deploy / "kustomize" / "overlays" / environment

    assert differences(manifests, kustomized(overlay)) == []
    assert idle_entries(overlay) == []


@pytest.mark.parametrize("minor", RELEASES)
def test_the_chart_is_the_manifests(
    deploy: Path, environment: str, manifests: list[Object], minor: str
) -> None:
    """By the official Helm of three releases, with the environment's values."""
    chart = deploy / "helm" / shop.name
    values = chart / f"values-{environment}.yaml"
    wanted = [item for item in manifests if item["kind"] not in BESIDE_CHART]

    assert differences(wanted, templated(chart, values, namespace=SPACE, minor=minor)) == []


def test_the_chart_takes_no_value_that_it_does_not_know(deploy: Path, tmp_path: Path) -> None:
    """A misspelt value would otherwise be nothing, silently."""
    chart = deploy / "helm" / shop.name
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("imege: registry.example.com/shop\n")

    with pytest.raises(ChartError, match="imege"):
        templated(chart, chart / "values-production.yaml", wrong, namespace=SPACE)


def ways_of(flow: Flow, items: list[Object], environment: str) -> set[Way]:
    """Return the ways that a flow of the plan needs, in the names of the manifests."""
    [place] = [one for one in shop.deploy.environments if one.name == environment]
    outside = {
        ENTRY: f"{ENVOY_NAMESPACE}/*",
        MONITORING: f"{shop.deploy.monitoring_namespace}/*",
    }
    names = {pod.owner["metadata"]["name"] for pod in pods_of(items)}
    owner = {MIGRATE: next(name for name in names if name.startswith(MIGRATE))}
    sender = outside.get(flow.sender, f"{SPACE}/{owner.get(flow.sender, flow.sender)}")
    if flow.receiver == POSTGRES and place.databases == "managed":
        return {Way(sender, block, flow.port) for block in place.database_networks}
    if flow.receiver in {external.name for external in PLAN.externals}:
        assert flow.receiver in place.urls and place.urls[flow.receiver].startswith("https://")
        return {Way(sender, "0.0.0.0/0", 443)}  # but for private networks
    return {Way(sender, f"{SPACE}/{flow.receiver}", flow.port)}


def beside_the_plan(items: list[Object]) -> set[Way]:
    """Return the ways that servers need among themselves, and all need to find each other."""
    dns = "kube-system/k8s-app=kube-dns"
    kinds = ("Cluster", "Deployment", "StatefulSet", "Job")
    actors = [f"{SPACE}/{item['metadata']['name']}" for item in of_kind(items, *kinds)]
    found = {Way(actor, dns, 53, protocol) for actor in actors for protocol in ("TCP", "UDP")}
    found |= {
        Way(f"{SPACE}/{NATS}", f"{SPACE}/{NATS}", 6222),
        Way(f"{shop.deploy.keda_namespace}/*", f"{SPACE}/{NATS}", 8222),
        Way(f"{SPACE}/{COLLECTOR}", f"{shop.deploy.monitoring_namespace}/*", 4317),
    }
    if of_kind(items, "Cluster"):
        database, private = f"{SPACE}/{POSTGRES}", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        found |= {Way(database, block, port) for block in private for port in (443, 6443)}
        found |= {
            Way(sender, database, port)
            for sender in ("cnpg-system/*", database)
            for port in (5432, 8000)
        }
    return found


def test_an_edge_of_the_graph_is_an_edge_of_the_network(
    manifests: list[Object], environment: str
) -> None:
    """In both directions: no way is missing, and none is open that no edge needs."""
    wanted = beside_the_plan(manifests).union(
        *(ways_of(flow, manifests, environment) for flow in PLAN.flows)
    )

    assert way_problems(manifests, wanted) == []


def test_services_reach_each_other_as_the_graph_says(manifests: list[Object]) -> None:
    """Counted from the graph itself, without the plan: who asks whom over HTTP."""
    services = {*shop.graph().services, GATEWAY}
    asked = {
        (edge.sender, edge.receiver)
        for edge in shop.graph().edges
        if edge.kind in ("route", "mount", "query")
    }
    open_between = {
        (way.sender.partition("/")[2], way.receiver.partition("/")[2]) for way in ways(manifests)
    }

    found = {(one, two) for one, two in open_between if {one, two} <= services}
    assert found == asked | {(GATEWAY, "users")}  # which has the keys of tokens


def known_variables() -> dict[str, set[str]]:
    """Return {workload: the variables that its process reads}."""
    fixed = {value for name, value in vars(variables).items() if name.isupper()}
    fixed |= {variable_name(variables.OURS, name) for name in ProcessSettings.model_fields}
    fixed |= {variable_name(variables.OTEL, name) for name in OtelSettings.model_fields}
    urls = {variables.url_variable(external.name) for external in PLAN.externals}
    found = {}
    for workload in PLAN.workloads:
        own = {variables.database_variable(name) for name in workload.databases}
        if workload.name in shop.graph().services:
            own |= {
                variable_name(workload.name, name)
                for kind in settings_of(shop.service(workload.name))
                for name in kind.model_fields
            }
        found[workload.name] = fixed | urls | own
    return found


def test_pods_are_told_what_their_processes_read(manifests: list[Object]) -> None:
    """A variable that nothing reads is misspelt, or left over."""
    told = variables_of_pods(manifests)

    assert environment_problems(told, known_variables()) == []
    assert told.keys() >= {workload.name for workload in PLAN.workloads}


def test_the_clusters_policy_admits_digests_alone(manifests: list[Object]) -> None:
    """Its expressions, evaluated on the rendered pods, and on the same with a tag."""
    [policy] = of_kind(manifests, "ValidatingAdmissionPolicy")
    pods = list(pods_of(manifests))
    assert len(pods) > 8

    for pod in pods:
        assert admitted(policy, {"spec": pod.spec}), pod.name
        containers = [{**pod.spec["containers"][0], "image": "shop:1.0"}]
        assert not admitted(policy, {"spec": {**pod.spec, "containers": containers}}), pod.name
        assert not admitted(policy, {"spec": {**pod.spec, "initContainers": containers}}), pod.name


def test_checkov_accepts_manifests(deploy: Path, environment: str) -> None:
    """But for what `PASSED_OVER` says, with the reason."""
    assert scanned(deploy / "kubernetes" / environment, "kubernetes") == []


def test_the_image_is_accepted(deploy: Path) -> None:
    """By hadolint at every level, and by checkov."""
    assert linted(deploy / "image" / "Dockerfile", "docker.io") == []
    assert scanned(deploy / "image", "dockerfile") == []


def test_the_workflow_is_accepted(deploy: Path) -> None:
    """By its schema, by zizmor as an auditor, by checkov, and by what flows between its jobs."""
    workflow = deploy / "ci" / "github" / f"{shop.name}.yml"
    scripts = {f"ci/{file.name}": file.read_text() for file in (deploy / "ci").glob("*.sh")}

    assert matched(workflow, "vendor.github-workflows") == []
    assert audited(workflow) == []
    assert scanned_workflows(workflow) == []
    assert workflow_problems(workflow, scripts=scripts) == []
    assert spelling_problems(workflow.read_text(), keys=frozenset(("on",))) == []


def test_compose_tells_processes_what_pods_are_told(deploy: Path, environment: str) -> None:
    """Variable by variable; a secret is a file in the one and a value in the other."""
    [document] = parsed((deploy / "compose" / "compose.yml").read_text())
    told = {
        name: {variable.removesuffix(variables.file_variable("")) for variable in found}
        for name, found in variables_of_compose(document).items()
    }
    pods = variables_of_pods(objects_of(deploy / "kubernetes" / environment))
    [migrate] = [name for name in pods if name.startswith(MIGRATE)]
    pods[MIGRATE] = pods.pop(migrate)

    processes = {workload.name for workload in PLAN.everything}
    assert told.keys() & pods.keys() >= processes
    assert (
        same_variables(
            {name: told[name] for name in processes},
            {name: pods[name] for name in processes},
            apart=[variables.owner_variable(name) for name in shop.graph().services],
        )
        == []
    )
    assert environment_problems(told, known_variables()) == []
