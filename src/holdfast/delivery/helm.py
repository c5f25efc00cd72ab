"""Helm: a chart that gives the same objects as the manifests, with values for each environment.

Its templates are those of the manifests with holes in the place of values. What only whoever owns
the cluster may apply, the namespace and the policy about images, is not in it.
"""

from typing import Any, Final, cast

import msgspec

from holdfast.delivery.files import MARK, Files, head
from holdfast.delivery.kubernetes import CLUSTER_WIDE, WHEN, manifests
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.values import Hole, values_of
from holdfast.delivery.yaml import dump

PART: Final = RenderedPart.HELM
_DIGEST: Final = r"^[a-z0-9./:_-]+(:unresolved|@sha256:[0-9a-f]{64})$"
_PATTERNS: Final = {
    "image": _DIGEST,
    "host": r"^[a-z0-9-]+(\.[a-z0-9-]+)+$",
    "cpu": r"^[1-9][0-9]*m?$",
    "memory": r"^[1-9][0-9]*(Mi|Gi)$",
    "storage": r"^[1-9][0-9]*(Mi|Gi|Ti)$",
}
"""{name of a value: what it matches}; RE2, without look-ahead."""
_LOOSE: Final = ("variables", "secrets", "urls")
"""The values that have names of their own in each environment."""


def files(rendering: Rendering) -> Files:
    """Return {path: text} of the chart."""
    name, above = rendering.system.name, head(rendering.system.name, PART)
    environments = rendering.system.deploy.environments
    values = {e.name: values_of(rendering.plan, e, rendering.images) for e in environments}
    default = values[environments[-1].name]
    chart = {
        "Chart.yaml": above + dump(_chart(name)),
        "values.yaml": above + dump(default),
        "values.schema.json": _json(schema_of(default, name)),
        "templates/NOTES.txt": rendering.templates.render(f"{PART}/NOTES.txt", system=name),
        ".helmignore": above + "*.orig\n*~\n",
    }
    chart |= {f"values-{e}.yaml": above + dump(of) for e, of in values.items()}
    for file, text in manifests(rendering, Hole()).items():
        if file != CLUSTER_WIDE:
            chart[f"templates/{file}"] = above + _only_when(file, text)
    return {f"{PART}/{name}/{path}": text for path, text in chart.items()}


def _chart(name: str) -> dict[str, str]:
    return {
        "apiVersion": "v2",
        "name": name,
        "description": f"The system {name}, as its declaration says.",
        "type": "application",
        "version": "0.1.0",
        "kubeVersion": ">=1.35.0-0",
    }


def _only_when(file: str, text: str) -> str:
    """Return a template that is there if the environment wants it."""
    if file not in WHEN:
        return text
    condition = Hole("databases", WHEN[file]).expression
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def schema_of(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the JSON schema of the values: nothing unknown, and nothing missing."""
    properties = {
        key: _loose(key, value) if key in _LOOSE else _schema(key, value)
        for key, value in values.items()
    }
    above = {"$schema": "http://json-schema.org/draft-07/schema#", "$comment": f"{MARK}{name}`"}
    schema = above | _object(properties)
    properties["global"] = {"type": "object"}  # which Helm puts in by itself
    return schema


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what has these properties, all of them, and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _schema(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return _object({key: _schema(key, inner) for key, inner in pairs})
    if isinstance(value, list):  # of peers
        return {"type": "array", "minItems": 1, "items": {"type": "object", "minProperties": 1}}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    text: dict[str, Any] = {"type": "string", "minLength": 1}
    return text | ({"pattern": _PATTERNS[name]} if name in _PATTERNS else {})


def _loose(name: str, value: object) -> dict[str, Any]:
    """Return the schema of what a workload has under names that differ by environment."""
    inner = _secrets() if name in ("secrets", "urls") else _TEXTS
    return _object(dict.fromkeys(cast("dict[str, object]", value), inner))


_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "object", "additionalProperties": _TEXT}


def _secrets() -> dict[str, Any]:
    """Return the schema of what External Secrets fetches, and of what it makes of it."""
    fetched = _object({"secretKey": _TEXT, "remoteRef": _object({"key": _TEXT, "property": _TEXT})})
    return _object({"data": {"type": "array", "items": fetched}, "template": _TEXTS})


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
