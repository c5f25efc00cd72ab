"""A container's process: bubblewrap builds its world as root, then it becomes its user.

The change of user comes last and is real: the kernel judges files, signals and capabilities by it.
A user namespace would not do, since root in it is still root to files of the machine.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.delivery.kubelet.cgroups import Limits
from tests.delivery.kubelet.containers import Launch, Mount
from tests.delivery.kubelet.images import Image
from tests.delivery.kubelet.node import Node, children_of

SHARED_BYTES = str(64 << 20)
"""Of /dev/shm, as container runtimes have it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container runs.

    Attributes:
        folder: empty, for its layer of the root and its log.
        network: the pod's.
        host: the pod's host name.
        group: the cluster's control group.
    """

    folder: Path
    network: str
    host: str
    group: str


def become(launch: Launch) -> list[str]:
    """Return the words before a command which make it the container's user."""
    groups = ",".join(map(str, launch.groups))
    words = ["/usr/bin/setpriv", f"--reuid={launch.uid}", f"--regid={launch.gid}"]
    words.append(f"--groups={groups}" if groups else "--clear-groups")
    if not launch.new_privileges:
        words.append("--no-new-privs")
    if not launch.capabilities:
        words += ["--bounding-set=-all", "--inh-caps=-all"]
    return words


def bubblewrap(
    launch: Launch, image: Image, root: Path, mounts: Sequence[Mount], host: str
) -> list[str]:
    """Return the words that run a container in a root that has its layer and all mount points."""
    words = ["bwrap", "--ro-bind" if launch.read_only_root else "--bind", str(root), "/"]
    words += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"]
    words += ["--perms", "1777", "--size", SHARED_BYTES, "--tmpfs", "/dev/shm"]
    for path, source in image.binds.items():
        words += ["--ro-bind", str(source), path]
    for mount in sorted(mounts, key=lambda m: m.path.count("/")):
        words += ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.path]
    words += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", host, "--as-pid-1"]
    words += ["--chdir", launch.workdir, "--clearenv"]
    for name, value in launch.env.items():
        words += ["--setenv", name, value]
    return [*words, "--", *become(launch), *launch.argv]


class Sandbox:
    """One run of a container."""

    def __init__(self, node: Node, launch: Launch, limits: Limits, log: Path) -> None:
        self._node, self._launch, self._limits, self.log = node, launch, limits, log
        self._process: asyncio.subprocess.Process | None = None
        self._killed = 0

    async def start(self, image: Image, mounts: Sequence[Mount], place: Place) -> None:
        """Start it."""
        root, upper = place.folder / "root", place.folder / "layer"
        for folder in (root, upper, place.folder / "work"):
            folder.mkdir()
        for path, source in [*image.binds.items(), *((m.path, m.source) for m in mounts)]:
            _make_point(upper, image.root, path, source.is_dir())
        layers = f"lowerdir={image.root},upperdir={upper},workdir={place.folder / 'work'}"
        self._limits.make(self._launch.limits)
        self._killed = self._limits.killed
        script = f'{self._limits.enter}\nexec "$@"'
        inner = f'mount -t overlay overlay -o "{layers}" {root}\nexec "$@"'
        words = [*self._node.entry(place.network), "sh", "-euc", inner, "sh"]
        words += bubblewrap(self._launch, image, root, mounts, place.host)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("sh", "-euc", script, "sh", *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
            )

    @property
    def pid(self) -> int:
        """The program's process, as this machine knows it; 0: it is not there (yet)."""
        at = self._process.pid if self._process and self._process.returncode is None else 0
        for _ in range(2):  # nsenter has bubblewrap, which has it
            at = next(iter(children_of(at)), 0) if at else 0
        return at

    def signal(self, which: signal.Signals) -> None:
        """Send the program a signal."""
        if pid := self.pid:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, which)
        elif which == signal.SIGKILL and self._process and self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> int:
        """Return its exit code, 128 + n after signal n."""
        assert self._process is not None
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process of it for that."""
        return self._limits.killed > self._killed

    async def run(self, words: Sequence[str], timeout_s: float) -> bool:
        """Run a further command in it, as its user; return whether that went well."""
        if not (pid := self.pid):
            return False
        child = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(pid), "--mount", "--pid", "--net", "--uts", "--ipc"),
            *("--", "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in self._launch.env.items())),
            *become(self._launch),
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(timeout_s):
                return await child.wait() == 0
        except TimeoutError:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                child.kill()
            await child.wait()
            return False


def _make_point(layer: Path, below: Path, path: str, folder: bool) -> None:
    """Make where something is mounted in the container's layer, as a runtime does."""
    point, under = layer / path.lstrip("/"), below / path.lstrip("/")
    if under.exists():
        return
    for parent in reversed(point.relative_to(layer).parents):
        made = layer / parent
        if not made.exists():
            made.mkdir()
        if (below / parent).exists():
            shutil.copystat(below / parent, made)
    point.mkdir() if folder else point.touch()
