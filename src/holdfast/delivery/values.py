"""Values: what differs between the environments of a system, and nothing else.

Templates take them by name, so that one text is the manifest of each environment, the base that
Kustomize patches, and, with holes in their place, what Helm fills.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from holdfast.delivery.identities import IDENTITY, files_of
from holdfast.delivery.images import Images
from holdfast.delivery.plan import (
    COLLECTOR,
    GATEWAY,
    MIGRATE,
    NATS,
    NATS_NODES,
    PORTS,
    POSTGRES,
    REDIS,
    Plan,
    Workload,
    port_of,
    url_name,
)
from holdfast.delivery.yaml import Value
from holdfast.runtime.postgres_roles import owner_of
from holdfast.runtime.variables import (
    BROKER_COPIES,
    BROKER_URL,
    ORIGINS,
    OURS,
    REDIS_URL,
    database_variable,
    owner_variable,
)
from holdfast.system import Environment, External
from holdfast.system.checks.deploy import PRIVATE
from holdfast.system.settings import variable_name

DATABASE_HOST: Final = "postgres-rw"
"""The Service of CloudNativePG that leads to the instance which writes."""
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
        "urls": {
            w.name: _urls(plan, w, environment) for w in plan.everything if managed and w.databases
        },
        "databases": {
            "managed": managed,
            "in_cluster": not managed,
            "peers": [{"ipBlock": {"cidr": cidr}} for cidr in environment.database_networks]
            if managed
            else [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "postgres"}}}],
            "store": secret_of(plan, environment, "database"),
        },
        "images": {name: images.server(name) for name in (NATS, REDIS, COLLECTOR, "cnpg")},
        "externals": {
            external.name: _external(plan, external, environment) for external in plan.externals
        },
        "storage": "10Gi" if environment.size == "small" else "50Gi",
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
        nodes = (f"tls://nats-{n}.nats:{PORTS[NATS]}" for n in range(NATS_NODES))
        variables |= {BROKER_URL: ",".join(nodes), BROKER_COPIES: str(NATS_NODES)}
    if workload.limits:
        variables[REDIS_URL] = f"rediss://{REDIS}:{PORTS[REDIS]}"
    if workload.name == GATEWAY and plan.system.gateway.proves and environment.host:
        variables[ORIGINS] = f"https://{environment.host}"
    if environment.databases == "cluster":
        for service in workload.databases:
            variables[database_variable(service)] = database_url(service, service)
            if workload.name == MIGRATE:
                variables[owner_variable(service)] = database_url(service, owner_of(service))
    for external in workload.externals:
        variables[url_name(external)] = environment.urls.get(external.name, external.url)
    return dict(sorted({**variables, **workload.settings}.items()))


def secret_of(plan: Plan, environment: Environment, name: str) -> str:
    """Return what the store calls a secret of an environment; Google's takes no other signs."""
    return f"{plan.system.name}-{environment.name}-{name}"


def database_url(database: str, role: str, host: str = DATABASE_HOST) -> str:
    """Return where a database is that is not managed, for a role, who shows its certificate."""
    words = {
        "sslmode": "verify-full",
        "sslrootcert": f"{IDENTITY}/ca.crt",
        "sslcert": f"{IDENTITY}/tls.crt",
        "sslkey": f"{IDENTITY}/tls.key",
        "ssl_min_protocol_version": "TLSv1.3",
    }
    query = "&".join(f"{name}={value}" for name, value in words.items())
    return f"postgresql://{role}@{host}:{PORTS[POSTGRES]}/{database}?{query}"


def _secrets(plan: Plan, workload: Workload, environment: Environment) -> Value:
    """Return what External Secrets fetches for a process: settings of its own."""
    key = secret_of(plan, environment, workload.name)
    return _fetched([(key, name) for name in workload.secrets])


def _urls(plan: Plan, workload: Workload, environment: Environment) -> Value:
    """Return the same of its databases, which the store knows with their passwords."""
    kinds = (
        (database_variable, owner_variable) if workload.name == MIGRATE else (database_variable,)
    )
    return _fetched(
        [
            (secret_of(plan, environment, name), variable(name))
            for name in workload.databases
            for variable in kinds
        ]
    )


def _fetched(wanted: Sequence[tuple[str, str]]) -> Value:
    """Return how External Secrets makes a Secret of (key, property) in the store."""
    return {
        "data": [
            {"secretKey": name, "remoteRef": {"key": key, "property": name}} for key, name in wanted
        ],
        "template": {name: f"{{{{ .{name} }}}}" for _, name in wanted},
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
