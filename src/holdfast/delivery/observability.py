"""Observability: everything by which people see what a system does, and are told when to look."""

from collections.abc import Iterator
from importlib.resources import files as resources
from typing import Final

import msgspec

from holdfast.delivery import alertmanager, collector, jaeger, prometheus
from holdfast.delivery.alerts import ALERTS, RUNBOOKS
from holdfast.delivery.dashboards import dashboards_of
from holdfast.delivery.files import Files, head
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.plan import plan_of
from holdfast.delivery.rule_tests import tests_of
from holdfast.delivery.yaml import Value, dump
from holdfast.system import System

PART: Final = RenderedPart.OBSERVABILITY
_TYPED = "SYSTEM"
"""Stands for the name of the system in the commands of a page."""


def files(rendering: Rendering) -> Files:
    """Return {path: text} of what is rendered."""
    typed, runbooks = rendering.plan.typed, rendering.runbooks
    return observability(rendering.system, typed=typed, runbooks=runbooks)


def observability(system: System, *, typed: str, runbooks: str = RUNBOOKS) -> Files:
    """Return {path: text} of what is rendered.

    Args:
        typed: what commands call the system.
        runbooks: where the pages of the alerts are served.
    """
    above = head(system.name, PART)
    found = {path: above + dump(value) for path, value in _documents(system, typed, runbooks)}
    for dashboard in dashboards_of(system):
        model = msgspec.json.encode(dashboard.model(system.name))
        text = msgspec.json.format(model, indent=2).decode()
        found[f"grafana/{dashboard.uid}.json"] = f"{text}\n"
    for alert in ALERTS:
        page = runbook(alert).replace(_TYPED, typed) + _in_a_pod(system, typed)
        found[f"{RUNBOOKS}/{alert}.md"] = f"{page}\n<!--\n{above.rstrip()}\n-->\n"
    return {f"{PART}/{path}": text for path, text in found.items()}


def _in_a_pod(system: System, typed: str) -> str:
    """Return how the commands of a page are typed on a cluster."""
    namespace = system.deploy.namespace or system.name
    return (
        "\nOn Kubernetes they are typed in a pod, about the service that runs there: "
        f"`kubectl exec -n {namespace} deploy/SERVICE -- holdfast … {typed} "
        f"--data /data/{system.name}`.\n"
    )


def runbook(alert: str) -> str:
    """Return the page of an alert; `SYSTEM` stands for the system's name."""
    page = resources("holdfast.delivery") / RUNBOOKS / f"{alert}.md"
    return page.read_text(encoding="utf-8")


def _documents(system: System, typed: str, runbooks: str) -> Iterator[tuple[str, Value]]:
    yield "prometheus/prometheus.yml", prometheus.configuration(system)
    yield "prometheus/targets/local.yml", prometheus.targets()
    yield "prometheus/in-cluster.yml", prometheus.in_cluster(plan_of(system, typed=typed))
    for name, value in prometheus.rules(system, runbooks).items():
        yield f"prometheus/rules/{name}.yml", value
    for name, value in tests_of(system, runbooks):
        yield f"prometheus/tests/{name}.yml", value
    yield "alertmanager/alertmanager.yml", alertmanager.configuration()
    yield "collector/collector.yml", collector.configuration()
    yield "jaeger/jaeger.yml", jaeger.configuration()
