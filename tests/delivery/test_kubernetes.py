"""The manifests follow from the declaration: an edge of the graph is an edge of the network."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from holdfast import (
    Command,
    Deploy,
    Environment,
    Event,
    External,
    Gateway,
    Introspection,
    Model,
    Outside,
    Pods,
    Query,
    Read,
    Saga,
    Service,
    Settings,
    System,
    Tokens,
)
from holdfast.delivery.kubernetes import manifests
from holdfast.delivery.kustomize import objects_of
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from holdfast.delivery.plan import plan_of
from holdfast.delivery.templates import Templates
from holdfast.delivery.values import Hole, values_of
from holdfast.errors import DeclarationError
from shop.system import shop

PART = (RenderedPart.KUBERNETES,)


class Weigh(Command[None]):
    """Asks the scale."""

    grams: int


class HowHeavy(Query[int]):
    """Asks what was weighed."""

    id: int


class Weighed(Event):
    """It was weighed."""

    id: int


class ScaleSettings(Settings):
    """What the scale has to know."""

    unit: str
    token: str
    tare_key: str = ""


carrier = External("carrier", "https://carrier.example:8443")


def depot(**deploy: Any) -> System:
    """Return a system that is not the shop: a desk, a scale, and a ledger that only hears."""
    desk = Service("desk", calls=[Weigh, HowHeavy], reaches=[carrier])
    scale = Service("scale", publishes=[Weighed], deploy=Pods(settings={"unit": "g"}))
    ledger = Service("ledger", deploy=Pods(least=3, cpu="1", memory="1Gi", bulk=True))

    @desk.post("/v1/parcels", public=True)
    async def take(body: Model, outside: Outside) -> None: ...

    @desk.saga
    async def send(saga: Saga, parcel: Weigh) -> None: ...

    @scale.handles
    async def weigh(command: Weigh, settings: ScaleSettings) -> None: ...

    @scale.handles
    async def heavy(query: HowHeavy, read: Read) -> int: ...

    @ledger.handles
    async def note(event: Weighed) -> None: ...

    return System("depot", [desk, scale, ledger], Gateway(), deploy=Deploy(**deploy))


def rendered(system: System, environment: str = "production") -> dict[str, list[Any]]:
    """Return {file: objects} of an environment."""
    rendering = rendering_of(system, Path("/nowhere"), typed=system.name)
    below = f"kubernetes/{environment}/"
    return {
        path.removeprefix(below): list(yaml.safe_load_all(text))
        for path, text in render(rendering, PART).items()
        if path.startswith(below)
    }


def of_kind(files: dict[str, list[Any]], kind: str) -> dict[str, Any]:
    """Return {name: object} of one kind."""
    return {
        item["metadata"]["name"]: item
        for items in files.values()
        for item in items
        if item["kind"] == kind
    }


def component(peer: dict[str, Any]) -> str:
    """Return who a peer of a policy is."""
    if "podSelector" in peer:
        labels = peer["podSelector"]["matchLabels"]
        return labels.get("app.kubernetes.io/component") or labels.get("cnpg.io/cluster")
    return ""


def allowed(
    files: dict[str, list[Any]], services: set[str]
) -> dict[str, set[tuple[str, str, int]]]:
    """Return {direction: who may open a connection to whom, and to which port}, among workloads."""
    found: dict[str, set[tuple[str, str, int]]] = {"ingress": set(), "egress": set()}
    for policy in of_kind(files, "NetworkPolicy").values():
        me = policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component")
        for way, key in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, ()):
                for peer in rule[key]:
                    who = component(peer)
                    ends = (who, me) if way == "ingress" else (me, who)
                    if services.issuperset(ends):
                        found[way] |= {(*ends, port["port"]) for port in rule["ports"]}
    return found


@pytest.mark.parametrize("system", [shop, depot()], ids=lambda system: system.name)
def test_a_flow_is_allowed_on_both_sides_and_nothing_else_is(system: System) -> None:
    """What the plan says, the sender's policy lets out and the receiver's lets in."""
    plan = plan_of(system, typed=system.name)
    ends = {w.name for w in plan.everything} | {"nats", "redis", "collector"}
    flows = {(f.sender, f.receiver, f.port) for f in plan.flows if ends >= {f.sender, f.receiver}}
    files = rendered(system)

    said = allowed(files, ends)
    between_servers = {("nats", "nats", 6222)}
    assert said["ingress"] - between_servers == flows
    assert said["egress"] - between_servers == flows


def test_an_edge_changes_the_files_of_both_sides_and_no_others() -> None:
    """One more query of payments at inventory."""
    from shop.inventory.messages import GetPrice

    payments = shop.service("payments")
    before = rendered(shop)
    asks = replace(payments, calls=[*payments.calls, GetPrice])
    for name in ("handlers", "routes", "sagas", "jobs", "providers"):
        getattr(asks, name).extend(getattr(payments, name))
    services = [asks if service is payments else service for service in shop.services]
    after = rendered(replace(shop, services=services))

    assert {name for name in after if after[name] != before[name]} == {
        "payments.yaml",
        "inventory.yaml",
    }


def test_nobody_speaks_where_nothing_is_declared() -> None:
    """The default denies both ways for every pod, and only names may be looked up."""
    policies = of_kind(rendered(shop), "NetworkPolicy")
    everywhere = [p for p in policies.values() if p["spec"]["podSelector"] == {}]

    assert {p["metadata"]["name"] for p in everywhere} == {"default-deny", "dns"}
    assert policies["default-deny"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_a_third_party_is_reached_at_its_port_and_not_inside() -> None:
    """By default anywhere but in private networks; where its networks are said, only there."""
    anywhere = of_kind(rendered(depot()), "NetworkPolicy")["desk"]["spec"]["egress"]
    there = of_kind(rendered(depot(networks={"carrier": ["203.0.113.0/24"]})), "NetworkPolicy")

    [rule] = [r for r in anywhere if r["ports"][0]["port"] == 8443]
    assert "10.0.0.0/8" in rule["to"][0]["ipBlock"]["except"]
    [narrow] = [r for r in there["desk"]["spec"]["egress"] if r["ports"][0]["port"] == 8443]
    assert narrow["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]


def test_settings_and_secrets_reach_the_pods_that_read_them() -> None:
    """Values by a ConfigMap whose name changes with them; what is secret from the store."""
    files = rendered(depot())
    [config] = [c for n, c in of_kind(files, "ConfigMap").items() if n.startswith("scale-")]
    secrets = of_kind(files, "ExternalSecret")["scale"]["spec"]

    assert config["data"]["SCALE_UNIT"] == "g"
    assert config["immutable"] is True
    fetched = {entry["secretKey"]: entry["remoteRef"] for entry in secrets["data"]}
    assert fetched["SCALE_TOKEN"] == {
        "key": "depot-production-scale",
        "property": "SCALE_TOKEN",
    }
    assert "SCALE_TARE_KEY" not in fetched  # it has a default, and nobody asks for another
    container = of_kind(files, "Deployment")["scale"]["spec"]["template"]["spec"]["containers"][0]
    named = [next(iter(source.values()))["name"] for source in container["envFrom"]]
    assert named == [config["metadata"]["name"], "scale", "scale-database"]
    database = of_kind(files, "ExternalSecret")["scale-database"]["spec"]["data"]
    assert [entry["secretKey"] for entry in database] == ["SCALE_DATABASE_URL"]


def test_what_may_wait_has_no_pod_and_what_scales_says_how_many() -> None:
    """One scaler for each Deployment, which has no `replicas` of its own."""
    files = rendered(depot())
    scaled = of_kind(files, "ScaledObject")
    hpas = of_kind(files, "HorizontalPodAutoscaler")
    deployments = of_kind(files, "Deployment")

    assert scaled["ledger"]["spec"]["minReplicaCount"] == 0
    assert {t["type"] for t in scaled["ledger"]["spec"]["triggers"]} == {"nats-jetstream"}
    assert scaled["scale"]["spec"]["minReplicaCount"] == 2
    assert set(hpas) == {"gateway"}
    for name in ("gateway", "desk", "scale", "ledger"):
        assert "replicas" not in deployments[name]["spec"]
        assert (name in scaled) != (name in hpas)
    ledger = deployments["ledger"]["spec"]["template"]["spec"]["containers"][0]
    assert ledger["resources"]["limits"]["memory"] == "1Gi"


def test_what_listens_for_nobody_has_no_port() -> None:
    """A service that only hears has its operations alone; one that is asked has both."""
    services = of_kind(rendered(depot()), "Service")

    assert [p["name"] for p in services["ledger"]["spec"]["ports"]] == ["ops"]
    assert [p["name"] for p in services["scale"]["spec"]["ports"]] == ["http", "ops"]


def test_environments_differ_in_what_was_said() -> None:
    """A small one with its own Postgres, and a large one with one of a cloud."""
    small, large = rendered(shop, "staging"), rendered(shop)

    assert set(small) - set(large) == {"postgres.yaml"}
    assert set(large) - set(small) == {"authority.yaml"}
    assert set(of_kind(small, "Database")) == {service.name for service in shop.services}
    [host] = of_kind(small, "HTTPRoute")["entry"]["spec"]["hostnames"]
    assert host == "shop.staging.example.com"
    url = next(c for n, c in of_kind(small, "ConfigMap").items() if n.startswith("payments-"))
    assert url["data"]["PROCESSOR_URL"] == "https://sandbox.processor.example.com"


def test_a_classic_ingress_may_stand_in_front() -> None:
    """For clusters that have no Gateway API."""
    files = rendered(depot(entry="ingress", entry_class="nginx", entry_namespace="ingress"))

    assert "Gateway" not in {item["kind"] for items in files.values() for item in items}
    assert of_kind(files, "Ingress")["entry"]["spec"]["ingressClassName"] == "nginx"


def test_keys_behind_a_url_are_fetched_by_the_gateway() -> None:
    """The issuer is a third party of the gateway."""
    tokens = Tokens(issuer="https://id.example", audience="x", keys="https://id.example/keys")
    system = replace(depot(), gateway=Gateway(tokens=tokens))
    rules = of_kind(rendered(system), "NetworkPolicy")["gateway"]["spec"]["egress"]

    assert any("ipBlock" in r["to"][0] and r["ports"][0]["port"] == 443 for r in rules)


def test_a_template_cannot_ask_for_what_only_an_environment_knows() -> None:
    """It would be one thing in the manifests and another in the chart."""
    with pytest.raises(TypeError, match=r"pods\.orders\.least is of the environment"):
        assert Hole("pods", "orders", "least")


def test_a_users_own_template_comes_first(tmp_path: Path) -> None:
    """And one that is wrong is told by its name and line."""
    own = tmp_path / "own" / "kubernetes"
    own.mkdir(parents=True)
    (own / "network.yaml").write_text("kind: Mine\nmetadata: {name: [= plan.namespace =]}\n")
    rendering = rendering_of(shop, tmp_path, typed="shop", templates=tmp_path / "own")
    files = render(rendering, PART)
    (own / "network.yaml").write_text("one: two\nkind: [= nothing =]\n")

    assert files["kubernetes/staging/network.yaml"].endswith("kind: Mine\nmetadata: {name: shop}\n")
    with pytest.raises(DeclarationError, match=r"kubernetes/network\.yaml.*'nothing' is undefined"):
        render(rendering_of(shop, tmp_path, typed="shop", templates=tmp_path / "own"), PART)


@pytest.mark.parametrize(
    "name", ["kubernetes/network.yaml", "terraform/aws/account/main.tf", "ci/deploy.sh"]
)
def test_a_value_that_is_not_there_is_told_in_every_format(tmp_path: Path, name: str) -> None:
    """With the template's name, and not as what the format makes of nothing."""
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("one = [= nothing =]\n")

    with pytest.raises(DeclarationError, match=rf"template {name}.*'nothing' is undefined"):
        Templates(tmp_path).render(name)


