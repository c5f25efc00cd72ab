"""Words that the API server takes from a list and published schemas leave open; and nulls."""

from collections.abc import Iterator

from tests.delivery.judges.objects import Object, kind_of, name_of
from tests.delivery.judges.schemas import validators

CHOICES: dict[str, frozenset[str]] = {
    "concurrencyPolicy": frozenset(("Allow", "Forbid", "Replace")),
    "completionMode": frozenset(("NonIndexed", "Indexed")),
    "dnsPolicy": frozenset(("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")),
    "externalTrafficPolicy": frozenset(("Cluster", "Local")),
    "failurePolicy": frozenset(("Fail", "Ignore")),
    "fsGroupChangePolicy": frozenset(("Always", "OnRootMismatch")),
    "imagePullPolicy": frozenset(("Always", "IfNotPresent", "Never")),
    "internalTrafficPolicy": frozenset(("Cluster", "Local")),
    "ipFamilyPolicy": frozenset(("SingleStack", "PreferDualStack", "RequireDualStack")),
    "nodeTaintsPolicy": frozenset(("Honor", "Ignore")),
    "nodeAffinityPolicy": frozenset(("Honor", "Ignore")),
    "operator": frozenset(
        (*("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equal"), "OnPodCondition")
    ),
    "pathType": frozenset(("Exact", "Prefix", "ImplementationSpecific")),
    "podManagementPolicy": frozenset(("OrderedReady", "Parallel")),
    "protocol": frozenset(("TCP", "UDP", "SCTP")),
    "restartPolicy": frozenset(("Always", "OnFailure", "Never")),
    "scaleTargetRef.kind": frozenset(("Deployment", "StatefulSet")),
    "scheme": frozenset(("HTTP", "HTTPS")),
    "selectPolicy": frozenset(("Max", "Min", "Disabled")),
    "sessionAffinity": frozenset(("None", "ClientIP")),
    "trafficDistribution": frozenset(("PreferClose", "PreferSameZone", "PreferSameNode")),
    "unhealthyPodEvictionPolicy": frozenset(("IfHealthyBudget", "AlwaysAllow")),
    "whenUnsatisfiable": frozenset(("DoNotSchedule", "ScheduleAnyway")),
    "whenDeleted": frozenset(("Retain", "Delete")),
    "whenScaled": frozenset(("Retain", "Delete")),
    "policyTypes": frozenset(("Ingress", "Egress")),
    "accessModes": frozenset(
        ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
    ),
    "validationActions": frozenset(("Deny", "Warn", "Audit")),
}
"""{key, or a key below another: the words that it takes}. Source: the API reference of 1.37."""

FREE = frozenset(("data", "stringData", "labels", "annotations", "matchLabels", "selector"))
"""Keys below which words are the user's own."""


def choice_problems(items: list[Object]) -> list[str]:
    """Return words that are on no list, in kinds of Kubernetes's own, and nulls in any kind.

    Each tool reads a null otherwise: as nothing, as the default, or as a change.
    """
    found = []
    for item in items:
        own = kind_of(item) not in validators()
        found += [f"{name_of(item)}: {line}" for line in _walk(item, "", own=own)]
    return found


def _walk(value: object, path: str, *, own: bool) -> Iterator[str]:
    if value is None:
        yield f"{path.strip('.')} is null"
    elif isinstance(value, dict):
        for key, inner in value.items():
            free = key in FREE and not (isinstance(inner, dict) and "matchExpressions" in inner)
            yield from _walk(inner, f"{path}.{key}", own=own and not free)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, path, own=own)
    elif own and isinstance(value, str):
        *_, above, key = ("", "", *path.split("."))
        words = CHOICES.get(f"{above}.{key}") or CHOICES.get(key)
        if words is not None and value not in words:
            yield f"{path.strip('.')} is {value}; it takes {', '.join(sorted(words))}"
