"""The figures as text: a table of what was promised, and below it what it was made of."""

import math
import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.harness import FOREIGN_MAX, Row, Sample

_PACKAGES = (
    "uvloop",
    "httptools",
    "pydantic",
    "sqlalchemy",
    "fastapi",
    "uvicorn",
    "opentelemetry-sdk",
    "aiohttp",
    "dbos",
)
_OTHERS_MAX, _OTHERS_MIN = 6, 0.02  # how many are named; cores
_BUSY_MAX = 0.9  # cores of load, from which on it is the load that is measured


def render(rows: Sequence[Row], *, shared_core: bool) -> str:
    """Return the whole report."""
    parts = [_table(_SUMMARY, [_summary(row) for row in rows])]
    details = [_detail(row, name, samples) for row in rows for name, samples in row.samples.items()]
    if details:
        parts.append(_table(_DETAILS, details))
    parts += [_more(name, samples) for row in rows for name, samples in row.samples.items()]
    parts += _doubts(rows, shared_core=shared_core)
    parts.append(", ".join(f"{name} {value}" for name, value in machine().items()))
    return "\n\n".join(part for part in parts if part)


def machine() -> dict[str, str]:
    """Return what was measured on, and with which versions."""
    found = {"python": platform.python_version(), "cores": str(os.cpu_count())}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            found["cpu"] = line.partition(":")[2].strip()
            break
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


_SUMMARY = ("figure", "ours", "peer", "", "ratio", "by CPU", "target", "")


def _summary(row: Row) -> tuple[str, ...]:
    limit = f"≤ {_number(row.target)} {row.unit}" if row.at_most else f"≥ {_number(row.target)} ×"
    return (
        row.figure,
        f"{_number(row.ours)} {row.unit}",
        "" if math.isnan(row.peer) else f"{_number(row.peer)} {row.unit}",
        row.peer_name,
        *("" if math.isnan(r) else f"{r:.2f} ×" for r in (row.ratio, row.cpu_ratio)),
        "" if row.reached is None else limit,
        {True: "reached", False: "MISSED", None: ""}[row.reached],
    )


_DETAILS = ("", "rate/s", "± spread", "p50 ms", "p99 ms", "CPU µs each", "load", "others")


def _detail(row: Row, name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    rates = [sample.rate for sample in samples]
    middle = median(rates)
    spread = (max(rates) - min(rates)) / 2 / middle
    return (
        f"{row.figure}: {name}",
        _number(middle),
        f"{spread:.0%}",
        f"{median(s.p50_ms for s in samples):.2f}",
        f"{median(s.p99_ms for s in samples):.2f}",
        f"{median(s.cpu_us for s in samples):.1f}",
        f"{median(s.load_share for s in samples):.2f}",
        f"{max(s.foreign for s in samples):.2f}",
    )


def _more(name: str, samples: Sequence[Sample]) -> str:
    names = list(samples[0].more) if samples else []
    values = [f"{key} {_number(median(s.more[key] for s in samples))}" for key in names]
    return f"{name}: {', '.join(values)}" if values else ""


def _doubts(rows: Iterable[Row], *, shared_core: bool) -> list[str]:
    """Return what makes these figures worth less."""
    samples = [(name, s) for row in rows for name, group in row.samples.items() for s in group]
    found: list[str] = []
    if shared_core:
        found.append("servers and load share one core: only the CPU per operation means something")
    busy = sorted({name for name, s in samples if s.load_share > _BUSY_MAX})
    if busy and not shared_core:
        found.append(f"the load was as busy as the server: {', '.join(busy)}")
    disturbed = sum(s.foreign > FOREIGN_MAX for _, s in samples)
    if disturbed:
        found.append(f"{disturbed} of {len(samples)} rounds were disturbed by something else")
    others = _others([s for _, s in samples])
    if others:
        found.append(f"beside them ran, in cores: {', '.join(others)}")
    return found


def _others(samples: Sequence[Sample]) -> list[str]:
    """Return who ran beside the benchmark, most first, by the mean of all rounds."""
    total = Counter[str]()
    for sample in samples:
        total.update(sample.disturbers)
    means = [(name, cores / len(samples)) for name, cores in total.most_common(_OTHERS_MAX)]
    return [f"{name} {cores:.2f}" for name, cores in means if cores >= _OTHERS_MIN]


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
