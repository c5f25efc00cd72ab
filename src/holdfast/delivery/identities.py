"""Identities: the certificates by which the workloads of a cluster prove who they are.

cert-manager issues them, one Secret for each, and each Secret is mounted by its own workload alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.contract.spiffe import (
    GATEWAY,
    MIGRATOR,
    MONITORING,
    SIGNER,
    spiffe_id,
)
from holdfast.delivery.plan import MIGRATE, NATS, NATS_NODES, POSTGRES, REDIS, Plan
from holdfast.delivery.yaml import Value
from holdfast.runtime.variables import CERTIFICATE, KEY, TOKENS_CERTIFICATE, TOKENS_KEY, TRUSTED

IDENTITY: Final = "/etc/holdfast/identity"
"""The folder in which a process finds its `tls.crt`, `tls.key` and `ca.crt`."""
TOKENS: Final = "/etc/holdfast/tokens"
"""The folder in which the gateway finds those that sign transaction tokens."""
LIFE: Final = "1h"
"""How long a certificate is good; cert-manager issues none for less."""
RENEWED: Final = "30m"
"""How long before its end another one takes its place: at half its life."""
ISSUER: Final = "identities"
"""The Issuer of the system's own authority, where `Deploy` names no other one."""
_RELOADED: Final = {"labels": {"cnpg.io/reload": ""}}
"""By which CloudNativePG takes up a Secret that has changed."""
MODE: Final = 0o440
"""Of the mounted files: the pod's user reads them by its group, and nobody else does."""


@dataclass(frozen=True, slots=True)
class RenderedIdentity:
    """A certificate to be issued.

    Attributes:
        name: of the workload inside the system.
        dns: by which it is reached; the first one is its name, which is what NATS reads.
    """

    name: str
    dns: tuple[str, ...]

    @property
    def secret(self) -> str:
        """The Secret, and the Certificate that makes it."""
        return secret_of_identity(self.name)


def secret_of_identity(name: str) -> str:
    """Return the Secret of a workload's identity."""
    return f"identity-{name.replace('/', '-')}"


def identity_name(workload: str) -> str:
    """Return who a process of the plan is inside the system."""
    return MIGRATOR if workload == MIGRATE else workload


def identities_of(plan: Plan) -> Iterator[RenderedIdentity]:
    """Yield the identity of each workload, and of what reads the metrics."""
    for workload in plan.everything:
        name = identity_name(workload.name)
        dns = (name,) if name == MIGRATOR else hosts_of(plan, name)
        yield RenderedIdentity(name, dns)
        if name == GATEWAY:
            yield RenderedIdentity(SIGNER, ())
    yield RenderedIdentity(MONITORING, (MONITORING,))
    nodes = (f"{NATS}-{n}.{NATS}" for n in range(NATS_NODES))
    yield RenderedIdentity(NATS, (*hosts_of(plan, NATS), *nodes))
    yield RenderedIdentity(REDIS, hosts_of(plan, REDIS))
    databases = (hosts_of(plan, f"{POSTGRES}-{which}") for which in ("rw", "r", "ro"))
    yield RenderedIdentity(POSTGRES, (POSTGRES, *(host for hosts in databases for host in hosts)))


def hosts_of(plan: Plan, service: str) -> tuple[str, ...]:
    """Return the names under which a Service of the cluster is reached."""
    space = plan.namespace
    return (service, *(f"{service}.{space}{rest}" for rest in ("", ".svc", ".svc.cluster.local")))


def certificate_of(plan: Plan, identity: RenderedIdentity) -> Value:
    """Return the `spec` of a Certificate of cert-manager."""
    name = identity.name
    tokens = name == SIGNER
    uses = ["digital signature", *([] if tokens else ["server auth", "client auth"])]
    key: dict[str, Value]
    key = {"algorithm": "Ed25519"} if tokens else {"algorithm": "ECDSA", "size": 256}
    spec = {**_short_lived(plan, identity.secret, name, key), "usages": uses}
    spec["uris"] = [spiffe_id(plan.system.name, name)]
    if name == POSTGRES:
        spec["secretTemplate"] = _RELOADED
    return spec if tokens else {**spec, "dnsNames": identity.dns}


def replica_certificate(plan: Plan) -> Value:
    """Return the `spec` of the Certificate by which instances of Postgres follow each other."""
    key: dict[str, Value] = {"algorithm": "ECDSA", "size": 256}
    return {
        **_short_lived(plan, "postgres-replica", "streaming_replica", key),
        "usages": ["digital signature", "client auth"],
        "secretTemplate": _RELOADED,
    }


def _short_lived(plan: Plan, secret: str, name: str, key: Mapping[str, Value]) -> dict[str, Value]:
    issuer = plan.system.deploy.identity_issuer
    return {
        "secretName": secret,
        "commonName": name,
        "duration": LIFE,
        "renewBefore": RENEWED,
        "privateKey": {**key, "encoding": "PKCS8", "rotationPolicy": "Always"},
        "issuerRef": {
            "group": "cert-manager.io",
            "kind": "Issuer" if issuer is None else "ClusterIssuer",
            "name": ISSUER if issuer is None else issuer,
        },
    }


def files_of(workload: str) -> dict[str, str]:
    """Return {variable: file} by which a process knows who it is."""
    found = {
        CERTIFICATE: f"{IDENTITY}/tls.crt",
        KEY: f"{IDENTITY}/tls.key",
        TRUSTED: f"{IDENTITY}/ca.crt",
    }
    if workload == GATEWAY:
        found |= {TOKENS_CERTIFICATE: f"{TOKENS}/tls.crt", TOKENS_KEY: f"{TOKENS}/tls.key"}
    return found
