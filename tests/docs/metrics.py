"""Writes docs/metrics.md from the catalogue: `make reference`. A test holds the two equal."""

import re
from collections.abc import Iterator
from pathlib import Path

from holdfast.observability import catalogue
from holdfast.observability.catalogue import CATALOGUE, LABELS, Metric
from tests.docs.snippets import ROOT

PAGE = ROOT / "docs" / "metrics.md"
HEAD = """# Metrics

Every name that a process shows at `/metrics`, from the catalogue in the code: `make reference`
writes this page, and a test holds it equal. What to watch, and a service's own metrics, are in
[Operations](operations.md#metrics).

Where a number is from:

- *event*: counted when it happens. The series of what is declared are there at 0 from the start.
- *scrape*: read from the process's own counts when it is asked for. No database is asked.
- *tables*: the service's tables as its housekeeping found them last, at most 10 s ago. Each process
  of a service tells the same, so take the maximum over processes, not the sum.

A histogram has `_bucket`, `_sum` and `_count`; its buckets stand below each table. A counter grows
from the start of its process.
"""
TABLE = ["| name | type | unit | labels | what it says | from |", "|---|---|---|---|---|---|"]
_SECTION = re.compile(r"^# -- (.+?) -+$|^([A-Z_]+): Final = Metric\(", re.MULTILINE)


def sections() -> Iterator[tuple[str, list[Metric]]]:
    """Yield (heading, metrics), as the catalogue is divided by its comments."""
    heading, metrics = "", list[Metric]()
    for found in _SECTION.finditer(Path(catalogue.__file__).read_text()):
        if found[1]:
            if metrics:
                yield heading, metrics
            heading, metrics = found[1], []
        else:
            metrics.append(getattr(catalogue, found[2]))
    yield heading, metrics


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    cells = (f"`{metric.name}`", metric.kind, metric.unit, labels, metric.help, metric.source)
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for heading, metrics in sections():
        rows = [_row(metric) for metric in metrics]
        parts.append(f"## {heading[0].upper()}{heading[1:]}\n")
        parts.append("\n".join([*TABLE, *rows]) + "\n")
        buckets = {metric.bounds: metric.unit for metric in metrics if metric.bounds}
        for bounds in buckets:
            names = ", ".join(f"`{metric.name}`" for metric in metrics if metric.bounds == bounds)
            parts.append(f"Buckets of {names}: {', '.join(f'{bound:g}' for bound in bounds)}.\n")
    rows = [f"| `{name}` | {LABELS[name]} |" for name in sorted(LABELS)]
    parts.append("## Labels\n")
    parts.append("\n".join(["| label | is |", "|---|---|", *rows]) + "\n")
    assert sum(len(metrics) for _, metrics in sections()) == len(CATALOGUE)
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} is written")
