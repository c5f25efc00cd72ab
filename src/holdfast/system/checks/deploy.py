"""Checks of what a system says about its clusters: names, quantities, hosts, settings."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlsplit

from holdfast.system.checks.build import build_problems
from holdfast.system.checks.fields import field_problems
from holdfast.system.checks.secrets import is_secret
from holdfast.system.deploy import KEYS, Build, Deploy, Environment, Pods
from holdfast.system.gateway import Gateway, reached_by
from holdfast.system.service import Service
from holdfast.system.tables import settings_of

RESERVED = frozenset(
    (
        *("nats", "redis", "postgres", "collector", "migrate", "default", "kubernetes"),
        *("jaeger", "prometheus", "alertmanager", "grafana"),
        *("database", "databases", "database-admin", "database-authority"),
        *("network", "namespace", "dns", "default-deny", "authority", "kustomization", "own"),
        *("entry", "entry-tls", "entry-redirect", "monitoring", "identities"),
    )
)
"""Names of what stands beside the services, on a cluster or in Compose."""
_BEGINS = ("postgres-", "identity-")  # and those that are made of a service's own name
PRIVATE = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8"),
    *("169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
)
"""Where no third party is: private networks, and the metadata of clouds. Source: RFC 6890."""
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(
    r"(?=.{4,253}\Z)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+"
)
_CPU = re.compile(r"[1-9][0-9]{0,5}m|[1-9][0-9]{0,2}")
_MEMORY = re.compile(r"[1-9][0-9]{0,6}(Mi|Gi)")
_REGISTRY = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._-]+)*")
_LABELS = (
    *("namespace", "entry_class", "issuer", "identity_issuer", "store"),
    *("entry_namespace", "monitoring_namespace", "keda_namespace", "pull_secret"),
)
PODS_MAX = 500


def deploy_problems(
    system: str, services: Sequence[Service], deploy: Deploy, gateway: Gateway
) -> Iterator[str]:
    """Yield what is wrong, each with its line."""
    if not _is(deploy, Deploy):
        yield f"System(deploy={deploy!r}): that is no Deploy; write `Deploy(registry=…, …)`"
        return
    if wrong := [*field_problems(deploy), *_nested(services, deploy)]:
        yield from wrong
        return
    yield from _whole(system, deploy)
    yield from build_problems(deploy)
    yield from _pods(deploy.gateway, f"{deploy.at}: Deploy(gateway=…)")
    if deploy.gateway.bulk:
        yield f"{deploy.at}: Deploy(gateway=Pods(bulk=True)): who asks does not wait; remove it"
    for name in (*deploy.gateway.settings, *deploy.gateway.secrets):
        yield f"{deploy.gateway.at}: the gateway has no Settings; remove {name!r}"
    for environment in deploy.environments:
        yield from _environment(environment)
    names = Counter(environment.name for environment in deploy.environments)
    for name, count in names.items():
        if count > 1:
            yield f"{deploy.at}: two environments are named {name!r}; rename one"
    for service in services:
        yield from _service(service)
        yield from _externals(service, deploy)
    yield from _strangers(services, deploy, gateway)


def _nested(services: Sequence[Service], deploy: Deploy) -> Iterator[str]:
    """Yield the fields that are wrong of what a Deploy holds, and of the services' own Pods."""
    environments: object = deploy.environments
    listed = environments if isinstance(environments, list | tuple) else ()
    for made in (deploy.build, deploy.gateway, *cast("Sequence[object]", listed)):
        if isinstance(made, Build | Environment | Pods):
            yield from field_problems(made)
    for service in services:
        if _is(service.deploy, Pods):
            yield from field_problems(service.deploy)
        else:
            yield (
                f"Service({service.name!r}, deploy={service.deploy!r}): that is no Pods; write "
                "`Pods(least=2, most=10)`"
            )


def _strangers(services: Sequence[Service], deploy: Deploy, gateway: Gateway) -> Iterator[str]:
    """Yield the third parties of which something is said, and which nobody reaches."""
    named = {external.name for each in services for external in each.reaches}
    known = sorted({KEYS, *reached_by(gateway), *named})
    said = [(f"{deploy.at}: Deploy(networks=…)", deploy.networks)]
    said += [(f"{e.at}: Environment({e.name!r}, urls=…)", e.urls) for e in deploy.environments]
    for place, names in said:
        for name in names:
            if name not in known:
                yield f"{place}: no service reaches {name!r}; write one of {', '.join(known)}"


def _externals(service: Service, deploy: Deploy) -> Iterator[str]:
    for external in service.reaches:
        if external.local and external.name in RESERVED:
            yield (
                f"{service.name} reaches External({external.name!r}, local=…): in Compose "
                "something else has this name; rename it"
            )
        for environment in deploy.environments:
            url = environment.urls.get(external.name, external.url)
            place = f"{environment.at}: Environment({environment.name!r}): {external.name}"
            if _is_loopback(host := urlsplit(url).hostname or ""):
                yield (
                    f"{place} is at {url}, which is the pod itself; add "
                    f"`urls={{{external.name!r}: 'https://…'}}`"
                )
            elif _is_private(host) and external.name not in deploy.networks:
                yield (
                    f"{place} is at {url}, a private address, where no third party is let out to; "
                    f"add `Deploy(networks={{{external.name!r}: ['10.1.0.0/16']}})` or where it is"
                )


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network) for network in PRIVATE)


