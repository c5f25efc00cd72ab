"""Identities: who shows which certificate, who else could, and what is said beside it in clear.

Schemas and cert-manager take a certificate in anybody's name, and a Secret mounted anywhere.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.delivery.judges.objects import Object, Pod, name_of, of_kind, pods_of, space_of
from tests.delivery.kubelet.cert_manager import seconds

SCHEME = "spiffe://"
LIFE_S = 3600
LEAST_S = 300
"""How long before its end cert-manager renews a certificate at the latest."""
_CLEAR = ("http://", "nats://", "redis://", "postgresql://", "postgres://")
_READABLE_BY_ALL = 0o004


def identity_problems(
    items: list[Object], *, names: Mapping[str, str] | None = None, apart: Collection[str] = ()
) -> list[str]:
    """Return certificates that fit no workload or too many, and what makes light of them.

    Args:
        names: {workload: who it is inside the system}, for those that are called otherwise there.
        apart: variables that may name somebody in clear, who has no identity; and names of ports.
    """
    certificates = [one for one in of_kind(items, "Certificate") if _is_identity(one)]
    found = [f"{name_of(one)}: {line}" for one in certificates for line in _of_one(one)]
    found += [f"{line}: {n} certificates say so" for line, n in _twice(certificates)]
    by_secret = {(space_of(one), one["spec"]["secretName"]): one for one in certificates}
    for pod in pods_of(items):
        lines = _of_pod(pod, by_secret, names or {}, items, apart)
        found += [f"{pod.name}: {line}" for line in lines]
    for monitor in of_kind(items, "ServiceMonitor"):
        found += [f"{name_of(monitor)}: {line}" for line in _of_monitor(monitor)]
    return found


def _is_identity(certificate: Object) -> bool:
    spec = certificate["spec"]
    return not spec.get("isCA") and any(uri.startswith(SCHEME) for uri in spec.get("uris", []))


def _workload(certificate: Object) -> str:
    return str(certificate["spec"]["uris"][0]).removeprefix(SCHEME).partition("/")[2]


def _of_one(certificate: Object) -> Iterator[str]:
    spec, uris = certificate["spec"], certificate["spec"]["uris"]
    name = _workload(certificate)
    if len(uris) != 1:
        yield f"{len(uris)} URIs, so that nobody takes it"
    if spec.get("commonName") != name:
        yield f"its common name is {spec.get('commonName')}, and its URI says {name}"
    if "/" not in name and spec.get("dnsNames", [""])[0] != name:
        yield f"its first DNS name is not {name}, which NATS goes by"
    try:
        life_s, before_s = seconds(spec.get("duration", "")), seconds(spec.get("renewBefore", ""))
    except ValueError as exc:
        yield str(exc)
        return
    if life_s != LIFE_S:
        yield f"it is good for {life_s} s, and not for an hour"
    if not LEAST_S <= before_s <= life_s / 2:
        yield f"it is renewed {before_s} s before its end"
    key = spec.get("privateKey") or {}
    if key.get("rotationPolicy") != "Always":
        yield "its key is never another one"
    if key.get("algorithm") not in ("ECDSA", "Ed25519"):
        yield f"its key is {key.get('algorithm', 'RSA')}"
    if "/" not in name and not {"server auth", "client auth"} <= set(spec.get("usages", [])):
        yield "it is not for servers and clients"


def _twice(certificates: list[Object]) -> Iterator[tuple[str, int]]:
    uris = [uri for one in certificates for uri in one["spec"]["uris"]]
    yield from ((uri, uris.count(uri)) for uri in sorted(set(uris)) if uris.count(uri) > 1)


def _of_pod(
    pod: Pod,
    by_secret: Mapping[tuple[str, str], Object],
    names: Mapping[str, str],
    items: list[Object],
    apart: Collection[str],
) -> Iterator[str]:
    owner = str(pod.owner["metadata"]["name"])
    component = pod.labels.get("app.kubernetes.io/component", owner)
    own = names.get(component, component)
    shown: set[str] = set()
    for volume in pod.spec.get("volumes") or []:
        secret = volume.get("secret") or {}
        certificate = by_secret.get((space_of(pod.owner), str(secret.get("secretName"))))
        if certificate is None:
            continue
        name = _workload(certificate)
        shown.add(name)
        if name.partition("/")[0] != own:
            yield f"it can be {name}, and is {own}"
        yield from _of_volume(volume, pod)
    if own in shown:
        yield from _in_clear(pod, items, apart)
    if own in {_workload(one) for one in by_secret.values()} - shown:
        yield f"it does not have the identity of {own}"


def _of_volume(volume: Mapping[str, Any], pod: Pod) -> Iterator[str]:
    secret = volume["secret"]
    modes = [secret.get("defaultMode", 0o644), *(i.get("mode", 0) for i in secret.get("items", []))]
    if any(mode & _READABLE_BY_ALL for mode in modes):
        yield f"volume {volume['name']}: every user may read the key"
    if not (pod.spec.get("securityContext") or {}).get("fsGroup"):
        yield f"volume {volume['name']}: no fsGroup, so that its user cannot read the key"
    for container in pod.containers:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] == volume["name"] and not mount.get("readOnly"):
                yield f"volume {volume['name']}: it is not mounted read-only"
            if mount["name"] == volume["name"] and "subPath" in mount:
                yield f"volume {volume['name']}: a subPath is never another file"


def _in_clear(pod: Pod, items: list[Object], apart: Collection[str]) -> Iterator[str]:
    """Yield what goes in clear from a pod that has an identity, or to it."""
    for container in pod.containers:
        for name, value in _values(container, items, space_of(pod.owner)):
            for url in value.split(","):
                clear = url.startswith(_CLEAR) and "sslmode=verify-full" not in url
                if clear and name not in apart:
                    yield f"{name} is in clear: {url.partition('@')[2] or url}"
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = (container.get(kind) or {}).get("httpGet")
            if get and get.get("scheme") != "HTTPS" and get.get("port") not in apart:
                yield f"{kind} asks in clear"


def _values(
    container: Mapping[str, Any], items: list[Object], space: str
) -> Iterator[tuple[str, str]]:
    for entry in container.get("env") or []:
        yield entry["name"], str(entry.get("value", ""))
    named = [
        (source.get(kind) or {}).get("name")
        for source in container.get("envFrom") or []
        for kind in ("configMapRef", "secretRef")
    ]
    for item in items:
        if space_of(item) != space:
            continue
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] in named:
            yield from (item.get("data") or {}).items()
        if item["kind"] == "ExternalSecret":
            target = item["spec"].get("target") or {}
            if target.get("name") in named:
                yield from ((target.get("template") or {}).get("data") or {}).items()


def _of_monitor(monitor: Object) -> Iterator[str]:
    for endpoint in monitor["spec"].get("endpoints", []):
        tls = endpoint.get("tlsConfig") or {}
        if endpoint.get("scheme") != "https":
            yield "metrics are asked for in clear"
        if tls.get("insecureSkipVerify") or not tls.get("serverName"):
            yield "whoever answers is believed"
        if not tls.get("keySecret"):
            yield "it cannot prove who asks"
