"""References: whatever an object names is there, under the name and the port that it says."""

from collections.abc import Collection, Iterator
from typing import Any

from tests.delivery.judges.objects import (
    Object,
    Pod,
    actors_of,
    name_of,
    of_kind,
    pods_of,
    space_of,
)
from tests.delivery.selectors import matches


def reference_problems(items: list[Object], outside: Collection[str] = ()) -> list[str]:
    """Return what is named and is not there.

    Args:
        outside: what somebody else brings, as `Kind/name`, such as `Gateway/shared`.
    """
    found = [f"{pod.name}: {line}" for pod in pods_of(items) for line in _of_pod(pod, items)]
    found += [f"{name_of(item)}: {line}" for item in items for line in _of_object(item, items)]
    told = [name.partition("/") for name in outside]
    endings = tuple(f"no {kind} {name}" for kind, _, name in told)
    return [line for line in found if not (endings and line.endswith(endings))]


def _is_there(items: list[Object], space: str, kind: str, name: object) -> Iterator[str]:
    """Yield a problem unless the object, or what makes it, is there."""
    for item in items:
        if space_of(item) != space and item["kind"] not in ("ClusterIssuer", "ClusterSecretStore"):
            continue
        if item["kind"] == kind and item["metadata"]["name"] == name:
            return
        if kind == "Secret" and name in _secrets_of(item):
            return
        if kind == "Service" and name in _services_of(item):
            return
    yield f"no {kind} {name}"


def _secrets_of(item: Object) -> list[str]:
    """Return the Secrets that a controller makes of an object."""
    name, spec = item["metadata"]["name"], item.get("spec", {})
    match item["kind"]:
        case "ExternalSecret":
            return [(spec.get("target") or {}).get("name", name)]
        case "Certificate":
            return [spec.get("secretName", "")]
        case "Cluster":
            return [f"{name}-app", f"{name}-superuser", f"{name}-ca"]
    return []


def _services_of(item: Object) -> list[str]:
    name = item["metadata"]["name"]
    return [f"{name}-rw", f"{name}-ro", f"{name}-r"] if item["kind"] == "Cluster" else []


