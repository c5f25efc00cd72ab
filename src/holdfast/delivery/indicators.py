"""Indicators: what is counted of an objective, and which of it went wrong."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from holdfast.delivery.burn import budget_of
from holdfast.delivery.promql import equal, like, one_of, series, unequal
from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric
from holdfast.observability.exposition import number_text
from holdfast.system import Objective, System

Sli = Literal["availability", "latency", "settlement"]
FAILED = "5.."
"""Statuses by which the system fails; what a client did wrong is no error of it."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One promise of an objective, as what is counted in a window.

    Attributes:
        job: the name of the system.
        budget: the share of the events that may be errors.
        promise: in words, for whoever is woken.
    """

    job: str
    objective: Objective
    sli: Sli
    budget: Decimal
    promise: str
    events: "Total"
    errors: "Total"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of all that is recorded of it."""
        return {
            "job": self.job,
            "service": self.objective.service,
            "slo": self.objective.name,
            "sli": self.sli,
        }


@dataclass(frozen=True, slots=True)
class Total:
    """How often something happened in a window: `plus`, less `minus`."""

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()

    def increase(self, window: str) -> str:
        """Return it as PromQL."""
        text = _sum(self.plus, window)
        return f"{text}\n- {_sum(self.minus, window)}" if self.minus else text


def _sum(selectors: Iterable[str], window: str) -> str:
    return f"sum({' or '.join(f'increase({selector}[{window}])' for selector in selectors)})"


def indicators_of(system: System) -> Iterator[Indicator]:
    """Yield what is promised by a system, in the order of its objectives."""
    for objective in system.objectives():
        if objective.saga is None:
            routes = list(selected(system, objective))
            yield _availability(system, objective, routes)
            yield _latency(system, objective, routes)
        else:
            yield _settlement(system, objective, objective.saga)


def selected(system: System, objective: Objective) -> Iterator[tuple[str, ...]]:
    """Yield matchers of an objective's routes at the gateway, where whoever asks is answered.

    A path is enough when all its methods are of this objective.
    """
    at_gateway = (equal("job", system.name), equal("service", "gateway"))
    others = {
        path for other in system.objectives() if other != objective for _, path in other.routes
    }
    by_method: defaultdict[str, list[str]] = defaultdict(list)
    for method, path in objective.routes:
        paths = by_method[method if path in others else ""]
        if path not in paths:
            paths.append(path)
    for method, paths in sorted(by_method.items()):
        of_method = (equal("http_request_method", method),) if method else ()
        yield (*at_gateway, *of_method, one_of("http_route", sorted(paths)))


def _all(
    metric: Metric, matchers: Iterable[tuple[str, ...]], *more: str, suffix: str = "_count"
) -> tuple[str, ...]:
    return tuple(series(metric, *which, *more, suffix=suffix) for which in matchers)


def _availability(system: System, objective: Objective, routes: list[tuple[str, ...]]) -> Indicator:
    slo = objective.slo
    failed = like("http_response_status_code", FAILED)
    return Indicator(
        system.name,
        objective,
        "availability",
        budget_of(slo.availability),
        f"{percent(slo.availability)} of the requests do not fail",
        Total(_all(catalogue.SERVED, routes)),
        Total(_all(catalogue.SERVED, routes, failed)),
    )


def _latency(system: System, objective: Objective, routes: list[tuple[str, ...]]) -> Indicator:
    slo = objective.slo
    served = like("http_response_status_code", FAILED, otherwise=True)
    bound = equal("le", number_text(slo.latency_s))
    counted = _all(catalogue.SERVED, routes, served)
    return Indicator(
        system.name,
        objective,
        "latency",
        budget_of(slo.latency_share),
        f"{percent(slo.latency_share)} of the answers come within {slo.latency_ms:g} ms",
        Total(counted),
        Total(counted, _all(catalogue.SERVED, routes, served, bound, suffix="_bucket")),
    )


def _settlement(system: System, objective: Objective, saga: str) -> Indicator:
    slo = objective.slo
    of_service = equal("service", objective.service)
    which = [(equal("job", system.name), of_service, equal("saga", saga))]
    settled = unequal("outcome", "parked")
    bound = equal("le", number_text(float(slo.settled_s)))
    counted = _all(catalogue.SAGA_DURATION, which)
    return Indicator(
        system.name,
        objective,
        "settlement",
        budget_of(slo.share),
        f"{percent(slo.share)} of the sagas settle within {slo.settled_s:g} s",
        Total(counted),
        Total(counted, _all(catalogue.SAGA_DURATION, which, settled, bound, suffix="_bucket")),
    )


def percent(share: float) -> str:
    """Return a share as percent: `99.9 %`."""
    return f"{Decimal(repr(share)) * 100:f}".rstrip("0").rstrip(".") + " %"
