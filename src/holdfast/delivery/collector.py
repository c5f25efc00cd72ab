"""OpenTelemetry Collector: takes spans of all processes by OTLP, and hands them on in batches.

Names of components as of collector-contrib 0.165.
"""

from holdfast.delivery.jaeger import OTLP
from holdfast.delivery.yaml import Value


def configuration() -> Value:
    """Return its configuration; addresses are of this machine unless the environment says else.

    What is sampled was decided where the trace began: everything that comes is handed on.
    """
    return {
        "extensions": {
            "health_check": {"endpoint": "${env:COLLECTOR_HEALTH:-localhost:13133}"},
        },
        "receivers": {
            "otlp": {
                "protocols": {
                    "http": {"endpoint": "${env:COLLECTOR_OTLP_HTTP:-localhost:4318}"},
                    "grpc": {"endpoint": "${env:COLLECTOR_OTLP_GRPC:-localhost:4317}"},
                }
            }
        },
        "processors": {
            "memory_limiter": {
                "check_interval": "1s",
                "limit_mib": 400,
                "spike_limit_mib": 100,
            }
        },
        "exporters": {
            "otlp_grpc": {
                "endpoint": f"${{env:JAEGER_OTLP:-{OTLP}}}",
                "tls": {"insecure": True},
                "sending_queue": {
                    "queue_size": 10_000,
                    "batch": {"flush_timeout": "1s", "min_size": 512, "max_size": 2_048},
                },
            }
        },
        "service": {
            "extensions": ["health_check"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter"],
                    "exporters": ["otlp_grpc"],
                }
            },
        },
    }
