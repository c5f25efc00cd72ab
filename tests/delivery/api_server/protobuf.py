"""Secrets and namespaces in Kubernetes's protobuf, in which Helm writes its releases.

Only what those have is decoded; a field that is not known here is refused, not passed over.
Source: k8s.io/apimachinery/pkg/runtime/generated.proto, k8s.io/api/core/v1/generated.proto.
"""

import base64
from collections.abc import Iterator
from typing import Any

MAGIC = b"k8s\x00"

_SECRET = {1: "metadata", 2: "data", 3: "type"}
_METADATA = {1: "name", 3: "namespace", 5: "uid", 6: "resourceVersion", 11: "labels"}
_PASSED_OVER = frozenset((2, 4, 7, 8, 12, 13, 17))
"""Fields of metadata that a client sends empty, or that the server sets: times, managers."""


def object_of(body: bytes) -> dict[str, Any]:
    """Return the object of a request as JSON has it; of options of a deletion nothing.

    Raises:
        ValueError: it is no protobuf of Kubernetes, or of another kind.
    """
    if not body.startswith(MAGIC):
        raise ValueError("no protobuf of Kubernetes")
    unknown = dict(_fields(body[len(MAGIC) :]))
    said = {number: value.decode() for number, value in _fields(unknown[1])}
    version, kind = said.get(1, ""), said.get(2, "")
    if kind == "DeleteOptions":
        return {}
    if version != "v1" or kind not in ("Secret", "Namespace"):
        raise ValueError(f"{kind} of {version} is not decoded here")
    found: dict[str, Any] = {"apiVersion": version, "kind": kind, "metadata": {}}
    for number, value in _fields(unknown[2]):
        match _SECRET.get(number):
            case "metadata":
                found["metadata"] = _metadata(value)
            case "data" if kind == "Secret":
                entry = dict(_fields(value))
                text = base64.b64encode(entry.get(2, b"")).decode()
                found.setdefault("data", {})[entry[1].decode()] = text
            case "type" if kind == "Secret":
                found["type"] = value.decode()
            case _ if value and kind == "Secret":  # of a namespace, the rest is empty
                raise ValueError(f"field {number} of a {kind}")
    return found


def _metadata(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(body):
        name = _METADATA.get(number)
        if name == "labels":
            entry = dict(_fields(value))
            found.setdefault("labels", {})[entry[1].decode()] = entry.get(2, b"").decode()
        elif name is not None and value:
            found[name] = value.decode()
        elif name is None and number not in _PASSED_OVER:
            raise ValueError(f"field {number} of metadata")
    return found


def _fields(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, bytes) of the fields of a message; of numbers the bytes are empty."""
    at = 0
    while at < len(body):
        tag, at = _number(body, at)
        match tag & 7:
            case 0:
                _, at = _number(body, at)
                yield tag >> 3, b""
            case 2:
                size, at = _number(body, at)
                yield tag >> 3, body[at : at + size]
                at += size
            case wire:
                raise ValueError(f"wire type {wire}")


def _number(body: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = body[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if not byte & 0x80:
            return value, at
