"""Jaeger 2: keeps traces and shows them. It is built on the collector and configured like it."""

from typing import Final

from holdfast.delivery.yaml import Value

OTLP: Final = "localhost:14317"
"""Beside the collector on one machine, which has the usual port."""


def configuration() -> Value:
    """Return its configuration; it keeps traces in memory, and forgets them when it ends."""
    return {
        "extensions": {
            "healthcheckv2": {
                "use_v2": True,
                "http": {"endpoint": "${env:JAEGER_HEALTH:-localhost:13134}"},
            },
            "jaeger_storage": {"backends": {"recent": {"memory": {"max_traces": 100_000}}}},
            "jaeger_query": {
                "storage": {"traces": "recent"},
                "http": {"endpoint": "${env:JAEGER_HTTP:-localhost:16686}"},
                "grpc": {"endpoint": "${env:JAEGER_GRPC:-localhost:16685}"},
            },
        },
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": f"${{env:JAEGER_OTLP:-{OTLP}}}"}}}
        },
        "processors": {"batch": {"timeout": "1s", "send_batch_size": 512}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "recent"}},
        "service": {
            "extensions": ["healthcheckv2", "jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["batch"],
                    "exporters": ["jaeger_storage_exporter"],
                }
            },
        },
    }
