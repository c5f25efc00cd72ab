"""Dashboards: the system, one of each service, sagas, letters, and what is left of promises."""

from collections.abc import Iterator

from holdfast.delivery.indicators import FAILED
from holdfast.delivery.panels import Curve, Dashboard, Panel
from holdfast.delivery.promql import RECORDED, equal, like, series
from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric
from holdfast.system import Service, System

_EACH = "$__rate_interval"
_STATUS = "http_response_status_code"


def dashboards_of(system: System) -> Iterator[Dashboard]:
    """Yield every dashboard of a system."""
    yield _of_system(system)
    for service in system.services:
        yield _of_service(system, service)
    if any(service.sagas for service in system.services):
        yield _of_sagas(system)
    yield _of_letters(system)
    yield _of_promises(system)


def _rate(metric: Metric, by: str, *matchers: str, suffix: str = "") -> str:
    return f"sum by ({by}) (rate({series(metric, *matchers, suffix=suffix)}[{_EACH}]))"


def _share(metric: Metric, by: str, matchers: tuple[str, ...], of: str) -> str:
    bad = _rate(metric, by, *matchers, of, suffix="_count")
    return f"{bad} / ({_rate(metric, by, *matchers, suffix='_count')} > 0)"


def _quantiles(metric: Metric, *matchers: str) -> list[Curve]:
    buckets = _rate(metric, "le", *matchers, suffix="_bucket")
    return [
        Curve(f"histogram_quantile({share}, {buckets})", legend)
        for share, legend in (("0.5", "half"), ("0.95", "95 %"), ("0.99", "99 %"))
    ]


def _worst(metric: Metric, by: str, *matchers: str) -> str:
    return f"max by ({by}) ({series(metric, *matchers)})"


def _of_system(system: System) -> Dashboard:
    job = equal("job", system.name)
    gateway = (job, equal("service", "gateway"))
    failed = like(_STATUS, FAILED)
    return Dashboard(
        system.name,
        f"{system.name}: the system",
        (
            Panel("Budget left", "percentunit", (_budget_left(job),), now=True),
            Panel("Processes", "short", (Curve(f"sum by (job) (up{{{job}}})", "up"),)),
            Panel(
                "Requests",
                "reqps",
                (Curve(_rate(catalogue.SERVED, _STATUS, *gateway, suffix="_count"), _of(_STATUS)),),
            ),
            Panel(
                "Failed requests",
                "percentunit",
                (
                    Curve(
                        _share(catalogue.SERVED, "http_route", gateway, failed),
                        _of("http_route"),
                    ),
                ),
            ),
            Panel("Duration of requests", "s", _quantiles(catalogue.SERVED, *gateway)),
            Panel(
                "Requests under way",
                "short",
                (Curve(f"sum by (service) ({series(catalogue.ACTIVE, job)})", _of("service")),),
            ),
            Panel(
                "Errors of handlers",
                "ops",
                (Curve(_rate(catalogue.HANDLER_ERRORS, _DEST, job), _of(_DEST)),),
            ),
            Panel(
                "Circuit breakers",
                "short",
                (Curve(_worst(catalogue.BREAKER, "edge", job), _of("edge")),),
                about="0 closed, 1 half-open, 2 open.",
            ),
        ),
    )


_DEST = "messaging_destination_name"


def _of(label: str) -> str:
    return f"{{{{{label}}}}}"


def _of_service(system: System, service: Service) -> Dashboard:
    mine = (equal("job", system.name), equal("service", service.name))
    failed = like(_STATUS, FAILED)
    return Dashboard(
        f"{system.name} service {service.name}",
        f"{system.name}: {service.name}",
        (
            Panel("Budget left", "percentunit", (_budget_left(*mine),), now=True),
            Panel(
                "Requests",
                "reqps",
                (
                    Curve(
                        _rate(catalogue.SERVED, "http_route", *mine, suffix="_count"),
                        _of("http_route"),
                    ),
                ),
            ),
            Panel(
                "Failed requests",
                "percentunit",
                (Curve(_share(catalogue.SERVED, "http_route", mine, failed), _of("http_route")),),
            ),
            Panel("Duration of requests", "s", _quantiles(catalogue.SERVED, *mine)),
            Panel(
                "Letters handled",
                "ops",
                (Curve(_rate(catalogue.PROCESSED, _DEST, *mine, suffix="_count"), _of(_DEST)),),
            ),
            Panel(
                "Errors of handlers",
                "ops",
                (Curve(_rate(catalogue.HANDLER_ERRORS, _DEST, *mine), _of(_DEST)),),
            ),
            Panel("Duration of handling", "s", _quantiles(catalogue.PROCESSED, *mine)),
            Panel("Duration of commits", "s", _quantiles(catalogue.COMMITS, *mine)),
            Panel(
                "Letters without an answer",
                "short",
                (Curve(_worst(catalogue.OUTBOX_ROWS, "service", *mine), "letters"),),
            ),
            Panel(
                "Letters that need somebody",
                "short",
                (
                    Curve(_worst(catalogue.DEAD_LETTERS, "service", *mine), "dead"),
                    Curve(_worst(catalogue.FAILING_LETTERS, "service", *mine), "failing"),
                    Curve(_worst(catalogue.WAITING_LETTERS, "service", *mine), "waiting"),
                ),
            ),
        ),
    )