WRONG = [
    (Deploy(registry="https://x"), "registry='https://x'"),
    (Deploy(environments=[Environment("a", host="localhost")]), "a host has a dot"),
    (Deploy(environments=[Environment("a"), Environment("a")]), "two environments are named 'a'"),
    (Deploy(environments=[]), "nowhere to deploy"),
    (Deploy(namespace="Shop"), "no DNS label"),
    (Deploy(gateway=Pods(cpu="fast")), "cpu='fast'"),
    (Deploy(gateway=Pods(memory="1GB")), "memory='1GB'"),
    (Deploy(gateway=Pods(least=5, most=2)), "least=5, most=2"),
    (Deploy(gateway=Pods(bulk=True)), "does not wait"),
    (Deploy(networks={"carrier": ["0.0.0.0/0"]}), "is everywhere"),
    (Deploy(networks={"carrier": ["10.0.0.300"]}), "10.0.0.300"),
    (Deploy(environments=[Environment("a", traced=2)]), "a share is 0..1"),
    (Deploy(environments=[Environment("a", log_level="loud")]), "log_level='loud'"),  # type: ignore[arg-type]  # wrong on purpose
    (Deploy(entry="door"), "input should be 'gateway' or 'ingress'"),  # type: ignore[arg-type]  # wrong on purpose
    (Deploy(networks={"carier": ["192.0.2.0/24"]}), "no service reaches 'carier'"),
    (
        Deploy(environments=[Environment("a", urls={"courier": "https://x.example"})]),
        "reaches 'courier'",
    ),
]


