"""Rules of what needs no budget: what fails altogether, and the few causes that lose data or money.

A budget does not see what is rare: of a route that is asked thrice a night, or one among busy ones,
every request may fail and little be spent.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.delivery.alerts import Alert
from holdfast.delivery.indicators import FAILED, selected
from holdfast.delivery.promql import checked, equal, like, series, unequal
from holdfast.delivery.yaml import Value
from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric
from holdfast.system import Objective, System

FAILS: Final = (("5m", 10), ("1h", 3))
"""(window, requests): a route fails when so many failed in it and none went well."""
OUTBOX_S: Final = 300
FLOOR_S: Final = 3_600
OVERDUE: Final = 10
"""A saga is overdue at so many times the time that is promised of it, and after five minutes."""
OVERDUE_S: Final = 300
EXPIRES_S: Final = 1_200
"""A certificate that is good for an hour is followed by another one when half of that is left."""


def causes_of(system: System) -> Iterator[Alert]:
    """Yield the alerts, those on total failure first."""
    for objective in system.objectives():
        if objective.routes:
            yield _route_fails(system, objective)
    yield from _targets(system)
    yield from _letters(system)
    yield from _sagas(system)
    yield from _identities(system)
    yield from _broker(system)


def group_of(system: System, runbooks: str) -> dict[str, Value]:
    """Return the group of these alerts."""
    rules: list[Value] = [alert.rule(runbooks) for alert in causes_of(system)]
    return {"name": f"{system.name} causes", "interval": "30s", "rules": rules}


def _route_fails(system: System, objective: Objective) -> Alert:
    """Return the alert on routes of which nothing goes well, however few ask for them."""
    by, status = "sum by (http_request_method, http_route)", "http_response_status_code"
    parts: list[str] = []
    for window, least in FAILS:
        failed, went_well = (
            " or ".join(
                f"increase({series(catalogue.SERVED, *which, only, suffix='_count')}[{window}])"
                for which in selected(system, objective)
            )
            for only in (like(status, FAILED), like(status, "[123].."))
        )
        parts.append(f"({by} ({failed}) >= {least}\nunless {by} ({went_well}) > 0)")
    return Alert(
        "RouteFails",
        system.name,
        "page",
        checked("\nor\n".join(parts)),
        "{{ $labels.http_request_method }} {{ $labels.http_route }} of "
        f"{objective.service}: every request fails",
        labels={"service": objective.service, "slo": objective.name},
    )


def _targets(system: System) -> Iterator[Alert]:
    job = equal("job", system.name)
    if any(service.routes or service.mounts for service in system.services):
        served = series(catalogue.SERVED, job, equal("service", "gateway"), suffix="_count")
        yield Alert(
            "GatewayAbsent",
            system.name,
            "page",
            checked(f"absent({served})"),
            f"{system.name}: no gateway is scraped, so that nobody knows whether it serves",
            for_="2m",
        )
    yield Alert(
        "TargetDown",
        system.name,
        "ticket",
        checked(f"up{{{job}}} == 0"),
        f"{system.name}: {{{{ $labels.instance }}}} cannot be scraped",
        for_="10m",
    )


def _worst(metric: Metric, system: System, by: str) -> str:
    """Return the maximum: each process of a service tells the same of its tables."""
    return f"max by ({by}) ({series(metric, equal('job', system.name))})"


def _letters(system: System) -> Iterator[Alert]:
    at = f"{system.name}, {{{{ $labels.service }}}}"
    for name, metric, what in (
        ("DeadLetters", catalogue.DEAD_LETTERS, "letters gave up, and wait for a person"),
        ("LettersFail", catalogue.FAILING_LETTERS, "letters have failed for an hour or longer"),
        ("LettersWait", catalogue.WAITING_LETTERS, "letters wait for a version that knows them"),
    ):
        expr = checked(f"{_worst(metric, system, 'service')} > 0")
        yield Alert(name, system.name, "ticket", expr, f"{at}: {what}", for_="1m")
    yield Alert(
        "OutboxStandsStill",
        system.name,
        "ticket",
        checked(f"{_worst(catalogue.OUTBOX_OLDEST, system, 'service')} > {OUTBOX_S}"),
        f"{at}: a letter has waited for its answer for more than {OUTBOX_S // 60} minutes",
        for_="5m",
    )
    ignored = series(catalogue.LETTERS_IGNORED, equal("job", system.name))
    yield Alert(
        "LettersIgnored",
        system.name,
        "ticket",
        checked(f"sum by (service, sender) (increase({ignored}[10m])) > 0"),
        f"{at}: letters of {{{{ $labels.sender }}}} are below its floor, again and again",
        for_="30m",
    )
    yield Alert(
        "FloorStandsStill",
        system.name,
        "ticket",
        checked(f"{_worst(catalogue.FLOOR_LAG, system, 'service, sender, lane')} > {FLOOR_S}"),
        f"{at}: the floor of {{{{ $labels.sender }}}} has stood still for an hour, so that "
        "nothing of it is forgotten",
        for_="5m",
    )


def _sagas(system: System) -> Iterator[Alert]:
    parked = _worst(catalogue.PARKED_SAGAS, system, "service, saga")
    yield Alert(
        "SagasParked",
        system.name,
        "ticket",
        checked(f"{parked} > 0"),
        f"{system.name}, {{{{ $labels.service }}}}: {{{{ $labels.saga }}}} is parked: what it did "
        "is neither finished nor undone",
    )
    for objective in system.objectives():
        if objective.saga is None:
            continue
        late_s = max(OVERDUE_S, OVERDUE * objective.slo.settled_s)
        of = (
            equal("job", system.name),
            equal("service", objective.service),
            equal("saga", objective.saga),
        )
        labels = {
            "service": objective.service,
            "saga": objective.saga,
            "slo": objective.name,
        }
        oldest = f"max by (service, saga) ({series(catalogue.OLDEST_SAGA, *of)}) > {late_s:g}"
        ended = series(catalogue.SAGA_DURATION, *of, unequal("outcome", "parked"), suffix="_count")
        yield Alert(
            "SagasStandStill",
            system.name,
            "page",
            checked(f"{oldest}\nunless on (saga) sum by (saga) (increase({ended}[5m])) > 0"),
            f"{objective.name}: the oldest has been under way for {late_s:g} s, and none ends",
            for_="2m",
            over=late_s,
            labels=labels,
        )
        yield Alert(
            "SagaOverdue",
            system.name,
            "ticket",
            checked(oldest),
            f"{objective.name}: one has been under way for more than {late_s:g} s",
            for_="10m",
            over=late_s,
            labels=labels,
        )


def _identities(system: System) -> Iterator[Alert]:
    """Yield the alerts on who is not known to whom."""
    job, at = equal("job", system.name), f"{system.name}, {{{{ $labels.instance }}}}"
    ends = (series(catalogue.CERTIFICATE_EXPIRES, job), series(catalogue.SIGNER_EXPIRES, job))
    yield Alert(
        "CertificateExpires",
        system.name,
        "page",
        checked("\nor ".join(f"min by (instance) ({one}) < {EXPIRES_S}" for one in ends)),
        f"{at}: its certificate expires in less than {EXPIRES_S // 60} minutes, and no other came",
        for_="2m",
    )
    refused = series(catalogue.PEERS_REFUSED, job)
    yield Alert(
        "PeersRefused",
        system.name,
        "ticket",
        checked(f"sum by (instance, reason) (increase({refused}[10m])) > 0"),
        f"{at}: connections are refused, again and again: {{{{ $labels.reason }}}}",
        for_="30m",
    )
    inside = series(catalogue.REQUESTS_REFUSED_INSIDE, job)
    yield Alert(
        "EdgeRefused",
        system.name,
        "ticket",
        checked(f"sum by (instance) (increase({inside}[10m])) > 0"),
        f"{at}: another process of the system asked for what the graph does not let it",
    )
    trouble = series(catalogue.CERTIFICATE_TROUBLE, job)
    yield Alert(
        "PublicCertificateTrouble",
        system.name,
        "ticket",
        checked(f"max by (instance) ({trouble}) > 0"),
        f"{at}: the certificate that clients see ends soon, or newer files of it cannot be used",
        for_="2m",
    )
    callers = series(catalogue.TRANSACTION_TOKENS_REFUSED, job)
    yield Alert(
        "CallersRefused",
        system.name,
        "page",
        checked(f"sum by (instance, reason) (increase({callers}[5m])) > 0"),
        f"{at}: users get 401 though the gateway knows them: {{{{ $labels.reason }}}}",
        for_="2m",
    )


def _broker(system: System) -> Iterator[Alert]:
    """Yield the alerts on who sends what he may not, and on a broker that needs somebody."""
    job, at = equal("job", system.name), f"{system.name}, {{{{ $labels.instance }}}}"
    refused = series(catalogue.LETTERS_REFUSED, job)
    yield Alert(
        "LettersRefused",
        system.name,
        "ticket",
        checked(f"sum by (service, reason) (increase({refused}[10m])) > 0"),
        f"{system.name}, {{{{ $labels.service }}}}: letters came that are not taken: "
        "{{ $labels.reason }}",
    )
    yield Alert(
        "BrokerTrouble",
        system.name,
        "ticket",
        checked(f"min by (instance) ({series(catalogue.BROKER_UP, job)}) == 0"),
        f"{at}: letters do not travel as they should, or a broker's server needs somebody",
        for_="5m",
    )
    lost = series(catalogue.PARCELS_LOST, job)
    yield Alert(
        "ParcelsLost",
        system.name,
        "ticket",
        checked(f"sum by (instance) (increase({lost}[10m])) > 0"),
        f"{at}: the broker lost parcels that somebody had to read",
    )
