"""What the test kubelet decides, without a cluster: policies, names, probes, roll-outs."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509

from tests.delivery.kubelet.cert_manager import CertManager
from tests.delivery.kubelet.cgroups import Limits
from tests.delivery.kubelet.containers import NotStartable, Told, launch
from tests.delivery.kubelet.dns import answer
from tests.delivery.kubelet.images import Image
from tests.delivery.kubelet.manifests import Object, Objects, parse
from tests.delivery.kubelet.node import Node, NoNode, needs_root
from tests.delivery.kubelet.operators import carried_out, secret_of
from tests.delivery.kubelet.policies import PodAt, World, filter_table
from tests.delivery.kubelet.probes import Health, Streak, Timing
from tests.delivery.kubelet.quantities import share, whole
from tests.delivery.kubelet.rollout import (
    Member,
    Step,
    deployment_step,
    stateful_step,
    template_hash,
)
from tests.delivery.kubelet.sandbox import Sandbox
from tests.delivery.kubelet.services import ServiceAt, endpoints, links, names, nat_table
from tests.delivery.kubelet.workloads import pod_of, replicas_of
from tests.delivery.selectors import matches

WEB = PodAt("shop", "web-0", "10.1.0.1", {"app": "web"}, {"http": ("TCP", 8000)})
STORE = PodAt(
    "shop", "store-0", "10.1.0.2", {"app": "store"}, {"sql": ("TCP", 5432)}, True, "store-0", "all"
)
SPY = PodAt("other", "spy-0", "10.1.0.3", {"app": "web"})
NAMESPACES = {n: {"kubernetes.io/metadata.name": n} for n in ("shop", "other")}


def policy(text: str) -> Object:
    """Return a NetworkPolicy of the shop with a spec."""
    (spec,) = parse(text)
    return {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec}


def rules_of(chain: str, *policies: Object) -> list[str]:
    """Return what a chain of the table has; none, if there is no such chain."""
    table = filter_table(World(list(policies), NAMESPACES, [WEB, STORE, SPY]))
    _, found, rest = table.partition(f"chain {chain} {{\n")
    lines = rest.partition("  }\n")[0].splitlines() if found else []
    return [line.strip() for line in lines if line.strip()]


REJECT = "reject with icmp type admin-prohibited"


@pytest.mark.parametrize(
    ("spec", "chain", "rules"),
    [
        ("{podSelector: {}}", "ingress_10_1_0_1", [REJECT]),
        ("{podSelector: {}}", "egress_10_1_0_1", []),
        ("{podSelector: {}}", "ingress_10_1_0_3", []),
        ("{podSelector: {}, policyTypes: [Egress]}", "egress_10_1_0_1", [REJECT]),
        ("{podSelector: {matchLabels: {app: web}}}", "ingress_10_1_0_2", []),
        ("{podSelector: {}, ingress: [{}]}", "ingress_10_1_0_1", ["return", REJECT]),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
            "ingress_10_1_0_2",
            ["ip saddr { 10.1.0.1 } return", REJECT],
        ),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, "
            "podSelector: {matchLabels: {app: web}}}], ports: [{port: sql}]}]}",
            "ingress_10_1_0_2",
            ["ip saddr { 10.1.0.1, 10.1.0.3 } tcp dport 5432 return", REJECT],
        ),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: sql}]}]}",
            "ingress_10_1_0_1",
            [REJECT],
        ),
        (
            "{podSelector: {}, egress: [{to: [{podSelector: {}}], ports: [{port: sql}]}]}",
            "egress_10_1_0_1",
            ["ip daddr 10.1.0.2 tcp dport 5432 return", REJECT],
        ),
        (
            "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}],"
            " ports: [{port: 443, endPort: 445}, {port: 53, protocol: UDP}]}]}",
            "egress_10_1_0_1",
            [
                "ip daddr 0.0.0.0/0 ip daddr != { 10.0.0.0/8 } tcp dport 443-445 return",
                "ip daddr 0.0.0.0/0 ip daddr != { 10.0.0.0/8 } udp dport 53 return",
                REJECT,
            ],
        ),
        (
            "{podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: nobody}}}]}]}",
            "egress_10_1_0_1",
            [REJECT],
        ),
    ],
)
def test_a_policy_is_what_packets_are_judged_by(
    spec: str, chain: str, rules: Sequence[str]
) -> None:
    """Who is selected is held to what is allowed; whoever is not may do as before."""
    assert rules_of(chain, policy(spec)) == rules


def service(text: str, address: str = "10.96.1.1") -> ServiceAt:
    """Return a Service of the shop with a spec."""
    (spec,) = parse(text)
    declared = {"kind": "Service", "metadata": {"name": "all", "namespace": "shop"}, "spec": spec}
    return ServiceAt(declared, address)


def test_a_service_leads_to_its_ready_pods() -> None:
    """By the number or the name of the pod's own port; others of the labels are elsewhere."""
    web = service("{selector: {app: web}, ports: [{port: 80, targetPort: http}]}")
    ill = PodAt("shop", "web-1", "10.1.0.9", {"app": "web"}, {"http": ("TCP", 8000)}, ready=False)

    assert endpoints(web, [WEB, STORE, SPY, ill]) == [WEB]
    assert (
        "ip daddr 10.96.1.1 tcp dport 80 dnat to numgen random mod 1 map { 0 : 10.1.0.1 . 8000 }"
        in nat_table([web], [WEB, STORE, SPY, ill])
    )


