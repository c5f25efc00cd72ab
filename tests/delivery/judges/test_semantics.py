"""What every tool leaves green, our own checks refuse; and they accept the sample."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.delivery.judges.choices import choice_problems
from tests.delivery.judges.environment import secret_problems
from tests.delivery.judges.identities import identity_problems
from tests.delivery.judges.metrics import query_problems
from tests.delivery.judges.names import name_problems, port_problems
from tests.delivery.judges.network import half_open, policy_problems
from tests.delivery.judges.objects import Object
from tests.delivery.judges.pods import (
    ending_problems,
    probe_problems,
    resource_problems,
    security_problems,
)
from tests.delivery.judges.quantities import quantity_problems
from tests.delivery.judges.references import reference_problems
from tests.delivery.judges.samples import GONE, changed, system
from tests.delivery.judges.scaling import disruption_problems, scaling_problems

pytestmark = pytest.mark.deploy

Check = Callable[[list[Object]], list[str]]

endings = partial(ending_problems, drain_s=30)
scaling = partial(scaling_problems, durables={"orders", "stock"})
queries = partial(query_problems, known={"holdfast_messages_total"})

CHECKS: list[Check] = [
    *(security_problems, endings, probe_problems, resource_problems, quantity_problems),
    *(policy_problems, half_open, reference_problems, scaling, disruption_problems),
    *(name_problems, port_problems, queries, secret_problems, choice_problems),
    identity_problems,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_sample_is_accepted(check: Check) -> None:
    """By every check; so what the tests below find is what they broke."""
    assert check(system()) == []


POD = "spec/template/spec"
BOX = f"{POD}/containers/0"
ORDERS, STOCK = ("Deployment", "orders"), ("Deployment", "stock")
POLICY, SCALED = ("NetworkPolicy", "stock"), ("ScaledObject", "stock")
BUDGET, ROUTE = ("PodDisruptionBudget", "orders"), ("HTTPRoute", "store")
SERVICE, SECRET = ("Service", "orders"), ("ExternalSecret", "orders-database")
WHO, SCRAPED = ("Certificate", "orders-identity"), ("ServiceMonitor", "store")

REFUSED = [
    # A container's own word goes before the pod's.
    (security_problems, ORDERS, f"{BOX}/securityContext/runAsNonRoot", False, "runAsNonRoot"),
    (security_problems, ORDERS, f"{BOX}/securityContext/runAsUser", 0, "runAsUser"),
    (
        *(security_problems, ORDERS, f"{BOX}/securityContext/seccompProfile"),
        *({"type": "Unconfined"}, "no seccomp profile"),
    ),
    (security_problems, ORDERS, f"{BOX}/securityContext/privileged", True, "privileged"),
    (security_problems, ORDERS, f"{BOX}/securityContext/capabilities/drop", [], "not dropped"),
    (
        *(security_problems, ORDERS, f"{BOX}/securityContext/capabilities/add"),
        *(["NET_RAW"], "capabilities are added"),
    ),
    (
        *(security_problems, ORDERS, f"{BOX}/securityContext/readOnlyRootFilesystem"),
        *(GONE, "readOnlyRootFilesystem"),
    ),
    (
        *(security_problems, ORDERS, f"{BOX}/securityContext/allowPrivilegeEscalation"),
        *(GONE, "allowPrivilegeEscalation"),
    ),
    (security_problems, ORDERS, f"{BOX}/ports/0/hostPort", 80, "hostPort"),
    (
        *(security_problems, ORDERS, f"{POD}/initContainers"),
        *([{"name": "wait", "image": "x"}], "wait: allowPrivilegeEscalation"),
    ),
    (security_problems, ORDERS, f"{POD}/hostNetwork", True, "hostNetwork"),
    (security_problems, ORDERS, f"{POD}/automountServiceAccountToken", GONE, "automount"),
    (security_problems, ORDERS, f"{POD}/serviceAccountName", GONE, "service account"),
    (security_problems, ORDERS, f"{POD}/volumes/0/emptyDir/sizeLimit", GONE, "sizeLimit"),
    (
        *(security_problems, ORDERS, f"{POD}/volumes/-"),
        *({"name": "root", "hostPath": {"path": "/"}}, "hostPath"),
    ),
    # How a pod ends.
    (endings, ORDERS, f"{BOX}/lifecycle/preStop/sleep/seconds", -5, "sleeps -5 s"),
    (endings, ORDERS, f"{BOX}/lifecycle/preStop/sleep/seconds", 15, "killed after 45 s"),
    (endings, ORDERS, f"{POD}/terminationGracePeriodSeconds", GONE, "killed after 30 s"),
    (endings, ORDERS, f"{BOX}/lifecycle/preStop/exec", {"command": ["true"]}, "takes one"),
    (probe_problems, ORDERS, f"{BOX}/readinessProbe", GONE, "no readinessProbe"),
    (probe_problems, ORDERS, f"{BOX}/readinessProbe/httpGet/port", "opps", "opps"),
    (probe_problems, ORDERS, f"{BOX}/livenessProbe/httpGet/path", "/readyz", "liveness asks"),
    (probe_problems, ORDERS, f"{BOX}/readinessProbe/timeoutSeconds", 5, "longer than its period"),
    # Quantities.
    (resource_problems, ORDERS, f"{BOX}/resources/requests/memory", "1Gi", "asks 1Gi"),
    (resource_problems, ORDERS, f"{BOX}/resources/limits/memory", "128Mib", "no quantity"),
    (resource_problems, ORDERS, f"{BOX}/resources/limits", GONE, "no limit of memory"),
    (resource_problems, ORDERS, f"{BOX}/resources/requests/cpu", GONE, "no request of cpu"),
    (
        resource_problems,
        ORDERS,
        f"{BOX}/resources",
        {"requests": {"cpu": 1, "memory": "128m"}, "limits": {"memory": "128m"}},
        "unit missing",
    ),
    (quantity_problems, ORDERS, f"{POD}/volumes/0/emptyDir/sizeLimit", "64MB", "no quantity"),
    (quantity_problems, ORDERS, f"{BOX}/resources/requests/cpu", "100 m", "no quantity"),
    # Policies.
    (policy_problems, POLICY, "spec/podSelector", GONE, "no podSelector"),
    (policy_problems, POLICY, "spec/policyTypes", GONE, "no policyTypes"),
    (policy_problems, POLICY, "spec/policyTypes", ["Egress"], "does not name Ingress"),
    (policy_problems, POLICY, "spec/ingress/0/from", [], "it is anybody"),
    (policy_problems, POLICY, "spec/ingress/0/from", GONE, "it is anybody"),
    (policy_problems, POLICY, "spec/ingress/0/ports", GONE, "every port"),
    (
        *(policy_problems, POLICY, "spec/ingress/0/from/0"),
        *({"ipBlock": {"cidr": "0.0.0.0/0"}}, "everywhere"),
    ),
    (
        *(policy_problems, POLICY, "spec/ingress/0/from/0"),
        *({"namespaceSelector": {}}, "every pod of every namespace"),
    ),
    (
        *(policy_problems, ("NetworkPolicy", "default-deny"), "spec/policyTypes"),
        *(["Ingress"], "no default deny"),
    ),
    (half_open, POLICY, "spec/ingress/0/ports/0/port", "ops", "only the"),
    (half_open, ("NetworkPolicy", "orders"), "spec/egress", [], "only the receiver"),
    # References.
    (reference_problems, SERVICE, "spec/selector", {"app": "order"}, "selects no pod"),
    (reference_problems, SERVICE, "spec/ports/0/targetPort", "https", "no container declares"),
    (reference_problems, ORDERS, "spec/selector/matchLabels", {"app": "x"}, "its own pods"),
    (reference_problems, ORDERS, f"{BOX}/volumeMounts/0/name", "scratsh", "which is no volume"),
    (reference_problems, ORDERS, f"{BOX}/volumeMounts", [], "mounted nowhere"),
    (reference_problems, ORDERS, f"{BOX}/envFrom/0/configMapRef/name", "orders", "no ConfigMap"),
    (reference_problems, ORDERS, f"{BOX}/env/0/valueFrom/secretKeyRef/key", "uri", "no key uri"),
    (reference_problems, ORDERS, f"{BOX}/env/-", {"name": "ORDERS_DATABASE_URL"}, "said twice"),
    (reference_problems, ORDERS, f"{POD}/serviceAccountName", "order", "no ServiceAccount order"),
    (
        *(reference_problems, ORDERS, f"{POD}/topologySpreadConstraints/0/labelSelector"),
        *({"matchLabels": {"app": "x"}}, "spreads over"),
    ),
    (reference_problems, SECRET, "spec/target/name", "orders-db", "no Secret orders-database"),
    (reference_problems, SECRET, "spec/secretStoreRef/name", "vault", "no SecretStore vault"),
    (reference_problems, ROUTE, "spec/parentRefs/0/name", "shop", "no Gateway shop"),
    (reference_problems, ROUTE, "spec/parentRefs/0/sectionName", "http", "no listener http"),
    (reference_problems, ROUTE, "spec/hostnames/0", "shop.example.com", "no listener is for"),
    (reference_problems, ROUTE, "spec/rules/0/backendRefs/0/name", "order", "no Service order"),
    (reference_problems, ROUTE, "spec/rules/0/backendRefs/0/port", 80, "has no port 80"),
    (reference_problems, POLICY, "spec/podSelector/matchLabels", {"app": "x"}, "selects no pod"),
    (reference_problems, ("Certificate", "store"), "spec/secretName", "tls", "no Secret store-tls"),
    (reference_problems, ("Database", "orders"), "spec/cluster/name", "pg", "no Cluster pg"),
    (reference_problems, ("Application", "store"), "spec/project", "shop", "no AppProject shop"),
    # Scaling and disruption.
    (scaling, SCALED, "metadata/name", "s" * 55, "over 54 characters"),
    (scaling, SCALED, "spec/triggers/0/metadata/consumer", "stocks", "no durable consumer"),
    (scaling, SCALED, "spec/scaleTargetRef/name", "orders", "scaled by"),
    (scaling, SCALED, "spec/fallback", GONE, "no fallback"),
    (scaling, SCALED, "spec/minReplicaCount", 9, "more than maxReplicaCount"),
    (scaling, STOCK, "spec/replicas", 3, "says replicas"),
    (scaling, ORDERS, f"{BOX}/resources/requests/cpu", GONE, "requests none"),
    (
        *(scaling, ("VerticalPodAutoscaler", "orders"), "spec/updatePolicy/updateMode"),
        *("InPlaceOrRecreate", "must be Off"),
    ),
    (
        *(scaling, ("HorizontalPodAutoscaler", "orders"), "spec/scaleTargetRef/name"),
        *("order", "there is no Deployment store/order"),
    ),
    (disruption_problems, BUDGET, "spec/minAvailable", 1, "the API server takes one"),
    (disruption_problems, BUDGET, "spec/maxUnavailable", GONE, "neither"),
    (disruption_problems, BUDGET, "spec/maxUnavailable", "1", "is a text"),
    (disruption_problems, BUDGET, "spec/maxUnavailable", 0, "nothing be moved"),
    (disruption_problems, BUDGET, "spec/selector", GONE, "protects nothing"),
    (disruption_problems, BUDGET, "spec/selector", {}, "protects nothing"),
    (
        disruption_problems,
        BUDGET,
        "spec",
        {"minAvailable": 2, "selector": {"matchLabels": {"app.kubernetes.io/name": "orders"}}},
        "keeps 2 of 2",
    ),
    # Names.
    (name_problems, SERVICE, "metadata/name", "2orders", "no name of that kind"),
    (name_problems, ORDERS, "metadata/name", "Orders_1", "no name of that kind"),
    (name_problems, ORDERS, "metadata/labels", {"app": True}, "no value of a label"),
    (name_problems, ORDERS, "metadata/namespace", GONE, "no namespace"),
    (name_problems, ("Namespace", "store"), "metadata/namespace", "store", "in none"),
    (name_problems, SERVICE, "metadata/name", "stock", "stands there twice"),
    (port_problems, ORDERS, f"{BOX}/ports/0/containerPort", 80800, "is no port"),
    (port_problems, ORDERS, f"{BOX}/ports/0/name", "http-of-the-service", "no name of a port"),
    (port_problems, ORDERS, f"{BOX}/ports/1/name", "http", "two ports are http"),
    (port_problems, ORDERS, f"{BOX}/env/0/name", "ORDERS-URL", "no name of a variable"),
    (port_problems, SERVICE, "spec/ports/0/name", GONE, "each has a name"),
    # Words of a list, and nothing.
    (choice_problems, ORDERS, f"{BOX}/imagePullPolicy", "Sometimes", "it takes Always"),
    (choice_problems, SERVICE, "spec/trafficDistribution", "PreferNear", "it takes PreferClose"),
    (choice_problems, BUDGET, "spec/unhealthyPodEvictionPolicy", "Always", "it takes AlwaysAllow"),
    (choice_problems, POLICY, "spec/policyTypes", ["ingress"], "it takes Egress, Ingress"),
    (choice_problems, ORDERS, f"{POD}/nodeSelector", None, "nodeSelector is null"),
    # Queries and secrets.
    (
        *(queries, ("PrometheusRule", "store"), "spec/groups/0/rules/0/expr"),
        *("sum(rate(holdfast_message_total[5m]))", "nobody writes holdfast_message_total"),
    ),
    (
        *(queries, ("PrometheusRule", "store"), "spec/groups/0/rules/0/expr"),
        *("sum(rate(holdfast_messages_total)", "sum(rate"),
    ),
    (
        *(queries, ("AnalysisTemplate", "orders"), "spec/metrics/0/provider/prometheus/query"),
        *('errors{service="{{args.service}}"}', "nobody writes errors"),
    ),
    (
        *(secret_problems, ORDERS, f"{BOX}/env/0"),
        *({"name": "DATABASE_URL", "value": "postgresql://a:b@c/d"}, "holds a secret"),
    ),
    (
        *(secret_problems, ("ConfigMap", "orders-4f2c"), "data/API_KEY"),
        *("abc", "holds a secret"),
    ),
    # Identities.
    (
        *(identity_problems, WHO, "spec/uris/0"),
        *("spiffe://store/stock", "its common name is orders, and its URI says stock"),
    ),
    (identity_problems, WHO, "spec/uris/-", "spiffe://store/stock", "2 URIs"),
    (
        *(identity_problems, ("Certificate", "metrics-identity"), "spec/uris/0"),
        *("spiffe://store/orders", "2 certificates say so"),
    ),
    (identity_problems, WHO, "spec/dnsNames/0", "orders.store.svc", "first DNS name"),
    (identity_problems, WHO, "spec/duration", "2160h", "not for an hour"),
    (identity_problems, WHO, "spec/duration", GONE, "no duration"),
    (identity_problems, WHO, "spec/renewBefore", "1m", "renewed 60 s before"),
    (identity_problems, WHO, "spec/privateKey/rotationPolicy", "Never", "never another one"),
    (identity_problems, WHO, "spec/privateKey/algorithm", "RSA", "its key is RSA"),
    (identity_problems, WHO, "spec/usages", ["server auth"], "not for servers and clients"),
    (
        *(identity_problems, ORDERS, f"{POD}/volumes/1/secret/secretName"),
        *("metrics-identity", "it can be metrics, and is orders"),
    ),
    (identity_problems, ORDERS, f"{POD}/volumes/1/secret/defaultMode", 0o444, "every user may"),
    (identity_problems, ORDERS, f"{POD}/volumes/1/secret/defaultMode", GONE, "every user may"),
    (
        *(identity_problems, ORDERS, f"{POD}/volumes/1"),
        *({"name": "identity", "emptyDir": {}}, "does not have the identity of orders"),
    ),
    (identity_problems, ORDERS, f"{POD}/securityContext/fsGroup", GONE, "no fsGroup"),
    (identity_problems, ORDERS, f"{BOX}/volumeMounts/1/readOnly", GONE, "not mounted read-only"),
    (identity_problems, ORDERS, f"{BOX}/volumeMounts/1/subPath", "tls.key", "never another file"),
    (identity_problems, ORDERS, f"{BOX}/readinessProbe/httpGet/scheme", GONE, "asks in clear"),
    (
        *(identity_problems, ("ConfigMap", "orders-4f2c"), "data/BROKER_URL"),
        *("tls://one:4222,nats://two:4222", "BROKER_URL is in clear"),
    ),
    (
        *(identity_problems, ORDERS, f"{BOX}/env/0"),
        *({"name": "A_URL", "value": "http://stock"}, "A_URL is in clear"),
    ),
    (identity_problems, SCRAPED, "spec/endpoints/0/scheme", GONE, "asked for in clear"),
    (
        *(identity_problems, SCRAPED, "spec/endpoints/0/tlsConfig/insecureSkipVerify"),
        *(True, "whoever answers is believed"),
    ),
    (identity_problems, SCRAPED, "spec/endpoints/0/tlsConfig/keySecret", GONE, "prove who asks"),
    (
        *(reference_problems, SCRAPED, "spec/endpoints/0/tlsConfig/keySecret/name"),
        *("nobody", "no Secret nobody"),
    ),
    (
        *(reference_problems, ("Issuer", "identities"), "spec/ca/secretName"),
        *("nobody", "no Secret nobody"),
    ),
]
"""(check, kind and name, field, wrong value, what is said)."""


@pytest.mark.parametrize(("check", "of", "path", "value", "said"), REFUSED)
def test_what_is_broken_is_refused(
    check: Check, of: tuple[str, str], path: str, value: object, said: str
) -> None:
    """One field is wrong, which the schemas may accept, and the check names it."""
    problems = check(changed(*of, path, value))

    assert any(said in problem for problem in problems), problems


def test_every_check_has_a_broken_sample() -> None:
    """A check that refuses nothing is none."""
    assert {id(check) for check in CHECKS} == {id(check) for check, *_ in REFUSED}
