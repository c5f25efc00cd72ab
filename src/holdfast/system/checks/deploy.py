"""Checks of what a system says about its clusters: names, quantities, hosts, settings."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from holdfast.contract.secret_names import is_secret_name
from holdfast.system.checks.build import build_problems
from holdfast.system.deploy import (
    KEYS,
    Databases,
    Deploy,
    Entry,
    Environment,
    LogLevel,
    Pods,
    Size,
)
from holdfast.system.service import Service
from holdfast.system.tables import settings_of

RESERVED = frozenset(
    (
        *("nats", "redis", "postgres", "collector", "migrate", "default", "kubernetes"),
        *("jaeger", "prometheus", "alertmanager", "grafana"),
        *("database", "databases", "database-admin", "database-authority"),
    )
)
"""Names of what stands beside the services, on a cluster or in Compose."""
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(
    r"(?=.{4,253}\Z)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+"
)
_CPU = re.compile(r"[1-9][0-9]{0,5}m|[1-9][0-9]{0,2}")
_MEMORY = re.compile(r"[1-9][0-9]{0,6}(Mi|Gi)")
_REGISTRY = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._-]+)*")
_LABELS = (
    *("namespace", "entry_class", "issuer", "store"),
    *("entry_namespace", "monitoring_namespace", "keda_namespace"),
)
PODS_MAX = 500


def deploy_problems(system: str, services: Sequence[Service], deploy: Deploy) -> Iterator[str]:
    """Yield what is wrong, each with its line."""
    if not _is(deploy, Deploy):
        yield f"System(deploy={deploy!r}): that is no Deploy; write `Deploy(registry=…, …)`"
        return
    yield from _whole(system, deploy)
    yield from build_problems(deploy)
    yield from _pods("gateway", deploy.gateway, f"{deploy.at}: Deploy(gateway=…)")
    if deploy.gateway.bulk:
        yield f"{deploy.at}: Deploy(gateway=Pods(bulk=True)): who asks does not wait; remove it"
    for environment in deploy.environments:
        yield from _environment(environment)
    names = Counter(environment.name for environment in deploy.environments)
    for name, count in names.items():
        if count > 1:
            yield f"{deploy.at}: two environments are named {name!r}; rename one"
    for service in services:
        yield from _service(service)
        yield from _externals(service, deploy)
    yield from _strangers(services, deploy)


def _strangers(services: Sequence[Service], deploy: Deploy) -> Iterator[str]:
    """Yield the third parties of which something is said, and which nobody reaches."""
    known = sorted({KEYS, *(external.name for each in services for external in each.reaches)})
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
            if _is_loopback(urlsplit(url).hostname or ""):
                yield (
                    f"{environment.at}: Environment({environment.name!r}): {external.name} is at "
                    f"{url}, which is the pod itself; add "
                    f"`urls={{{external.name!r}: 'https://…'}}`"
                )


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
    yield from _choice(f"{deploy.at}: Deploy(…)", "entry", deploy.entry, Entry)
    for name in _LABELS:
        value = getattr(deploy, name)
        value = system if value is None else value
        if not _is(value, str) or not _LABEL.fullmatch(value):
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
    yield from _choice(place, "size", environment.size, Size)
    yield from _choice(place, "databases", environment.databases, Databases)
    yield from _choice(place, "log_level", environment.log_level, LogLevel)
    for name, url in environment.urls.items():
        if not url.startswith(("http://", "https://")):
            yield f"{place}: urls={{{name!r}: {url!r}}}; write https://host[:port]"


def _choice(place: str, name: str, value: object, kind: object) -> Iterator[str]:
    choices = get_args(kind)
    if value not in choices:
        yield f"{place}: {name}={value!r}; write {' or '.join(map(repr, choices))}"


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
    yield from _pods(service.name, service.deploy, place)
    if service.name in RESERVED:
        yield (
            f"Service({service.name!r}): on a cluster something else has this name, and a service "
            "is found by it; rename it"
        )
    if service.name.endswith("-"):
        yield f"Service({service.name!r}): no host ends with -; rename it"
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


def _pods(name: str, pods: Pods, place: str) -> Iterator[str]:
    if not _is(pods, Pods):
        yield f"{name}: deploy={pods!r}: that is no Pods; write `Pods(least=2, most=10)`"
        return
    numbers = _is(pods.least, int) and _is(pods.most, int)
    if not numbers or not 1 <= pods.least <= pods.most <= PODS_MAX:
        yield (
            f"{place}: Pods(least={pods.least!r}, most={pods.most!r}): write whole numbers, "
            f"1 <= least <= most <= {PODS_MAX}"
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
        if secret and not info.is_required() and info.default not in (None, ""):
            yield (
                f"{service.name}: the setting {name} is secret and has a default in the code; "
                "write `SecretStr` without one, or `SecretStr | None = None`"
            )
        if not secret and info.is_required() and name not in service.deploy.settings:
            yield (
                f"{place}: the setting {name} has no default; add "
                f"`deploy=Pods(settings={{{name!r}: …}})`"
            )
    for name in service.deploy.secrets:
        if name in fields and not is_secret(name, fields[name]):
            yield f"{place}: {name} is no secret; name it in `settings={{…}}`"


def is_secret(name: str, info: FieldInfo) -> bool:
    """Whether a field of Settings holds what must not be printed."""
    annotation: Any = info.annotation
    kinds = getattr(annotation, "__args__", (annotation,))
    return any(kind in (SecretStr, SecretBytes) for kind in kinds) or is_secret_name(name)
