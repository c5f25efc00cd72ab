"""Kubernetes: the manifests of each environment, by file.

One text is rendered for each environment, and once more with holes for Helm.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.communication import PORT
from holdfast.delivery import collector, prometheus
from holdfast.delivery.files import Files, head
from holdfast.delivery.identities import (
    IDENTITY,
    ISSUER,
    MODE,
    TOKENS,
    certificate_of,
    identities_of,
    identity_name,
    replica_certificate,
    secret_of_identity,
)
from holdfast.delivery.image import USER
from holdfast.delivery.labels import labels_of, selector_of
from holdfast.delivery.nats import nats_conf, serve_sh
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.plan import (
    ENTRY,
    GATEWAY,
    JAEGER_OTLP,
    MONITORING,
    NATS_MONITOR,
    NATS_NODES,
    NATS_ROUTES,
    OPS_PORT,
    PORTS,
    POSTGRES,
    Flow,
    Plan,
)
from holdfast.delivery.redis import ping, redis_conf
from holdfast.delivery.templates import Written, yaml_scalar
from holdfast.delivery.values import AUTHORITY, DRAIN_S, Hole, values_of
from holdfast.delivery.yaml import Value, dump
from holdfast.runtime.nats_settings import STREAMS
from holdfast.runtime.postgres_roles import owner_of
from holdfast.system import System

PART: Final = RenderedPart.KUBERNETES
PRESTOP_S: Final = 5
CLUSTER_WIDE: Final = "namespace.yaml"
"""What only whoever owns the cluster may apply; it is in no Helm chart."""
WHEN: Final = {"postgres.yaml": "in_cluster", "authority.yaml": "managed"}
"""{file: the value of `databases` with which it is there}; the others always are."""

ENVOY: Final = "envoy"
ENVOY_NAMESPACE: Final = "envoy-gateway-system"
"""As Envoy Gateway 1.5 calls them."""

Env = Mapping[str, Any] | Hole


def files(rendering: Rendering) -> Files:
    """Return {path: text} of every environment's manifests."""
    above = head(rendering.system.name, PART)
    rendered: Files = {}
    for environment in rendering.system.deploy.environments:
        values = values_of(rendering.plan, environment, rendering.images)
        for name, text in manifests(rendering, values).items():
            rendered[f"{PART}/{environment.name}/{name}"] = above + text
    return rendered


def manifests(rendering: Rendering, env: Env) -> dict[str, str]:
    """Return {file: text}, with the values of an environment or with holes in their place.

    With holes all files are there; those in `WHEN` not always with values.
    """
    put_in = _Words(rendering, env).put_in()
    found: dict[str, str] = {}
    for name, template, more in _templates(rendering.plan):
        if name in WHEN and not isinstance(env, Hole) and not env["databases"][WHEN[name]]:
            continue
        found[name] = rendering.templates.render(f"{PART}/{template}", **put_in, **more)
    return found


def _templates(plan: Plan) -> list[tuple[str, str, dict[str, object]]]:
    """Return each file with its template, and what that is about."""
    found: list[tuple[str, str, dict[str, object]]] = [
        (f"{w.name}.yaml", "workload.yaml", {"workload": w}) for w in plan.workloads
    ]
    if plan.provisioner is not None:
        found.append(("provisioner.yaml", "provisioner.yaml", {"workload": plan.provisioner}))
    if plan.migrate is not None:
        found.append(("migrate.yaml", "migrate.yaml", {"workload": plan.migrate}))
        found += [(name, name, {}) for name in WHEN]
    always = (CLUSTER_WIDE, "network.yaml", "identities.yaml", "entry.yaml", "monitoring.yaml")
    beside = ("nats.yaml", "redis.yaml", "collector.yaml")
    return [*found, *((name, name, {}) for name in (*always, *beside))]


