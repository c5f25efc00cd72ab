"""Strict schemas: of Kubernetes's own kinds for three minor versions, and of custom kinds.

`kubernetes-validate` by itself is content with a kind that it does not know; here that is a
problem, unless `schemas/` has the kind. Those schemas are written from the public documents of
each API, for the fields that are rendered, and closed: a field that they do not have is a problem.
"""

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from tests.delivery.judges.objects import Object, kind_of, name_of

MINORS = ("1.35", "1.36", "1.37")
FOLDER = Path(__file__).parent / "schemas"
DEFINITIONS = "https://kubernetes.io/api/_definitions.json#/$defs/io.k8s."
"""Where Kubernetes's own types are, which `$ref: k8s:…` in a schema of ours refers to."""


def schema_problems(item: Object, minor: str) -> list[str]:
    """Return what a schema finds in one object, for one minor version such as `1.37`."""
    kind, version = item.get("kind"), item.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return [f"no apiVersion or kind: {str(item)[:80]}"]
    validator = validators().get(kind_of(item)) or _builtin(kind, version, minor)
    if validator is None:
        return [f"{name_of(item)}: {minor} has no kind {kind_of(item)}"]
    found = [
        f"{name_of(item)}: {minor}: {error.json_path}: …{error.message[-200:]}"
        for error in validator.iter_errors(item)
    ]
    return list(dict.fromkeys(found))


@functools.cache
def _builtin(kind: str, version: str, minor: str) -> Draft202012Validator | None:
    """Return the strict validator of a kind of Kubernetes's own, if that version has it."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)  # rbac.authorization.k8s.io/v1
    try:
        schema = _contents(f"{kind.lower()}-{group}.json", minor)
    except FileNotFoundError:
        return None
    return Draft202012Validator(schema, registry=_types(minor))


@functools.cache
def _types(minor: str) -> Registry[Any]:
    """Return the registry of Kubernetes's own types, which all schemas refer to."""
    return Resource.from_contents(_contents("_definitions.json", minor)) @ Registry()


def _contents(file: str, minor: str) -> dict[str, Any]:
    name = f"kubernetes-json-schema/v{minor}.0-local-strict/{file}"
    found: dict[str, Any] = schema_contents(name, minor)
    return found


@functools.cache
def validators() -> dict[str, Draft202012Validator]:
    """Return {apiVersion/Kind: validator} of the custom kinds."""
    found = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        group = yaml.safe_load(file.read_text())
        for kind, body in group["kinds"].items():
            found[kind] = Draft202012Validator(
                _schema(kind, body, group.get("$defs", {})), registry=_types(MINORS[-1])
            )
    return found


def _schema(kind: str, body: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a kind whose `body` is {field beside metadata: its schema}."""
    version, _, name = kind.rpartition("/")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {key: closed(value) for key, value in definitions.items()},
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", *body],
        "properties": {
            "apiVersion": {"const": version},
            "kind": {"const": name},
            "metadata": closed({"$ref": "k8s:apimachinery.pkg.apis.meta.v1.ObjectMeta"}),
            **{field: closed(value) for field, value in body.items()},
        },
    }


def closed(schema: Any) -> Any:
    """Return a schema in which every object with properties takes those alone.

    Conditions below `allOf` are about a few properties of a whole, and stay open.
    """
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if isinstance(schema, str) and schema.startswith("k8s:"):
        return DEFINITIONS + schema.removeprefix("k8s:")
    if not isinstance(schema, dict):
        return schema
    inner = {
        key: {name: closed(value) for name, value in field.items()}
        if key == "properties"
        else field
        if key == "allOf"
        else closed(field)
        for key, field in schema.items()
    }
    if "properties" in schema:
        inner = {"type": "object", "additionalProperties": False, **inner}
    return inner
