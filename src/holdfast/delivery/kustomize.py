"""Kustomize: a base, and for each environment an overlay with what is different there.

The base is the last environment. An overlay is computed from the objects themselves, so each of its
patches changes something, and what comes out is what the manifests are.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import yaml

from holdfast.delivery.files import Files, head
from holdfast.delivery.kubernetes import manifests
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.values import values_of
from holdfast.delivery.yaml import Value, dump
from holdfast.errors import DeclarationError

PART: Final = RenderedPart.KUSTOMIZE
API: Final = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
# PyYAML's own reader takes ten times as long as libyaml, which is not in every build of it.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Manifest = dict[str, Any]
Name = tuple[str, str, str, str]
"""apiVersion, kind, namespace and name: what an object is known by."""


def files(rendering: Rendering) -> Files:
    """Return {path: text} of the base and the overlays."""
    above = head(rendering.system.name, PART)
    environments = rendering.system.deploy.environments
    texts = {
        e.name: manifests(rendering, values_of(rendering.plan, e, rendering.images))
        for e in environments
    }
    base = texts[environments[-1].name]
    found = {f"base/{name}": above + text for name, text in base.items()}
    found["base/kustomization.yaml"] = above + dump({**API, "resources": sorted(base)})
    before = objects_of(base)
    for environment, text in texts.items():
        after = before if text is base else objects_of(text)
        own = [after[name] for name in after if name not in before]
        overlay: dict[str, Value] = {**API, "resources": ["../../base"]}
        if own:
            overlay["resources"] = ["../../base", "own.yaml"]
            found[f"overlays/{environment}/own.yaml"] = above + "---\n".join(map(dump, own))
        if patches := list(patches_of(before, after)):
            overlay["patches"] = patches
        found[f"overlays/{environment}/kustomization.yaml"] = above + dump(overlay)
    return {f"{PART}/{path}": text for path, text in found.items()}


def objects_of(texts: Mapping[str, str]) -> dict[Name, Manifest]:
    """Return the objects of some files, by what they are known by.

    Raises:
        DeclarationError: two are known by the same; or a user's template made no YAML.
    """
    found: dict[Name, Manifest] = {}
    problems: list[str] = []
    for file, text in texts.items():
        try:
            documents = [d for d in yaml.load_all(text, _LOADER) if d]
        except yaml.YAMLError as exc:
            problems.append(
                f"template {RenderedPart.KUBERNETES}/{file}: {' '.join(str(exc).split())}"
            )
            continue
        for document in documents:
            name = _name(document)
            if name in found:
                problems.append(
                    f"{file}: two objects are {name[1]} {name[3]}; rename the service whose name "
                    "makes it"
                )
            found[name] = document
    if problems:
        raise DeclarationError(problems)
    return found


def _name(manifest: Manifest) -> Name:
    metadata = manifest["metadata"]
    namespace = str(metadata.get("namespace", ""))
    return str(manifest["apiVersion"]), str(manifest["kind"]), namespace, str(metadata["name"])


def patches_of(
    before: Mapping[Name, Manifest], after: Mapping[Name, Manifest]
) -> Iterator[dict[str, Value]]:
    """Yield the patches by which the objects that are there before become those after."""
    for name, manifest in before.items():
        version, kind, namespace, named = name
        if name not in after:
            metadata = {"name": named} | ({"namespace": namespace} if namespace else {})
            gone: dict[str, Value] = {"apiVersion": version, "kind": kind, "metadata": metadata}
            yield {"patch": _text({**gone, "$patch": "delete"})}
        elif operations := list(_operations("", manifest, after[name])):
            group, _, bare = version.rpartition("/")
            target = {"group": group} if group else {}
            target |= {"version": bare, "kind": kind, "name": named}
            yield {"target": target, "patch": _text(operations)}


def _operations(path: str, before: object, after: object) -> Iterator[dict[str, Value]]:
    """Yield the operations of a JSON patch (RFC 6902) from one value to another."""
    changed = not _same(before, after)
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_keys(path, cast("Manifest", before), cast("Manifest", after))
    elif isinstance(before, list) and isinstance(after, list):
        one, other = cast("list[object]", before), cast("list[object]", after)
        if len(one) != len(other):
            yield {"op": "replace", "path": path, "value": cast("Value", other)}
            return
        for index, (inner, now) in enumerate(zip(one, other, strict=True)):
            yield from _operations(f"{path}/{index}", inner, now)
    elif changed:
        yield {"op": "replace", "path": path, "value": cast("Value", after)}


def _of_keys(path: str, before: Manifest, after: Manifest) -> Iterator[dict[str, Value]]:
    for key in sorted({*before, *after}):
        below = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in after:
            yield {"op": "remove", "path": below}
        elif key not in before:
            yield {"op": "add", "path": below, "value": after[key]}
        else:
            yield from _operations(below, before[key], after[key])


def _same(one: object, other: object) -> bool:
    """Whether two values are written alike: 1 and True are equal, and are not."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _text(value: Value) -> str:
    return dump(value).rstrip("\n")
