"""Terraform follows from the declaration: the secrets that pods ask for, networks, nodes."""

import ipaddress
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import holdfast.delivery
from holdfast import Command, Deploy, Environment, Gateway, Pods, Service, Settings, System
from holdfast.delivery.hcl import aligned
from holdfast.delivery.networks import networks_of
from holdfast.delivery.nodes import nodes_of
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from holdfast.delivery.plan import plan_of
from holdfast.errors import DeclarationError
from shop.system import shop

CLOUDS = ("aws", "google")
ROOT = Path(holdfast.delivery.__file__).parent / "templates"


class Stamp(Command[None]):
    """Asks for a stamp."""

    times: int


class PressSettings(Settings):
    """What the press has to know."""

    ink: str
    seal_key: str


def mint(**deploy: Any) -> System:
    """Return a system that is not the shop: one press, with a secret that people give."""
    press = Service("press", deploy=Pods(least=4, most=40, cpu="2", settings={"ink": "red"}))

    @press.handles
    async def stamp(command: Stamp, settings: PressSettings) -> None: ...

    return System("mint", [press], Gateway(), deploy=Deploy(**deploy))


def rendered(system: System, part: str = "terraform") -> dict[str, str]:
    """Return {path: text}."""
    rendering = rendering_of(system, Path("/nowhere"), typed=system.name)
    files = render(rendering, (RenderedPart(part),))
    return {path: text for path, text in files.items() if path.startswith(part)}


FILES = rendered(shop)
MINT = rendered(mint())


def written(text: str) -> set[tuple[str, str]]:
    """Return {(secret, variable in it)} of a root that fills secrets."""
    found: set[tuple[str, str]] = set()
    for body in re.findall(r"^    \"\S+\" = \{\n(.*?)^    \}", text, re.MULTILINE | re.DOTALL):
        [secret] = re.findall(r'secret\s+= "(.*)"', body)
        found |= {(secret, v) for v in re.findall(r'(?:url|password)\s+= "(.*?)"', body)}
        for given in re.findall(r"given\s+= \[(.*)\]", body):
            found |= {(secret, v) for v in re.findall(r'"(.*?)"', given)}
    return found


def asked(files: dict[str, str], environment: str) -> set[tuple[str, str]]:
    """Return {(secret, property)} of all that External Secrets asks for."""
    return {
        (entry["remoteRef"]["key"], entry["remoteRef"]["property"])
        for path, text in files.items()
        if path.endswith(".yaml") and f"/{environment}" in path
        for item in yaml.safe_load_all(text)
        if item["kind"] == "ExternalSecret"
        for entry in item["spec"]["data"]
    }


def test_the_same_declaration_gives_the_same_files() -> None:
    """A root for each environment and one for what they share, on each cloud."""
    assert rendered(shop) == FILES
    for cloud, shared in (("aws", "account"), ("google", "project")):
        roots = {path.split("/")[2] for path in FILES if path.startswith(f"terraform/{cloud}/")}
        assert roots == {"modules", shared, "staging", "production"}
        assert all(f"terraform/{cloud}/{root}/main.tf" in FILES for root in roots - {"modules"})


@pytest.mark.parametrize(("system", "files"), [(shop, FILES), (mint(), MINT)], ids=["shop", "mint"])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_pods_ask_for_is_written(system: System, files: dict[str, str], cloud: str) -> None:
    """Each secret and each variable that External Secrets fetches, Terraform fills."""
    manifests = rendered(system, "kubernetes")
    for environment in system.deploy.environments:
        name = environment.name
        fills = written(files[f"terraform/{cloud}/{name}/secrets/main.tf"])
        database = {
            (f"{system.name}-{name}-database", said)
            for said in ("ca.crt", "host")
            if environment.databases == "managed"
        }
        wanted = asked(manifests, name) | asked(files, name)

        assert wanted <= fills | database
        unasked = {variable for _, variable in fills - wanted}
        assert all(v.endswith(("DATABASE_URL", "DATABASE_PASSWORD")) for v in unasked)
        owners = {(s, v) for s, v in wanted if "_DATABASE_OWNER_" in v}
        assert len(owners) == 2 * len(system.services) * (environment.databases == "managed")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_secret_is_made_before_it_is_filled(cloud: str) -> None:
    """The names in the root of an environment are those that its `secrets` fill."""
    for name in ("staging", "production"):
        made = re.findall(
            rf'^    "\S+"\s+= "(shop-{name}-\w+)"', FILES[f"terraform/{cloud}/{name}/main.tf"], re.M
        )
        filled = {s for s, _ in written(FILES[f"terraform/{cloud}/{name}/secrets/main.tf"])}
        assert set(made) == filled
        assert len(made) == len(shop.services)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_people_give_has_a_place(cloud: str) -> None:
    """A secret setting is a typed variable that comes into no state; without one there is none."""
    variables = MINT[f"terraform/{cloud}/production/secrets/variables.tf"]

    assert "press = object({" in variables  # a type has no quotes around its names
    assert "PRESS_SEAL_KEY = string" in variables
    assert "ephemeral = true" in variables
    assert 'variable "secrets"' not in FILES[f"terraform/{cloud}/production/secrets/variables.tf"]


