"""The catalogue of metrics: every name that Holdfast shows, with its type, unit, labels and help.

Names and labels follow OpenTelemetry's semantic conventions in their Prometheus form; what those
do not name begins with `holdfast_`. A metric that is not here cannot be shown.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["event", "scrape", "tables"]
"""Where a number is from: what happens is counted, a state is read at the scrape, and the tables of
a database are looked at every 10 s by the housekeeping of each process of the service."""

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""OpenTelemetry's advice for HTTP and for messaging."""
_SAGAS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 3600.0, 21600.0, 86400.0)
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        unit: `s`, or what is counted, in the singular.
        help: one sentence; Prometheus shows it.
        labels: names, in the order in which their values are given.
        bounds: upper bounds of a histogram's buckets.
        source: of the service's tables each of its processes tells the same: take the maximum.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    source: Source = "event"


LABELS: Final = {
    "certificate": "`identity` inside the system, `public` towards clients.",
    "db_client_connection_pool_name": "The service whose database it is.",
    "db_client_connection_state": "`used` or `idle`.",
    "edge": "The query, or the External, that is reached; `gateway→orders` for what is forwarded.",
    "error_type": "The class of an error, or its code where no answer came; absent without one.",
    "external": "The name of an External.",
    "generation": "Of the garbage collector: 0, 1 or 2.",
    "http_connection_state": "`active` or `idle`.",
    "header": "The header of a request, in lower case.",
    "http_request_method": "GET, POST and so on; `_OTHER` for what HTTP does not know.",
    "http_response_status_code": "The status; absent where no answer came.",
    "http_route": "The template of the route, such as `/v1/orders/{id}`; `unmatched` without one.",
    "implementation": "`CPython`.",
    "lane": "`urgent` for answers and undos, `work` for the rest.",
    "major": "Of Python's version.",
    "messaging_destination_name": "Receiver and message, such as `payments.Charge`.",
    "messaging_operation_name": "`process`.",
    "minor": "Of Python's version.",
    "outcome": "How a saga ended: `completed`, `failed` or `parked`.",
    "patchlevel": "Of Python's version.",
    "pool": "The name of a pool of blocking functions.",
    "reason": "Why nobody was authenticated, or why a peer or a token was refused.",
    "receiver": "The service that letters are for.",
    "saga": "The name of a saga.",
    "sender": "The service that wrote a letter.",
    "server_address": "Host and port of an External.",
    "service": "The name of a service; the gateway is one.",
    "service_namespace": "The name of the system.",
    "state": "`active` while a request is answered on it, or `idle`.",
    "tier": "`critical`, `normal` or `bulk`.",
    "version": "Of what is told, such as `0.1.0`.",
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
    source="scrape",
)
REACHED: Final = Metric(
    "http_client_request_duration_seconds",
    "histogram",
    "s",
    "Duration of requests to externals.",
    ("http_request_method", "server_address", "http_response_status_code", "error_type"),
    _DURATIONS,
)
CONNECTIONS: Final = Metric(
    "holdfast_connections",
    "gauge",
    "connection",
    "Connections that clients, or the other processes of the system, hold open to this process.",
    ("state",),
    source="scrape",
)
REFUSED: Final = Metric(
    "holdfast_http_refused_total",
    "counter",
    "request",
    "Requests that were answered before they reached a route: broken, too large or too many.",
    source="scrape",
)
CLIENT_CONNECTIONS: Final = Metric(
    "http_client_open_connections",
    "gauge",
    "connection",
    "Connections to externals, to other processes and to issuers of keys.",
    ("http_connection_state",),
    source="scrape",
)
CLIENT_WAITING: Final = Metric(
    "holdfast_client_waiting",
    "gauge",
    "call",
    "Calls that wait for a connection.",
    source="scrape",
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
    source="scrape",
)
LIMITER_KEYS: Final = Metric(
    "holdfast_limiter_keys",
    "gauge",
    "key",
    "Callers and addresses of whom rate limits are kept in this process.",
    source="scrape",
)
LIMITER_EVICTED: Final = Metric(
    "holdfast_limiter_evicted_total",
    "counter",
    "key",
    "Rate limits that were forgotten for want of room before they were full again.",
    source="scrape",
)
UNAUTHENTICATED: Final = Metric(
    "holdfast_unauthenticated_total",
    "counter",
    "request",
    "Requests whose caller was not authenticated, by why.",
    ("service", "reason"),
)
TRACE_HEADERS_REFUSED: Final = Metric(
    "holdfast_trace_headers_refused_total",
    "counter",
    "header",
    "Headers of traces that break their format, and were ignored.",
    ("header",),
)
BREAKER: Final = Metric(
    "holdfast_breaker_state",
    "gauge",
    "state",
    "Circuit breaker of an edge: 0 closed, 1 half-open, 2 open.",
    ("edge",),
    source="scrape",
)
RETRIES: Final = Metric(
    "holdfast_retries_total",
    "counter",
    "try",
    "Tries of calls after their first one.",
    ("edge",),
    source="scrape",
)
BREAKER_REFUSED: Final = Metric(
    "holdfast_breaker_refused_total",
    "counter",
    "call",
    "Calls that an open circuit breaker did not let through.",
    ("edge",),
    source="scrape",
)
BULKHEAD_RUNNING: Final = Metric(
    "holdfast_bulkhead_running",
    "gauge",
    "call",
    "Calls over an edge that are under way.",
    ("edge",),
    source="scrape",
)
BULKHEAD_WAITING: Final = Metric(
    "holdfast_bulkhead_waiting",
    "gauge",
    "call",
    "Calls over an edge that wait for a place.",
    ("edge",),
    source="scrape",
)
BULKHEAD_REFUSED: Final = Metric(
    "holdfast_bulkhead_refused_total",
    "counter",
    "call",
    "Calls over an edge that found no place in time.",
    ("edge",),
    source="scrape",
)
BUDGET_LEFT: Final = Metric(
    "holdfast_retry_budget_left",
    "gauge",
    "try",
    "Retries that an edge may still send at this moment.",
    ("edge",),
    source="scrape",
)
BUDGET_REFUSED: Final = Metric(
    "holdfast_retry_budget_refused_total",
    "counter",
    "try",
    "Retries that the budget of an edge did not allow.",
    ("edge",),
    source="scrape",
)
HEDGES: Final = Metric(
    "holdfast_hedges_total",
    "counter",
    "request",
    "Requests that were sent to a second process as well, since the first took long to answer.",
    ("edge", "http_route"),
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
    "holdfast_sagas_total", "counter", "saga", "Sagas that ended.", ("service", "saga", "outcome")
)
SAGA_DURATION: Final = Metric(
    "holdfast_saga_duration_seconds",
    "histogram",
    "s",
    "From the start of a saga to its end.",
    ("service", "saga", "outcome"),
    _SAGAS,
)
SENT: Final = Metric(
    "messaging_client_sent_messages_total",
    "counter",
    "letter",
    "Letters handed to the broker.",
    ("service",),
    source="scrape",
)
RESENT: Final = Metric(
    "holdfast_letters_resent_total",
    "counter",
    "letter",
    "Letters handed to the broker again, because no answer had come.",
    ("service",),
    source="scrape",
)
IN_FLIGHT: Final = Metric(
    "holdfast_letters_in_flight",
    "gauge",
    "letter",
    "Letters that this process sent and that were not answered: what fills the window.",
    ("service", "receiver", "lane"),
    source="scrape",
)
PARCELS_LEFT_OUT: Final = Metric(
    "holdfast_parcels_left_out_total",
    "counter",
    "parcel",
    "Parcels that waited in the table, because the broker took none.",
    ("service",),
    source="scrape",
)
OUTBOX_ROWS: Final = Metric(
    "holdfast_outbox_rows",
    "gauge",
    "letter",
    "Letters that were not answered yet.",
    ("service",),
    source="tables",
)
OUTBOX_OLDEST: Final = Metric(
    "holdfast_outbox_oldest_seconds",
    "gauge",
    "s",
    "Age of the oldest unanswered letter.",
    ("service",),
    source="tables",
)
INBOX_ROWS: Final = Metric(
    "holdfast_inbox_rows",
    "gauge",
    "letter",
    "Letters of others that are due, or failed and will be tried again.",
    ("service",),
    source="tables",
)
INBOX_OLDEST: Final = Metric(
    "holdfast_inbox_oldest_seconds",
    "gauge",
    "s",
    "Age of the oldest letter of others that is due, or failed and will be tried again.",
    ("service",),
    source="tables",
)
FLOOR_LAG: Final = Metric(
    "holdfast_floor_lag_seconds",
    "gauge",
    "s",
    "How long the floor of a sender's letters has stood still while rows of them are kept.",
    ("service", "sender", "lane"),
    source="tables",
)
OPEN_SAGAS: Final = Metric(
    "holdfast_open_sagas",
    "gauge",
    "saga",
    "Sagas under way.",
    ("service", "saga"),
    source="tables",
)
OLDEST_SAGA: Final = Metric(
    "holdfast_oldest_saga_seconds",
    "gauge",
    "s",
    "Age of the oldest saga under way.",
    ("service", "saga"),
    source="tables",
)
PARKED_SAGAS: Final = Metric(
    "holdfast_parked_sagas",
    "gauge",
    "saga",
    "Sagas that are parked and wait for a person.",
    ("service", "saga"),
    source="tables",
)
DEAD_LETTERS: Final = Metric(
    "holdfast_dead_letters",
    "gauge",
    "letter",
    "Messages that gave up and wait for a person.",
    ("service",),
    source="tables",
)
FAILING_LETTERS: Final = Metric(
    "holdfast_failing_letters",
    "gauge",
    "letter",
    "Messages that have failed for long, and are tried on for ever.",
    ("service",),
    source="tables",
)
WAITING_LETTERS: Final = Metric(
    "holdfast_waiting_letters",
    "gauge",
    "letter",
    "Letters and timers that wait for a version that knows them.",
    ("service",),
    source="tables",
)
UNKNOWN_NAMES: Final = Metric(
    "holdfast_unknown_names",
    "gauge",
    "name",
    "Names of sagas, jobs and letters in the database that this version does not know.",
    ("service",),
    source="tables",
)
LETTERS_IGNORED: Final = Metric(
    "holdfast_letters_ignored_total",
    "counter",
    "letter",
    "Letters below their sender's floor: settled long ago.",
    ("service", "sender", "lane"),
    source="scrape",
)
LETTERS_REFUSED: Final = Metric(
    "holdfast_letters_refused_total",
    "counter",
    "letter",
    "Letters, and parcels, that were not taken: not from whom they said, or along no edge.",
    ("service", "reason"),
    source="scrape",
)
LEASES_HELD: Final = Metric(
    "holdfast_leases_held",
    "gauge",
    "letter",
    "Letters whose handlers wait for something before they write.",
    ("service",),
    source="scrape",
)
LEASES_RENEWED: Final = Metric(
    "holdfast_leases_renewed_total",
    "counter",
    "renewal",
    "Times that a letter was kept for a handler at work.",
    ("service",),
    source="scrape",
)
LEASES_LOST: Final = Metric(
    "holdfast_leases_lost_total",
    "counter",
    "letter",
    "Letters that another process claimed while a handler worked.",
    ("service",),
    source="scrape",
)

