"""The catalogue of metrics: every name that Holdfast shows, with its type, unit, labels and help.

Names and labels follow OpenTelemetry's semantic conventions in their Prometheus form; what those
do not name begins with `holdfast_`. A metric that is not here cannot be shown.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""OpenTelemetry's advice for HTTP and for messaging."""
_SAGAS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 3600.0, 21600.0, 86400.0)
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        unit: `s`, or what is counted, in the singular.
        help: one sentence; Prometheus shows it.
        labels: names, in the order in which their values are given.
        bounds: upper bounds of a histogram's buckets.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


LABELS: Final = {
    "edge": "The query, or the External, that is reached.",
    "error_type": "The class of an error, or its code where no answer came; absent without one.",
    "external": "The name of an External.",
    "http_request_method": "GET, POST and so on; `_OTHER` for what HTTP does not know.",
    "http_response_status_code": "The status; absent where no answer came.",
    "http_route": "The template of the route, such as `/v1/orders/{id}`; `unmatched` without one.",
    "lane": "`urgent` for answers and undos, `work` for the rest.",
    "messaging_destination_name": "Receiver and message, such as `payments.Charge`.",
    "messaging_operation_name": "`process`.",
    "outcome": "How a saga ended: `completed`, `failed` or `parked`.",
    "pool": "The name of a pool of blocking functions.",
    "reason": "Why nobody was authenticated.",
    "saga": "The name of a saga.",
    "sender": "The service that wrote a letter.",
    "server_address": "Host and port of an External.",
    "service": "The name of a service; the gateway is one.",
    "service_namespace": "The name of the system.",
}
"""What a label means, wherever it stands."""

# -- HTTP ---------------------------------------------------------------------------------------

SERVED: Final = Metric(
    "http_server_request_duration_seconds",
    "histogram",
    "s",
    "Duration of requests served.",
    ("http_request_method", "http_route", "http_response_status_code", "service"),
    _DURATIONS,
)
ACTIVE: Final = Metric(
    "http_server_active_requests",
    "gauge",
    "request",
    "Requests under way.",
    ("http_request_method", "service"),
)
REACHED: Final = Metric(
    "http_client_request_duration_seconds",
    "histogram",
    "s",
    "Duration of requests to externals.",
    ("http_request_method", "server_address", "http_response_status_code", "error_type"),
    _DURATIONS,
)
RATE_LIMITED: Final = Metric(
    "holdfast_rate_limited_total",
    "counter",
    "request",
    "Requests refused by a rate limit.",
    ("service",),
)
LIMITS_ALONE: Final = Metric(
    "holdfast_limits_alone_total",
    "counter",
    "decision",
    "Rate limits that this process decided for itself, because the shared ones were away.",
)
UNAUTHENTICATED: Final = Metric(
    "holdfast_unauthenticated_total",
    "counter",
    "request",
    "Requests whose caller was not authenticated, by why.",
    ("service", "reason"),
)
BREAKER: Final = Metric(
    "holdfast_breaker_state",
    "gauge",
    "state",
    "Circuit breaker of an edge: 0 closed, 1 half-open, 2 open.",
    ("edge",),
)
RETRIES: Final = Metric(
    "holdfast_retries_total",
    "counter",
    "try",
    "Tries of calls after their first one.",
    ("edge",),
)

# -- letters and sagas --------------------------------------------------------------------------

