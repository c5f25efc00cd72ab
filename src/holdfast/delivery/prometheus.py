"""Prometheus: where it scrapes, which rules it evaluates, and whom it tells."""

from holdfast.delivery.cause_rules import group_of
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.objective_rules import groups_of
from holdfast.delivery.plan import OPS_PORT, Plan
from holdfast.delivery.yaml import Value
from holdfast.system import System

SCRAPE_S = 15
_MOUNTED = "/etc/prometheus/identity"


def configuration(system: System, *, alertmanager: str = "localhost:9093") -> Value:
    """Return `prometheus.yml`; who runs where is in `targets/*.yml`, which it reads anew.

    The address of a process is where it serves its operations: `--ops-port`.
    """
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}],
        },
        "scrape_configs": [
            {
                "job_name": system.name,
                "sample_limit": 100_000,
                "file_sd_configs": [{"files": ["targets/*.yml"]}],
            }
        ],
    }


def identified(plan: Plan, folder: str, *, alertmanager: str) -> Value:
    """Return `prometheus.yml` where processes show their metrics to those alone who may read them.

    Args:
        folder: of its own certificate.
    """
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}],
        },
        "scrape_configs": [
            {
                **_proving(plan.system.name, workload.name, folder),
                "static_configs": [
                    {
                        "targets": [f"{workload.name}:{OPS_PORT}"],
                        "labels": {"job": plan.system.name},
                    }
                ],
            }
            for workload in plan.scraped
        ],
    }


def _proving(system: str, name: str, folder: str) -> dict[str, Value]:
    """Return how the pods of one service are scraped; the rules know the system by its job."""
    return {
        "job_name": f"{system}-{name}",
        "sample_limit": 100_000,
        "scheme": "https",
        "tls_config": {
            "ca_file": f"{folder}/ca.crt",
            "cert_file": f"{folder}/tls.crt",
            "key_file": f"{folder}/tls.key",
            "server_name": name,
        },
    }


def in_cluster(plan: Plan) -> Value:
    """Return `scrape_configs` for a Prometheus in the cluster that has no operator.

    Whoever has the operator takes the ServiceMonitors beside the manifests instead. The Secret
    `identity-monitoring` is mounted in it.
    """
    system = plan.system
    labels = "__meta_kubernetes_pod_label_app_kubernetes_io"
    kept = (
        (f"{labels}_part_of", system.name),
        ("__meta_kubernetes_pod_container_port_name", "ops"),
    )
    named = {
        "service": f"{labels}_component",
        "pod": "__meta_kubernetes_pod_name",
        "namespace": "__meta_kubernetes_namespace",
    }
    relabelled: list[Value] = [
        {"source_labels": [label], "regex": value, "action": "keep"} for label, value in kept
    ]
    relabelled.append({"target_label": "job", "replacement": system.name})
    # `service` is what a process says of itself: what the cluster calls it has another name.
    relabelled += [
        {"source_labels": [label], "target_label": f"kubernetes_{name}"}
        for name, label in named.items()
    ]
    return {
        "scrape_configs": [
            {
                **_proving(system.name, workload.name, _MOUNTED),
                "kubernetes_sd_configs": [
                    {"role": "pod", "namespaces": {"names": [plan.namespace]}}
                ],
                "relabel_configs": [
                    {
                        "source_labels": [f"{labels}_component"],
                        "regex": workload.name,
                        "action": "keep",
                    },
                    *relabelled,
                ],
            }
            for workload in plan.scraped
        ]
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