# -- engines and the process --------------------------------------------------------------------

BROKER_UP: Final = Metric(
    "holdfast_broker_up",
    "gauge",
    "state",
    "1 while all letters can travel, 0 when some or none can.",
    source="scrape",
)
BROKER_REFUSED: Final = Metric(
    "holdfast_broker_refused_total",
    "counter",
    "refusal",
    "Times the broker refused this process, or a subject of it.",
    source="scrape",
)
BROKER_REMADE: Final = Metric(
    "holdfast_broker_remade_total",
    "counter",
    "stream",
    "Streams that the broker had lost, and that were made again.",
    source="scrape",
)
PARCELS_LOST: Final = Metric(
    "holdfast_parcels_lost_total",
    "counter",
    "parcel",
    "Parcels that the broker lost while somebody read them, as the provisioner hears it.",
    source="scrape",
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
GATE_WAIT: Final = Metric(
    "holdfast_gate_wait_seconds",
    "histogram",
    "s",
    "Wait for a transaction: for a connection and, on Postgres, for other replicas.",
    ("service",),
    _COMMITS,
)
WRITES_WAITING: Final = Metric(
    "holdfast_writes_waiting",
    "gauge",
    "unit of work",
    "Units of work that wait for the next transaction.",
    ("service",),
    source="scrape",
)
TRANSACTIONS_LOST: Final = Metric(
    "holdfast_transactions_lost_total",
    "counter",
    "transaction",
    "Transactions that were lost; their units of work were run again.",
    ("service",),
    source="scrape",
)
DB_CONNECTIONS: Final = Metric(
    "db_client_connection_count",
    "gauge",
    "connection",
    "Connections to a database.",
    ("db_client_connection_pool_name", "db_client_connection_state"),
    source="scrape",
)
DB_PLACES: Final = Metric(
    "db_client_connection_max",
    "gauge",
    "connection",
    "Connections to a database that there may be.",
    ("db_client_connection_pool_name",),
    source="scrape",
)
DB_WAITING: Final = Metric(
    "db_client_connection_pending_requests",
    "gauge",
    "request",
    "Who waits for a connection to a database.",
    ("db_client_connection_pool_name",),
    source="scrape",
)
PLACES: Final = Metric(
    "holdfast_requests_limit",
    "gauge",
    "request",
    "Requests of a tier that may be inside this process at once; it falls while turns come late.",
    ("tier",),
    source="scrape",
)
PLACES_TAKEN: Final = Metric(
    "holdfast_requests_inside",
    "gauge",
    "request",
    "Requests of a tier that are inside this process; parcels of new letters are critical ones.",
    ("tier",),
    source="scrape",
)
PLACES_REFUSED: Final = Metric(
    "holdfast_requests_shed_total",
    "counter",
    "request",
    "Requests that were refused by the entrance: no place in their tier, or they came late.",
    ("tier",),
    source="scrape",
)
POOL_RUNNING: Final = Metric(
    "holdfast_pool_running",
    "gauge",
    "function",
    "Blocking functions of a pool that run.",
    ("pool",),
    source="scrape",
)
POOL_WAITING: Final = Metric(
    "holdfast_pool_waiting",
    "gauge",
    "function",
    "Blocking functions of a pool that wait for a thread.",
    ("pool",),
    source="scrape",
)
POOL_REFUSED: Final = Metric(
    "holdfast_pool_refused_total",
    "counter",
    "function",
    "Blocking functions that found no thread in time.",
    ("pool",),
    source="scrape",
)
CERTIFICATE_EXPIRES: Final = Metric(
    "holdfast_certificate_expires_seconds",
    "gauge",
    "s",
    "How long a certificate of this process is still good; negative: it is not any more.",
    ("certificate",),
    source="scrape",
)
CERTIFICATE_TROUBLE: Final = Metric(
    "holdfast_certificate_trouble",
    "gauge",
    "trouble",
    "1 while newer files of a certificate cannot be used, or it ends soon and no other has come.",
    ("certificate",),
    source="scrape",
)
HANDSHAKES_FAILED: Final = Metric(
    "holdfast_handshakes_failed_total",
    "counter",
    "handshake",
    "TLS handshakes with clients that failed, by why.",
    ("reason",),
    source="scrape",
)
PEERS_REFUSED: Final = Metric(
    "holdfast_peers_refused_total",
    "counter",
    "peer",
    "Connections of the system that were refused, for want of a proof who is at the other end.",
    ("reason",),
    source="scrape",
)
SIGNER_EXPIRES: Final = Metric(
    "holdfast_signer_certificate_expires_seconds",
    "gauge",
    "s",
    "How long the certificate of what signs transaction tokens is still good, in a gateway.",
    source="scrape",
)
TRANSACTION_TOKENS_REFUSED: Final = Metric(
    "holdfast_transaction_tokens_refused_total",
    "counter",
    "request",
    "Requests that the gateway forwarded without a good proof of their caller, by why.",
    ("reason",),
)
REQUESTS_REFUSED_INSIDE: Final = Metric(
    "holdfast_inner_requests_refused_total",
    "counter",
    "request",
    "Requests of other processes of the system that the graph does not allow.",
)
STAND_IN_RESTARTS: Final = Metric(
    "holdfast_stand_in_restarts_total",
    "counter",
    "restart",
    "Times that the stand-in of an External ended and was started again.",
    ("external",),
    source="scrape",
)
SPANS_QUEUED: Final = Metric(
    "otel_sdk_processor_span_queue_size",
    "gauge",
    "span",
    "Spans that wait for their export.",
    source="scrape",
)
SPANS_EXPORTED: Final = Metric(
    "otel_sdk_exporter_span_exported_total",
    "counter",
    "span",
    "Spans that the receiver of traces has taken.",
    source="scrape",
)
SPANS_DROPPED: Final = Metric(
    "holdfast_spans_dropped_total",
    "counter",
    "span",
    "Spans that were lost: too many waited, or the receiver did not take them.",
    source="scrape",
)
SPANS_HELD: Final = Metric(
    "holdfast_spans_held",
    "gauge",
    "span",
    "Spans of traces that are not sampled, held in case something in them goes wrong.",
    source="scrape",
)
LOG_LINES_DROPPED: Final = Metric(
    "holdfast_log_lines_dropped_total",
    "counter",
    "line",
    "Log lines lost to a full buffer or a broken stream.",
    source="scrape",
)
SECRETS_UNREADABLE: Final = Metric(
    "holdfast_secret_files_unreadable",
    "gauge",
    "file",
    "Files of variables whose newest value cannot be read: the last one that could is in use.",
    source="scrape",
)
AUDIT_ENTRIES: Final = Metric(
    "holdfast_audit_entries_total",
    "counter",
    "entry",
    "Entries of the audit log that this process writes, of all its lives: its chain has so many.",
    source="scrape",
)
AUDIT_LOST: Final = Metric(
    "holdfast_audit_lost_total",
    "counter",
    "entry",
    "Entries of the audit log that could not be written: no room, no right, no reader.",
    source="scrape",
)
WATCH_ERRORS: Final = Metric(
    "holdfast_watch_errors_total",
    "counter",
    "reading",
    "Readings for these metrics that raised an error.",
    source="scrape",
)
LOOP_LAG: Final = Metric(
    "holdfast_event_loop_lag_seconds",
    "histogram",
    "s",
    "How late the event loop does what is due: what holds it holds all requests.",
    (),
    _LAGS,
)
PROCESS_CPU: Final = Metric(
    "process_cpu_seconds_total",
    "counter",
    "s",
    "CPU time of this process, of user and system.",
    source="scrape",
)
PROCESS_RESIDENT: Final = Metric(
    "process_resident_memory_bytes",
    "gauge",
    "By",
    "Memory of this process that is in RAM.",
    source="scrape",
)
PROCESS_VIRTUAL: Final = Metric(
    "process_virtual_memory_bytes",
    "gauge",
    "By",
    "Address space of this process.",
    source="scrape",
)
PROCESS_START: Final = Metric(
    "process_start_time_seconds",
    "gauge",
    "s",
    "When this process was started, in seconds since 1970.",
    source="scrape",
)
PROCESS_FDS: Final = Metric(
    "process_open_fds",
    "gauge",
    "file",
    "Files and sockets that this process holds open.",
    source="scrape",
)
PROCESS_FD_LIMIT: Final = Metric(
    "process_max_fds",
    "gauge",
    "file",
    "Files and sockets that it may hold open.",
    source="scrape",
)
GC_COLLECTED: Final = Metric(
    "python_gc_objects_collected_total",
    "counter",
    "object",
    "Objects that the garbage collector freed.",
    ("generation",),
    source="scrape",
)
GC_UNCOLLECTABLE: Final = Metric(
    "python_gc_objects_uncollectable_total",
    "counter",
    "object",
    "Objects that the garbage collector could not free.",
    ("generation",),
    source="scrape",
)
GC_COLLECTIONS: Final = Metric(
    "python_gc_collections_total",
    "counter",
    "collection",
    "Runs of the garbage collector.",
    ("generation",),
    source="scrape",
)
PYTHON: Final = Metric(
    "python_info",
    "gauge",
    "interpreter",
    "The Python that runs this process.",
    ("implementation", "major", "minor", "patchlevel", "version"),
    source="scrape",
)
BUILD: Final = Metric(
    "holdfast_build_info",
    "gauge",
    "build",
    "The Holdfast that runs this process.",
    ("version",),
    source="scrape",
)
TARGET: Final = Metric(
    "target_info",
    "gauge",
    "system",
    "The system that this process belongs to.",
    ("service_namespace",),
    source="scrape",
)

CATALOGUE: Final = {
    metric.name: metric for metric in list(globals().values()) if isinstance(metric, Metric)
}
"""{name: metric}, in the order in which they stand here."""
