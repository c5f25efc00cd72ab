"""What operators make of custom resources, without operators: Secrets, and a Postgres.

Nothing here controls anything: an ExternalSecret becomes its Secret once, a CloudNativePG `Cluster`
one Postgres behind its Services, with the roles and databases that are declared, and with the
certificate and the authority that it names.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote_plus

from tests.delivery.kubelet.cert_manager import CertManager
from tests.delivery.kubelet.manifests import Object, key_of

Store = Callable[[str, str], str]
"""Returns what a store of secrets has under a key and a property."""

RULES = ["hostssl all all all cert map=identities", "host all all all reject"]
"""The rules of who comes in that are known here."""
CERTIFICATES = ("serverTLSSecret", "serverCASecret", "clientCASecret")
POSTGRES_IMAGE = "standin/postgres"
_POSTGRES_USER = 26  # as the operator's images have it
_ACTION = re.compile(r"\{\{ \.(\w+)((?: \| [^|}]+)*) \}\}")
_STEPS: Mapping[str, Callable[[str], str]] = {
    "urlquery": quote_plus,
    'replace "+" "%20"': lambda text: text.replace("+", "%20"),
}
"""{step of a template's pipeline: what it does}, those that are used."""


def carried_out(objects: Iterable[Object], *, store: Store, issuing: CertManager) -> list[Object]:
    """Return objects with what operators would make of them."""
    given = list(objects)
    made: list[Object] = list(issuing.secrets.values())
    for thing in given:
        if thing["kind"] == "ExternalSecret":
            made.append(secret_of(thing, store))
        elif thing["kind"] == "Cluster":
            made += postgres_of(thing, [o for o in given if o["kind"] == "Database"])
    return [*given, *made]


def secret_of(external: Object, store: Store) -> Object:
    """Return the Secret that an ExternalSecret asks for.

    Raises:
        ValueError: its template says what is not known here.
    """
    spec, key = external["spec"], key_of(external)
    values = {
        item["secretKey"]: store(item["remoteRef"]["key"], item["remoteRef"].get("property", ""))
        for item in spec.get("data") or []
    }
    target = spec.get("target") or {}
    template = target.get("template") or {}
    if "data" in template:
        values = {name: _filled(text, values) for name, text in template["data"].items()}
    name = target.get("name", key.name)
    return _secret(name, key.namespace, values, template.get("type", "Opaque"))


def postgres_of(cluster: Object, databases: Iterable[Object]) -> list[Object]:
    """Return the Postgres of a CloudNativePG `Cluster`: one instance, whatever it asks for.

    Raises:
        ValueError: it lets in others than is known here.
    """
    key, spec = key_of(cluster), cluster["spec"]
    roles = [role for role in (spec.get("managed") or {}).get("roles") or [] if role.get("login")]
    settings = spec.get("postgresql") or {}
    shown = spec["certificates"]
    if settings.get("pg_hba") != RULES or len({shown[name] for name in CERTIFICATES}) != 1:
        raise ValueError(f"such a Postgres is not stood for: {settings}, {shown}")
    owned = {
        database["spec"]["name"]: database["spec"]["owner"]
        for database in databases
        if database["spec"]["cluster"]["name"] == key.name
    }
    labels: dict[str, str] = {"cnpg.io/cluster": key.name, "cnpg.io/instanceRole": "primary"}
    mounts: dict[str, Object] = {
        "tls": {"secret": {"secretName": shown["serverTLSSecret"], "defaultMode": 0o440}},
        "scratch": {"emptyDir": {}},
    }
    container = {
        "name": "postgres",
        "image": POSTGRES_IMAGE,
        "env": [
            {"name": "DATABASES", "value": json.dumps(owned)},
            {"name": "ROLES", "value": json.dumps([role["name"] for role in roles])},
            {"name": "IDENT", "value": json.dumps(settings.get("pg_ident") or [])},
            {"name": "PARAMETERS", "value": json.dumps(settings.get("parameters") or {})},
        ],
        "ports": [{"name": "postgresql", "containerPort": 5432}],
        "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
        "startupProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1, "failureThreshold": 60},
        "resources": spec.get("resources") or {},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "pgdata", "mountPath": "/var/lib/postgresql/data"},
            {"name": "scratch", "mountPath": "/run"},
            *({"name": name, "mountPath": f"/{name}"} for name in mounts if name != "scratch"),
        ],
    }
    stateful = {
        "kind": "StatefulSet",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {
            "replicas": 1,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _POSTGRES_USER,
                        "runAsGroup": _POSTGRES_USER,
                        "fsGroup": _POSTGRES_USER,
                    },
                    "containers": [container],
                    "volumes": [{"name": name, **volume} for name, volume in mounts.items()],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "pgdata"}}],
        },
    }
    services = [
        {
            "kind": "Service",
            "metadata": {"name": f"{key.name}-{suffix}", "namespace": key.namespace},
            "spec": {"selector": labels, "ports": [{"name": "postgres", "port": 5432}]},
        }
        for suffix in ("rw", "ro", "r")
    ]
    return [stateful, *services]


def _secret(name: str, namespace: str, values: Mapping[str, str], kind: str = "Opaque") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": kind,
        "stringData": dict(values),
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a template of External Secrets with its values."""

    def fill(action: re.Match[str]) -> str:
        value = values[action[1]]
        for step in action[2].split(" | ")[1:]:
            if step not in _STEPS:
                raise ValueError(f"a template says what is not known here: {step}")
            value = _STEPS[step](value)
        return value

    if "{{" in _ACTION.sub("", text):
        raise ValueError(f"a template says what is not known here: {text}")
    return _ACTION.sub(fill, text)