PROCESSED: Final = Metric(
    "messaging_process_duration_seconds",
    "histogram",
    "s",
    "Duration of handling a message.",
    ("messaging_operation_name", "messaging_destination_name", "service", "error_type"),
    _DURATIONS,
)
HANDLER_ERRORS: Final = Metric(
    "holdfast_handler_errors_total",
    "counter",
    "run",
    "Runs of a handler or a job that ended in an error that its message does not declare.",
    ("service", "messaging_destination_name"),
)
SAGAS: Final = Metric(
    "holdfast_sagas_total", "counter", "saga", "Sagas that ended.", ("saga", "outcome")
)
SAGA_DURATION: Final = Metric(
    "holdfast_saga_duration_seconds",
    "histogram",
    "s",
    "From the start of a saga to its end.",
    ("saga", "outcome"),
    _SAGAS,
)
SENT: Final = Metric(
    "messaging_client_sent_messages_total",
    "counter",
    "letter",
    "Letters handed to the broker.",
    ("service",),
)
OUTBOX_ROWS: Final = Metric(
    "holdfast_outbox_rows", "gauge", "letter", "Letters that were not answered yet.", ("service",)
)
OUTBOX_OLDEST: Final = Metric(
    "holdfast_outbox_oldest_seconds",
    "gauge",
    "s",
    "Age of the oldest unanswered letter.",
    ("service",),
)
DEAD_LETTERS: Final = Metric(
    "holdfast_dead_letters",
    "gauge",
    "letter",
    "Messages that gave up and wait for a person.",
    ("service",),
)
FAILING_LETTERS: Final = Metric(
    "holdfast_failing_letters",
    "gauge",
    "letter",
    "Messages that have failed for long, and are tried on for ever.",
    ("service",),
)
WAITING_LETTERS: Final = Metric(
    "holdfast_waiting_letters",
    "gauge",
    "letter",
    "Letters and timers that wait for a version that knows them.",
    ("service",),
)
UNKNOWN_NAMES: Final = Metric(
    "holdfast_unknown_names",
    "gauge",
    "name",
    "Names of sagas, jobs and letters in the database that this version does not know.",
    ("service",),
)
LETTERS_IGNORED: Final = Metric(
    "holdfast_letters_ignored_total",
    "counter",
    "letter",
    "Letters below their sender's floor: settled long ago.",
    ("service", "sender", "lane"),
)
LEASES_HELD: Final = Metric(
    "holdfast_leases_held",
    "gauge",
    "letter",
    "Letters whose handlers wait for something before they write.",
    ("service",),
)
LEASES_RENEWED: Final = Metric(
    "holdfast_leases_renewed_total",
    "counter",
    "renewal",
    "Times that a letter was kept for a handler at work.",
    ("service",),
)
LEASES_LOST: Final = Metric(
    "holdfast_leases_lost_total",
    "counter",
    "letter",
    "Letters that another process claimed while a handler worked.",
    ("service",),
)

# -- engines and the process --------------------------------------------------------------------

BROKER_UP: Final = Metric(
    "holdfast_broker_up",
    "gauge",
    "state",
    "1 while all letters can travel, 0 when some or none can.",
)
BROKER_REFUSED: Final = Metric(
    "holdfast_broker_refused_total",
    "counter",
    "refusal",
    "Times the broker refused this process, or a subject of it.",
)
BROKER_REMADE: Final = Metric(
    "holdfast_broker_remade_total",
    "counter",
    "stream",
    "Streams that the broker had lost, and that were made again.",
)
COMMITS: Final = Metric(
    "holdfast_commit_duration_seconds",
    "histogram",
    "s",
    "Duration of commits.",
    ("service",),
    _COMMITS,
)
BATCHES: Final = Metric(
    "holdfast_batch_size",
    "histogram",
    "unit of work",
    "Units of work in one commit.",
    ("service",),
    _BATCHES,
)
POOL_RUNNING: Final = Metric(
    "holdfast_pool_running",
    "gauge",
    "function",
    "Blocking functions of a pool that run.",
    ("pool",),
)
POOL_WAITING: Final = Metric(
    "holdfast_pool_waiting",
    "gauge",
    "function",
    "Blocking functions of a pool that wait for a thread.",
    ("pool",),
)
POOL_REFUSED: Final = Metric(
    "holdfast_pool_refused_total",
    "counter",
    "function",
    "Blocking functions that found no thread in time.",
    ("pool",),
)
STAND_IN_RESTARTS: Final = Metric(
    "holdfast_stand_in_restarts_total",
    "counter",
    "restart",
    "Times that the stand-in of an External ended and was started again.",
    ("external",),
)
LOG_LINES_DROPPED: Final = Metric(
    "holdfast_log_lines_dropped_total",
    "counter",
    "line",
    "Log lines lost to a full buffer or a broken stream.",
)
WATCH_ERRORS: Final = Metric(
    "holdfast_watch_errors_total",
    "counter",
    "reading",
    "Readings for these metrics that raised an error.",
)
TARGET: Final = Metric(
    "target_info",
    "gauge",
    "system",
    "The system that this process belongs to.",
    ("service_namespace",),
)

CATALOGUE: Final = {
    metric.name: metric for metric in list(globals().values()) if isinstance(metric, Metric)
}
"""{name: metric}, in the order in which they stand here."""