def test_a_service_whose_port_nobody_has_leads_nowhere() -> None:
    """A name that no container declares is no port."""
    web = service("{selector: {app: web}, ports: [{port: 80, targetPort: nothing}]}")

    assert "dnat" not in nat_table([web], [WEB])


def test_a_headless_service_names_its_pods() -> None:
    """Those that are not ready too, if it says so."""
    store = "{clusterIP: None, selector: {app: store}, ports: [{port: 5432}]"
    ill = PodAt("shop", "store-0", "10.1.0.2", {"app": "store"}, {}, False, "store-0", "all")

    found = names([service(store + "}", "")], [STORE])
    assert found == {
        "all.shop.svc.cluster.local": ["10.1.0.2"],
        "store-0.all.shop.svc.cluster.local": ["10.1.0.2"],
    }
    assert names([service(store + "}", "")], [ill]) == {"all.shop.svc.cluster.local": []}
    shown = service(store + ", publishNotReadyAddresses: true}", "")
    assert names([shown], [ill]) == found


def test_services_of_the_namespace_are_variables() -> None:
    """As Docker's links once were: a pod that reads `ALL_PORT` as a number is in for a surprise."""
    found = dict(links([service("{selector: {}, ports: [{port: 80, name: http}]}")], "shop"))

    assert found["ALL_SERVICE_HOST"] == "10.96.1.1"
    assert found["ALL_PORT"] == found["ALL_PORT_80_TCP"] == "tcp://10.96.1.1:80"
    assert found["ALL_SERVICE_PORT_HTTP"] == "80"
    assert dict(links([service("{ports: [{port: 80}]}")], "other")) == {}


