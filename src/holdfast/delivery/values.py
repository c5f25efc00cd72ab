"""Values: what differs between the environments of a system, and nothing else.

Templates take them by name, so that one text is the manifest of each environment, the base that
Kustomize patches, and, with holes in their place, what Helm fills.
"""

import hashlib
import json
from typing import Any, Final

from holdfast.delivery.identities import files_of
from holdfast.delivery.images import Images
from holdfast.delivery.plan import (
    COLLECTOR,
    GATEWAY,
    NATS,
    PORTS,
    POSTGRES,
    REDIS,
    Plan,
    Workload,
    port_of,
    url_name,
)
from holdfast.runtime.variables import (
    BROKER_COPIES,
    BROKER_URL,
    ORIGINS,
    OURS,
    REDIS_URL,
    database_variable,
)
from holdfast.system import Environment, External
from holdfast.system.checks.deploy import PRIVATE
from holdfast.system.settings import variable_name

NATS_NODES: Final = 3
QUOTED: Final = 'urlquery | replace "+" "%20"'
"""How a template of External Secrets quotes a password: in a URL's password, "+" is no space."""
AUTHORITY: Final = "/etc/holdfast/database"
"""The folder in which a pod finds `ca.crt`, the authority of its database's certificate."""
DRAIN_S: Final = 20


def host_of(plan: Plan, environment: Environment) -> str:
    """Return under which the gateway is reached."""
    return environment.host or f"{plan.system.name}.{environment.name}.example.com"


def values_of(plan: Plan, environment: Environment, images: Images) -> dict[str, Any]:
    """Return the values of an environment, as JSON types."""
    managed = environment.databases == "managed"
    return {
        "environment": environment.name,
        "image": images.of(environment.name),
        "host": host_of(plan, environment),
        "pods": {w.name: pods_of(w, environment) for w in plan.everything},
        "variables": {w.name: variables_of(plan, w, environment) for w in plan.everything},
        "secrets": {w.name: _secrets(plan, w, environment) for w in plan.everything},
        "databases": {
            "managed": managed,
            "in_cluster": not managed,
            "peers": [{"ipBlock": {"cidr": cidr}} for cidr in environment.database_networks]
            if managed
            else [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "postgres"}}}],
            "authority": "database-authority" if managed else "postgres-ca",
            "store": secret_of(plan, environment, "database"),
        },
        "images": {name: images.server(name) for name in (NATS, REDIS, COLLECTOR, "cnpg")},
        "externals": {
            external.name: _external(plan, external, environment) for external in plan.externals
        },
        "storage": "10Gi" if environment.size == "small" else "50Gi",
        "passwords": {
            name: _password(plan, name, environment)
            for name in (plan.migrate.databases if plan.migrate else ())
        },
    }


def variables_of(plan: Plan, workload: Workload, environment: Environment) -> dict[str, str]:
    """Return {variable: value} of a process, without its secrets."""
    variables = {
        variable_name(OURS, "compute_threads"): "1",
        variable_name(OURS, "drain_s"): str(DRAIN_S),
        variable_name(OURS, "log_form"): "json",
        variable_name(OURS, "log_kept_mb"): "0",
        variable_name(OURS, "audit"): "log",
        variable_name(OURS, "log_level"): environment.log_level,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://collector:{PORTS[COLLECTOR]}",
        "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={environment.name}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{environment.traced:g}",
        **files_of(workload.name),
    }
    if workload.broker:
        nodes = (f"nats://nats-{n}.nats:{PORTS[NATS]}" for n in range(NATS_NODES))
        variables |= {BROKER_URL: ",".join(nodes), BROKER_COPIES: str(NATS_NODES)}
    if workload.limits:
        variables[REDIS_URL] = f"redis://redis:{PORTS[REDIS]}"
    if workload.name == GATEWAY and plan.system.gateway.proves and environment.host:
        variables[ORIGINS] = f"https://{environment.host}"
    for external in workload.externals:
        variables[url_name(external)] = environment.urls.get(external.name, external.url)
    return dict(sorted({**variables, **workload.settings}.items()))


