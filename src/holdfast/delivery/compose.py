"""Compose: the whole of a system on one machine with Docker, with everything that watches it.

It is no environment of the system's: databases, broker and third parties are beside it, one of
each, and what is secret is made by a script.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.communication import LOOPBACK, PORT
from holdfast.contract.spiffe import PROVISIONER, SIGNER
from holdfast.delivery import prometheus
from holdfast.delivery.files import Files, head
from holdfast.delivery.identities import IDENTITY, TOKENS, identity_name
from holdfast.delivery.image import USER
from holdfast.delivery.nats import LOOK_S, one_nats_conf, serve_sh
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.plan import (
    COLLECTOR,
    GATEWAY,
    JAEGER_OTLP,
    MIGRATE,
    NATS,
    NATS_MONITOR,
    OPS_PORT,
    PORTS,
    POSTGRES,
    REDIS,
    Plan,
    Workload,
)
from holdfast.delivery.redis import CONF, ping, redis_conf
from holdfast.delivery.release import FOLDER
from holdfast.delivery.templates import Written, yaml_scalar
from holdfast.delivery.values import DRAIN_S, database_url, variables_of
from holdfast.delivery.yaml import Value, dump
from holdfast.runtime.postgres_identity import tls_settings, who_may
from holdfast.runtime.postgres_roles import owner_of
from holdfast.runtime.variables import (
    BROKER_COPIES,
    BROKER_URL,
    database_variable,
    file_variable,
    owner_variable,
)
from holdfast.system import Environment, External

PART: Final = RenderedPart.COMPOSE
DATA: Final = f"/data:uid={USER},gid={USER},mode=0700"
_READY: Final = (
    "import ssl, urllib.request as r; r.urlopen("
    f"'https://{LOOPBACK}:{OPS_PORT}/health/ready', timeout=2, "
    "context=ssl._create_unverified_context())"  # it asks itself
)
_CERTIFIED: Final = "import os; os.stat('/data/ready')"
IDENTITIES: Final = "identities"
"""Issues the certificates, and the volume that has them."""
_POSTGRES_TLS: Final = "/run/postgresql/tls"
"""Where Postgres has its own copy of its identity: it takes no key of somebody else's."""
_LISTENS: Final = f"import socket; socket.create_connection(('{LOOPBACK}', {PORT}), 2)"
_BASH: Final = "#!/usr/bin/env bash\n"
_HEALTHY, _STARTED = "service_healthy", "service_started"


def files(rendering: Rendering) -> Files:
    """Return {path: text} of the file, and of what it mounts beside `observability/`."""
    plan, above = rendering.plan, head(rendering.system.name, PART)
    words = _words(rendering)
    texts = {
        "compose.yml": above + rendering.templates.render(f"{PART}/compose.yml", **words),
        "secrets.sh": _BASH + above + rendering.templates.render(f"{PART}/secrets.sh", **words),
        ".gitignore": f"{above}/secrets/\n",
        "prometheus/prometheus.yml": above
        + dump(prometheus.identified(plan, IDENTITY, alertmanager="alertmanager:9093")),
        "grafana/datasources.yml": above + dump(_datasources()),
        "grafana/dashboards.yml": above + dump(_dashboards(plan)),
    }
    if words["brokered"]:
        texts["nats.conf"] = above + one_nats_conf(plan)
        texts["nats.sh"] = above + serve_sh()
    if words["limited"]:
        texts["redis.conf"] = above + redis_conf(plan)
    if databases := plan.migrate.databases if plan.migrate else ():
        roles = rendering.templates.render(f"{PART}/roles.sh", **words)
        texts["postgres/roles.sh"] = _BASH + above + roles
        serve = rendering.templates.render(f"{PART}/postgres.sh", **words)
        texts["postgres/serve.sh"] = _BASH + above + serve
        rights = who_may(databases, tls=True, network="all", administrator="trust")
        texts |= {f"postgres/{name}": above + text for name, text in rights.items()}
    return {f"{PART}/{name}": text for name, text in texts.items()}


def environment_of(plan: Plan) -> Environment:
    """Return this machine as an environment: whoever has a stand-in is where that listens."""
    urls = {e.name: f"http://{e.name}:{PORT}" for e in plan.externals if e.local}
    return Environment("local", size="small", databases="cluster", traced=1.0, urls=urls)


def variables(plan: Plan, workload: Workload) -> dict[str, str]:
    """Return {variable: value} of a process: those that it has on a cluster, with one broker."""
    found = variables_of(plan, workload, environment_of(plan))
    told = dict(found)
    for name in workload.databases:
        told[database_variable(name)] = database_url(name, name, POSTGRES)
        if workload.name == MIGRATE:
            told[owner_variable(name)] = database_url(name, owner_of(name), POSTGRES)
    if workload.broker:
        told |= {BROKER_URL: f"tls://{NATS}:{PORTS[NATS]}", BROKER_COPIES: "1"}
    return {name: value.replace("$", "$$") for name, value in told.items()}  # Compose's own sign


def secrets(workload: Workload) -> dict[str, str]:
    """Return {variable that names a file: secret} of a process."""
    return {file_variable(name): name.lower() for name in workload.secrets}