def query(name: str, kind: int = 1) -> bytes:
    """Return a question as a resolver sends it."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


@pytest.mark.parametrize(
    ("asked", "code", "addresses"),
    [
        (query("web.shop"), 0, [b"\x0a\x01\x00\x01", b"\x0a\x01\x00\x02"]),
        (query("WEB.Shop"), 0, [b"\x0a\x01\x00\x01", b"\x0a\x01\x00\x02"]),
        (query("web.shop", kind=28), 0, []),
        (query("nobody.shop"), 3, []),
        (b"\0\7garbage", 1, []),
        (query("web.shop")[:-3], 1, []),
    ],
)
def test_names_are_answered(asked: bytes, code: int, addresses: list[bytes]) -> None:
    """A name that has no IPv6 address is not one that does not exist."""
    reply = answer(asked, {"web.shop": ["10.1.0.1", "10.1.0.2"]})
    key, flags, _, count, *_ = struct.unpack_from("!6H", reply)

    assert (key, flags & 0xF, count) == (7, code, len(addresses))
    assert [reply[-16 * n :][12:16] for n in range(count, 0, -1)] == addresses


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        ([False, False], None),
        ([False, False, False], False),
        ([False, False, True, False, False], None),
        ([True], None),
        ([True, True], True),
        ([True, True, False, False], True),
        ([True, True, False, False, False], False),
    ],
)
def test_a_probe_counts_in_a_row(seen: list[bool], holds: bool | None) -> None:
    """What holds goes on to hold until the other threshold is reached."""
    streak = Streak()
    for well in seen:
        streak = streak.seen(well, Timing(to_succeed=2, to_fail=3))

    assert streak.holds is holds


def test_a_container_is_ready_when_its_probes_say_so() -> None:
    """The start-up probe first; a container without probes is ready at once."""
    container = {"startupProbe": {}, "readinessProbe": {}, "livenessProbe": {}}
    yes, no = Streak(True, 1, True), Streak(False, 3, False)
    started = Health.at_start(container).after("startupProbe", yes, container)
    ready = started.after("readinessProbe", yes, container)

    assert Health.at_start({}) == Health(started=True, ready=True)
    assert Health.at_start(container) == Health(started=False, ready=False)
    assert (started, ready) == (Health(True, False), Health(True, True))
    assert ready.after("readinessProbe", no, container) == started
    assert ready.after("livenessProbe", no, container).restart == "livenessProbe failed 3 times"
    assert Health.at_start(container).after("startupProbe", no, container).restart


TEMPLATE: Object = {"spec": {"containers": [{"image": "new"}]}}
NEW, OLD = template_hash(TEMPLATE), "old"


CAREFUL = {"maxSurge": 1, "maxUnavailable": 0}
SPARING = {"maxSurge": 0, "maxUnavailable": 1}
HALF = {"maxSurge": "50%", "maxUnavailable": "50%"}


def members(template: str, *ready: bool) -> list[Member]:
    """Return pods of a template."""
    return [Member(f"{template}-{n}", template, is_ready) for n, is_ready in enumerate(ready)]


@pytest.mark.parametrize(
    ("rolling", "present", "step"),
    [
        (CAREFUL, [], Step(2)),
        (CAREFUL, members(OLD, True, True), Step(1)),
        (CAREFUL, [*members(OLD, True, True), Member("n", NEW, False)], Step()),
        (CAREFUL, [*members(OLD, True, True), Member("n", NEW, True)], Step(0, ("old-0",))),
        (SPARING, members(OLD, True, True), Step(0, ("old-0",))),
        (SPARING, members(OLD, True, False), Step(0, ("old-1",))),
        ({"maxSurge": 0, "maxUnavailable": 0}, members(OLD, True, True), Step(0, ("old-0",))),
        (HALF, members(OLD, True, True), Step(1, ("old-0",))),
        ({}, members(NEW, True, True, True), Step(0, (f"{NEW}-2",))),
    ],
)
def test_a_deployment_replaces_its_pods_within_its_bounds(
    rolling: Object, present: list[Member], step: Step
) -> None:
    """As many new ones as may come, as many old ones as may go, those that are not ready first."""
    spec = {"template": TEMPLATE, "strategy": {"rollingUpdate": rolling}}

    assert deployment_step(spec, 2, present) == step


def test_recreate_ends_all_before_it_begins_any() -> None:
    """Also while the old ones are still ending."""
    spec = {"template": TEMPLATE, "strategy": {"type": "Recreate"}}

    assert deployment_step(spec, 2, members(OLD, True, True)) == Step(0, ("old-0", "old-1"))
    assert deployment_step(spec, 2, [], ending=1) == Step()
    assert deployment_step(spec, 2, []) == Step(2)


@pytest.mark.parametrize(
    ("spec", "present", "step"),
    [
        ({}, [], Step(1)),
        ({}, members(NEW, False), Step()),
        ({}, members(NEW, True), Step(1)),
        ({"podManagementPolicy": "Parallel"}, [], Step(2)),
        ({}, members(OLD, True, True), Step(0, ("old-1",))),
        ({}, members(OLD, False, True), Step()),
        ({}, members(NEW, True, True, True), Step(0, (f"{NEW}-2",))),
    ],
)
def test_a_stateful_set_goes_one_by_one(spec: Object, present: list[Member], step: Step) -> None:
    """Upwards when it grows, downwards when it is replaced."""
    assert stateful_step({"template": TEMPLATE, **spec}, 2, present) == step


def test_pods_of_a_stateful_set_keep_their_claims() -> None:
    """Each by its own name, and each with a host name."""
    workload = {
        "kind": "StatefulSet",
        "metadata": {"name": "store"},
        "spec": {
            "serviceName": "all",
            "template": {"metadata": {"labels": {"app": "store"}}, "spec": {"containers": []}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        },
    }
    pod = pod_of(workload, "store-1")

    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("store-1", "all")
    claim = {"claimName": "data-store-1"}
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": claim}]


def test_a_scaler_owns_how_many_there_are() -> None:
    """Where the workload itself does not say."""
    scaler = parse(
        "{kind: ScaledObject, metadata: {name: s, namespace: shop}, "
        "spec: {scaleTargetRef: {name: web}, minReplicaCount: 3}}"
    )
    web = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {}}

    assert replicas_of(web, Objects(scaler)) == 3
    assert replicas_of(web, Objects([])) == 1
    assert replicas_of({**web, "spec": {"replicas": 2}}, Objects(scaler)) == 2


TOLD = Told("web-0", "shop", "10.1.0.1", "1", {"labels": {"app": "web"}}, {"WEB_PORT": "tcp://x"})
IMAGE = Image(root=None, entrypoint=("serve",), cmd=("--all",), env={"PATH": "/bin"}, user="7:8")


def test_a_container_is_told_what_is_declared() -> None:
    """Variables from maps, secrets and fields; later ones may use earlier ones."""
    objects = Objects(
        parse("""
