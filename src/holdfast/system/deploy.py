"""Deploy: what a cluster has to know of a system and cannot derive from it."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Size = Literal["small", "large"]
Databases = Literal["managed", "cluster"]
LogLevel = Literal["debug", "info", "warning", "error"]
Entry = Literal["gateway", "ingress"]
KEYS: Final = "gateway.keys"
"""Who publishes the keys of tokens, as a third party of the gateway; no External has the name."""
INTROSPECTION: Final = "gateway.introspection"
"""Who is asked about opaque tokens, in the same way."""


def _declared_at() -> str:
    """Return `file:line` of whoever makes the value, past what a dataclass makes of it.

    A default is made here, for the value that it belongs to.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename in (__file__, "<string>"):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


@dataclass(frozen=True, slots=True)
class Pods:
    """How a service runs on a cluster. The defaults are of one that has work, and must not stop.

    Attributes:
        least, most: how many pods, between which what they have to do decides.
        cpu, memory: what each one requests, as Kubernetes writes it: `250m` or `2`, `256Mi`.
            It gets no more memory than that, and what CPU is free.
        bulk: its work may wait: it has no pod at all while no letter waits for it.
        settings: {field of its `Settings`: value}, for those that have no default, or another
            value on clusters. A field that is secret is never here.
        secrets: fields of its `Settings` that are secret and have a default, which the store of
            secrets gives all the same; those without a default come from there in any case.
    """

    least: int = 2
    most: int = 10
    cpu: str = "250m"
    memory: str = "256Mi"
    bulk: bool = False
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Sequence[str] = ()
    at: str = field(default_factory=_declared_at, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Environment:
    """One place where the whole system runs: a cluster of its own.

    Attributes:
        name: of its files, its secrets and its address.
        host: under which the gateway is reached, such as `shop.example.com`. None:
            `<system>.<name>.example.com`, to be replaced before the first deployment.
        size: what the servers and clouds are given. In a small one each service has one pod to
            begin with and two at most.
        databases: `managed` are those of a cloud, as what is rendered for Terraform makes them;
            `cluster` is a Postgres of three nodes beside the system, by CloudNativePG.
        database_networks: from where managed databases answer, as CIDRs.
        log_level: `HOLDFAST_LOG_LEVEL`.
        traced: the share of traces that are sampled.
        urls: {External's name: its url here}, such as that of a third party's sandbox;
            `gateway.keys` is who publishes the keys of tokens, `gateway.keys-2` those of a second
            issuer, and `gateway.introspection` is who is asked about opaque ones.
    """

    name: str
    host: str | None = None
    size: Size = "large"
    databases: Databases = "managed"
    database_networks: Sequence[str] = ("10.0.48.0/20",)
    log_level: LogLevel = "info"
    traced: float = 0.01
    urls: Mapping[str, str] = field(default_factory=dict[str, str])
    at: str = field(default_factory=_declared_at, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Build:
    """What the system's image is built from: files and folders, named from the repository's root.

    Nothing else of the repository is sent to whoever builds.

    Attributes:
        requirements: all packages of the image, locked with hashes, as `pip --require-hashes` reads
            them. Holdfast is one of them, with the extras `postgres`, `nats` and `redis` (and
            `otel` for spans of yours), unless it is the `project`.
        sources: what is copied to the image as it is, and imported from there. None: the package
            that commands name, `shop` of `shop.system`.
        project: what `pip install` takes of the repository, `pyproject.toml` among it; empty where
            the repository is no package.
        backend: the packages that build the project, locked with hashes; they do not come along.
        development: what tests and `holdfast render` need, in locks with hashes; it is for CI and
            comes into no image. Holdfast is there too, with the extra `render`, unless it is the
            `project`.
    """

    requirements: str = "requirements.txt"
    sources: Sequence[str] | None = None
    project: Sequence[str] = ()
    backend: str | None = None
    development: Sequence[str] = ("requirements-dev.txt",)
    at: str = field(default_factory=_declared_at, init=False, repr=False, compare=False)


def _environments() -> tuple[Environment, ...]:
    return (Environment("staging", size="small"), Environment("production"))


@dataclass(frozen=True, slots=True)
class Deploy:
    """What `holdfast render` has to know of a system's clusters.

    Attributes:
        registry: where images are kept; the system's is `<registry>/<system>`.
        repository: the Git repository that clusters follow, as a https URL.
        environments: in the order in which a release passes through them.
        gateway: the gateway's pods.
        namespace: on each cluster; the system's name without it.
        entry: what lets clients in: a Gateway of the Gateway API, or a classic Ingress.
        entry_class: its GatewayClass or IngressClass; None: `envoy`. An Ingress has to have one.
        issuer: the ClusterIssuer of cert-manager that its certificate is from.
        identity_issuer: the ClusterIssuer that says who is who inside the system, whose authority
            nobody else may be issued by; None: an authority of the system's own.
        entry_namespace: where the proxies behind `entry` run, from which alone clients' requests
            are let in; None: `envoy-gateway-system`. An Ingress has to have one.
        monitoring_namespace, keda_namespace: where Prometheus and Jaeger, and KEDA, run.
        pull_secret: the Secret in the namespace by which images are pulled from a private
            registry; None: nodes may pull by themselves, as those of clouds do.
        store: the ClusterSecretStore of External Secrets.
        networks: {External's name: CIDRs from where it answers}, `gateway.keys` as in `urls`;
            one that is not here may be anywhere but in private networks.
        build: what the image is built from.
    """

    registry: str = "registry.example.com"
    repository: str = "https://git.example.com/team/system.git"
    environments: Sequence[Environment] = field(default_factory=_environments)
    gateway: Pods = field(default_factory=Pods)
    namespace: str | None = None
    entry: Entry = "gateway"
    entry_class: str | None = None
    issuer: str = "letsencrypt"
    identity_issuer: str | None = None
    entry_namespace: str | None = None
    monitoring_namespace: str = "monitoring"
    keda_namespace: str = "keda"
    pull_secret: str | None = None
    store: str = "secrets"
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    build: Build = field(default_factory=Build)
    at: str = field(default_factory=_declared_at, init=False, repr=False, compare=False)