@pytest.mark.parametrize(("deploy", "said"), WRONG, ids=lambda value: str(value)[:30])
def test_what_no_cluster_could_run_is_refused_with_its_line(deploy: Deploy, said: str) -> None:
    """The line of the value that is wrong."""
    with pytest.raises(DeclarationError) as caught:
        replace(depot(), deploy=deploy).check_deploy()

    [problem] = [p for p in caught.value.problems if said in p]
    assert f"{Path(__file__).name}:" in problem


def test_names_that_a_cluster_needs_itself_are_refused() -> None:
    """All in one report."""

    class Keys(Settings):
        """Settings with a secret in the code."""

        password: str = "hunter2"
        region: str

    nats = Service("nats")
    stood_for = External("grafana", "https://grafana.example", local="python -m grafana")
    tail = Service("tail-", reaches=[stood_for], deploy=Pods(bulk=True))

    @nats.handles
    async def weigh(command: Weigh, settings: Keys) -> None: ...

    @tail.every(timedelta(seconds=5))
    async def tick() -> None: ...

    with pytest.raises(DeclarationError) as caught:
        System("odd", [nats, tail]).check_deploy()

    told = "\n".join(caught.value.problems)
    for part in (
        "Service('nats'): on a cluster something else has this name",
        "Service('tail-'): no host ends with -",
        "External('grafana', local=…): in Compose something else has this name",
        "it has jobs and has to be there",
        "the setting region has no default",
    ):
        assert part in told
    assert "hunter2" not in told