kind: ConfigMap
metadata: {name: all, namespace: shop}
data: {COLOUR: red}
---
kind: Secret
metadata: {name: password, namespace: shop}
data: {word: c3dvcmRmaXNo}
""")
    )
    (container,) = parse("""
name: web
args: [--for, $(WHOM), $$(WHOM), $(NOBODY)]
envFrom: [{configMapRef: {name: all}, prefix: MY_}]
env:
  - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
  - {name: WORD, valueFrom: {secretKeyRef: {name: password, key: word}}}
  - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
  - {name: WHOM, value: "$(APP)-$(MY_COLOUR)"}
resources: {limits: {memory: 64Mi}}
""")
    made = launch({}, container, IMAGE, objects, TOLD)

    assert made.argv == ("serve", "--for", "web-red", "$(WHOM)", "$(NOBODY)")
    assert (made.uid, made.gid, made.groups) == (7, 8, ())
    assert dict(made.env) == {
        "HOSTNAME": "web-0",
        "PATH": "/bin",
        "WEB_PORT": "tcp://x",
        "MY_COLOUR": "red",
        "APP": "web",
        "WORD": "swordfish",
        "LIMIT": "64",
        "WHOM": "web-red",
    }


def test_a_command_replaces_what_the_image_runs() -> None:
    """Its arguments too; and a pod's user is its containers', unless they have their own."""
    pod = {"enableServiceLinks": False, "securityContext": {"runAsUser": 5, "fsGroup": 9}}
    made = launch(pod, {"name": "w", "command": ["sh"]}, IMAGE, Objects([]), TOLD)
    own = {"name": "w", "securityContext": {"runAsUser": 6, "capabilities": {"drop": ["ALL"]}}}

    assert (made.argv, made.uid, made.groups) == (("sh",), 5, (9,))
    assert (made.capabilities, "WEB_PORT" in made.env) == (True, False)
    assert launch(pod, own, IMAGE, Objects([]), TOLD).uid == 6
    assert not launch(pod, own, IMAGE, Objects([]), TOLD).capabilities


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ("{envFrom: [{secretRef: {name: none}}]}", "there is no Secret none in shop"),
        ("{env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}]}", "there is no field"),
        ("{securityContext: {runAsNonRoot: true, runAsUser: 0}}", "its user is root"),
        (
            "{env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]}",
            "w has no limits.cpu",
        ),
    ],
)
def test_what_cannot_be_started_says_why(container: str, reason: str) -> None:
    """A real pod would wait, with the same reason."""
    (declared,) = parse(container)

    with pytest.raises(NotStartable, match=reason):
        launch({}, {"name": "w", **declared}, IMAGE, Objects([]), TOLD)


def test_what_is_optional_may_be_missing() -> None:
    """A map, a secret, and a key of one that is there."""
    (declared,) = parse("""
