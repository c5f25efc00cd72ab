"""Samples: the small system that every judge accepts, and how a test breaks one thing in it."""

import copy
from pathlib import Path
from typing import Any

from tests.delivery.judges.objects import Object, objects_of

FOLDER = Path(__file__).parent / "samples"

GONE: Any = object()
"""The value of a field that `changed` takes away."""


def system() -> list[Object]:
    """Return the objects of the sample, each time new ones."""
    return copy.deepcopy(objects_of(FOLDER / "system.yaml"))


def only(items: list[Object], kind: str, name: str) -> Object:
    """Return the one object of a kind and a name."""
    [found] = [i for i in items if i["kind"] == kind and i["metadata"]["name"] == name]
    return found


def changed(kind: str, name: str, path: str, value: Any) -> list[Object]:
    """Return the sample with one field set to a value, or without it if the value is GONE.

    Args:
        path: keys and indexes, parted by slashes: `spec/template/spec/containers/0/image`.
    """
    items = system()
    *within, last = path.split("/")
    place: Any = only(items, kind, name)
    for part in within:
        place = place[int(part)] if isinstance(place, list) else place[part]
    key = int(last) if isinstance(place, list) and last != "-" else last
    if value is GONE:
        del place[key]
    elif key == "-":
        place.append(value)
    else:
        place[key] = value
    return items
