"""Tests of the alerts on total failure and on causes, for `promtool test rules`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from holdfast.delivery.alerts import ALERTS, Alert
from holdfast.delivery.burn_tests import expected
from holdfast.delivery.cause_rules import EXPIRES_S, FAILS, FLOOR_S, OUTBOX_S, causes_of
from holdfast.delivery.promql import equal, series
from holdfast.delivery.yaml import Value
from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric
from holdfast.system import Objective, System

STEP_S: Final = 60
_PUBLIC = "PublicCertificateTrouble"
_LONG = 90
"""Steps: longer than any alert waits before it fires."""
_WELL_AT = 60
"""The step at which all is well again; what waited longest has fired long since."""
_ELSEWHERE = ("service", "(another)")
"""Of no service: names have no brackets."""
Labels = tuple[tuple[str, str], ...]
Input = tuple[str, str]
"""The name of a series, and its values."""


def cause_test(system: System, runbooks: str) -> dict[str, Value]:
    """Return what a file has besides its rules: how often they are evaluated, and the tests."""
    alerts = list(causes_of(system))
    tests = [
        *_gauges(system, alerts, runbooks),
        *_others_end(system, alerts, runbooks),
        *_ignored(system, alerts, runbooks),
        *_route_fails(system, alerts, runbooks),
        *_targets(system, alerts, runbooks),
        *_identities(system, alerts, runbooks),
        *_broker(system, alerts, runbooks),
        *_quiet(system, alerts, runbooks),
    ]
    return {"evaluation_interval": f"{STEP_S}s", "tests": tests}


def _gauges(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    """Yield the tests of the alerts that fire while a gauge is too high, all played at once."""
    found = [
        (alert, *reading)
        for alert in alerts
        for reading in [_reading(system, alert)]
        if reading is not None
    ]
    names = {
        (name, most): None
        for _, metric, most, labels in found
        for name in [_name(system, metric, labels)]
    }
    rules = [(alert, _filled(alert, labels, runbooks)) for alert, _, _, labels in found]

    def inputs(values: str) -> list[Input]:
        return [(name, values.format(most=most, high=most + 1)) for name, most in names]

    # Alerts of one name wait for one time.
    waits = {alert.name: seconds(alert.for_) for alert, _ in rules}
    fires = [_at(for_s, name, _of(name, for_s, rules)) for name, for_s in waits.items()]
    soon = [_at(for_s - STEP_S, name, []) for name, for_s in waits.items() if for_s]
    silent = [_at(_LONG * STEP_S, name, []) for name in waits]
    before_s = (_WELL_AT - 1) * STEP_S
    before = [_at(before_s, name, _of(name, before_s, rules)) for name in waits]
    long = f"x{_LONG}"
    yield _test("too much fires in its time", inputs("{high:g}" + long), [*fires, *soon])
    yield _test("as much as may be is silent", inputs("{most:g}" + long), silent)
    well_again = f"{{high:g}}x{_WELL_AT - 1} 0x{_LONG - _WELL_AT}"
    yield _test("when it is well again it resolves", inputs(well_again), [*before, *silent])


def _of(name: str, after_s: int, rules: Iterable[tuple[Alert, dict[str, Value]]]) -> list[Value]:
    """Return what fires of an alert when all has been too high for so long."""
    return [expected(r) for a, r in rules if a.name == name and seconds(a.for_) <= after_s]


def _reading(system: System, alert: Alert) -> tuple[Metric, float, Labels] | None:
    """Return the gauge that an alert reads, how far it may go, and labels of a series of it."""
    of: Labels = (("service", system.services[0].name),)
    if alert.name in ("SagasStandStill", "SagaOverdue"):
        saga = (("service", alert.labels["service"]), ("saga", alert.labels["saga"]))
        return catalogue.OLDEST_SAGA, alert.over, saga
    readings: dict[str, tuple[Metric, float, Labels]] = {
        "DeadLetters": (catalogue.DEAD_LETTERS, 0, of),
        "LettersFail": (catalogue.FAILING_LETTERS, 0, of),
        "LettersWait": (catalogue.WAITING_LETTERS, 0, of),
        "OutboxStandsStill": (catalogue.OUTBOX_OLDEST, OUTBOX_S, of),
        "FloorStandsStill": (
            catalogue.FLOOR_LAG,
            FLOOR_S,
            (*of, ("sender", "other"), ("lane", "work")),
        ),
        "SagasParked": (catalogue.PARKED_SAGAS, 0, (*of, ("saga", "any"))),
    }
    return readings.get(alert.name)


def _name(system: System, metric: Metric, labels: Labels, suffix: str = "") -> str:
    matchers = (equal(*label) for label in (("job", system.name), *labels))
    return series(metric, *matchers, suffix=suffix)


def _others_end(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    """Yield the tests that one old saga is not taken for all of them, of its service alone."""
    still = [alert for alert in alerts if alert.name == "SagasStandStill"]
    readings = [reading for alert in still for reading in [_reading(system, alert)] if reading]
    rules = [
        expected(_filled(alert, labels, runbooks))
        for alert, (_, _, labels) in zip(still, readings, strict=True)
    ]
    for what, elsewhere, fires in (
        ("while others end it is silent", False, []),
        ("what ends in another service is no matter", True, rules),
    ):
        inputs: list[Input] = []
        for metric, most, (service, saga) in readings:
            ended = (_ELSEWHERE if elsewhere else service, saga)
            counted = _name(
                system, catalogue.SAGA_DURATION, (*ended, ("outcome", "completed")), "_count"
            )
            inputs += [
                (_name(system, metric, (service, saga)), f"{most + 1:g}x{_LONG}"),
                (counted, f"0+1x{_LONG}"),
            ]
        if inputs:
            expectations = [_at(_LONG * STEP_S, "SagasStandStill", fires)]
            yield _test(f"SagasStandStill: {what}", dict.fromkeys(inputs), expectations)


def _ignored(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    [alert] = [alert for alert in alerts if alert.name == "LettersIgnored"]
    labels = (("service", system.services[0].name), ("sender", "other"), ("lane", "work"))
    name = _name(system, catalogue.LETTERS_IGNORED, labels)
    rule = expected(_filled(alert, labels[:2], runbooks))
    for what, values, fires in (
        ("again and again fires", f"0+1x{_LONG}", [rule]),
        ("once is silent", f"0x5 1x{_LONG}", []),
    ):
        about = f"LettersIgnored: {what}"
        yield _test(about, [(name, values)], [_at(40 * STEP_S, alert.name, fires)])


def _route_fails(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    """Yield the tests that nothing hides a route of which nothing goes well."""
    failed, well, refused = "503", "200", "404"
    least = FAILS[-1][1]
    few, enough, none = f"0x9 {least - 1}x90", f"0x9 {least}x90", "0x90"
    fails = [alert for alert in alerts if alert.name == "RouteFails"]
    objectives = [objective for objective in system.objectives() if objective.routes]
    for what, values, fires in (
        ("a few requests that all fail", {failed: enough, well: none}, True),
        ("whatever clients do wrong meanwhile", {failed: enough, refused: "0+1x90"}, True),
        ("fewer that fail", {failed: few, well: none}, False),
        ("one of them goes well", {failed: enough, well: "0x19 1x90"}, False),
        ("many fail at once", {failed: "0x49 0+5x40", well: "0+9x49 450x40"}, True),
    ):
        inputs = [
            (_name(system, catalogue.SERVED, (*of, (_STATUS, status)), "_count"), each)
            for objective in objectives
            for of in [_route(objective)]
            for status, each in values.items()
        ]
        rules = [
            expected(_filled(alert, _route(objective)[1:], runbooks))
            for alert, objective in zip(fails, objectives, strict=True)
        ]
        about = f"RouteFails: {what}: {'fires' if fires else 'is silent'}"
        if inputs:
            yield _test(about, inputs, [_at(55 * STEP_S, "RouteFails", rules if fires else [])])


_STATUS = "http_response_status_code"


def _route(objective: Objective) -> Labels:
    method, path = objective.routes[0]
    return (
        ("service", "gateway"),
        ("http_request_method", method or "GET"),
        ("http_route", path),
    )


def _targets(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    [alert] = [alert for alert in alerts if alert.name == "TargetDown"]
    rule = expected(_filled(alert, (("instance", "a"),), runbooks))
    up, at_s = f'up{{{equal("job", system.name)},instance="a"}}', 20 * STEP_S
    gone, back = [(up, "1x5 0x40")], [(up, "1x5 0x13 1x9")]
    yield _test("TargetDown: gone", gone, [_at(at_s, "TargetDown", [rule])])
    yield _test("TargetDown: back", back, [_at(at_s, "TargetDown", [])])


def _identities(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    """Yield the tests of certificates that are not renewed, and of who is refused."""
    of = {alert.name: alert for alert in alerts}
    pod: Labels = (("instance", "a"),)
    least = EXPIRES_S
    for what, values, fires in (
        ("it is renewed each half hour", f"{'3600-60x29 ' * 3}", False),
        ("it is not renewed any more", f"3600-60x{_LONG}", True),
        ("it lasts just long enough", f"{least}x{_LONG}", False),
        ("it is over", f"-60x{_LONG}", True),
    ):
        name = _name(system, catalogue.CERTIFICATE_EXPIRES, pod)
        rules = [expected(_filled(of["CertificateExpires"], pod, runbooks))] if fires else []
        about = f"CertificateExpires: {what}"
        yield _test(about, [(name, values)], [_at(50 * STEP_S, "CertificateExpires", rules)])
        signs = [(name, f"3600x{_LONG}"), (_name(system, catalogue.SIGNER_EXPIRES, pod), values)]
        about = f"CertificateExpires: of what signs, {what}"
        yield _test(about, signs, [_at(50 * STEP_S, "CertificateExpires", rules)])
    why: Labels = (*pod, ("reason", "who"))
    peers = _name(system, catalogue.PEERS_REFUSED, why)
    edges = _name(system, catalogue.REQUESTS_REFUSED_INSIDE, pod)
    told = [expected(_filled(of["PeersRefused"], why, runbooks))]
    asked = [expected(_filled(of["EdgeRefused"], pod, runbooks))]
    when: Labels = (*pod, ("reason", "expired"))
    callers = _name(system, catalogue.TRANSACTION_TOKENS_REFUSED, when)
    public: Labels = (*pod, ("certificate", "public"))
    trouble = _name(system, catalogue.CERTIFICATE_TROUBLE, public)
    unrenewed = [expected(_filled(of["PublicCertificateTrouble"], pod, runbooks))]
    unheard = [expected(_filled(of["CallersRefused"], when, runbooks))]
    again, once = f"0+1x{_LONG}", f"0x35 1x{_LONG}"
    for about, series_of, alert, fires_at in (
        ("PeersRefused: again and again fires", (peers, again), "PeersRefused", told),
        ("PeersRefused: once is silent", (peers, once), "PeersRefused", []),
        ("EdgeRefused: once fires", (edges, once), "EdgeRefused", asked),
        ("EdgeRefused: none is silent", (edges, f"7x{_LONG}"), "EdgeRefused", []),
        ("CallersRefused: again and again fires", (callers, again), "CallersRefused", unheard),
        ("CallersRefused: not any more", (callers, f"7x{_LONG}"), "CallersRefused", []),
        ("PublicCertificateTrouble: stays", (trouble, f"1x{_LONG}"), _PUBLIC, unrenewed),
        ("PublicCertificateTrouble: mended", (trouble, f"1x30 0x{_LONG}"), _PUBLIC, []),
    ):
        yield _test(about, [series_of], [_at(40 * STEP_S, alert, fires_at)])


def _broker(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    """Yield the tests of letters that are refused, and of a broker in trouble."""
    of = {alert.name: alert for alert in alerts}
    pod: Labels = (("instance", "a"),)
    why: Labels = (("service", system.services[0].name), ("reason", "sender"))
    again, still = f"0+1x{_LONG}", f"7x{_LONG}"
    for name, metric, labels, fires, silent in (
        ("LettersRefused", catalogue.LETTERS_REFUSED, why, again, still),
        ("BrokerTrouble", catalogue.BROKER_UP, pod, f"1x5 0x{_LONG}", "1x30 0x3 1x60"),
        ("ParcelsLost", catalogue.PARCELS_LOST, pod, again, still),
    ):
        read = _name(system, metric, labels)
        told = [expected(_filled(of[name], labels, runbooks))]
        for about, values, rules in (("fires", fires, told), ("is silent", silent, [])):
            yield _test(f"{name}: {about}", [(read, values)], [_at(40 * STEP_S, name, rules)])


def _quiet(system: System, alerts: list[Alert], runbooks: str) -> Iterator[Value]:
    """Yield the tests that nothing fires without a reason: nothing is there, or all has begun."""
    absent = [alert for alert in alerts if alert.name == "GatewayAbsent"]
    told = [expected(_filled(alert, (("service", "gateway"),), runbooks)) for alert in absent]
    names = [name for name in ALERTS if name != "GatewayAbsent"]
    nothing = [
        *(_at(_LONG * STEP_S, name, []) for name in names),
        _at(STEP_S, "GatewayAbsent", []),
        _at(2 * STEP_S, "GatewayAbsent", told),
    ]
    yield _test("where nothing is scraped only that is told", [], nothing)
    inputs = [(f"up{{{equal('job', system.name)}}}", "1x20")]
    for objective in system.objectives():
        if objective.routes:
            for status, values in (("200", "0+3x20"), ("500", "0x20"), ("503", "0x10 1x10")):
                of = (*_route(objective), (_STATUS, status))
                inputs.append((_name(system, catalogue.SERVED, of, "_count"), values))
    begun = [_at(20 * STEP_S, name, []) for name in (ALERTS if absent else names)]
    yield _test("a fresh start with one error is silent", inputs, begun)


def _test(name: str, inputs: Iterable[Input], expectations: Sequence[Value]) -> Value:
    return {
        "name": name,
        "interval": f"{STEP_S}s",
        "input_series": [{"series": each, "values": values} for each, values in inputs],
        "alert_rule_test": expectations,
    }


def _at(at_s: int, alert: str, expectations: Sequence[Value]) -> Value:
    return {"eval_time": f"{at_s}s", "alertname": alert, "exp_alerts": expectations}


def _filled(alert: Alert, labels: Labels, runbooks: str) -> dict[str, Value]:
    """Return a rule as it fires for a series: with its labels, and these in its text."""
    text = alert.summary
    for label, value in labels:
        text = text.replace(f"{{{{ $labels.{label} }}}}", value)
    return {
        "labels": {**dict(labels), **alert.all_labels},
        "annotations": {**alert.annotations(runbooks), "summary": text},
    }


def seconds(duration: str) -> int:
    """Return a duration of PromQL, such as `5m`, in seconds; 0 of none."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3_600}[duration[-1]] if duration else 0