name: w
envFrom: [{configMapRef: {name: none, optional: true}}]
env:
  - {name: A, valueFrom: {secretKeyRef: {name: none, key: a, optional: true}}}
""")

    assert "A" not in launch({}, declared, IMAGE, Objects([]), TOLD).env


@pytest.mark.parametrize(
    ("selector", "labels", "does"),
    [
        (None, {}, False),
        ({}, {"a": "1"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {"a": "1"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
    ],
)
def test_selectors_match_labels(
    selector: Object | None, labels: dict[str, str], does: bool
) -> None:
    """All of their rules; an empty one everything, and none at all nothing."""
    assert matches(selector, labels) is does


def test_a_selector_with_an_unknown_operator_is_refused() -> None:
    """It would match by chance."""
    with pytest.raises(ValueError, match="no operator 'in'"):
        matches({"matchExpressions": [{"key": "a", "operator": "in", "values": []}]}, {})


@pytest.mark.parametrize(
    ("text", "amount"), [("128Mi", 2**27), ("1e3", 1000), ("1500m", 2), ("1G", 10**9), (7, 7)]
)
def test_quantities_are_read(text: str | int, amount: int) -> None:
    """Binary, decimal and of thousandths, rounded up."""
    assert whole(text) == amount


@pytest.mark.parametrize("text", ["128mb", "", "Mi", "1 Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """The API server would, too."""
    with pytest.raises(ValueError, match="is no quantity"):
        whole(text)


EXTERNAL = """
kind: ExternalSecret
metadata: {name: web, namespace: shop}
spec:
  target: {name: made, template: {data: {URL: "db://me:%s@here"}}}
  data: [{secretKey: word, remoteRef: {key: shop/web, property: word}}]
"""


@pytest.mark.parametrize(
    ("action", "word"),
    [
        ("{{ .word }}", "a b+c/"),
        ("{{ .word | urlquery }}", "a+b%2Bc%2F"),
        ('{{ .word | urlquery | replace "+" "%20" }}', "a%20b%2Bc%2F"),
    ],
)
def test_an_external_secret_becomes_one(action: str, word: str) -> None:
    """Its template is filled as Go fills it: a space is a plus, which is none in a password."""
    (external,) = parse(EXTERNAL.replace("%s", action.replace('"', '\\"')))
    made = secret_of(
        external, lambda key, name: "a b+c/" if (key, name) == ("shop/web", "word") else ""
    )

    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("made", "shop")
    assert made["stringData"] == {"URL": f"db://me:{word}@here"}


@pytest.mark.parametrize("action", ["{{ .word | upper }}", "{{ if .word }}"])
def test_a_template_that_says_more_is_refused(action: str) -> None:
    """It would be filled as no operator fills it."""
    (external,) = parse(EXTERNAL.replace("%s", action))

    with pytest.raises(ValueError, match="what is not known here"):
        secret_of(external, lambda key, name: "x")


POSTGRES = """
kind: Cluster
metadata: {name: pg, namespace: shop}
spec:
  certificates: {serverTLSSecret: pg-a, serverCASecret: pg-a, clientCASecret: pg-a}
  managed: {roles: [{name: web, login: true}, {name: web_owner, login: true}]}
  postgresql:
    pg_hba: [hostssl all all all cert map=identities, host all all all reject]
    pg_ident: [identities web web]
