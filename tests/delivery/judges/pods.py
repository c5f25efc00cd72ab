"""Pods: what the *restricted* standard asks of every container, and how a pod ends."""

from collections.abc import Iterator
from typing import Any

from tests.delivery.judges.objects import Object, Pod, pods_of
from tests.delivery.judges.quantities import amount

VOLUMES = frozenset(
    (
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
        *("persistentVolumeClaim", "projected", "secret"),
    )
)
"""The kinds of volume that *restricted* takes."""


def security_problems(items: list[Object]) -> list[str]:
    """Return what breaks the *restricted* standard, and our own rules beyond it.

    A container's own word goes before the pod's; so each container is judged by what is in force
    for it. Ours: a read-only root, no token of the API unless it is used, sizes of scratch folders.
    Source: Kubernetes documentation, "Pod Security Standards", restricted.
    """
    return [f"{pod.name}: {line}" for pod in pods_of(items) for line in _of_pod(pod)]


def _of_pod(pod: Pod) -> Iterator[str]:
    spec, above = pod.spec, pod.spec.get("securityContext") or {}
    yield from (f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    if spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    if not spec.get("serviceAccountName"):
        yield "no service account of its own"
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        yield from (f"volume {volume['name']}: {kind}" for kind in sorted(kinds - VOLUMES))
        if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
            yield f"volume {volume['name']}: an emptyDir without sizeLimit"
    for container in pod.containers:
        yield from (f"{container['name']}: {line}" for line in _of_container(container, above))


def _of_container(container: dict[str, Any], above: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if {**above, **own}.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    user = {**above, **own}.get("runAsUser")
    if not user:
        yield "runAsUser is root's or not said, and an image may say what it likes"
    profile = own.get("seccompProfile", above.get("seccompProfile")) or {}
    if profile.get("type") not in ("RuntimeDefault", "Localhost"):
        yield "no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield "privileged"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "capabilities are not dropped"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if own.get("procMount", "Default") != "Default":
        yield "procMount is not the default"
    yield from (
        f"hostPort {port['hostPort']}" for port in container.get("ports", []) if "hostPort" in port
    )


def ending_problems(items: list[Object], drain_s: float = 0) -> list[str]:
    """Return where a pod would be killed before it has ended.

    Args:
        drain_s: how long a service drains once it is told to stop. The grace period must be more
            than that and the sleep before it together.
    """
    return [f"{pod.name}: {line}" for pod in pods_of(items) for line in _endings(pod, drain_s)]


def _endings(pod: Pod, drain_s: float) -> Iterator[str]:
    grace_s = pod.spec.get("terminationGracePeriodSeconds", 30)
    for container in pod.containers:
        hook = (container.get("lifecycle") or {}).get("preStop") or {}
        if len(hook) > 1:
            yield f"{container['name']}: preStop has {' and '.join(sorted(hook))}; it takes one"
        if "sleep" not in hook:
            continue
        sleep_s = hook["sleep"].get("seconds", 0)
        if sleep_s <= 0:
            yield f"{container['name']}: preStop sleeps {sleep_s} s"
        if sleep_s + drain_s >= grace_s:
            yield (
                f"{container['name']}: sleeps {sleep_s} s and drains {drain_s:g} s, and is killed "
                f"after {grace_s} s"
            )


def probe_problems(items: list[Object]) -> list[str]:
    """Return probes that cannot succeed or say too much, and pods that are asked without them."""
    return [
        f"{pod.name}: {line}"
        for pod in pods_of(items)
        if pod.owner["kind"] not in ("Job", "CronJob", "Pod")
        for line in _probes(pod)
    ]


def _probes(pod: Pod) -> Iterator[str]:
    for container in pod.spec.get("containers", []):
        name = container["name"]
        if container.get("ports") and not container.get("readinessProbe"):
            yield f"{name}: no readinessProbe"
        live, ready = container.get("livenessProbe"), container.get("readinessProbe")
        if live and ready and live.get("httpGet") and live.get("httpGet") == ready.get("httpGet"):
            yield f"{name}: liveness asks what readiness does; a dependency down would restart it"
        named = {port.get("name") for port in container.get("ports", [])}
        numbers = {port.get("containerPort") for port in container.get("ports", [])}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind) or {}
            for how in ("httpGet", "tcpSocket", "grpc"):
                port = (probe.get(how) or {}).get("port")
                if port is not None and port not in named | numbers:
                    yield f"{name}: {kind} asks port {port}, which the container does not declare"
            if probe.get("timeoutSeconds", 1) > probe.get("periodSeconds", 10):
                yield f"{name}: {kind} waits longer than its period"


def resource_problems(items: list[Object]) -> list[str]:
    """Return containers without requests or a memory limit, and quantities that do not fit."""
    return [f"{pod.name}: {line}" for pod in pods_of(items) for line in _resources(pod)]


def _resources(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        name, resources = container["name"], container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        yield from (f"{name}: no request of {k}" for k in ("cpu", "memory") if k not in requests)
        if "memory" not in limits:
            yield f"{name}: no limit of memory"
        try:
            for key in sorted(requests.keys() & limits.keys()):
                if amount(requests[key]) > amount(limits[key]):
                    yield f"{name}: asks {requests[key]} of {key}, and may have {limits[key]}"
            for key, value in [*requests.items(), *limits.items()]:
                if amount(value) <= 0:
                    yield f"{name}: {key} is {value}"
                if key == "memory" and amount(value) < 1024**2:
                    yield f"{name}: {value} of memory; is a unit missing?"
        except ValueError as error:
            yield f"{name}: {error}"
