"""The names of spans' attributes, in one place.

Source: OpenTelemetry semantic conventions 1.44. Those of HTTP, errors and exceptions are stable;
those of messaging and RPC are in development, and are pinned here as they stand.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

SERVICE_NAME: Final = "service.name"
SERVICE_NAMESPACE: Final = "service.namespace"
SERVICE_INSTANCE: Final = "service.instance.id"

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
SCHEME: Final = "url.scheme"
PATH: Final = "url.path"
URL: Final = "url.full"
CLIENT_ADDRESS: Final = "client.address"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

MESSAGING: Final = "messaging.system"
MESSAGING_OPERATION: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"

RPC: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"

ERROR_TYPE: Final = "error.type"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

OURS: Final = "holdfast"
"""The value of systems that are ours: letters, and queries between services."""
FAILURE: Final = "holdfast.failure"
"""The declared failure that a handler answered with; it is not an error."""
TRY: Final = "holdfast.try"
SAGA: Final = "holdfast.saga.type"
SAGA_ID: Final = "holdfast.saga.id"
SAGA_STATE: Final = "holdfast.saga.state"
TRANSACTION: Final = "holdfast.transaction"
"""The correlation id of the request for which a transaction token was made: another one's, if the
token is used again."""
MIGRATION: Final = "holdfast.migration"