def test_databases_are_made_where_they_are_managed() -> None:
    """In staging of the shop they are in the cluster, and no server is paid for."""
    for cloud in CLOUDS:
        assert 'module "databases"' in FILES[f"terraform/{cloud}/production/main.tf"]
        assert 'module "databases"' not in FILES[f"terraform/{cloud}/staging/main.tf"]
        assert "DATABASE_URL" not in FILES[f"terraform/{cloud}/staging/secrets/main.tf"]
    assert "terraform/databases/production.yaml" in FILES
    assert "terraform/databases/staging.yaml" not in FILES


def test_an_edge_of_the_graph_is_one_of_the_database() -> None:
    """Who opens a database stands before its secret, as the plan has it."""
    plan = plan_of(shop, typed="shop")
    for cloud in CLOUDS:
        text = FILES[f"terraform/{cloud}/production/main.tf"]
        edges = set(re.findall(r"# edge: (.*)", text))

        assert edges == {
            f"{flow.sender} → {flow.receiver}: {why}"
            for flow in plan.to("postgres")
            for why in flow.why
        }


def test_a_new_service_changes_what_is_about_it() -> None:
    """Its secret, its database, the nodes for its pods: no module, and nothing shared."""
    more = replace(shop, services=[*shop.services, Service("returns")])
    before, after = FILES, rendered(more)

    changed = {path for path in after if after[path] != before[path]}
    per_root = ("main.tf", "variables.tf", "environment.tftest.hcl", "secrets/main.tf")
    roots = [f"terraform/{c}/{e}" for c in CLOUDS for e in ("staging", "production")]
    assert changed <= {
        "terraform/databases/production.yaml",
        *(f"{root}/{name}" for root in roots for name in per_root),
    }
    assert {f"{root}/secrets/main.tf" for root in roots} <= changed
    assert after.keys() == before.keys()


def test_no_address_of_everybody_is_let_in() -> None:
    """Everywhere is only where a route leads, and what a test expects to be refused."""
    found = [
        line.strip()
        for path, text in FILES.items()
        if not path.endswith(".tftest.hcl")
        for line in text.splitlines()
        if "0.0.0.0/0" in line or "::/0" in line
    ]

    assert found == ['destination_cidr_block = "0.0.0.0/0"'] * 2


def test_no_secret_comes_into_a_state() -> None:
    """Values of secrets are given to write-only arguments; the one that is not is no secret."""
    for cloud, plain in (("aws", "secret_string"), ("google", "secret_data")):
        modules = {
            path: text
            for path, text in FILES.items()
            if path.startswith(f"terraform/{cloud}/modules/")
        }
        clear = [p for p, text in modules.items() if re.search(rf"^  {plain}\s+=", text, re.M)]

        assert clear == [f"terraform/{cloud}/modules/secrets/main.tf"]
        assert not any('resource "random_password"' in text for text in modules.values())


