"""docs/limits.md: each row says what the code says, and no limit of the code lacks a row."""

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from holdfast import Attempts, External, Gateway, Pool, Rate, Tokens
from holdfast.communication import HttpLimits, PoolLimits
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.writer import Writer
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.postgres import PostgresDatabase
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.observability.exporter import ExportPolicy
from holdfast.resilience import (
    BreakerPolicy,
    BudgetPolicy,
    BulkheadPolicy,
    EdgePolicy,
    MemoryLimits,
    RetryPolicy,
)
from holdfast.runtime.settings import ProcessSettings
from holdfast.security import AnswersKept, CachedKeys, TokenVerifier
from tests.docs.limit_edges import EDGES
from tests.docs.snippets import ROOT

TEXT = (ROOT / "docs" / "limits.md").read_text()
ROWS = re.findall(r"^\| ([^*|]+?) \| (\d[^|]*?) \| (.*?)`([^`]+)` \| ([^|]+) \|$", TEXT, re.M)
DECLARED: tuple[Any, ...] = (
    *(Gateway, Attempts, Tokens, Pool, External, HttpLimits, PoolLimits, Schedule),
    *(EdgePolicy, RetryPolicy, BudgetPolicy, BreakerPolicy, BulkheadPolicy, ExportPolicy),
)
MADE = (Writer, MemoryBroker, PostgresDatabase, SqliteDatabase, MemoryLimits)
MADE_OF_SECURITY = (AnswersKept, CachedKeys, TokenVerifier)
CLASSES = {cls.__name__: cls for cls in (*DECLARED, *MADE, *MADE_OF_SECURITY)}
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "h": 3_600}
SHARES = {"": 1.0, "nine tenths of ": 0.9}

NO_LIMITS = {
    *("BreakerPolicy.jitter", "BreakerPolicy.probe_life_s", "BreakerPolicy.patience_s"),
    *("BudgetPolicy.ttl_s", "PoolLimits.idle_max"),
    "HttpLimits.age_s",  # endless for clients; runtime.hop.AGE_S inside
    "HttpLimits.body_bytes_max",  # where clients are, the gateway's stands for it
    *("Schedule.taken_ms", "Schedule.poll_ms", "Schedule.keep_ms"),
    "observability.metrics.EXPECTED_MAX",  # a share of SERIES_MAX
    "dispatch.inner_headers.HEADERS_MAX",  # what the inner hop adds to the limits of the outer one
    "dispatch.inner_headers.HEADER_BYTES_MAX",
}
"""What has a number and bounds nothing that a user sees, by its place."""

SMALL = {
    *("LOOKS_MAX", "CLAIM_MAX", "DELETE_MAX", "HASTEN_MAX", "PULL_MAX", "PLACES_MAX", "SHOWN_MAX"),
    *("VALUE_CHARS_MAX", "NAME_CHARS_MAX", "OUTCOMES_MAX", "LOOKED_THROUGH_BYTES_MAX"),
}
"""Names of constants that cut a work into portions, or a text for its reader."""


def code(place: str) -> Any:
    """Return what the code has at a place: `Gateway.x`, `Writer(x)`, `HOLDFAST_X`, `a.b.X`."""
    if place.startswith("HOLDFAST_"):
        return ProcessSettings.model_fields[place.removeprefix("HOLDFAST_").lower()].default
    made = re.fullmatch(r"(\w+)\((\w+)\)", place)
    if made:
        return inspect.signature(CLASSES[made[1]]).parameters[made[2]].default
    owner, _, name = place.rpartition(".")
    if owner in CLASSES:
        [field] = [field for field in fields(CLASSES[owner]) if field.name == name]
        factory: Any = field.default_factory
        return field.default if isinstance(field.default, (int, float)) else factory()
    return getattr(importlib.import_module(f"holdfast.{owner}"), name)


def said(value: str, place: str) -> Any:
    """Return what a cell says, in the unit of the code's name."""
    rate = re.fullmatch(r"([\d.]+)/s, (\d+) at once", value)
    if rate:
        return Rate(per_s=float(rate[1]), burst=int(rate[2]))
    number, _, unit = value.replace(",", "").partition(" ")
    name = re.split(r"[.(]", place.rstrip(")"))[-1].lower()
    assert bool(unit) == bool(re.search(r"(_ms|_s|bytes_max)$", name)) or name == "floor_per_s"
    return float(number) * UNITS[unit] * (1_000 if name.endswith("_ms") else 1)


@pytest.mark.parametrize(("limit", "value", "share", "place", "happens"), ROWS)
def test_a_row_is_what_the_code_has(
    limit: str, value: str, share: str, place: str, happens: str
) -> None:
    """The default of the page is that of the place which it names."""
    found = code(place)
    wanted = found if isinstance(found, Rate) else pytest.approx(found * SHARES[share])

    assert said(value, place) == wanted
    assert happens.strip(), limit


def test_every_row_is_read() -> None:
    """No row is passed over because it is written otherwise, and none stands there twice."""
    lines = [line for line in TEXT.splitlines() if line.startswith("| ") and "**" not in line]

    assert len(ROWS) == len(lines) - 1  # without the head
    assert len({place + share for _, _, share, place, _ in ROWS}) == len(ROWS)


def constants() -> Iterator[str]:
    """Yield the places of the maxima that modules name."""
    source = ROOT / "src" / "holdfast"
    for file in source.rglob("*.py"):
        place = ".".join(file.relative_to(source).with_suffix("").parts)
        if not place.startswith("simulation"):
            for name in re.findall(r"^([A-Z]\w*_MAX)\b[^=\n]*=[^=]", file.read_text(), re.M):
                if name not in SMALL:
                    yield f"{place}.{name}"


def test_every_limit_has_its_row() -> None:
    """What is declared, and what modules name, is in the table or is no limit."""
    places = {place for _, _, _, place, _ in ROWS}
    declared = {
        f"{cls.__name__}.{field.name}"
        for cls in DECLARED
        for field in fields(cls)
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool)
    }

    missing = (declared | set(constants())) - places - NO_LIMITS
    assert not missing, f"add a row to docs/limits.md for each of {sorted(missing)}"


def test_what_a_request_meets_is_tested_at_its_edge() -> None:
    """Each limit of the first two sections has a test at its maximum and one above."""
    met, _, _ = TEXT.partition("| **A transaction** |")
    places = {place for _, _, _, place, _ in ROWS}

    missing = {place for place in places if f"`{place}`" in met} - EDGES.keys()
    assert not missing, f"write such a test for each of {sorted(missing)}, into limit_edges.py"
    assert not EDGES.keys() - places
    for file, test in EDGES.values():
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"
