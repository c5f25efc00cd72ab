"""`python -m benchmarks [FIGURE…] [--quick] [--json]` prints the figures beside their peers.

Exits with 1 if a target is missed.
"""

import argparse
import importlib
import json
import math
import os
import sys
from dataclasses import asdict
from typing import cast

import uvloop

from benchmarks.harness import Plan, Row
from benchmarks.process import LOAD_CORE, SERVER_CORE
from benchmarks.report import machine, render

FIGURES = (
    "route",
    "gateway",
    "traces",
    "overload",
    "orders",
    "servers",
    "events",
    "poison",
    "batches",
    "replicas",
    "identity",
    "transactions",
    "growth",
    "startup",
    "simulation",
    "walk",
    "scrape",
    "render",
)


def main() -> int:
    """Read the options, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="short rounds: a look, no record")
    parser.add_argument("--json", action="store_true", help="everything measured, as JSON")
    options = parser.parse_args()
    unknown = sorted(set(options.figures) - set(FIGURES))
    if unknown:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    if not sys.platform.startswith("linux"):
        parser.error("the benchmarks pin processes and read /proc: they need Linux")
    plan = Plan.quick() if options.quick else Plan()
    os.sched_setaffinity(0, {LOAD_CORE})
    rows: list[Row] = []
    for figure in options.figures or FIGURES:
        module = importlib.import_module(f"benchmarks.{figure}")
        print(f"measuring {figure} …", file=sys.stderr, flush=True)
        rows += uvloop.run(module.measure(plan))
    if options.json:
        found = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        print(json.dumps(_without_nan(found), indent=1, allow_nan=False))
    else:
        print(render(rows, shared_core=SERVER_CORE == LOAD_CORE))
    return 0 if all(row.reached is not False for row in rows) else 1


def _without_nan(value: object) -> object:
    """Return what was measured with None for what was not; JSON has no NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in cast(dict[str, object], value).items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in cast(list[object], value)]
    return value


if __name__ == "__main__":
    sys.exit(main())