@pytest.mark.parametrize(
    "declared",
    [
        ("10.0.48.0/20",),
        ("10.0.0.0/20",),
        ("172.16.0.0/24", "172.16.1.0/24"),
        ("192.168.4.0/28", "192.168.5.0/28", "192.168.6.0/28", "192.168.7.0/28"),
        ("10.9.128.0/17",),
    ],
)
def test_networks_do_not_overlap(declared: tuple[str, ...]) -> None:
    """Three zones of each kind in one network; databases are where they are declared to be."""
    networks = networks_of(Environment("here", database_networks=declared))
    whole = ipaddress.ip_network(networks.whole)
    taken = [ipaddress.ip_network(cidr) for cidr in declared]
    databases = [ipaddress.ip_network(cidr) for cidr in networks.databases]
    others = [ipaddress.ip_network(cidr) for cidr in (*networks.private, *networks.public)]

    assert [len(databases), len(networks.private), len(networks.public)] == [3, 3, 3]
    assert all(any(d.subnet_of(t) for t in taken) for d in databases)  # type: ignore[arg-type]  # all are of IPv4
    assert all(n.subnet_of(whole) for n in (*databases, *others))  # type: ignore[arg-type]  # likewise
    for at, one in enumerate([*taken, *others]):
        assert not any(one.overlaps(other) for other in [*taken, *others][at + 1 :])


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (("8.8.8.0/24",), "are not all private"),
        (("fd00::/64",), "are not all private"),
        (("10.0.0.0/16",), "are wider than a /17"),
        (("10.0.0.0/24", "10.1.0.0/24"), "are not in one /16"),
        (("10.0.0.0/28",), "give a zone less than a /28"),
        (("10.0.0.0/17", "10.0.128.0/18", "10.0.192.0/18"), "leave no room in 10.0.0.0/16"),
    ],
)
def test_networks_that_cannot_be_are_refused(declared: tuple[str, ...], said: str) -> None:
    """With the line that declares them, and what to write."""
    with pytest.raises(DeclarationError, match=f"test_terraform.py:.*{said}.*10.0.48.0/20"):
        networks_of(Environment("here", database_networks=declared))


def test_nodes_hold_what_pods_request() -> None:
    """Forty pods of two cores are 80, and what stands beside needs 3; a node has 3.2 for them."""
    system = mint(gateway=Pods(least=2, most=2, cpu="500m"))
    plan = plan_of(system, typed="mint")

    large = nodes_of(plan, Environment("large"))
    small = nodes_of(plan, Environment("small", size="small"))
    # 40 pods of 2 cores, 2 of 0.5, and the one that migrates.
    assert large.most == -(-(3 + 80 + 1 + 0.25) // 3.2) + 1
    assert large.least == -(-(3 + 8 + 1 + 0.25) // 3.2)
    assert small.least == 2
    assert small.most < large.most


@pytest.mark.parametrize("name", ["modules", "account", "project"])
def test_an_environment_takes_no_folder_of_something_else(name: str) -> None:
    """It would be written over."""
    with pytest.raises(DeclarationError, match="has a folder of that name"):
        rendered(mint(environments=[Environment(name)]))


def test_a_name_that_no_cloud_takes_is_refused() -> None:
    """Names of roles are at most 64 characters, with what they are for behind."""
    system = replace(mint(environments=[Environment("production")]), name="m" * 31)

    with pytest.raises(DeclarationError, match="has 42 characters, of 40"):
        rendered(system)


def test_arguments_stand_in_one_column() -> None:
    """As `terraform fmt` has them: neighbours on one line each, and no further."""
    text = 'a = 1\nlong_one = "x"\n\nb = {\n  c = 2\n  "dd" = 3\n}\nif = a == 1\n'

    assert aligned(text) == (
        'a        = 1\nlong_one = "x"\n\nb = {\n  c    = 2\n  "dd" = 3\n}\nif = a == 1\n'
    )


def test_the_workflow_is_told_what_was_made() -> None:
    """Its variables, by which jobs enter the registry, are outputs of what environments share."""
    login = (ROOT / "ci" / "login.yml").read_text()
    used = set(re.findall(r"vars\.((?:AWS|GOOGLE)_\w+)", login))
    said = {
        variable
        for path, text in FILES.items()
        if path.endswith(("account/outputs.tf", "project/outputs.tf"))
        for variable in re.findall(r"variable ((?:AWS|GOOGLE)_\w+)", text)
    }

    assert used == said != set()