def _of_pod(pod: Pod, items: list[Object]) -> Iterator[str]:
    space, spec = space_of(pod.owner), pod.spec
    if spec.get("serviceAccountName", "default") != "default":
        yield from _is_there(items, space, "ServiceAccount", spec["serviceAccountName"])
    for volume in spec.get("volumes") or []:
        for kind, name in _named_by_volume(volume):
            yield from _is_there(items, space, kind, name)
    volumes = [volume["name"] for volume in spec.get("volumes") or []]
    claims = pod.owner["spec"].get("volumeClaimTemplates") or []
    volumes += [claim["metadata"]["name"] for claim in claims]
    yield from (f"two volumes are {name}" for name in _twice(volumes))
    mounted: set[str] = set()
    for container in pod.containers:
        yield from (f"{container['name']}: {line}" for line in _of_container(container, pod, items))
        mounts = container.get("volumeMounts") or []
        mounted |= {mount["name"] for mount in mounts}
        for mount in mounts:
            if mount["name"] not in volumes:
                yield f"{container['name']}: mounts {mount['name']}, which is no volume"
        paths = [mount["mountPath"] for mount in mounts]
        yield from (f"{container['name']}: two mounts at {path}" for path in _twice(paths))
    yield from (f"volume {name} is mounted nowhere" for name in sorted(set(volumes) - mounted))
    names = [container["name"] for container in pod.containers]
    yield from (f"two containers are {name}" for name in _twice(names))
    selector = pod.owner["spec"].get("selector")
    has_none = pod.owner["kind"] in ("Job", "CronJob", "Pod") or selector is None
    if not has_none and not matches(selector, pod.labels):
        yield "its selector does not select its own pods"
    for constraint in spec.get("topologySpreadConstraints") or []:
        if not matches(constraint.get("labelSelector") or {}, pod.labels):
            yield f"spreads over {constraint['topologyKey']} by labels that it does not have"


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _named_by_volume(volume: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "ConfigMap", volume["configMap"]["name"]
    if "secret" in volume and volume["secret"].get("optional") is not True:
        yield "Secret", volume["secret"]["secretName"]
    if "persistentVolumeClaim" in volume:
        yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for source in (volume.get("projected") or {}).get("sources", []):
        if "configMap" in source:
            yield "ConfigMap", source["configMap"]["name"]
        if "secret" in source:
            yield "Secret", source["secret"]["name"]


def _of_container(container: dict[str, Any], pod: Pod, items: list[Object]) -> Iterator[str]:
    space = space_of(pod.owner)
    for source in container.get("envFrom") or []:
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if key in source and source[key].get("optional") is not True:
                yield from _is_there(items, space, kind, source[key]["name"])
    names = [entry["name"] for entry in container.get("env") or []]
    yield from (f"{name} is said twice" for name in _twice(names))
    for entry in container.get("env") or []:
        source = entry.get("valueFrom") or {}
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if key in source:
                yield from _is_there(items, space, kind, source[key]["name"])
                yield from _key_is_there(items, space, kind, source[key])


def _key_is_there(
    items: list[Object], space: str, kind: str, wanted: dict[str, str]
) -> Iterator[str]:
    """Yield a problem if it can be known that a ConfigMap or a Secret lacks a key."""
    name, key = wanted["name"], wanted["key"]
    for item in items:
        if space_of(item) != space:
            continue
        keys: set[str] | None = None
        if item["kind"] == kind and item["metadata"]["name"] == name:
            keys = {*(item.get("data") or {}), *(item.get("stringData") or {})}
        elif item["kind"] == "ExternalSecret" and kind == "Secret" and name in _secrets_of(item):
            spec = item["spec"]
            template = ((spec.get("target") or {}).get("template") or {}).get("data")
            if not spec.get("dataFrom") or template is not None:
                keys = set(template or ()) or {e["secretKey"] for e in spec.get("data", [])}
        elif item["kind"] == "Certificate" and kind == "Secret" and name in _secrets_of(item):
            keys = {"tls.crt", "tls.key", "ca.crt"}
        if keys is not None and key not in keys:
            yield f"{kind} {name} has no key {key}"


def _of_object(item: Object, items: list[Object]) -> Iterator[str]:
    space, spec = space_of(item), item.get("spec") or {}
    match item["kind"]:
        case "Service":
            yield from _of_service(item, items)
        case "NetworkPolicy":
            pods = [pod for pod in actors_of(items) if space_of(pod.owner) == space]
            if not any(matches(spec.get("podSelector") or {}, pod.labels) for pod in pods):
                yield "selects no pod"
        case "HTTPRoute":
            yield from _of_route(item, items)
        case "Gateway":
            for listener in spec.get("listeners", []):
                for wanted in (listener.get("tls") or {}).get("certificateRefs") or []:
                    yield from _is_there(items, space, "Secret", wanted["name"])
        case "Certificate":
            issuer = spec.get("issuerRef") or {}
            kind = issuer.get("kind", "Issuer")
            where = "" if kind == "ClusterIssuer" else space
            yield from _is_there(items, where, kind, issuer.get("name"))
        case "Issuer" if "ca" in spec:
            yield from _is_there(items, space, "Secret", spec["ca"].get("secretName"))
        case "ServiceMonitor":
            for endpoint in spec.get("endpoints", []):
                yield from _of_tls(endpoint.get("tlsConfig") or {}, space, items)
        case "ExternalSecret":
            store = spec.get("secretStoreRef") or {}
            kind = store.get("kind", "SecretStore")
            where = "" if kind == "ClusterSecretStore" else space
            yield from _is_there(items, where, kind, store.get("name"))
        case "StatefulSet":
            yield from _is_there(items, space, "Service", spec.get("serviceName"))
        case "Database" | "ScheduledBackup" | "Pooler":
            yield from _is_there(items, space, "Cluster", (spec.get("cluster") or {}).get("name"))
        case "Cluster":
            for name in (spec.get("certificates") or {}).values():
                yield from _is_there(items, space, "Secret", name)
        case "ValidatingAdmissionPolicyBinding":
            yield from _is_there(items, "", "ValidatingAdmissionPolicy", spec.get("policyName"))
        case "Application" if spec.get("project") != "default":
            yield from _is_there(items, space, "AppProject", spec.get("project"))


def _of_tls(settings: dict[str, Any], space: str, items: list[Object]) -> Iterator[str]:
    named = [(settings.get(part) or {}).get("secret") for part in ("ca", "cert")]
    for wanted in (*named, settings.get("keySecret")):
        if wanted:
            yield from _is_there(items, space, "Secret", wanted["name"])
            yield from _key_is_there(items, space, "Secret", wanted)


def _of_service(service: Object, items: list[Object]) -> Iterator[str]:
    spec = service["spec"]
    selector = spec.get("selector")
    if not selector:
        if spec.get("type") != "ExternalName":
            yield "no selector, and so no endpoint"
        return
    pods = [
        pod
        for pod in pods_of(items)
        if space_of(pod.owner) == space_of(service)
        if matches({"matchLabels": selector}, pod.labels)
    ]
    if not pods:
        yield "selects no pod"
    owners = {pod.name for pod in pods}
    if len(owners) > 1:
        yield f"selects pods of {' and '.join(sorted(owners))}"
    for pod in pods:
        declared = [port for container in pod.containers for port in container.get("ports", [])]
        known = {p.get("name") for p in declared} | {p["containerPort"] for p in declared}
        for port in spec.get("ports", []):
            target = port.get("targetPort", port["port"])
            if target not in known:
                yield f"port {port['port']} goes to {target}, which no container declares"


def _of_route(route: Object, items: list[Object]) -> Iterator[str]:
    space, spec = space_of(route), route["spec"]
    for parent in spec.get("parentRefs", []):
        where, name = parent.get("namespace", space), parent["name"]
        missing = list(_is_there(items, where, parent.get("kind", "Gateway"), name))
        yield from missing
        for gateway in [] if missing else of_kind(items, "Gateway"):
            if (space_of(gateway), gateway["metadata"]["name"]) == (where, name):
                yield from _meets(route, parent.get("sectionName"), gateway)
    for rule in spec.get("rules", []):
        for backend in rule.get("backendRefs") or []:
            missing = list(_is_there(items, space, "Service", backend["name"]))
            yield from missing
            services = [] if missing else of_kind(items, "Service")
            for service in services:
                if service["metadata"]["name"] != backend["name"] or space_of(service) != space:
                    continue
                if backend.get("port") not in {port["port"] for port in service["spec"]["ports"]}:
                    yield f"Service {backend['name']} has no port {backend.get('port')}"


def _meets(route: Object, section: str | None, gateway: Object) -> Iterator[str]:
    """Yield why no listener of a gateway would take a route."""
    listeners = gateway["spec"]["listeners"]
    chosen = [one for one in listeners if section in (None, one["name"])]
    if not chosen:
        yield f"Gateway {gateway['metadata']['name']} has no listener {section}"
    for hostname in route["spec"].get("hostnames", []):
        hosts = [one.get("hostname", "*") for one in chosen]
        if chosen and not any(_covers(host, hostname) for host in hosts):
            yield f"no listener is for {hostname}"


def _covers(host: str, name: str) -> bool:
    """Whether a listener's host takes a route's; `*.` stands for one label or more."""
    return host in ("*", name) or (host.startswith("*.") and name.endswith(host[1:]))
