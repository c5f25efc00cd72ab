"""The volumes of a pod, made on this machine, and what its containers mount of them.

Files of ConfigMaps and Secrets are root's, and readable to the pod's `fsGroup`. What is over an
`emptyDir`'s size is seen by looking, as the kubelet does; one in memory is full by itself.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.delivery.kubelet.containers import Mount, NotStartable, Told, field_of, source
from tests.delivery.kubelet.manifests import Object, Objects
from tests.delivery.kubelet.node import Node
from tests.delivery.kubelet.quantities import whole

FILE_MODE = 0o644


async def make(
    pod: Object, folder: Path, objects: Objects, told: Told, node: Node
) -> dict[str, Path]:
    """Return {volume: where it is}, all below a folder, but claims, which stay beside it.

    Raises:
        NotStartable: a volume names what is not there, or is of a kind that is not known here.
    """
    group = (pod.get("securityContext") or {}).get("fsGroup")
    made: dict[str, Path] = {}
    for volume in pod.get("volumes") or []:
        where = made[volume["name"]] = folder / volume["name"]
        if "emptyDir" in volume:
            where.mkdir(parents=True)
            settings = volume["emptyDir"] or {}
            if settings.get("medium") == "Memory":
                size = whole(settings.get("sizeLimit", "64Mi"))
                await node.run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(where))
                await node.run("sh", "-c", f"chmod 2777 {where} && chgrp {group or 0} {where}")
            else:
                _open_to(where, group)
        elif "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            where = made[volume["name"]] = folder.parents[1] / "claims" / told.namespace / claim
            where.mkdir(parents=True, exist_ok=True)
            _open_to(where, group)
        else:
            where.mkdir(parents=True)
            _write(where, _files(volume, objects, told), group)
    return made


def refresh(pod: Object, made: Mapping[str, Path], objects: Objects, told: Told) -> None:
    """Bring what is mounted of ConfigMaps and Secrets to what these have now, all at once."""
    group = (pod.get("securityContext") or {}).get("fsGroup")
    for volume in pod.get("volumes") or []:
        if volume["name"] in made and not volume.keys() & {"emptyDir", "persistentVolumeClaim"}:
            _write(made[volume["name"]], _files(volume, objects, told), group)


def mounts(container: Object, made: Mapping[str, Path]) -> list[Mount]:
    """Return what a container mounts.

    Raises:
        NotStartable: it mounts a volume that the pod does not have.
    """
    found: list[Mount] = []
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in made:
            raise NotStartable(f"{container['name']} mounts {mount['name']}, which is no volume")
        where = made[mount["name"]] / mount.get("subPath", "")
        if "subPath" in mount and not where.exists():
            where.mkdir(parents=True)
        found.append(Mount(where, mount["mountPath"], bool(mount.get("readOnly"))))
    return found


def over_their_size(pod: Object, made: Mapping[str, Path]) -> list[str]:
    """Return the volumes on disk that hold more than their `sizeLimit`."""
    return [
        volume["name"]
        for volume in pod.get("volumes") or []
        if "sizeLimit" in (limits := volume.get("emptyDir") or {})
        and limits.get("medium") != "Memory"
        and volume["name"] in made
        and _bytes_in(made[volume["name"]]) > whole(limits["sizeLimit"])
    ]


def _files(volume: Object, objects: Objects, told: Told) -> dict[str, tuple[bytes, int]]:
    """Return {path: (content, mode)}."""
    if "projected" in volume:
        found: dict[str, tuple[bytes, int]] = {}
        for part in volume["projected"].get("sources") or []:
            mode = {"defaultMode": volume["projected"].get("defaultMode", FILE_MODE)}
            found |= _files({key: {**mode, **value} for key, value in part.items()}, objects, told)
        return found
    if "downwardAPI" in volume:
        declared = volume["downwardAPI"]
        mode = declared.get("defaultMode", FILE_MODE)
        return {
            item["path"]: (field_of(item["fieldRef"]["fieldPath"], told).encode(), mode)
            for item in declared.get("items") or []
        }
    for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if key in volume:
            declared = volume[key]
            data = source(objects, kind, told.namespace, declared)
            return _chosen(data or {}, declared)
    raise NotStartable(f"volume {volume.get('name')} is of a kind that is not known here")


def _chosen(data: dict[str, bytes], declared: Object) -> dict[str, tuple[bytes, int]]:
    mode = declared.get("defaultMode", FILE_MODE)
    if "items" not in declared:
        return {name: (content, mode) for name, content in data.items()}
    found: dict[str, tuple[bytes, int]] = {}
    for item in declared["items"]:
        if item["key"] in data:
            found[item["path"]] = (data[item["key"]], item.get("mode", mode))
        elif not declared.get("optional"):
            raise NotStartable(f"a volume asks for {item['key']}, which is not there")
    return found


def _write(where: Path, files: Mapping[str, tuple[bytes, int]], group: int | None) -> None:
    """Write files as a kubelet does: names lead through one link, which is moved when all is there.

    Nothing is done if they are there already.
    """
    link = where / "..data"
    if link.exists() and all(
        (link / path).exists() and (link / path).read_bytes() == content
        for path, (content, _) in files.items()
    ):
        return
    version = Path(tempfile.mkdtemp(prefix="..", dir=where))
    version.chmod(0o755)
    for path, (content, mode) in files.items():
        file = version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if group is not None:
            os.chown(file, 0, group)
            mode |= (mode & 0o400) >> 3  # the group may read what the owner may
        file.chmod(mode)
        named = where / path
        named.parent.mkdir(parents=True, exist_ok=True)
        if not named.is_symlink():
            named.symlink_to(os.path.relpath(link / path, named.parent))
    following = where / "..data_tmp"
    following.symlink_to(version.name)
    following.replace(link)


def _open_to(folder: Path, group: int | None) -> None:
    """Let the pod's group write in a folder, and own what is made there."""
    if group is not None:
        os.chown(folder, 0, group)
    folder.chmod(0o2777 if group is not None else 0o777)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            pass  # gone since it was listed
    return total