def _is(value: object, kind: type) -> bool:
    """Whether a user has given what the type says."""
    return isinstance(value, kind)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _whole(system: str, deploy: Deploy) -> Iterator[str]:
    if not _REGISTRY.fullmatch(deploy.registry):
        yield (
            f"{deploy.at}: Deploy(registry={deploy.registry!r}): write it as images are named, "
            "`registry.example.com/team`, without a scheme"
        )
    if not deploy.repository.startswith(("https://", "ssh://")):
        yield (
            f"{deploy.at}: Deploy(repository={deploy.repository!r}): clusters pull from it; write "
            "a https:// or ssh:// URL"
        )
    for name in ("entry_class", "entry_namespace"):
        if deploy.entry == "ingress" and getattr(deploy, name) is None:
            yield (
                f"{deploy.at}: Deploy(entry='ingress'): say which, and from where it comes; add "
                f"`{name}='nginx'` or what your cluster has"
            )
    for name in _LABELS:
        value = getattr(deploy, name) or system
        if not _LABEL.fullmatch(value):
            yield (
                f"{deploy.at}: Deploy({name}={value!r}): no DNS label; write 1..63 of a-z, 0-9 "
                "and -, a letter first and no - at the end"
            )
    if not deploy.environments:
        yield f"{deploy.at}: Deploy(environments=()): there is nowhere to deploy to; name one"
    for external, networks in deploy.networks.items():
        for network in networks:
            yield from _network(network, f"{deploy.at}: Deploy(networks={{{external!r}: …}})")


def _environment(environment: Environment) -> Iterator[str]:
    place = f"{environment.at}: Environment({environment.name!r})"
    if not _LABEL.fullmatch(environment.name) or len(environment.name) > 20:
        yield f"{place}: write a name of 1..20 of a-z, 0-9 and -, a letter first, no - at the end"
    host = environment.host
    if host is not None and not _HOST.fullmatch(host):
        yield f"{place}: host={host!r}: a host has a dot and small letters, as shop.example.com"
    for network in environment.database_networks:
        yield from _network(network, f"{place}: database_networks")
    if not 0 <= environment.traced <= 1:
        yield f"{place}: traced={environment.traced!r}: a share is 0..1, 0.01 for one in a hundred"
    for name, url in environment.urls.items():
        if not url.startswith(("http://", "https://")):
            yield f"{place}: urls={{{name!r}: {url!r}}}; write https://host[:port]"


def _network(network: str, place: str) -> Iterator[str]:
    try:
        wide = ipaddress.ip_network(network).prefixlen == 0
    except ValueError as exc:
        yield f"{place}: {exc}; write it as 10.0.48.0/20"
        return
    if wide:
        yield f"{place}: {network} is everywhere; write the networks that are meant"


def _service(service: Service) -> Iterator[str]:
    place = f"{service.deploy.at}: Service({service.name!r}, deploy=…)"
    yield from _pods(service.deploy, place)
    at = f"{service.deploy.at}: Service({service.name!r})"
    if service.name in RESERVED or service.name.startswith(_BEGINS):
        yield (
            f"{at}: on a cluster something else has this name, and a service "
            "is found by it; rename it"
        )
    if service.name.endswith("-"):
        yield f"{at}: no host ends with -; rename it"
    if service.deploy.bulk and (why := _awake(service)):
        yield f"{place}: bulk=True: it {why} and has to be there; remove it"
    yield from _settings(service, place)


def _awake(service: Service) -> str:
    """Return why a service cannot be without pods, or ""."""
    reasons = (
        (service.routes or service.mounts, "has routes"),
        (service.sagas, "has sagas"),
        (service.jobs, "has jobs"),
        (service.calls or service.publishes, "sends letters"),
    )
    return next((why for found, why in reasons if found), "")


def _pods(pods: Pods, place: str) -> Iterator[str]:
    if not 1 <= pods.least <= pods.most <= PODS_MAX:
        yield (
            f"{place}: Pods(least={pods.least!r}, most={pods.most!r}): write 1 <= least <= most "
            f"<= {PODS_MAX}"
        )
    if not _CPU.fullmatch(pods.cpu):
        yield f"{place}: Pods(cpu={pods.cpu!r}): write thousandths of a core, `250m`, or cores, `2`"
    if not _MEMORY.fullmatch(pods.memory):
        yield f"{place}: Pods(memory={pods.memory!r}): write `256Mi` or `1Gi`"


def _settings(service: Service, place: str) -> Iterator[str]:
    try:
        kinds = settings_of(service)
    except (NameError, TypeError):
        return  # refused with its line by the checks of functions
    fields = {name: info for kind in kinds for name, info in kind.model_fields.items()}
    for name in (*service.deploy.settings, *service.deploy.secrets):
        if name not in fields:
            known = ", ".join(sorted(fields)) or "none"
            yield f"{place}: no Settings of {service.name} have a field {name!r}; it has {known}"
    for name, info in fields.items():
        secret = is_secret(name, info)
        if secret and name in service.deploy.settings:
            yield f"{place}: {name} is secret and stands in the code; name it in `secrets=[…]`"
        if not secret and info.is_required() and name not in service.deploy.settings:
            yield (
                f"{place}: the setting {name} has no default; add "
                f"`deploy=Pods(settings={{{name!r}: …}})`"
            )
    for name in service.deploy.secrets:
        if name in fields and not is_secret(name, fields[name]):
            yield f"{place}: {name} is no secret; name it in `settings={{…}}`"
