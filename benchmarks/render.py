"""How long `holdfast render` takes to write everything of a system, from `exec` to its end.

The systems are generated (`benchmarks/ours/many.py`): each service has a route, a query, a command
and an event that it hears. What is written is new each time. Memory is the peak of the process. The
last figure, how it grows, is the time a service of 100 beside that of 50, without what the command
takes for one service alone.

Targets: 2 s for 5 services, 15 s and 400 MB for 100, linear to a fifth.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import Plan, Row
from benchmarks.process import ROOT

FEW, HALF, MANY = 5, 50, 100
TARGET_S = {FEW: 2.0, MANY: 15.0}
MEMORY_TARGET_MB = 400.0
LINEAR_TARGET = 1.2


async def measure(plan: Plan) -> list[Row]:
    """Measure the figures."""
    took = {count: [_once(count) for _ in range(plan.rounds)] for count in (1, FEW, HALF, MANY)}
    seconds = {count: median(s for s, _ in runs) for count, runs in took.items()}
    rows = [
        Row(
            f"everything of {count} services is rendered",
            "s",
            seconds[count],
            target=s,
            at_most=True,
        )
        for count, s in TARGET_S.items()
    ]
    megabytes = max(mb for _, mb in took[MANY])
    about = f"memory while everything of {MANY} services is rendered"
    rows.append(Row(about, "MB", megabytes, target=MEMORY_TARGET_MB, at_most=True))
    growth = (seconds[MANY] - seconds[1]) / (seconds[HALF] - seconds[1]) / (MANY / HALF)
    about = f"time a service of {MANY} beside that of {HALF}"
    return [*rows, Row(about, "x", growth, target=LINEAR_TARGET, at_most=True)]


def _once(services: int) -> tuple[float, float]:
    """Render once; return seconds and megabytes."""
    folder = Path(tempfile.mkdtemp(prefix="render-"))
    environ = {**os.environ, "BENCH_SERVICES": str(services)}
    command = [sys.executable, "-m", "holdfast.cli", "render", "benchmarks.ours.many"]
    try:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--to", str(folder / "deploy")],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"rendering {services} services failed"
        return time.perf_counter() - begun, used.ru_maxrss / 1024
    finally:
        shutil.rmtree(folder)
