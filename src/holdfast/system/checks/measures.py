"""Checks of the metrics that services declare: names that Prometheus can keep apart."""

import math
import re
from collections.abc import Iterator

from holdfast.system.checks.reading import Reading
from holdfast.system.measures import Measure, ServiceCounter

LABELS_MAX = 8
BUCKETS_MAX = 50
RESERVED = ("holdfast", "http", "messaging", "db", "process", "python", "target", "scrape", "otel")
_NAME = re.compile(r"[a-z](?:[a-z0-9]|_(?!_)){0,98}[a-z0-9]")
_LABEL = re.compile(r"[a-z](?:[a-z0-9]|_(?!_)){0,39}")
_TAKEN = ("service", "le", "quantile", "tx", "job", "instance", "trace_id", "span_id")
_PARTS = ("_total", "_count", "_sum", "_bucket", "_created", "_info")

Shape = tuple[type[Measure], str, tuple[str, ...], tuple[float, ...]]
"""What the measures of one name have in common, in whatever service they are."""


def measure_problems(reading: Reading) -> Iterator[str]:
    """Yield what is wrong with the counters and histograms of services."""
    known: dict[str, tuple[str, Shape]] = {}
    for service in reading.services:
        for measure in service.measures:
            is_counter = isinstance(measure, ServiceCounter)
            kind = "counter" if is_counter else "histogram"
            place = f"{service.name}.{kind}({measure.name!r})"
            problems = [*_name(measure.name, is_counter), *_about(measure), *_buckets(measure)]
            yield from (f"{place}: {problem}" for problem in problems)
            if problems:
                continue
            shape = (type(measure), measure.help, measure.labels, measure.bounds)
            base = measure.name.removesuffix("_total")
            if base not in known:
                known[base] = service.name, shape
            elif known[base][0] == service.name:
                yield f"{place}: the service has another one of that name; rename one"
            elif known[base][1] != shape:
                yield (
                    f"{place}: {known[base][0]} has one of that name with another kind, help, "
                    "labels or buckets; make them alike, or rename one"
                )


def _name(name: str, is_counter: bool) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield "a name is 2..100 of a-z, 0-9 and single _, and begins with a letter; rename it"
    elif name.split("_")[0] in RESERVED or name == "up":
        first = name.split("_")[0]
        yield f"names that begin with {first} are not a service's; put another word first"
    elif is_counter and not name.endswith("_total"):
        yield f"the name of a counter ends in _total, as it is asked for; write {name + '_total'!r}"
    elif name.removesuffix("_total" if is_counter else "").endswith(_PARTS):
        yield f"{name.rpartition('_')[2]!r} at its end means something else; rename it"


def _about(measure: Measure) -> Iterator[str]:
    if not measure.help.strip() or "\n" in measure.help:
        yield "its help says in one line what is counted; write a sentence"
    if len(measure.labels) > LABELS_MAX:
        yield f"it has {len(measure.labels)} labels; leave at most {LABELS_MAX}"
    for label in measure.labels:
        if not _LABEL.fullmatch(label) or label in _TAKEN:
            yield (
                f"a label {label!r} cannot be: it is a-z, 0-9 and single _, and none of "
                f"{', '.join(_TAKEN)}; rename it"
            )
    if len(set(measure.labels)) < len(measure.labels):
        yield "it has a label twice; remove one"


def _buckets(measure: Measure) -> Iterator[str]:
    bounds = measure.bounds
    fit = all(math.isfinite(bound) and bound >= 0 for bound in bounds)
    if isinstance(measure, ServiceCounter):
        return
    if not fit or list(bounds) != sorted(set(bounds)) or not 1 <= len(bounds) <= BUCKETS_MAX:
        yield f"its buckets are 1..{BUCKETS_MAX} numbers from 0 that grow; write such"