def secret_of(plan: Plan, environment: Environment, name: str) -> str:
    """Return what the store calls a secret of an environment; Google's takes no other signs."""
    return f"{plan.system.name}-{environment.name}-{name}"


def _password(plan: Plan, service: str, environment: Environment) -> dict[str, str]:
    """Return where the store keeps the password of a service's role."""
    key = secret_of(plan, environment, service)
    return {"key": key, "property": variable_name(service, "database_password")}


def _secrets(plan: Plan, workload: Workload, environment: Environment) -> dict[str, Any]:
    """Return what External Secrets fetches for a process, and what it makes of it.

    The store has the whole URL of a managed database; of one in the cluster, the password.
    """
    data: dict[str, dict[str, str]] = {}
    made: dict[str, str] = {}
    for service in workload.databases:
        url, password = database_variable(service), variable_name(service, "database_password")
        if environment.databases == "managed":
            data[url] = {"key": secret_of(plan, environment, service), "property": url}
            made[url] = f"{{{{ .{url} }}}}"
        else:
            data[password] = _password(plan, service, environment)
            made[url] = (
                f"postgresql://{service}:{{{{ .{password} | {QUOTED} }}}}@postgres-rw:"
                f"{PORTS[POSTGRES]}/{service}?sslmode=verify-full&sslrootcert={AUTHORITY}/ca.crt"
            )
    for name in workload.secrets:
        key = secret_of(plan, environment, workload.name)
        data[name] = {"key": key, "property": name}
        made[name] = f"{{{{ .{name} }}}}"
    return {
        "data": [{"secretKey": name, "remoteRef": ref} for name, ref in data.items()],
        "template": made,
    }


def pods_of(workload: Workload, environment: Environment) -> dict[str, Any]:
    """Return how many pods a workload has in an environment, and what each requests."""
    pods, small = workload.pods, environment.size == "small"
    least = 0 if pods.bulk else pods.least
    return {
        "least": min(least, 1) if small else least,
        "most": min(pods.most, 2) if small else pods.most,
        "cpu": pods.cpu,
        "memory": pods.memory,
    }


def _external(plan: Plan, external: External, environment: Environment) -> dict[str, Any]:
    networks = plan.system.deploy.networks.get(external.name, ())
    anywhere = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE)}}]
    return {
        "port": port_of(environment.urls.get(external.name, external.url)),
        "peers": [{"ipBlock": {"cidr": network}} for network in networks] or anywhere,
    }


class Hole:
    """Stands for a value that Helm puts in: `hole.pods.orders.least`, `hole["pods"]["orders"]`."""

    __slots__ = ("_path",)

    def __init__(self, *path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> "Hole":
        return Hole(*self._path, name)

    def __getitem__(self, name: str) -> "Hole":
        return Hole(*self._path, name)

    def __bool__(self) -> bool:
        raise TypeError(
            f"{'.'.join(self._path)} is of the environment: no template may ask what it is; "
            "let a whole file depend on it"
        )

    @property
    def expression(self) -> str:
        """What Helm evaluates."""
        words = " ".join(json.dumps(name) for name in self._path)
        return f"(index .Values {words})" if words else ".Values"

    def __str__(self) -> str:
        """Return it as JSON, which YAML reads."""
        return f"{{{{ toJson {self.expression} }}}}"


def digest(value: object, *more: object) -> str:
    """Return ten hex digits that change with any of the values; of holes, what computes them."""
    if isinstance(value, Hole):
        holes = (each.expression for each in (value, *more) if isinstance(each, Hole))
        return f"{{{{ toJson {_together(*holes)} | sha256sum | trunc 10 }}}}"
    what = [value, *more] if more else value
    return hashlib.sha256(_go_json(what).encode()).hexdigest()[:10]


def _together(*expressions: str) -> str:
    """Return an expression of Helm for one value, or for the list of several."""
    return expressions[0] if len(expressions) == 1 else f"(list {' '.join(expressions)})"


def _go_json(value: object) -> str:
    """Return JSON as Go writes it: sorted, without spaces, and with characters of HTML escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
