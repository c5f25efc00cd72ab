"""Figures of a process: what its operating system, its interpreter and its event loop tell of it.

Names are those of Prometheus's own clients, which every dashboard knows.
"""

import asyncio
import gc
import os
import platform
import resource
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from holdfast.observability import Histogram, Metrics, catalogue
from holdfast.observability.catalogue import Metric
from holdfast.ports import Clock

LOOK_S = 0.5  # between two looks at the lag of the loop
_PAGE_BYTES = resource.getpagesize()
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROCESS = Path("/proc/self")
_GC: dict[Metric, str] = {
    catalogue.GC_COLLECTED: "collected",
    catalogue.GC_UNCOLLECTABLE: "uncollectable",
    catalogue.GC_COLLECTIONS: "collections",
}


def watch_process(metrics: Metrics) -> None:
    """Show the figures of this process; those of `/proc` where there is one."""
    metrics.watch(catalogue.PROCESS_CPU, _cpu_s)
    metrics.watch(catalogue.PROCESS_FD_LIMIT, lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if (_PROCESS / "stat").exists():
        began_s = _boot_s() + _stat(19) / _TICKS_PER_S
        reads: dict[Metric, Callable[[], float]] = {
            catalogue.PROCESS_VIRTUAL: lambda: _stat(20),
            catalogue.PROCESS_RESIDENT: lambda: _stat(21) * _PAGE_BYTES,
            catalogue.PROCESS_START: lambda: began_s,
            catalogue.PROCESS_FDS: lambda: len(os.listdir(_PROCESS / "fd")),
        }
        for metric, read in reads.items():
            metrics.watch(metric, read)
    for generation in range(len(gc.get_stats())):
        for metric, name in _GC.items():
            _watch_garbage(metrics, metric, name, generation)
    _watch_builds(metrics)


def _watch_garbage(metrics: Metrics, metric: Metric, name: str, generation: int) -> None:
    metrics.watch(metric, lambda: gc.get_stats()[generation][name], generation=str(generation))


def _watch_builds(metrics: Metrics) -> None:
    major, minor, patchlevel = platform.python_version_tuple()
    metrics.watch(
        catalogue.PYTHON,
        lambda: 1,
        implementation=platform.python_implementation(),
        major=major,
        minor=minor,
        patchlevel=patchlevel,
        version=platform.python_version(),
    )
    metrics.watch(catalogue.BUILD, lambda: 1, version=version("holdfast"))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _stat(field: int) -> int:
    """Return a number of `/proc/self/stat`, counted from the one after the command's name."""
    return int((_PROCESS / "stat").read_text().rpartition(")")[2].split()[field])


def _boot_s() -> int:
    """Return when the machine was started, in seconds since 1970."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))


class LoopLag:
    """Looks twice a second how late the event loop does what is due.

    A wait of n seconds between two looks is seen with a chance of 2n, and never as longer than it
    was; a loop that is held often or for long shows.
    """

    def __init__(self, lag: Histogram, clock: Clock) -> None:
        self._lag, self._clock = lag, clock
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._due = self._clock.monotonic() + LOOK_S
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._lag.observe(max(0.0, self._clock.monotonic() - self._due))
        self.start()
