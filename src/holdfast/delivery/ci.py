"""CI: the workflow from a change to production and back, and the scripts that it calls.

The scripts are whole without the workflow: whoever has another CI, or none, runs them as they are.
"""

import shlex
from typing import Final

from holdfast.delivery.actions import uses
from holdfast.delivery.burn import ERRORS_MIN, FAST, plain
from holdfast.delivery.files import Files, head
from holdfast.delivery.images import PYTHON
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.objective_rules import recorded
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.promql import equal
from holdfast.delivery.registry import registry_of
from holdfast.delivery.release import FOLDER, FOLLOWED, branch_of
from holdfast.delivery.templates import json_text
from holdfast.delivery.values import host_of

PART: Final = RenderedPart.CI
SCRIPTS: Final = ("setup", "test", "lock-image", "deploy", "slo-check", "rollback")
BEFORE: Final = (
    *("authority.yaml", "postgres.yaml", "network.yaml", "nats.yaml", "redis.yaml"),
    "migrate.yaml",
)
"""Manifests that are there before any process is: what the migration needs, and itself."""


def files(rendering: Rendering) -> Files:
    """Return {path: text} of the workflow and of the scripts."""
    name = rendering.system.name
    above = head(name, PART)
    words = _words(rendering)
    found = {f"{PART}/github/{name}.yml": above + _of(rendering, "github.yml", words)}
    for script in SCRIPTS:
        text = _of(rendering, f"{script}.sh", words)
        found[f"{PART}/{script}.sh"] = f"#!/usr/bin/env bash\n{above}{text}"
    return found


def _of(rendering: Rendering, template: str, words: dict[str, object]) -> str:
    return rendering.templates.render(f"{PART}/{template}", **words)


def _words(rendering: Rendering) -> dict[str, object]:
    """Return {name: what a template finds under it}."""
    plan, system = rendering.plan, rendering.system
    names = [environment.name for environment in system.deploy.environments]
    errors, events = (recorded(kind, FAST.short) for kind in ("errors", "events"))
    job = equal("job", system.name)
    return {
        "system": system.name,
        "typed": plan.typed,
        "namespace": plan.namespace,
        "names": names,
        "environments": system.deploy.environments,
        "hosts": {e.name: host_of(plan, e) for e in system.deploy.environments},
        "prometheus": {name: f"PROMETHEUS_URL_{name.replace('-', '_').upper()}" for name in names},
        "image": rendering.images.name,
        "registry": registry_of(system.deploy.registry),
        "build": system.deploy.build,
        "folder": FOLDER,
        "followed": FOLLOWED,
        "branch": branch_of("$environment"),
        "branches": branch_of("ENVIRONMENT"),
        "uses": uses,
        "python": PYTHON,
        "workloads": [workload.name for workload in plan.workloads],
        "migrates": plan.migrate is not None,
        "before": BEFORE,
        "objectives": shlex.quote(json_text(_objectives(rendering))),
        "series": shlex.quote(f'{{__name__=~"{errors}|{events}",{job}}}'),
        "errors": json_text(errors),
        "events": json_text(events),
        "aborted": shlex.quote(_aborted(plan.namespace)),
        "window": FAST.short,
        "factor": plain(FAST.factor),
        "errors_min": ERRORS_MIN,
    }


def _objectives(rendering: Rendering) -> list[dict[str, object]]:
    """Return what is promised, each with the share of errors at which somebody is woken."""
    return [
        {
            "service": each.objective.service,
            "slo": each.objective.name,
            "sli": each.sli,
            "most": float(FAST.factor * each.budget),
        }
        for each in indicators_of(rendering.system)
    ]


def _aborted(namespace: str) -> str:
    """Return the series of Rollouts that went back by themselves, while Git is ahead of them.

    Which of the two labels a Rollout's namespace is under depends on how its controller is scraped.
    """
    degraded = equal("phase", "Degraded")
    labels = ("namespace", "exported_namespace")
    return " or ".join(f"rollout_info{{{equal(n, namespace)},{degraded}}} == 1" for n in labels)
