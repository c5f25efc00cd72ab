"""Configurations in manifests, and variables: what each judge accepts, and what it refuses."""

from typing import Any

import pytest

from tests.delivery.judges.configurations import admitted, nats_problems, rule_problems
from tests.delivery.judges.environment import (
    environment_problems,
    same_variables,
    variables_of_compose,
    variables_of_pods,
)
from tests.delivery.judges.objects import Object, parsed
from tests.delivery.judges.samples import FOLDER, GONE, changed, system

pytestmark = pytest.mark.deploy

CONF = """
server_name: $POD_NAME
jetstream {
  store_dir: /data
}
"""


def nats(conf: str) -> list[Object]:
    """Return a ConfigMap with a configuration of NATS."""
    metadata = {"name": "nats-4f2c", "namespace": "store"}
    data = {"nats.conf": conf}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}]


def test_nats_reads_its_configuration() -> None:
    """With the variables that a pod has."""
    assert nats_problems(nats(CONF), POD_NAME="nats-0") == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("store_dir", "store_dri", "unknown field"),
        ("$POD_NAME", "$PODS_NAME", "PODS_NAME"),
        ("jetstream {", "jetstream", "Error"),
    ],
)
def test_nats_refuses_what_it_does_not_know(right: str, wrong: str, said: str) -> None:
    """A field that is misspelt, a variable that nobody sets, and no syntax."""
    [problem] = nats_problems(nats(CONF.replace(right, wrong)), POD_NAME="nats-0")

    assert said.lower() in problem.lower()


def test_no_configuration_is_no_good_one() -> None:
    """Where it was looked for and is not, something is wrong."""
    assert nats_problems(system()) == ["no configuration of NATS"]


RULE = "spec/groups/0/rules/0"


def test_promtool_reads_rules() -> None:
    """As they are in the objects of the operator."""
    assert rule_problems(system()) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("expr", "sum(rate(holdfast_messages_total[5 minutes]))", "could not parse"),
        ("record", "not a name", "invalid recording rule name"),
        ("labels", {"1st": "a"}, "invalid label name"),
    ],
)
def test_promtool_refuses_rules(field: str, value: object, said: str) -> None:
    """What no schema of the operator looks at."""
    [problem] = rule_problems(changed("PrometheusRule", "store", f"{RULE}/{field}", value))

    assert said in problem


def policy(expression: str) -> Object:
    """Return a policy with one rule, over a variable."""
    variable = {"name": "images", "expression": "object.spec.containers.map(c, c.image)"}
    return {"spec": {"variables": [variable], "validations": [{"expression": expression}]}}


@pytest.mark.parametrize(("image", "goes"), [("a@sha256:1", True), ("a:1", False)])
def test_a_policy_is_evaluated(image: str, goes: bool) -> None:
    """On an object, with its variables."""
    digests = policy("variables.images.all(i, i.contains('@sha256:'))")

    assert admitted(digests, {"spec": {"containers": [{"image": image}]}}) is goes


def test_variables_of_pods_are_those_of_their_sources_too() -> None:
    """ConfigMaps and Secrets are opened; of a Secret that is fetched, its keys."""
    fetched = changed(
        *("Deployment", "orders", "spec/template/spec/containers/0/envFrom/-"),
        {"secretRef": {"name": "orders-database"}},
    )

    assert variables_of_pods(system()) == {
        "orders": {"BROKER_URL", "STOCK_URL", "ORDERS_DATABASE_URL"},
        "stock": {"BROKER_URL"},
    }
    assert variables_of_pods(fetched)["orders"] >= {"url"}


def test_a_template_says_what_a_secret_has() -> None:
    """What External Secrets fetches for it is not in it by itself."""
    items = changed(
        *("ExternalSecret", "orders-database", "spec/target/template"),
        {"data": {"ORDERS_DATABASE_URL": "postgresql://orders:{{ .url }}@database"}},
    )
    from_secret: Any = [{"secretRef": {"name": "orders-database"}}]
    for item in items:
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "orders":
            item["spec"]["template"]["spec"]["containers"][0]["envFrom"] = from_secret
            item["spec"]["template"]["spec"]["containers"][0]["env"] = []

    assert variables_of_pods(items)["orders"] == {"ORDERS_DATABASE_URL"}


def test_a_variable_that_nothing_reads_is_refused() -> None:
    """It is misspelt, or left over."""
    told = variables_of_pods(system())

    assert environment_problems(told, {"stock": {"BROKER_URL", "REDIS_URL"}}) == []
    assert environment_problems(told, {"stock": {"BROKERS_URL"}}) == [
        "stock: sets BROKER_URL, which nothing reads"
    ]


def test_compose_and_pods_tell_the_same() -> None:
    """Process by process, but for what is said to be apart."""
    [document] = parsed((FOLDER / "compose.yaml").read_text())
    told = variables_of_compose(document)
    pods = variables_of_pods(changed("ConfigMap", "orders-4f2c", "data/STOCK_URL", GONE))

    assert told["orders"] == {"BROKER_URL"}
    assert same_variables(told, pods, apart=("ORDERS_DATABASE_URL",)) == []
    assert same_variables(told, pods) == ["orders: ORDERS_DATABASE_URL is on one side alone"]