class _Words:
    """What the templates may say beside the plan and the values."""

    def __init__(self, rendering: Rendering, env: Env) -> None:
        self._rendering, self._env = rendering, env
        self._plan = rendering.plan

    def put_in(self) -> dict[str, object]:
        """Return {name: what a template finds under it}."""
        system = self._rendering.system
        functions: tuple[Callable[..., object], ...] = (
            *(self.labels, self.all_labels, self.metadata, self.sender, self.receiver, self.port),
            *(self.later, self.literal, self.block, self.certificate),
        )
        return {
            "plan": self._plan,
            "env": self._env,
            "http_port": PORT,
            "ops_port": OPS_PORT,
            "ports": PORTS,
            "nats_routes": NATS_ROUTES,
            "nats_monitor": NATS_MONITOR,
            "nats_nodes": NATS_NODES,
            "jaeger_otlp": JAEGER_OTLP,
            "user": USER,
            "authority": AUTHORITY,
            "identities": {identity.name: identity for identity in identities_of(self._plan)},
            "identity_path": IDENTITY,
            "tokens_path": TOKENS,
            "private": MODE,
            "own_issuer": ISSUER,
            "gateway": GATEWAY,
            "identity_name": identity_name,
            "replica": replica_certificate(self._plan),
            "owner_of": owner_of,
            "secret_of_identity": secret_of_identity,
            "nats_conf": nats_conf(self._plan),
            "nats_sh": serve_sh(),
            "nats_files": nats_conf(self._plan) + serve_sh(),
            "redis_conf": redis_conf(self._plan),
            "redis_ping": ping(),
            "nats_account": STREAMS,
            "collector_conf": dump(collector.configuration()),
            "prestop_s": PRESTOP_S,
            "drain_s": DRAIN_S,
            "entry_timeout": _longest(system),
            "entry_class": system.deploy.entry_class or ENVOY,
            "scraped": [w.name for w in self._plan.scraped],
            "scrape_s": prometheus.SCRAPE_S,
            "rules": prometheus.rules(system, self._rendering.runbooks),
            **{function.__name__: function for function in functions},
        }

    def labels(self, component: str) -> dict[str, str]:
        """Return what selects the pods of a component."""
        return selector_of(self._plan.system.name, component)

    def all_labels(self, component: str) -> dict[str, str]:
        """Return the labels of everything of a component."""
        return labels_of(self._plan.system.name, component)

    def metadata(self, name: str, component: str = "network", *, wave: int = 0) -> Written:
        """Return the lines below `metadata:`.

        Args:
            wave: in which order Argo CD applies it; it waits for each to be well.
        """
        lines = [f"  name: {yaml_scalar(name)}", f"  namespace: {self._plan.namespace}"]
        lines += ["  labels:", *_pairs(self.all_labels(component))]
        if wave:
            lines += ["  annotations:", *_pairs({"argocd.argoproj.io/sync-wave": str(wave)})]
        return Written("\n".join(lines))

    def sender(self, flow: Flow) -> list[dict[str, Any]]:
        """Return from whom a policy lets in."""
        deploy = self._plan.system.deploy
        namespaces = {
            ENTRY: deploy.entry_namespace or ENVOY_NAMESPACE,
            MONITORING: deploy.monitoring_namespace,
        }
        if namespace := namespaces.get(flow.sender):
            return [_namespace(namespace)]
        return [{"podSelector": {"matchLabels": self.labels(flow.sender)}}]

    def receiver(self, flow: Flow) -> object:
        """Return to whom a policy lets out."""
        if flow.receiver == POSTGRES:
            return self._env["databases"]["peers"]
        if flow.receiver in self._externals:
            return self._env["externals"][flow.receiver]["peers"]
        return [{"podSelector": {"matchLabels": self.labels(flow.receiver)}}]

    def port(self, flow: Flow) -> object:
        """Return the port at which the receiver listens."""
        if flow.receiver in self._externals and flow.receiver not in PORTS:
            return self._env["externals"][flow.receiver]["port"]
        return flow.port

    @property
    def _externals(self) -> frozenset[str]:
        return frozenset(external.name for external in self._plan.externals)

    def certificate(self, name: str) -> Written:
        """Return the lines below `spec:` of a workload's Certificate."""
        identities = {identity.name: identity for identity in identities_of(self._plan)}
        return self.block(certificate_of(self._plan, identities[name]), 2)

    def later(self, text: str) -> str:
        """Return a text that another program fills in, and Helm must not."""
        if not isinstance(self._env, Hole):
            return text
        return re.sub(r"\{\{|\}\}", lambda found: f'{{{{ "{found[0]}" }}}}', text)

    def literal(self, text: str, indent: int) -> Written:
        """Return lines of a text as a literal block."""
        lines = self.later(text).rstrip("\n").split("\n")
        return Written("\n".join(["|", *(f"{' ' * indent}{line}".rstrip() for line in lines)]))

    def block(self, value: Value | Hole, indent: int) -> Written:
        """Return a value on lines of its own, below its key."""
        if isinstance(value, Hole):
            return Written(str(value))
        lines = self.later(dump(value)).rstrip("\n").split("\n")
        return Written("\n" + "\n".join(f"{' ' * indent}{line}".rstrip() for line in lines))


def _longest(system: System) -> str:
    """Return how long the entry waits: longer than the gateway, which answers first.

    What a mounted app streams lasts as long as its client reads; `0s` is no end.
    """
    streams = any(service.mounts for service in system.services)
    return "0s" if streams else f"{system.gateway.deadline_s + 5:g}s"


def _pairs(pairs: Mapping[str, str]) -> list[str]:
    return [f"    {key}: {yaml_scalar(value)}" for key, value in pairs.items()]


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
