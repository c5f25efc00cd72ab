"""Fields of objects and who manages them: server-side apply, and the two kinds of merge patch.

An object is taken as {path: leaf}, in which an item of a list is known by its key as the API
declares it (a container by its name, a port by its number) and other lists are leaves.
Source: Kubernetes documentation, "Server-Side Apply".
"""

from collections.abc import Mapping
from typing import Any

Path = tuple[Any, ...]
Owners = dict[Path, set[str]]
"""{path of a leaf: managers that have set it to what it is}."""

KEYS = ("name", "containerPort", "port", "mountPath", "topologyKey", "ip", "type")
"""What items of lists are known by; the first that all of them have."""
_NOT_MANAGED = frozenset(
    (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
)


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Return the leaves of a value."""
    if isinstance(value, dict) and value:
        return {
            p: v for key, inner in value.items() for p, v in leaves(inner, (*path, key)).items()
        }
    key = _key_of(value)
    if key is not None:
        return {p: v for item in value for p, v in leaves(item, (*path, (key, item[key]))).items()}
    return {path: value}


def whole(found: Mapping[Path, Any]) -> Any:
    """Return the value that leaves are of."""
    if () in found:
        return found[()]
    parts: dict[Any, dict[Path, Any]] = {}
    for path, value in found.items():
        parts.setdefault(path[0], {})[path[1:]] = value
    for part, inner in parts.items():  # an empty value beside leaves inside it
        if len(inner) > 1:
            inner.pop((), None)
        parts[part] = inner
    if any(isinstance(part, tuple) for part in parts):
        return [whole(inner) for inner in parts.values()]
    return {part: whole(inner) for part, inner in parts.items()}


def _key_of(value: Any) -> str | None:
    if not isinstance(value, list) or not value or not all(isinstance(i, dict) for i in value):
        return None
    for key in KEYS:
        named = [item.get(key) for item in value]
        if None not in named and len(set(map(str, named))) == len(named):
            return key
    return None


def applied(
    current: Any, config: Any, *, manager: str, owners: Owners, force: bool
) -> tuple[Any, Owners, list[tuple[Path, str]]]:
    """Return (object, owners, conflicts) of what a manager applies to an object, or to None.

    A conflict is (path, other manager); with one, nothing is applied.
    """
    have = leaves(current) if current else {}
    want = leaves(config) if config else {}
    kept: Owners = {path: set(managers) for path, managers in owners.items()}
    conflicts = [
        (path, other)
        for path, value in want.items()
        if path in have and have[path] != value and path not in _NOT_MANAGED
        for other in sorted(kept.get(path, set()) - {manager})
    ]
    if conflicts and not force:
        return current, owners, conflicts
    for path in [path for path, managers in kept.items() if manager in managers]:
        if path not in want:
            kept[path].discard(manager)
            if not kept[path]:
                del kept[path]
                have.pop(path, None)
    for path, value in want.items():
        shared = kept.get(path, set()) if have.get(path) == value else set()
        kept[path] = {*shared, manager}
        have[path] = value
    return whole(have), kept, []


def updated(before: Any, after: Any, *, manager: str, owners: Owners) -> Owners:
    """Return the owners once a manager has put another object in the place of one."""
    was, now = leaves(before) if before else {}, leaves(after)
    return {
        path: {manager} if path not in was or was[path] != value else owners.get(path, set())
        for path, value in now.items()
    }


def merged(current: Any, patch: Any, *, strategic: bool) -> Any:
    """Return a value with a merge patch: JSON's (RFC 7386), or Kubernetes's strategic one."""
    if isinstance(patch, dict):
        result = dict(current) if isinstance(current, dict) else {}
        for key, value in patch.items():
            if key.startswith("$"):
                continue
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(result.get(key), value, strategic=strategic)
        return result
    if strategic and isinstance(patch, list) and isinstance(current, list):
        key = _key_of([item for item in patch if isinstance(item, dict)])
        if key is not None and _key_of(current) == key:
            items = {item[key]: item for item in current}
            for item in patch:
                if item.get("$patch") == "delete":
                    items.pop(item[key], None)
                else:
                    items[item[key]] = merged(items.get(item[key]), item, strategic=True)
            return list(items.values())
    return patch
