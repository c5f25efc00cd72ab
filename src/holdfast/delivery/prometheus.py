"""Prometheus: where it scrapes, which rules it evaluates, and whom it tells."""

from holdfast.delivery.cause_rules import group_of
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.objective_rules import groups_of
from holdfast.delivery.yaml import Value
from holdfast.system import System

SCRAPE_S = 15


def configuration(system: System) -> Value:
    """Return `prometheus.yml`; who runs where is in `targets/*.yml`, which it reads anew.

    The address of a process is where it serves its operations: `--ops-port`.
    """
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": ["localhost:9093"]}]}],
        },
        "scrape_configs": [
            {
                "job_name": system.name,
                "sample_limit": 100_000,
                "file_sd_configs": [{"files": ["targets/*.yml"]}],
            }
        ],
    }


def targets() -> Value:
    """Return the targets of a system that runs on this machine, as `holdfast run` serves it."""
    return [{"targets": ["localhost:8001"]}]


def rules(system: System, runbooks: str) -> dict[str, Value]:
    """Return {name: file of rules}: those of objectives, and those that need no budget."""
    return {
        f"{system.name}-objectives": {
            "groups": groups_of(system, indicators_of(system), runbooks),
        },
        f"{system.name}-causes": {"groups": [group_of(system, runbooks)]},
    }