def _words(rendering: Rendering) -> dict[str, object]:
    """Return {name: what a template finds under it}."""
    plan = rendering.plan
    databases = plan.migrate.databases if plan.migrate else ()
    used = {name: None for w in plan.everything for name in secrets(w).values()}
    servers = ["grafana_password", *(["postgres_password"] if databases else [])]
    return {
        "plan": plan,
        "folder": FOLDER,
        "gateway": GATEWAY,
        "migrate": MIGRATE,
        "images": {name: rendering.images.server(name) for name in _SERVERS},
        "commands": {w.name: _command(plan, w) for w in plan.everything},
        "variables": {w.name: variables(plan, w) for w in plan.everything},
        "secrets": {w.name: secrets(w) for w in plan.everything},
        "identities": {w.name: _identities(w) for w in plan.everything},
        "certified": _CERTIFIED,
        "identity": _identity,
        "look_s": LOOK_S,
        "identity_path": IDENTITY,
        "awaited": {w.name: _awaited(w) for w in plan.everything},
        "databases": databases,
        "made": [*servers, *used],
        "others": list(used),
        "postgres_tls": _POSTGRES_TLS,
        "postgres_words": tls_settings(_POSTGRES_TLS),
        "stand_ins": [external for external in plan.externals if external.local],
        "stand_in": _stand_in,
        "brokered": any(w.broker for w in plan.everything),
        "limited": any(w.limits for w in plan.everything),
        "confined": _confined,
        "data": DATA,
        "ready": _READY,
        "listens": _LISTENS,
        "redis_conf": CONF,
        "redis_ping": ping(),
        "user": USER,
        "drain_s": DRAIN_S,
        "http_port": PORT,
        "nats_monitor": NATS_MONITOR,
        "otlp_http": PORTS[COLLECTOR],
        "otlp_grpc": JAEGER_OTLP,
    }


_SERVERS: Final = (
    *(POSTGRES, NATS, REDIS, COLLECTOR),
    *("jaeger", "prometheus", "alertmanager", "grafana"),
)


def _command(plan: Plan, workload: Workload) -> list[str]:
    data = ["--data", f"/data/{plan.system.name}"]
    if workload.name == MIGRATE:
        return [*workload.arguments, *data]
    if workload.name == PROVISIONER:
        return [*workload.arguments, "--host", "0.0.0.0", "--ops-port", str(OPS_PORT)]  # noqa: S104
    ports = ["--port", str(PORT), "--ops-port", str(OPS_PORT)]
    return [*workload.arguments, "--host", "0.0.0.0", *ports, *data]  # noqa: S104  # in its network


def _awaited(workload: Workload) -> dict[str, str]:
    """Return {service: in what state it has to be before a process is started}."""
    if workload.name == MIGRATE:
        return {IDENTITIES: _HEALTHY, POSTGRES: _HEALTHY}
    if workload.name == PROVISIONER:
        return {IDENTITIES: _HEALTHY, NATS: _HEALTHY}
    awaited = {IDENTITIES: _HEALTHY}
    awaited |= {MIGRATE: "service_completed_successfully"} if workload.databases else {}
    awaited |= {NATS: _HEALTHY} if workload.broker else {}
    awaited |= {REDIS: _HEALTHY} if workload.limits else {}
    awaited |= {external.name: _HEALTHY for external in workload.externals if external.local}
    return awaited | {COLLECTOR: _STARTED}


def _identities(workload: Workload) -> list[dict[str, Value]]:
    """Return the volumes by which a process knows who it is."""
    own = _identity(identity_name(workload.name), IDENTITY)
    return [own, _identity(SIGNER, TOKENS)] if workload.name == GATEWAY else [own]


def _identity(name: str, target: str) -> dict[str, Value]:
    """Return the volume that has one identity and no other."""
    return {
        "type": "volume",
        "source": IDENTITIES,
        "target": target,
        "read_only": True,
        "volume": {"subpath": name.replace("/", "-")},
    }


def _stand_in(external: External) -> list[str]:
    """Return the words of the command that stands for a third party."""
    words = shlex.split((external.local or "").replace("$", "$$"))
    return [word.format(port=PORT, data="/data", host="0.0.0.0") for word in words]  # noqa: S104


def _confined(tmpfs: Sequence[str] = ()) -> Written:
    """Return the lines that take from a container what it does not need."""
    lines = ["read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]']
    if tmpfs:
        lines.append(f"tmpfs: [{', '.join(yaml_scalar(place) for place in tmpfs)}]")
    return Written("\n".join(f"    {line}" for line in lines))


def _datasources() -> Value:
    """Return where Grafana looks; from an exemplar a click leads to its trace."""
    exemplars = [{"name": "trace_id", "datasourceUid": "jaeger"}]
    found: list[Mapping[str, Value]] = [
        {
            "name": "Prometheus",
            "uid": "prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": "http://prometheus:9090",
            "isDefault": True,
            "jsonData": {
                "timeInterval": f"{prometheus.SCRAPE_S}s",
                "exemplarTraceIdDestinations": exemplars,
            },
        },
        {
            "name": "Jaeger",
            "uid": "jaeger",
            "type": "jaeger",
            "access": "proxy",
            "url": "http://jaeger:16686",
        },
    ]
    return {"apiVersion": 1, "datasources": found}


def _dashboards(plan: Plan) -> Value:
    provider: dict[str, Value] = {
        "name": plan.system.name,
        "folder": plan.system.name,
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": "/etc/grafana/dashboards"},
    }
    return {"apiVersion": 1, "providers": [provider]}
