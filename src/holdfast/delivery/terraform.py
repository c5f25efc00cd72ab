"""Terraform: the clouds that environments run in, as modules that they share and a root each.

What a root says is read from the plan: which secret holds what and whose it is, how many nodes the
pods want, where databases answer from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from holdfast.delivery.files import Files, head
from holdfast.delivery.hcl import aligned
from holdfast.delivery.image import USER
from holdfast.delivery.labels import labels_of, selector_of
from holdfast.delivery.networks import networks_of
from holdfast.delivery.nodes import nodes_of
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.plan import PORTS, POSTGRES, Plan
from holdfast.delivery.values import AUTHORITY, secret_of
from holdfast.errors import DeclarationError
from holdfast.runtime.postgres_roles import owner_of
from holdfast.runtime.variables import database_variable, owner_variable
from holdfast.system import Environment
from holdfast.system.settings import variable_name

NAME_MAX: Final = 40
"""Characters of `<system>-<environment>`, from which a cloud's names for roles are made."""

_THREE: Final[tuple[str, ...]] = ("main", "variables", "outputs")
_ROOT: Final = tuple(f"{noun}.tf" for noun in _THREE)
_MODULES: Final = (
    *("budget", "cluster", "databases", "key", "network"),
    *("pipeline", "registry", "secrets", "state", "values"),
)
MODULES: Final = {
    "aws": dict.fromkeys(_MODULES, _THREE) | {"cluster": (*_THREE, "addons", "nodes")},
    "google": dict.fromkeys(_MODULES, _THREE) | {"cluster": (*_THREE, "nodes")},
}
"""{cloud: {module: its files}}."""
SHARED: Final = {"aws": "account", "google": "project"}
"""{cloud: the root of what environments share}."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store of secrets keeps for one workload.

    Attributes:
        secret: the name in the store.
        url, password: the variables of its own database, for the role that serves; empty without.
        owner_url, owner_password: the same for the role that owns it and migrates.
        given: variables whose values people give.
        edges: who opens its database, as lines of edges.
    """

    name: str
    secret: str
    given: tuple[str, ...]
    edges: tuple[str, ...]
    url: str = ""
    password: str = ""
    owner_url: str = ""
    owner_password: str = ""


def files(rendering: Rendering) -> Files:
    """Return the files of all clouds.

    Raises:
        DeclarationError: an environment cannot be laid out, or has a name that is taken here.
    """
    plan = rendering.plan
    problems = list(_problems(plan))
    if problems:
        raise DeclarationError(problems)
    above = head(plan.system.name, RenderedPart.TERRAFORM)
    found: Files = {}
    for cloud in MODULES:
        for path, template, values in _named(plan, cloud):
            below = f"terraform/{cloud}"
            text = rendering.templates.render(f"{below}/{template}", **values)
            found[f"{below}/{path}"] = above + aligned(text)
    for environment in plan.system.deploy.environments:
        if _managed(plan, environment):
            path = f"terraform/databases/{environment.name}.yaml"
            found[path] = above + _job(rendering, environment)
    return found


def _named(plan: Plan, cloud: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield each file of a cloud with its template, and what that is about."""
    for module, nouns in MODULES[cloud].items():
        for noun in nouns:
            path = f"modules/{module}/{noun}.tf"
            yield path, path, {}
    shared = SHARED[cloud]
    for name in (*_ROOT, f"{shared}.tftest.hcl"):
        yield f"{shared}/{name}", f"{shared}/{name}", _shared(plan)
    for environment in plan.system.deploy.environments:
        values = _values(plan, environment)
        for name in (*_ROOT, "environment.tftest.hcl", *(f"secrets/{file}" for file in _ROOT)):
            yield f"{environment.name}/{name}", f"environment/{name}", values


def _job(rendering: Rendering, environment: Environment) -> str:
    """Return the manifests of the job that makes the databases of services."""
    plan = rendering.plan
    return rendering.templates.render(
        "terraform/databases.yaml",
        **_values(plan, environment),
        image=rendering.images.server(POSTGRES),
        user=USER,
        port=PORTS[POSTGRES],
        selector=selector_of(plan.system.name, "databases"),
        labels=labels_of(plan.system.name, "databases"),
        peers=[{"ipBlock": {"cidr": network}} for network in environment.database_networks],
    )


def stored(plan: Plan, environment: Environment) -> tuple[Stored, ...]:
    """Return what the store keeps for each workload that has a secret."""
    opened = plan.migrate.databases if plan.migrate else ()
    return tuple(
        Stored(
            name=workload.name,
            secret=secret_of(plan, environment, workload.name),
            given=workload.secrets,
            edges=tuple(_edges(plan, workload.name)),
            **(_own(workload.name) if workload.name in opened else {}),
        )
        for workload in plan.everything
        if workload.name in opened or workload.secrets
    )


def _own(service: str) -> dict[str, str]:
    """Return the variables of a service's database: of who serves, and of who owns it."""
    return {
        "url": database_variable(service),
        "password": variable_name(service, "database_password"),
        "owner_url": owner_variable(service),
        "owner_password": variable_name(service, "database_owner_password"),
    }


def _edges(plan: Plan, service: str) -> Iterator[str]:
    for flow in plan.to(POSTGRES):
        if (why := f"database {service}") in flow.why:
            yield f"{flow.sender} → {flow.receiver}: {why}"


def _values(plan: Plan, environment: Environment) -> dict[str, object]:
    """Return what the root of an environment is rendered from."""
    workloads = stored(plan, environment)
    return {
        "system": plan.system.name,
        "environment": environment,
        "deployment": _name(plan, environment),
        "namespace": plan.namespace,
        "store": plan.system.deploy.store,
        "networks": networks_of(environment),
        "nodes": nodes_of(plan, environment),
        "workloads": workloads,
        "given": tuple(workload for workload in workloads if workload.given),
        "managed": _managed(plan, environment),
        "secrets": {
            "database": secret_of(plan, environment, "database"),
            "admin": secret_of(plan, environment, "database-admin"),
        },
        "authority": AUTHORITY,
        "owner_of": owner_of,
    }


def _managed(plan: Plan, environment: Environment) -> bool:
    return environment.databases == "managed" and plan.migrate is not None


def _shared(plan: Plan) -> dict[str, object]:
    """Return what the root of what environments share is rendered from."""
    deploy = plan.system.deploy
    _, _, folder = deploy.registry.partition("/")
    repository = urlsplit(deploy.repository).path.strip("/").removesuffix(".git")
    return {
        "system": plan.system.name,
        "images": "/".join(filter(None, (folder, plan.system.name))),
        "folder": folder.replace("/", "-") or plan.system.name,
        "subject": f"repo:{repository}:ref:refs/heads/main",
    }


def _name(plan: Plan, environment: Environment) -> str:
    return f"{plan.system.name}-{environment.name}"


def _problems(plan: Plan) -> Iterator[str]:
    taken = {"modules", *SHARED.values()}
    for environment in plan.system.deploy.environments:
        place = f"{environment.at}: Environment({environment.name!r})"
        if environment.name in taken:
            yield f"{place}: terraform/ has a folder of that name for something else; rename it"
        name = _name(plan, environment)
        if len(name) > NAME_MAX:
            yield f"{place}: {name} has {len(name)} characters, of {NAME_MAX}; write a shorter name"