def _of_sagas(system: System) -> Dashboard:
    job = equal("job", system.name)
    by_saga = "service, saga"
    legend = f"{_of('service')} {_of('saga')}"
    ended = _rate(catalogue.SAGAS, f"{by_saga}, outcome", job)
    return Dashboard(
        f"{system.name} sagas",
        f"{system.name}: sagas",
        (
            Panel("Ended", "ops", (Curve(ended, f"{legend} {_of('outcome')}"),)),
            Panel("From start to end", "s", _quantiles(catalogue.SAGA_DURATION, job)),
            Panel(
                "Under way", "short", (Curve(_worst(catalogue.OPEN_SAGAS, by_saga, job), legend),)
            ),
            Panel(
                "The oldest under way",
                "s",
                (Curve(_worst(catalogue.OLDEST_SAGA, by_saga, job), legend),),
            ),
            Panel(
                "Parked", "short", (Curve(_worst(catalogue.PARKED_SAGAS, by_saga, job), legend),)
            ),
        ),
    )


def _of_letters(system: System) -> Dashboard:
    job, by = equal("job", system.name), "service"
    return Dashboard(
        f"{system.name} letters",
        f"{system.name}: broker and outbox",
        (
            Panel(
                "Broker",
                "short",
                (
                    Curve(
                        f"min by (instance) ({series(catalogue.BROKER_UP, job)})", _of("instance")
                    ),
                ),
                about="1 while all letters can travel, 0 when some or none can.",
            ),
            Panel(
                "Refused by the broker",
                "ops",
                (Curve(_rate(catalogue.BROKER_REFUSED, "instance", job), _of("instance")),),
            ),
            Panel("Sent", "ops", (Curve(_rate(catalogue.SENT, by, job), _of(by)),)),
            Panel(
                "Without an answer",
                "short",
                (Curve(_worst(catalogue.OUTBOX_ROWS, by, job), _of(by)),),
            ),
            Panel(
                "The oldest without an answer",
                "s",
                (Curve(_worst(catalogue.OUTBOX_OLDEST, by, job), _of(by)),),
            ),
            Panel(
                "A floor that stands still",
                "s",
                (
                    Curve(
                        _worst(catalogue.FLOOR_LAG, "service, sender, lane", job),
                        "{{sender}} to {{service}}, {{lane}}",
                    ),
                ),
            ),
            Panel("Dead", "short", (Curve(_worst(catalogue.DEAD_LETTERS, by, job), _of(by)),)),
            Panel(
                "Failing for long",
                "short",
                (Curve(_worst(catalogue.FAILING_LETTERS, by, job), _of(by)),),
            ),
        ),
    )


def _budget_left(*matchers: str) -> Curve:
    return Curve(f"{RECORDED}budget_left:ratio{{{','.join(matchers)}}}", "{{slo}} {{sli}}")


def _of_promises(system: System) -> Dashboard:
    job = equal("job", system.name)
    panels = [
        Panel(
            "Budget left",
            "percentunit",
            (_budget_left(job),),
            about="Of 30 days: 100 % all, 0 none, below the promise is broken.",
            now=True,
        ),
        Panel("Budget left over time", "percentunit", (_budget_left(job),)),
    ]
    for sli in ("availability", "latency", "settlement"):
        of = f"{{{job},{equal('sli', sli)}}}"
        for window in ("5m", "1h"):
            errors, events = (
                f"{RECORDED}{kind}:increase{window}{of}" for kind in ("errors", "events")
            )
            ratio = f"{errors} / ({events} > 0)\n/ on (job, slo, sli) {RECORDED}budget:ratio{of}"
            panels.append(
                Panel(
                    f"{sli.capitalize()}: how fast the budget burns, {window}",
                    "short",
                    (Curve(ratio, "{{slo}}"),),
                    about="1 spends it in 30 days; a page comes at 14.4 over an hour.",
                )
            )
    return Dashboard(f"{system.name} promises", f"{system.name}: SLO budgets", panels)
