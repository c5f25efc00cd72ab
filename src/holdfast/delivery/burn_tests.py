"""Tests of the burn-rate alerts, for `promtool test rules`: one file for each row of the table.

A file plays, for every objective at once, a long window in which all goes well until its end, where
so much goes wrong that the row is just over its factor, or just below. Which other rows fire then
follows from the same play, and is told by `Play.fires`, which knows ratios and nothing of PromQL.
promtool has no word against a misspelt name and none against a rule that never fires: so each
silence stands beside the same series a little louder, which fires.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from holdfast.delivery.burn import BURNS, ERRORS_MIN, Burn
from holdfast.delivery.indicators import Indicator
from holdfast.delivery.objective_rules import burn_alert
from holdfast.delivery.promql import equal, series
from holdfast.delivery.yaml import Value
from holdfast.observability import catalogue
from holdfast.observability.exposition import number_text

SHORT_STEPS: Final = 20
"""Scrapes in the short window: one more or less, as Prometheus 2 and 3 count them, is no matter."""
LONG_STEPS: Final = 12 * SHORT_STEPS
"""A multiple of `AFTER_STEPS`, so that rules are evaluated at its end."""
AFTER_STEPS: Final = SHORT_STEPS + 4
_WORST = 0.98
_CLEAR = 1.04
"""A ratio nearer to its threshold than this tells nothing."""


@dataclass(frozen=True, slots=True)
class Play:
    """What happens to one objective, in steps between scrapes.

    Attributes:
        burn: the row that it is about.
        bad_steps: so long things go wrong, at the end of the long window.
        ratio: the share of errors in these steps.
        events: in each step.
        good_after: steps in which all goes well again.
        before: the share of errors in as many steps before, which a window too long would see.
    """

    burn: Burn
    budget: Decimal
    bad_steps: int
    ratio: float
    events: float
    good_after: int = 0
    before: float = 0.0

    @property
    def steps(self) -> int:
        """All steps."""
        return (LONG_STEPS if self.before else 0) + LONG_STEPS + self.good_after

    @property
    def step_s(self) -> int:
        """The time between two scrapes."""
        return self.burn.short_m * 60 // SHORT_STEPS

    def fires(self, burn: Burn) -> bool | None:
        """Whether a row fires at the end; None if it is so near that it could be either."""
        most = float(burn.factor * self.budget)
        near = False
        for window_s in (burn.long_h * 3600, burn.short_m * 60):
            found = self._ratio(window_s) / most
            if found < 1 / _CLEAR:
                return False
            near = near or found < _CLEAR
        errors = self._errors(self._steps(burn.long_h * 3600)) * self.events
        if errors < ERRORS_MIN:
            return None if near or errors > ERRORS_MIN * 0.9 else False
        return None if near or errors < ERRORS_MIN * 1.1 else True

    def good_and_bad(self) -> tuple[str, str, str]:
        """Return counters of all events, of good and of bad ones, as promtool reads them."""
        bad = self.events * self.ratio
        phases = (
            (LONG_STEPS if self.before else 0, self.events * self.before),
            (LONG_STEPS - self.bad_steps, 0.0),
            (self.bad_steps, bad),
            (self.good_after, 0.0),
        )
        every = [(steps, self.events) for steps, _ in phases]
        good = [(steps, self.events - each) for steps, each in phases]
        return _counter(every), _counter(good), _counter(phases)

    def _steps(self, window_s: int) -> int:
        return min(window_s // self.step_s, self.steps)

    def _errors(self, steps: int) -> float:
        bad = max(0, min(steps - self.good_after, self.bad_steps))
        return self.ratio * bad + self.before * max(0, steps - self.good_after - LONG_STEPS)

    def _ratio(self, window_s: int) -> float:
        steps = self._steps(window_s)
        return self._errors(steps) / steps if steps else 0.0


def _counter(phases: Sequence[tuple[int, float]]) -> str:
    """Return a counter from 0: so many steps at so much a step, one after the other.

    Each is of whole 1024ths, which floats add up exactly: a counter that ends a phase a trillionth
    above the beginning of the next one has gone back, and counts from 0 again.
    """
    parts: list[str] = []
    total = 0.0
    for steps, much in phases:
        each = round(much * 1024) / 1024
        if steps:
            first = total if not parts else total + each
            repeats = steps if not parts else steps - 1
            parts.append(f"{first!r}+{each!r}x{repeats}")
            total += steps * each
    return " ".join(parts)


def play(burn: Burn, budget: Decimal, *, over: bool, after: int = 0) -> Play:
    """Return a play in which a row is just over its factor, or just below, and no row is near.

    Just below is after a bad time, which is over.
    """
    for margin in (0.1, 0.15, 0.2, 0.25):
        most = float(burn.factor * budget)
        wanted = min(most * (1 + margin if over else 1 - margin), _WORST)
        steps = max(SHORT_STEPS, math.ceil(wanted * LONG_STEPS / _WORST))
        before = 0.0 if over else min(2 * most, _WORST)
        made = Play(burn, budget, steps, wanted * LONG_STEPS / steps, 1_000.0, after, before)
        if None not in [made.fires(row) for row in BURNS]:
            break
    return made


def few(burn: Burn, budget: Decimal, errors: int) -> Play:
    """Return a play over the factor, with so many errors in all that nobody would call it one."""
    over = play(burn, budget, over=True)
    events = errors / (over.ratio * over.bad_steps)
    return Play(burn, budget, over.bad_steps, over.ratio, events)


def burn_test(burn: Burn, indicators: Sequence[Indicator], runbooks: str) -> dict[str, Value]:
    """Return what a file has besides its rules: how often they are evaluated, and the tests.

    No burn waits before it fires: rules need not be evaluated at each scrape of the play.
    """
    step_s = burn.short_m * 60 // SHORT_STEPS
    tests: list[Value] = []
    for slis in (("availability", "settlement"), ("latency",)):
        found = [each for each in indicators if each.sli in slis]
        if found:
            tests += _tests(burn, found, step_s, runbooks)
    return {"evaluation_interval": f"{AFTER_STEPS * step_s}s", "tests": tests}


def _tests(
    burn: Burn, indicators: Sequence[Indicator], step_s: int, runbooks: str
) -> Iterator[dict[str, Value]]:
    alerts = [[burn_alert(each, row) for row in BURNS] for each in indicators]
    about = f"{' and '.join(sorted({each.sli for each in indicators}))}, {burn.long}"
    for what, plays in (
        ("just over it fires", [play(burn, each.budget, over=True) for each in indicators]),
        ("just below is silent", [play(burn, each.budget, over=False) for each in indicators]),
        (
            "when it is well again it resolves",
            [play(burn, each.budget, over=True, after=AFTER_STEPS) for each in indicators],
        ),
        ("a few errors are no outage", [few(burn, each.budget, 4) for each in indicators]),
        ("a few more are one", [few(burn, each.budget, 6) for each in indicators]),
    ):
        at_s = plays[0].steps * step_s
        played = list(zip(indicators, plays, strict=True))
        fire = [
            (alert.name, expected(alert.rule(runbooks)))
            for (_, happens), each in zip(played, alerts, strict=True)
            for row, alert in zip(BURNS, each, strict=True)
            if happens.fires(row)
        ]
        yield {
            "name": f"{about}: {what}",
            "interval": f"{step_s}s",
            "input_series": [line for each in played for line in _input(*each)],
            "alert_rule_test": [
                {
                    "eval_time": f"{at_s}s",
                    "alertname": name,
                    "exp_alerts": [rule for of, rule in fire if of == name],
                }
                for name in sorted({alert.name for each in alerts for alert in each})
            ],
        }


def expected(rule: dict[str, Value]) -> Value:
    """Return a firing alert as promtool expects it."""
    return {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}


def _input(indicator: Indicator, happens: Play) -> Iterator[Value]:
    """Yield the counters of one objective."""
    every, good, bad = happens.good_and_bad()
    objective, slo = indicator.objective, indicator.objective.slo
    job = equal("job", indicator.job)
    if objective.saga is not None:
        saga = (equal("service", objective.service), equal("saga", objective.saga))
        of = (job, *saga, equal("outcome", "completed"))
        bound = equal("le", number_text(float(slo.settled_s)))
        yield _line(series(catalogue.SAGA_DURATION, *of, suffix="_count"), every)
        yield _line(series(catalogue.SAGA_DURATION, *of, bound, suffix="_bucket"), good)
        return
    method, path = objective.routes[0]
    at = [job, equal("service", "gateway"), equal("http_route", path)]
    at += [equal("http_request_method", method or "GET")]
    ok, failed = (equal("http_response_status_code", status) for status in ("200", "503"))
    bound = equal("le", number_text(slo.latency_s))
    count = "_count"
    if indicator.sli == "latency":
        yield _line(series(catalogue.SERVED, *at, ok, suffix=count), every)
        yield _line(series(catalogue.SERVED, *at, ok, bound, suffix="_bucket"), good)
    else:
        yield _line(series(catalogue.SERVED, *at, ok, suffix=count), good)
        yield _line(series(catalogue.SERVED, *at, failed, suffix=count), bad)


def _line(name: str, values: str) -> Value:
    return {"series": name, "values": values}
