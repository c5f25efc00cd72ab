"""The objects of the stand-in, their versions and owners, and what happened to them."""

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.delivery.api_server.controllers import status_of
from tests.delivery.api_server.fields import Owners, Path, applied, merged, updated
from tests.delivery.api_server.resources import Kind

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Plural, namespace and name."""


class Refused(Exception):
    """What a server answers instead: an HTTP status, a reason, and a sentence."""

    def __init__(
        self, code: int, reason: str, message: str, causes: list[Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.causes = code, reason, message, causes or []


@dataclass(slots=True)
class Store:
    """Objects in memory; every method is atomic.

    Attributes:
        judge: returns why an object is refused, as it would become.
        never_ready: parts of names of images whose pods never get ready.
    """

    judge: Callable[[Object], list[str]]
    never_ready: set[str] = field(default_factory=set)
    objects: dict[Key, Object] = field(default_factory=dict)
    owners: dict[Key, Owners] = field(default_factory=dict)
    events: list[tuple[int, str, Key, Object]] = field(default_factory=list)
    version: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def get(self, key: Key) -> Object:
        """Return an object."""
        with self.changed:
            if key not in self.objects:
                raise Refused(404, "NotFound", f'{key[0]} "{key[2]}" not found')
            return copy.deepcopy(self.objects[key])

    def all(self, plural: str, namespace: str) -> list[Object]:
        """Return the objects of a resource, of one namespace unless it is empty."""
        with self.changed:
            return [
                copy.deepcopy(item)
                for (kind, space, _), item in sorted(self.objects.items())
                if kind == plural and namespace in ("", space)
            ]

    def create(self, kind: Kind, key: Key, item: Object, manager: str, *, dry: bool) -> Object:
        """Make an object that is not there."""
        with self.changed:
            if key in self.objects:
                raise Refused(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
            self._check(kind, key)
            return self._put(key, item, updated(None, item, manager=manager, owners={}), dry=dry)

    def replace(self, kind: Kind, key: Key, item: Object, manager: str, *, dry: bool) -> Object:
        """Put an object in the place of one, if it is of that one's version."""
        with self.changed:
            current = self.get(key)
            said = item["metadata"].get("resourceVersion")
            if said not in (None, "", current["metadata"]["resourceVersion"]):
                message = f'{key[0]} "{key[2]}": the object has been modified'
                raise Refused(409, "Conflict", message)
            self._check(kind, key)
            owners = updated(current, item, manager=manager, owners=self.owners[key])
            return self._put(key, item, owners, dry=dry)

    def patch(
        self, kind: Kind, key: Key, patch: Object, manager: str, *, strategic: bool, dry: bool
    ) -> Object:
        """Change an object by a merge patch."""
        with self.changed:
            current = self.get(key)
            item = merged(current, patch, strategic=strategic)
            owners = updated(current, item, manager=manager, owners=self.owners[key])
            return self._put(key, item, owners, dry=dry)

    def apply(
        self, kind: Kind, key: Key, config: Object, manager: str, *, force: bool, dry: bool
    ) -> tuple[Object, bool]:
        """Apply a configuration; return the object, and whether it is new."""
        with self.changed:
            self._check(kind, key)
            current = self.objects.get(key)
            owned = self.owners.get(key, {})
            item, owners, conflicts = applied(
                current, config, manager=manager, owners=owned, force=force
            )
            if conflicts:
                raise _conflict(conflicts)
            return self._put(key, item, owners, dry=dry), current is None

    def delete(self, key: Key) -> Object:
        """Take an object away, and with a namespace all that is in it."""
        with self.changed:
            item = self.get(key)
            if key[0] == "namespaces":
                for other in [one for one in self.objects if one[1] == key[2]]:
                    self.delete(other)
            del self.objects[key], self.owners[key]
            self._tell("DELETED", key, item)
            return item

    def _check(self, kind: Kind, key: Key) -> None:
        if kind.namespaced and ("namespaces", "", key[1]) not in self.objects:
            raise Refused(404, "NotFound", f'namespaces "{key[1]}" not found')

    def _put(self, key: Key, item: Object, owners: Owners, *, dry: bool) -> Object:
        before = self.objects.get(key)
        problems = self.judge({name: value for name, value in item.items() if name != "status"})
        if problems:
            raise Refused(422, "Invalid", "; ".join(problems))
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        if before is not None:
            _immutable(key, before, item)
        self.version += 1
        same = before is not None and before.get("spec") == item.get("spec")
        generation = before["metadata"]["generation"] if before else 0
        metadata |= {
            "uid": before["metadata"]["uid"] if before else f"uid-{self.version}",
            "resourceVersion": str(self.version),
            "generation": generation if same else generation + 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        status = status_of(item, self.never_ready)
        if status is not None:
            item["status"] = status
        if not dry:
            self.objects[key], self.owners[key] = item, owners
            self._tell("ADDED" if before is None else "MODIFIED", key, item)
        return copy.deepcopy(item)

    def _tell(self, what: str, key: Key, item: Object) -> None:
        self.version += what == "DELETED"
        self.events.append((self.version, what, key, copy.deepcopy(item)))
        self.changed.notify_all()

    def after(self, version: int, seconds: float) -> Iterator[tuple[int, str, Key, Object]]:
        """Yield what happened after a version, and what happens in so many seconds."""
        at = 0
        while True:
            with self.changed:
                if at == len(self.events) and not self.changed.wait(seconds):
                    return
                news, at = self.events[at:], len(self.events)
            yield from (event for event in news if event[0] > version)


def _immutable(key: Key, before: Object, after: Object) -> None:
    places = {
        "jobs": ("template",),
        "deployments": ("selector",),
        "statefulsets": ("selector", "serviceName", "volumeClaimTemplates"),
    }
    for place in places.get(key[0], ()):
        if before["spec"].get(place) != after["spec"].get(place):
            raise Refused(422, "Invalid", f"{key[0]} {key[2]}: spec.{place}: field is immutable")
    if before.get("immutable") and before.get("data") != after.get("data"):
        raise Refused(422, "Invalid", f"{key[0]} {key[2]}: data: field is immutable")


def _conflict(conflicts: list[tuple[Path, str]]) -> Refused:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}" using v1',
            "field": "." + ".".join(str(part) for part in path),
        }
        for path, manager in conflicts
    ]
    said = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    message = f"Apply failed with {len(causes)} conflict{'s' * (len(causes) > 1)}: {said}"
    return Refused(409, "Conflict", message, causes)
