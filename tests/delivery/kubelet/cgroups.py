"""The control groups of one container: what it may use, and whether that was too little."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from tests.delivery.kubelet.quantities import quantity, whole

ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


class Limits:
    """Control groups of version 1 or 2, as the machine has them.

    Args:
        group: the cluster's.
        name: unique in it.

    Attributes:
        folders: {controller: its group}; version 2 has one for all, under "".
    """

    def __init__(self, group: str, name: str) -> None:
        self._old = (ROOT / "memory").is_dir()
        self.folders = {kind: ROOT / kind / group / name for kind in _controllers()}

    def make(self, limits: Mapping[str, str]) -> None:
        """Make them, with a container's `resources.limits`."""
        for folder in self.folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            if not self._old:
                (folder.parent / "cgroup.subtree_control").write_text("+memory +cpu")
        if "memory" in limits:
            old, new = "memory.limit_in_bytes", "memory.max"
            self._file("memory", old, new).write_text(str(whole(limits["memory"])))
        if "cpu" in limits:
            quota_us = int(quantity(limits["cpu"]) * _PERIOD_US)
            said = str(quota_us) if self._old else f"{quota_us} {_PERIOD_US}"
            self._file("cpu", "cpu.cfs_quota_us", "cpu.max").write_text(said)

    @property
    def enter(self) -> str:
        """Shell words with which a process goes in, and all that it starts."""
        return "\n".join(f"echo $$ > {folder}/cgroup.procs" for folder in self.folders.values())

    @property
    def killed(self) -> int:
        """How many processes the kernel has ended for want of memory."""
        text = self._file("memory", "memory.oom_control", "memory.events").read_text()
        return next(int(n) for name, n in map(str.split, text.splitlines()) if name == "oom_kill")

    @property
    def used_bytes(self) -> int:
        """What its processes have of the memory now."""
        old, new = "memory.usage_in_bytes", "memory.current"
        return int(self._file("memory", old, new).read_text())

    def _file(self, kind: str, old: str, new: str) -> Path:
        return self.folders[kind] / old if self._old else self.folders[""] / new


def _controllers() -> tuple[str, ...]:
    return ("memory", "cpu") if (ROOT / "memory").is_dir() else ("",)


async def remove(group: str) -> None:
    """Take away all groups of a cluster whose processes have ended; the kernel may be at it yet."""
    for kind in _controllers():
        top = ROOT / kind / group
        for folder in [*top.glob("*/"), top] if top.exists() else []:
            for pause_s in (0.01, 0.1, 1.0, 5.0):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    await asyncio.sleep(pause_s)
