"""Rules of the objectives: what is recorded of each, and the alerts on how fast budgets burn.

Each service has two groups, since what looks back for days need not be computed twice a minute.
The rules of a group run in order, so that an alert sees what was recorded at the same moment.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Final

from holdfast.delivery.alerts import Alert
from holdfast.delivery.burn import BURNS, ERRORS_MIN, Burn, plain
from holdfast.delivery.indicators import Indicator
from holdfast.delivery.promql import RECORDED, checked, equal
from holdfast.delivery.yaml import Value
from holdfast.system import System

INTERVALS: Final = {"page": "30s", "ticket": "5m"}
"""{severity: how often the rules of its group are evaluated}."""

_NAMES = {
    "availability": "AvailabilityBudgetBurn",
    "latency": "LatencyBudgetBurn",
    "settlement": "SettlementBudgetBurn",
}


def windows(severity: str) -> list[str]:
    """Return the windows that a group records; each is recorded once."""
    short_first = [w for b in BURNS if b.severity == severity for w in (b.short, b.long)]
    before = windows("page") if severity == "ticket" else []
    return [w for w in dict.fromkeys(short_first) if w not in before]


def recorded(kind: str, window: str) -> str:
    """Return the name under which `errors` or `events` of a window are recorded."""
    return f"{RECORDED}{kind}:increase{window}"


@functools.cache
def recorded_names() -> frozenset[str]:
    """Return every name that is recorded."""
    every = [*windows("page"), *windows("ticket")]
    names = [recorded(kind, window) for window in every for kind in ("events", "errors")]
    return frozenset((*names, f"{RECORDED}budget:ratio", f"{RECORDED}budget_left:ratio"))


def groups_of(
    system: System, indicators: Iterable[Indicator], runbooks: str
) -> list[dict[str, Value]]:
    """Return the groups of every service."""
    groups: list[dict[str, Value]] = []
    mine = list(indicators)
    for service in system.services:
        found = [each for each in mine if each.objective.service == service.name]
        for severity, interval in INTERVALS.items():
            rules = [rule for each in found for rule in _rules(each, severity, runbooks)]
            if rules:
                name = f"{system.name} {service.name} {severity}"
                groups.append({"name": name, "interval": interval, "rules": rules})
    return groups


def _rules(indicator: Indicator, severity: str, runbooks: str) -> Iterator[dict[str, Value]]:
    for window in windows(severity):
        for kind, total in (("events", indicator.events), ("errors", indicator.errors)):
            yield _record(indicator, recorded(kind, window), total.increase(window))
    if severity == "ticket":
        yield from _budget(indicator)
    for burn in BURNS:
        if burn.severity == severity:
            yield burn_alert(indicator, burn).rule(runbooks)


def _record(indicator: Indicator, name: str, expr: str) -> dict[str, Value]:
    return {
        "record": name,
        "expr": checked(expr, recorded_names()),
        "labels": indicator.labels,
    }


def _budget(indicator: Indicator) -> Iterator[dict[str, Value]]:
    """Yield the budget, and what is left of it over 30 days: 1 all, 0 none, below 0 broken."""
    budget = plain(indicator.budget)
    yield _record(indicator, f"{RECORDED}budget:ratio", f"vector({budget})")
    of = _of(indicator)
    over = [f"sum_over_time({recorded(kind, _PART)}{of}[30d])" for kind in ("errors", "events")]
    left = f"1 - {over[0]}\n/ ({over[1]} > 0)\n/ {budget}"
    yield _record(indicator, f"{RECORDED}budget_left:ratio", left)


def _of(indicator: Indicator) -> str:
    matchers = (equal(name, value) for name, value in indicator.labels.items() if name != "service")
    return f"{{{','.join(matchers)}}}"


def burn_alert(indicator: Indicator, burn: Burn) -> Alert:
    """Return the alert of one row of the table."""
    of, most = _of(indicator), plain(burn.factor * indicator.budget)
    ratios = [
        f"{recorded('errors', window)}{of} / {recorded('events', window)}{of} > {most}"
        for window in (burn.long, burn.short)
    ]
    enough = f"{recorded('errors', burn.long)}{of} >= {ERRORS_MIN}"
    return Alert(
        _NAMES[indicator.sli],
        indicator.job,
        burn.severity,
        checked("\nand ".join((*ratios, enough)), recorded_names()),
        f"{indicator.objective.name}: its budget is spent {plain(burn.factor)} times too fast "
        f"({indicator.promise})",
        labels={**indicator.labels, "long": burn.long, "short": burn.short},
    )


_PART = windows("page")[0]
"""What is added up to 30 days; how often it was recorded is the same above and below the line."""
