"""Images: what is really built from a Dockerfile, and stand-ins for those that are not to be had.

buildah builds, isolated by chroot; what comes out is unpacked once, and pods get it as the lower
layer of their root. Images of other people are stood for by the same programs from their wheels.
"""

import ast
import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.delivery.kubelet.node import needs_root, overlay_of

HOME = Path(sys.prefix) / "cluster"
TOOLS = HOME / "tools"
BASE = "docker.io/library/python:3.11-slim-bookworm"
_CERTIFICATES = Path("/etc/ssl/certs")


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is unpacked.

    Attributes:
        root: its files.
        binds: {path in it: what of this machine is there}.
        unpacked_bytes, packed_bytes: its files, and what a registry keeps of them, by gzip; of one
            that was built.
    """

    root: Path
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    binds: Mapping[str, Path] = field(default_factory=dict)
    unpacked_bytes: int = 0
    packed_bytes: int = 0


def base() -> Image:
    """Return Debian with its Python, as `make deploy-test` has fetched it."""
    tar, root = HOME / "base.tar", HOME / "images" / "base"
    assert tar.exists(), "there is no base image; `make deploy-test` fetches it"
    mark = root / "etc" / "unpacked"
    if not mark.exists() or mark.read_text() != str(tar.stat().st_mtime_ns):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run(["tar", "-xf", tar, "-C", root, "--exclude=./dev/*"], check=True)
        mark.write_text(str(tar.stat().st_mtime_ns))
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return Image(root, cmd=("python3",), env={"PATH": path})


async def build(dockerfile: Path, context: Path, *, name: str) -> Image:
    """Build an image of the base, whatever digest the Dockerfile asks for; the layers are kept.

    Raises:
        RuntimeError: it cannot be built; the message has all that buildah said.
    """
    needs_root()
    work = HOME / "buildah"
    work.mkdir(parents=True, exist_ok=True)
    text = dockerfile.read_text()
    ignored = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    local = work / f"{name}.Dockerfile"
    local.write_text(_from_base(text))
    (work / "pip.conf").write_text(_pip_conf())
    script = f"""set -e
    {overlay_of(TOOLS)}
    export TMPDIR={work}
    alias b='buildah --root {work}/storage --runroot {work}/run --storage-driver overlay'
    b inspect --type image {BASE} >/dev/null 2>&1 || {{
      c=$(b from scratch); b add -q $c {HOME}/base.tar / >/dev/null
      b config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin $c
      b commit -q --rm $c {BASE}; }} >&2
    b bud --isolation chroot --network host --pull-never --layers --format docker \
      --volume {_CERTIFICATES}:{_CERTIFICATES}:ro --volume {work}/pip.conf:/etc/pip.conf:ro \
      {f"--ignorefile {ignored}" if ignored.exists() else ""} \
      --tag {name} --file {local} {context} >&2
    id=$(b inspect --type image --format '{{{{.FromImageID}}}}' {name})
    if [ ! -e {HOME}/images/$id.json ]; then
      mkdir -p {HOME}/images
      find {HOME}/images -mindepth 1 -maxdepth 1 ! -name base -exec rm -rf {{}} +
      c=$(b from --pull-never {name}); cp -a "$(b mount $c)" {HOME}/images/$id
      b umount $c >/dev/null; b rm $c >/dev/null
      tar -C {HOME}/images/$id -c . | gzip | wc -c > {HOME}/images/$id.packed
      b inspect --type image {name} > {HOME}/images/$id.json
    fi
    echo $id"""
    child = await asyncio.create_subprocess_exec(
        *("nice", "-n", "5", "unshare", "--mount", "--propagation", "private"),
        *("bash", "-O", "expand_aliases", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"{dockerfile} cannot be built:\n{wrong.decode()[-4000:]}")
    return _unpacked(HOME / "images" / said.decode().strip())


def _from_base(dockerfile: str) -> str:
    """Return it with our base in place of every image of others."""
    stages: set[str] = {"scratch"}
    lines: list[str] = []
    for line in dockerfile.splitlines():
        words = line.split()
        if words and words[0].upper() == "FROM":
            at = next(n for n, word in enumerate(words) if n and not word.startswith("--"))
            if words[at] not in stages:
                words[at] = BASE
            if len(words) > at + 2:
                stages.add(words[at + 2])
            line = " ".join(words)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _pip_conf() -> str:
    """Return pip's settings of this machine, as far as they say where packages are."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, check=True
    )
    lines = ["[global]", "disable-pip-version-check = true"]
    for line in listed.stdout.decode().splitlines():
        name, _, value = line.partition("=")
        if name == "global.index-url":
            lines.append(f"index-url = {ast.literal_eval(value)}")
    if _CERTIFICATES.exists():
        lines.append(f"cert = {_CERTIFICATES}/ca-certificates.crt")
    return "\n".join(lines) + "\n"


def _unpacked(root: Path) -> Image:
    """Return what is said of an image beside its files."""
    inspected = json.loads(root.with_name(f"{root.name}.json").read_text())
    said = inspected["Docker"]["config"]
    return Image(
        root,
        tuple(said.get("Entrypoint") or ()),
        tuple(said.get("Cmd") or ()),
        dict(pair.split("=", 1) for pair in said.get("Env") or ()),
        said.get("User", ""),
        said.get("WorkingDir") or "/",
        unpacked_bytes=bytes_of(root),
        packed_bytes=int(root.with_name(f"{root.name}.packed").read_text()),
    )


def bytes_of(root: Path) -> int:
    """Return how much the files of a folder are, as `du --apparent-size` counts them."""
    said = subprocess.run(["du", "-s", "-b", root], capture_output=True, check=True)
    return int(said.stdout.split()[0])
