"""What kubectl, Kustomize and Helm read, each by its own official binary."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.delivery.judges.objects import Object, kind_of, name_of, objects_of, parsed, unequal
from tests.delivery.judges.programs import NEWEST, helm, kubectl, run_apart
from tests.delivery.judges.schemas import validators


def decoding_problems(items: Sequence[Object], minor: str = NEWEST) -> list[str]:
    """Return what kubectl's own types refuse: kinds, numbers and quantities that are none.

    Custom kinds are unknown to it, and are left out.
    """
    builtin = [item for item in items if kind_of(item) not in validators()]
    given = "\n---\n".join(json.dumps(item) for item in builtin)
    _, said, errors = run_apart(
        *(kubectl(minor), "set", "env", "--local", "--list", "--filename", "-"), given=given
    )
    return [line for line in errors.splitlines() if line.strip()] + _unread(said, builtin)


def _unread(said: str, items: list[Object]) -> list[str]:
    """Return workloads that kubectl does not list, though it complained of nothing."""
    listed = {
        line.removeprefix("# ").split(",")[0] for line in said.splitlines() if line.startswith("# ")
    }
    return [
        f"{name_of(item)}: not read"
        for item in items
        if item["kind"] in ("Deployment", "StatefulSet", "Job")
        and f"{item['kind']} {item['metadata']['name']}" not in listed
    ]


def read_by_kubectl(path: Path, minor: str = NEWEST) -> list[Object]:
    """Return what `kubectl -f` reads of a file, or of the files of a folder and below."""
    words = ("patch", "--local", "--recursive", "--type=merge", "--patch={}", "--output=json")
    code, said, errors = run_apart(kubectl(minor), *words, f"--filename={path}")
    assert code == 0, errors
    return list(_documents(said))


def _documents(text: str) -> Iterator[Object]:
    """Yield JSON documents that stand one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        item, end = decoder.raw_decode(text, at)
        yield item
        at = end + len(text[end:]) - len(text[end:].lstrip())


def kustomized(folder: Path, minor: str = NEWEST) -> list[Object]:
    """Return what `kubectl kustomize` builds of a folder."""
    code, said, errors = run_apart(kubectl(minor), "kustomize", folder)
    assert code == 0, errors
    assert "deprecated" not in errors, errors
    return parsed(said)


def templated(
    chart: Path,
    *values: Path,
    namespace: str,
    minor: str = NEWEST,
    more: Sequence[str] = (),
) -> list[Object]:
    """Return what `helm template` renders of a chart with files of values.

    Raises:
        ChartError: Helm refuses it.
    """
    files = [f"--values={file}" for file in values]
    words = ("template", chart.name, chart, "--namespace", namespace, *files, *more)
    code, said, errors = run_apart(helm(minor), *words)
    if code != 0:
        raise ChartError(errors)
    return parsed(said)


class ChartError(Exception):
    """Helm refuses a chart, or values for it."""


def idle_entries(overlay: Path) -> list[str]:
    """Return entries of an overlay whose absence changes nothing: they are no-ops, silently.

    Kustomize passes over a patch without a target, images and replacements that name nobody. Each
    entry of the lists below is taken away once, and what is built compared; patches that are each
    for an object of its own are taken away together, and each of those objects must change.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "root"
        shutil.copytree(_root_of(overlay), root, symlinks=True)
        copied = root / overlay.resolve().relative_to(_root_of(overlay).resolve())
        [whole] = objects_of(copied / "kustomization.yaml")
        built = kustomized(copied)
        alone = _alone(whole)
        changed = _changed(built, copied, {**whole, "patches": []}) if alone else set()
        found = [("patches", at) for at, target in sorted(alone.items()) if target not in changed]
        for key, at in _entries(whole):
            kept = [entry for index, entry in enumerate(whole[key]) if index != at]
            if not (key == "patches" and at in alone):
                found += [] if _changed(built, copied, {**whole, key: kept}) else [(key, at)]
        return [f"{overlay.name}: {key}[{at}] changes nothing" for key, at in found]


def _alone(whole: Object) -> dict[int, tuple[str, str]]:
    """Return {index: (kind, name)} of the patches whose object no other patch is for."""
    targets = {
        at: (patch["target"]["kind"], patch["target"]["name"])
        for at, patch in enumerate(whole.get("patches") or ())
        if {"kind", "name"} <= patch.get("target", {}).keys()
    }
    return {
        at: target for at, target in targets.items() if list(targets.values()).count(target) == 1
    }


def _changed(built: list[Object], folder: Path, overlay: Object) -> set[tuple[str, str]]:
    """Return (kind, name) of what another overlay in the folder builds differently.

    What does not build any more is a change of everything.
    """
    (folder / "kustomization.yaml").write_text(json.dumps(overlay))
    ours = {(item["kind"], item["metadata"]["name"]): item for item in built}
    try:
        items = kustomized(folder)
    except AssertionError:
        return set(ours)
    theirs = {(item["kind"], item["metadata"]["name"]): item for item in items}
    return {key for key in {*ours, *theirs} if any(unequal(ours.get(key), theirs.get(key)))}


def _entries(whole: Object) -> Iterator[tuple[str, int]]:
    lists = ("patches", "images", "replicas", "replacements", "resources", "components")
    for key in (*lists, "configMapGenerator", "secretGenerator", "labels"):
        yield from ((key, at) for at in range(len(whole.get(key) or ())))


def _root_of(overlay: Path) -> Path:
    """Return the folder that holds the overlay and all that it refers to."""
    for parent in overlay.resolve().parents:
        if (parent / "base").is_dir():
            return parent
    return overlay