def test_manifests_with_holes_are_those_of_every_environment() -> None:
    """Helm fills what stands between double braces; nothing else is in them."""
    rendering = rendering_of(shop, Path("/nowhere"), typed="shop")
    holes = manifests(rendering, Hole())
    values = values_of(rendering.plan, shop.deploy.environments[0], rendering.images)

    assert set(holes) == set(manifests(rendering, values)) | {"authority.yaml"}
    assert '{{ toJson (index .Values "image") }}' in holes["orders.yaml"]
    assert "{{" not in holes["network.yaml"]
    assert objects_of({"network.yaml": holes["network.yaml"]})


def test_a_third_party_called_issuer_is_not_the_gateways() -> None:
    """It has its own variable, and the gateway's keys have theirs."""
    issuer = External("issuer", url="https://mint.example")
    desk = Service("desk", reaches=[issuer])
    tokens = Tokens(issuer="https://id.example", audience="x", keys="https://id.example/keys")
    files = rendered(System("mint", [desk], Gateway(tokens=tokens)))
    data = {n.rpartition("-")[0]: c["data"] for n, c in of_kind(files, "ConfigMap").items()}

    assert data["desk"]["ISSUER_URL"] == "https://mint.example"
    assert "GATEWAY_KEYS_URL" not in data["desk"]
    assert data["gateway"]["GATEWAY_KEYS_URL"] == "https://id.example/keys"


