"""Variables: what pods and Compose set is what a process reads, and the same in both."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from tests.delivery.judges.objects import Object, name_of, of_kind, pods_of, space_of


def variables_of_pods(items: list[Object]) -> dict[str, set[str]]:
    """Return {name of the workload: variables of its containers}, ConfigMaps and Secrets opened."""
    return {
        pod.owner["metadata"]["name"]: {
            name for container in pod.spec.get("containers", []) for name in _of(container, items)
        }
        for pod in pods_of(items)
    }


def _of(container: Mapping[str, Any], items: list[Object]) -> set[str]:
    found = {entry["name"] for entry in container.get("env") or []}
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        named = (source.get("configMapRef") or source.get("secretRef") or {}).get("name")
        for item in items:
            if item["metadata"]["name"] == named and item["kind"] in ("ConfigMap", "Secret"):
                keys = {*(item.get("data") or {}), *(item.get("stringData") or {})}
                found |= {prefix + key for key in keys}
            if item["kind"] == "ExternalSecret" and "secretRef" in source:
                found |= {prefix + key for key in _fetched(item, named)}
    return found


def _fetched(item: Object, secret: str) -> set[str]:
    """Return the keys of a Secret that an ExternalSecret makes, if it is that one."""
    spec = item["spec"]
    target = spec.get("target") or {}
    if target.get("name", item["metadata"]["name"]) != secret:
        return set()
    template = (target.get("template") or {}).get("data")
    return set(template or ()) or {entry["secretKey"] for entry in spec.get("data", [])}


def variables_of_compose(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return {service: variables} of a Compose file; lists and mappings of variables alike."""
    return {
        name: {str(entry).partition("=")[0] for entry in service.get("environment") or ()}
        for name, service in document.get("services", {}).items()
    }


def environment_problems(
    found: Mapping[str, set[str]], known: Mapping[str, Collection[str]]
) -> list[str]:
    """Return variables that are set and that their process does not read.

    Args:
        found: {process: variables that are set}.
        known: {process: variables that it reads}; processes that are not here are not judged.
    """
    return [
        f"{name}: sets {variable}, which nothing reads"
        for name in sorted(found.keys() & known.keys())
        for variable in sorted(found[name] - set(known[name]))
    ]


def same_variables(
    left: Mapping[str, set[str]], right: Mapping[str, set[str]], *, apart: Collection[str] = ()
) -> list[str]:
    """Return where the processes that are in both are told different variables.

    Args:
        apart: variables that may be on one side alone, such as those of a managed service.
    """
    return [
        f"{name}: {variable} is on one side alone"
        for name in sorted(left.keys() & right.keys())
        for variable in sorted((left[name] ^ right[name]) - set(apart))
    ]


def secret_problems(items: list[Object]) -> list[str]:
    """Return secrets that are written down, in a Secret, a ConfigMap or a variable."""
    found = [
        f"{name_of(i)}: a Secret with data in a file"
        for i in of_kind(items, "Secret")
        if i.get("data") or i.get("stringData")
    ]
    for item in of_kind(items, "ConfigMap"):
        for key, value in (item.get("data") or {}).items():
            if _has_password(key, str(value)):
                found.append(f"{name_of(item)}: {key} holds a secret")
    for pod in pods_of(items):
        for container in pod.containers:
            for entry in container.get("env") or []:
                if _has_password(entry["name"], str(entry.get("value", ""))):
                    found.append(
                        f"{name_of(pod.owner)} in {space_of(pod.owner)}: "
                        f"{entry['name']} holds a secret"
                    )
    return found


def _has_password(key: str, value: str) -> bool:
    """Whether a value is a secret by its key, or an address with a password in it."""
    word = key.rpartition("/")[2].upper()
    if value and re.search(r"(PASSWORD|SECRET|TOKEN|PRIVATE_KEY|API_KEY)$", word):
        return not value.startswith(("/", "$("))
    return bool(re.search(r"://[^/\s:@]+:[^$/\s@][^/\s@]*@", value))