---
kind: Database
metadata: {name: web, namespace: shop}
spec: {name: web, owner: web_owner, cluster: {name: pg}}
---
kind: Database
metadata: {name: other, namespace: shop}
spec: {name: other, owner: web, cluster: {name: another}}
"""


def test_a_cluster_of_postgres_becomes_one_behind_its_services() -> None:
    """With its roles, who may be which, the databases that are of it, and the certificate."""
    given = parse(POSTGRES)
    issuing = CertManager(given)
    made = Objects(carried_out(given, store=lambda key, name: "x", issuing=issuing))
    stateful = made.find("StatefulSet", "shop", "pg")

    assert stateful is not None
    spec = stateful["spec"]["template"]["spec"]
    env = {each["name"]: each["value"] for each in spec["containers"][0]["env"]}
    assert env["DATABASES"] == '{"web": "web_owner"}'
    assert env["ROLES"] == '["web", "web_owner"]' and env["IDENT"] == '["identities web web"]'
    assert {"name": "tls", "secret": {"secretName": "pg-a", "defaultMode": 0o440}} in spec[
        "volumes"
    ]
    assert all(made.find("Service", "shop", f"pg-{of}") for of in ("rw", "ro", "r"))


@pytest.mark.parametrize(
    ("rule", "other"),
    [("host all all all reject", "host all all all trust"), ("serverTLSSecret: pg-a, ", "")],
)
def test_a_postgres_that_lets_others_in_is_not_stood_for(rule: str, other: str) -> None:
    """It would be another one than on a cluster."""
    given = parse(POSTGRES.replace(rule, other))

    with pytest.raises((ValueError, KeyError), match=r"not stood for|serverTLSSecret"):
        carried_out(given, store=lambda key, name: "x", issuing=CertManager(given))


ISSUED = """
kind: Issuer
metadata: {name: begin, namespace: shop}
spec: {selfSigned: {}}
---
kind: Certificate
metadata: {name: web, namespace: shop}
spec:
  secretName: web
  commonName: web
  uris: ["spiffe://shop/web"]
  duration: 1h
  renewBefore: 30m
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: begin}
"""


def test_a_certificate_is_what_is_said_of_it() -> None:
    """And another one when it is issued again."""
    issuing = CertManager(parse(ISSUED))
    first = issuing.secrets["shop", "web"]["stringData"]
    (again,) = issuing.rotate_leaves()

    found = x509.load_pem_x509_certificate(first["tls.crt"].encode())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://shop/web"]
    assert found.subject.rfc4514_string() == "CN=web"
    assert again["stringData"]["tls.key"] != first["tls.key"]


@pytest.mark.parametrize(
    ("said", "other"),
    [("1h", "59m"), ("30m", "1h"), ("30m", "1m"), ("ECDSA", "RSA"), ("1h", "an hour")],
)
def test_what_cert_manager_refuses_is_refused(said: str, other: str) -> None:
    """So that no test runs on a certificate that nobody would be given."""
    with pytest.raises(ValueError, match=r"refused|not made|no duration"):
        CertManager(parse(ISSUED.replace(f": {said}", f": {other}")))


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails, and skips nothing: what was not run was not proved."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(NoNode, match="sudo make deploy-test"):
        needs_root()


def test_shares_are_rounded_towards_what_is_safe() -> None:
    """A surge up, what may be missing down."""
    assert (share("25%", 2, up=True), share("25%", 2, up=False), share(3, 2, up=True)) == (1, 0, 3)


async def test_a_program_that_ends_while_it_is_told_to_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Between the look for its process and the signal it may have gone."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(Sandbox, "pid", property(lambda _: ended.pid))
    program = launch({}, {"name": "main", "command": ["true"]}, IMAGE, Objects([]), TOLD)
    sandbox = Sandbox(Node(tmp_path), program, Limits("none", "main"), tmp_path / "log")

    sandbox.signal(signal.SIGCONT)