def test_each_issuer_is_let_out_to() -> None:
    """The second one's keys have a variable, an address and a rule of their own."""
    first = Tokens(issuer="https://id.example", audience="x", keys="https://id.example/keys")
    second = Tokens(issuer="https://staff.example", audience="x", keys="https://staff.example/k")
    deploy = Deploy(networks={"gateway.keys-2": ["10.9.0.0/24"]})
    gateway = Gateway(tokens=(first, second))
    files = rendered(System("mint", [], gateway, deploy=deploy))
    [data] = [c["data"] for n, c in of_kind(files, "ConfigMap").items() if n.startswith("gateway-")]
    egress = of_kind(files, "NetworkPolicy")["gateway"]["spec"]["egress"]

    assert data["GATEWAY_KEYS_URL"] == "https://id.example/keys"
    assert data["GATEWAY_KEYS_URL_2"] == "https://staff.example/k"
    assert {
        "to": [{"ipBlock": {"cidr": "10.9.0.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 443}],
    } in egress


def test_who_is_asked_about_opaque_tokens_is_let_out_to() -> None:
    """By an address of its own, and with a secret from the store of secrets."""
    asked = Introspection("https://id.example", "x", "https://id.example/introspect", "gate")
    files = rendered(System("mint", [], Gateway(tokens=asked)))
    [data] = [c["data"] for n, c in of_kind(files, "ConfigMap").items() if n.startswith("gateway-")]
    [secret] = [
        s["spec"] for n, s in of_kind(files, "ExternalSecret").items() if n.startswith("gateway")
    ]

    assert data["GATEWAY_INTROSPECTION_URL"] == "https://id.example/introspect"
    assert "GATEWAY_INTROSPECTION_SECRET" not in data
    assert "GATEWAY_INTROSPECTION_SECRET" in [ref["secretKey"] for ref in secret["data"]]


def test_a_gateway_knows_the_place_that_proofs_are_for() -> None:
    """It is the environment's host; without such tokens nobody needs to tell it."""
    for dpop, origins in ((None, None), ("required", "https://mint.example.com")):
        bound = Tokens("https://id.example", "x", "https://id.example/keys", dpop=dpop)  # type: ignore[arg-type]  # from a table
        deploy = Deploy(environments=[Environment("here", host="mint.example.com")])
        gateway = Gateway(tokens=bound, origins=("https://mint.example",))
        files = rendered(System("mint", [], gateway, deploy=deploy), "here")
        maps = of_kind(files, "ConfigMap").items()
        [data] = [each["data"] for name, each in maps if name.startswith("gateway-")]

        assert data.get("GATEWAY_ORIGINS") == origins


def test_whatever_a_migration_is_made_of_is_in_its_name(tmp_path: Path) -> None:
    """A Job cannot be changed: another image, variable or size has to be another one."""

    def job(**changes: Any) -> str:
        *before, last = shop.deploy.environments
        deploy = replace(shop.deploy, environments=[*before, replace(last, **changes)])
        rendering = rendering_of(replace(shop, deploy=deploy), tmp_path, typed="shop")
        values = values_of(rendering.plan, deploy.environments[-1], rendering.images)
        texts = {"migrate.yaml": manifests(rendering, values)["migrate.yaml"]}
        (name,) = (name for _, kind, _, name in objects_of(texts) if kind == "Job")
        return name

    plain, again = job(), job()
    (tmp_path / "images.lock").write_text(f'[system]\nproduction = "sha256:{"1" * 64}"\n')
    image = job()

    assert plain == again
    assert len({plain, image, job(traced=0.5)}) == 3


def test_the_gateways_keys_may_be_elsewhere_in_an_environment() -> None:
    """Within the organisation's own networks too."""
    tokens = Tokens(issuer="https://id.example", audience="x", keys="https://id.example/keys")
    here = Environment("here", urls={"gateway.keys": "https://id.inside.example:8443/keys"})
    deploy = Deploy(environments=[here], networks={"gateway.keys": ["10.9.0.0/24"]})
    files = rendered(System("mint", [], Gateway(tokens=tokens), deploy=deploy), "here")
    [data] = [c["data"] for n, c in of_kind(files, "ConfigMap").items() if n.startswith("gateway-")]
    egress = of_kind(files, "NetworkPolicy")["gateway"]["spec"]["egress"]

    assert data["GATEWAY_KEYS_URL"] == "https://id.inside.example:8443/keys"
    assert {
        "to": [{"ipBlock": {"cidr": "10.9.0.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 8443}],
    } in egress


def test_a_chart_takes_its_own_values_whatever_services_are_called() -> None:
    """`secrets`, `peers` and `host` are names of values, and may be those of services."""
    peers = External("peers", "https://peers.example")
    names = ("secrets", "passwords", "variables", "host", "image", "cpu")
    services = [Service(name, reaches=[peers]) for name in names]
    rendering = rendering_of(System("odd", services), Path("/nowhere"), typed="odd")
    files = render(rendering, (RenderedPart.HELM,))
    schema = jsonschema_rs.validator_for(json.loads(files["helm/odd/values.schema.json"]))

    for environment in rendering.system.deploy.environments:
        values = values_of(rendering.plan, environment, rendering.images)
        assert [error.message for error in schema.iter_errors(values)] == []
        values["pods"]["secrets"]["leest"] = 1
        assert not schema.is_valid(values)


ANY: Any = 5
TYPES = [
    (Deploy(gateway=Pods(cpu=ANY)), "Pods(cpu=5): input should be a valid string"),
    (Deploy(gateway=Pods(settings={"merchant": ANY})), "settings={'merchant': 5}"),
    (Deploy(registry=ANY), "Deploy(registry=5): input should be a valid string"),
    (Deploy(environments=[Environment("a", host=ANY)]), "Environment(host=5)"),
    (Deploy(environments=[ANY]), "input should be an instance of environment"),
    (Deploy(networks={"carrier": "203.0.113.0/24"}), "'str' instances are not allowed"),
    (Deploy(environments=[Environment("a", database_networks="10.0.0.0/8")]), "'str' instances"),
    (Deploy(entry="ingress"), "add `entry_namespace='nginx'`"),
    (Deploy(gateway=Pods(settings={"a": "b"})), "the gateway has no Settings"),
]


@pytest.mark.parametrize(("deploy", "said"), TYPES, ids=lambda value: str(value)[:40])
def test_what_is_of_another_type_is_one_line(deploy: Deploy, said: str) -> None:
    """And no traceback: not everybody runs a type checker."""
    with pytest.raises(DeclarationError) as caught:
        replace(depot(), deploy=deploy).check_deploy()

    assert [p for p in caught.value.problems if said in p and f"{Path(__file__).name}:" in p]


@pytest.mark.parametrize("name", ["network", "dns", "kustomization", "entry-tls", "postgres-rw"])
def test_a_service_has_no_name_of_a_file_or_an_object_of_the_platform(name: str) -> None:
    """It would be rendered over, or over it."""
    with pytest.raises(DeclarationError, match=f"test_kubernetes.py:.*Service\\('{name}'\\)"):
        System("odd", [Service(name)]).check_deploy()


def test_a_third_party_at_a_private_address_is_let_out_to_where_it_is() -> None:
    """By default nobody reaches a private network."""
    inside = External("ledger", url="https://10.1.2.3")
    desk = Service("desk", reaches=[inside])

    with pytest.raises(DeclarationError, match=r"private address.*networks=\{'ledger'"):
        System("bank", [desk]).check_deploy()
    System("bank", [desk], deploy=Deploy(networks={"ledger": ["10.1.0.0/16"]})).check_deploy()


@pytest.mark.parametrize("name", ["broker", "redis", "desk-database"])
def test_a_third_party_takes_no_variable_of_ours(name: str) -> None:
    """`BROKER_URL` would be both."""
    desk = Service("desk", reaches=[External(name, url="https://x.example")])

    with pytest.raises(DeclarationError, match="a variable that says where something of Holdfast"):
        System("odd", [desk]).check()


def test_what_replaces_no_template_is_refused(tmp_path: Path) -> None:
    """A misspelt name would be silent."""
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes/netwrok.yaml").write_text("")

    with pytest.raises(DeclarationError, match=r"netwrok\.yaml replaces no.*kubernetes/network"):
        rendering_of(shop, tmp_path, typed="shop", templates=tmp_path)
    with pytest.raises(DeclarationError, match="there is no such folder"):
        rendering_of(shop, tmp_path, typed="shop", templates=tmp_path / "nowhere")


def test_two_objects_of_one_name_and_what_is_no_yaml_are_refused() -> None:
    """The file is named; nothing is rendered."""
    one = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"

    with pytest.raises(DeclarationError, match=r"b\.yaml: two objects are Secret a"):
        objects_of({"a.yaml": one, "b.yaml": one})
    with pytest.raises(DeclarationError, match=r"template kubernetes/a\.yaml"):
        objects_of({"a.yaml": "kind: ["})


def test_a_private_registry_has_its_secret_in_every_pod() -> None:
    """Of the system's own image."""
    pods = of_kind(rendered(depot(pull_secret="registry")), "Deployment")
    found = {
        name: pods[name]["spec"]["template"]["spec"].get("imagePullSecrets")
        for name in ("gateway", "desk", "scale", "ledger")
    }

    assert set(map(str, found.values())) == {"[{'name': 'registry'}]"}


def test_what_a_mounted_app_streams_is_not_cut() -> None:
    """Its answers last as long as somebody reads."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    old = Service("old")
    old.mount("/old", app)
    rules = of_kind(rendered(System("mounts", [old])), "HTTPRoute")["entry"]["spec"]["rules"]

    assert rules[0]["timeouts"] == {"request": "0s"}
    shops = of_kind(rendered(shop), "HTTPRoute")["entry"]["spec"]["rules"]
    assert shops[0]["timeouts"] == {"request": "15s"}


def test_a_default_is_of_the_line_of_what_it_belongs_to() -> None:
    """Whoever declares nothing of it is not sent into the framework's own files."""
    system = System("plain", [Service("one")])
    lines = {system.deploy.at, *(e.at for e in system.deploy.environments)}
    lines |= {service.deploy.at for service in system.services}

    assert {line.rpartition(":")[0] for line in lines} == {__file__}
