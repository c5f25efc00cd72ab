"""Who else used the two cores: every process of the machine that is not of the benchmark.

The kernel's count of a core says how much (`process.busy_s`); this says who. Whoever was begun and
ended between two looks is in the first alone.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import LOAD_CORE, SERVER_CORE, stolen_s

STEAL = "the machine below (steal)"
_CORES = {SERVER_CORE, LOAD_CORE}
_TICKS = os.sysconf("SC_CLK_TCK")
_NAME_MAX = 32


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one moment.

    Attributes:
        cpu_s: of all its threads so far. core: the one that it ran on last.
    """

    name: str
    parent: int
    cpu_s: float
    core: int


@dataclass(frozen=True, slots=True)
class Look:
    """All processes at one moment, {pid: process}, and what was stolen so far."""

    processes: Mapping[int, Seen]
    stolen_s: float


def look() -> Look:
    """Look at all processes: some milliseconds."""
    found: dict[int, Seen] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[int(folder.name)] = read_stat((folder / "stat").read_text())
    return Look(found, stolen_s())


def read_stat(text: str) -> Seen:
    """Read a `/proc/PID/stat`; a name may have spaces and brackets in it. Source: proc(5)."""
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()  # the third field first
    return Seen(name, int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[36]))


def disturbers(before: Look, after: Look, *, root: int, took_s: float) -> dict[str, float]:
    """Return {who: cores} of all that ran between two looks, without `root` and what it began."""
    found = Counter[str]()
    for pid, process in after.processes.items():
        if process.core in _CORES and not _descends(pid, root, after.processes):
            earlier = before.processes.get(pid)
            used_s = process.cpu_s - (earlier.cpu_s if earlier else 0.0)
            if used_s > 0:
                found[_called(pid, process.name)] += used_s / took_s
    if (stolen := after.stolen_s - before.stolen_s) > 0:
        found[STEAL] += stolen / took_s
    return dict(found.most_common())


def _descends(pid: int, root: int, processes: Mapping[int, Seen]) -> bool:
    while pid in processes:
        if pid == root:
            return True
        pid = processes[pid].parent
    return False


def _called(pid: int, name: str) -> str:
    """Return what a process is called: what it runs, if it is Python's."""
    if not name.startswith("python"):
        return name
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it has ended meanwhile
        return name
    program = next((word for word in words[1:] if word == "-c" or not word.startswith("-")), "")
    return f"{name} {Path(program).name}"[:_NAME_MAX].strip()
