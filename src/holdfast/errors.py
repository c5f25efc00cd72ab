"""Everything that Holdfast itself raises. A business refusal is not here: see `contract.Failure`.

What a handler, a client, an operator or a log may meet stands in this tree. A signal that is raised
and caught between two modules stands beside the one that raises it, and so does what only adds an
error of a library to one of these.

HoldfastError                     code, status, effect
├── DeclarationError              the declared system is wrong; all problems in one report
├── SettingError                  a setting from the environment is wrong
├── DataFolderBusy                another process owns this data folder
├── DataFolderUnfit               others may look into it, or it cannot be written
├── DatabaseDamaged               a file that was a database is none any more
├── DatabaseElsewhere             the databases are of the other kind: files, or in Postgres
├── OldSchema                     a database lacks revisions of this code
├── Unrecorded                    the audit log cannot be written, so an operator's wish is not done
├── RightMissing                  a role of a database may not do what it has to
├── UnknownName                   a system, service or id that does not exist
├── CallError                     a call to a service or to an External did not go well
│   ├── DeadlineExceeded          no answer in time
│   ├── CircuitOpen               the breaker of this edge is open
│   ├── BulkheadFull              too many calls of this edge are under way
│   ├── Unreachable               no connection could be made
│   │   └── IssuerAway            nobody can say what a token is worth
│   ├── ConnectionLost            the connection broke after the request was sent
│   └── BadAnswer                 an answer that cannot be used
├── RequestError                  what a client sent cannot be served
│   ├── BadRequest · Unauthenticated · Forbidden · NotFound · MethodNotAllowed · Conflict
│   ├── TooLarge · UnsupportedMediaType · Invalid · RateLimited
│   ├── Overloaded
│   │   └── PoolFull              no thread for a blocking function
│   └── ClientGone                the client closed the connection; nobody reads the answer
├── EffectFromRoute               a route would do what nobody finishes after a crash
├── TransactionError              a handler broke a rule of its transaction
│   ├── ForeignAwait              it awaited something else after its first statement
│   ├── OutsideShut               it reached outside after its first statement
│   ├── ReadShut                  it looked before its transaction, after its first statement
│   ├── StatementFailed           it swallowed a database error
│   ├── TransactionControl        its SQL would begin or end a transaction
│   ├── Refused                   the database does not take a value or a row
│   ├── MessageTooLarge           a letter, an answer or a response is over the limit
│   ├── NotCarried                what it sends would arrive changed
│   ├── TransactionLost           the database ended the transaction by itself
│   │   └── CommitUnknown         its COMMIT was not answered
│   └── NotDeclared               it sends what its service does not declare
├── SagaError
│   ├── SagaChanged               the function no longer matches the recorded steps
│   └── SagaTooLong               more than 1,000 steps
├── NotSimulated                  something asked for what a seed does not decide
├── BrokenWorkload                the workload of a simulation raised
├── BrokenTraffic                 the traffic of a load raised, or nothing of it is answered well
├── DidNotStart                   a system that was started for its load ended, or was silent
├── Deadlock                      everything in a simulation waits
└── Livelock                      a simulation goes on without coming to an end

`effect` says whether the remote effect happened: "none", "unknown" or "done".
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

Effect = Literal["none", "unknown", "done"]


class HoldfastError(Exception):
    """The root. `status` is the HTTP status that a client sees if nothing handles the error."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    effect: ClassVar[Effect] = "none"


class DeclarationError(HoldfastError):
    """The declared system is wrong; `problems` says for each what to add or change."""

    code = "declaration"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class SettingError(HoldfastError):
    """Settings from the environment are wrong; `problems` names each variable, value and remedy."""

    code = "setting"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class DataFolderBusy(HoldfastError):
    """Another process owns the data folder; commands that write go through that process."""

    code = "data_folder_busy"


class DataFolderUnfit(HoldfastError):
    """The data folder cannot be used as it is; says what to run."""

    code = "data_folder_unfit"


class DatabaseDamaged(HoldfastError):
    """A file of a data folder is missing, empty or broken that was a database before."""

    code = "database_damaged"


class DatabaseElsewhere(HoldfastError):
    """The data folder's databases are of the other kind: files, or in a Postgres of its own."""

    code = "database_elsewhere"


class OldSchema(HoldfastError):
    """A database is older than this code, or its history cannot be used; says what to run."""

    code = "old_schema"


class Unrecorded(HoldfastError):
    """The audit log cannot be written, and nothing was done that would have to stand in it."""

    code, status = "unrecorded", 503


class RightMissing(HoldfastError):
    """A role of a database may not do what it has to; says what it lacks, and who grants it."""

    code = "right_missing"


class UnknownName(HoldfastError):
    """A system, a service, a message or an id that does not exist."""

    code, status = "unknown_name", 404


class CallError(HoldfastError):
    """A call did not go well. `effect` tells whether it is safe to repeat."""

    code, status = "call_failed", 502

    def __init__(self, message: str, *, edge: str = "") -> None:
        super().__init__(message)
        self.edge = edge


class DeadlineExceeded(CallError):
    """No answer before the deadline; the remote effect is unknown: retry only if idempotent."""

    code, status, effect = "deadline_exceeded", 504, "unknown"


class CircuitOpen(CallError):
    """The breaker of the edge is open after repeated failures; nothing was sent."""

    code, status = "circuit_open", 503


class BulkheadFull(CallError):
    """Too many calls of this edge are under way; nothing was sent."""

    code, status = "bulkhead_full", 503


class Unreachable(CallError):
    """No connection could be made; nothing was sent."""

    code, status = "unreachable", 502


class IssuerAway(Unreachable):
    """The issuer of a token cannot be asked for its keys or about the token, which may be good."""

    code, status = "issuer_away", 503


class ConnectionLost(CallError):
    """The connection broke after the request was sent; the remote effect is unknown."""

    code, effect = "connection_lost", "unknown"


class BadAnswer(CallError):
    """The other side answered something that cannot be used; the remote effect is unknown."""

    code, effect = "bad_answer", "unknown"


class RequestError(HoldfastError):
    """A request that cannot be served; becomes an RFC 9457 problem with these fields.

    Attributes:
        headers: {name: value} that the answer must carry, such as Retry-After.
        fields: further members of the problem document, such as the path of each bad field.
    """

    code, status = "bad_request", 400
    title: ClassVar[str] = "Bad request"

    def __init__(
        self,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})


class BadRequest(RequestError):
    """The request is not well formed."""


class Unauthenticated(RequestError):
    """No token, or one that is not valid; the answer carries WWW-Authenticate."""

    code, status, title = "unauthenticated", 401, "Unauthenticated"


class Forbidden(RequestError):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Forbidden"


class NotFound(RequestError):
    """There is no such route or thing, or the caller may not know of it."""

    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not; the answer carries Allow."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class Conflict(RequestError):
    """The request is at odds with another one, such as a key that is still in flight."""

    code, status, title = "conflict", 409, "Conflict"


class TooLarge(RequestError):
    """The body is over the limit."""

    code, status, title = "too_large", 413, "Content too large"


class UnsupportedMediaType(RequestError):
    """The body is of a type that the route does not take."""

    code, status, title = "unsupported_media_type", 415, "Unsupported media type"


class Invalid(RequestError):
    """The body or a parameter does not fit its type; `fields["errors"]` has a path for each."""

    code, status, title = "invalid", 422, "Invalid input"


class RateLimited(RequestError):
    """The caller sends too much; the answer carries Retry-After and RateLimit."""

    code, status, title = "rate_limited", 429, "Too many requests"


class Overloaded(RequestError):
    """The system has more work than it can take now; the answer carries Retry-After."""

    code, status, title = "overloaded", 503, "Overloaded"


class PoolFull(Overloaded):
    """Too many blocking functions of one pool are under way or wait; it was not begun.

    Whoever answers it is well, and other requests to him too: no circuit breaker counts it, and
    nothing is tried again by itself.
    """

    code = "pool_full"


class ClientGone(RequestError):
    """The client closed the connection before anything was written; seen in logs and metrics."""

    code, status, title = "client_gone", 499, "Client gone"


class EffectFromRoute(HoldfastError):
    """A route would have an effect on an External that nobody finishes after a crash."""

    code = "effect_from_route"


class TransactionError(HoldfastError):
    """A handler broke a rule of its transaction; its writes were rolled back."""

    code = "transaction"


class ForeignAwait(TransactionError):
    """After the first statement a handler may await `tx` alone; everything else goes before it."""

    code = "foreign_await"


class OutsideShut(TransactionError):
    """`outside` was used after the first statement: reach first, write after."""

    code = "outside_shut"


class ReadShut(TransactionError):
    """`read` was used after the first statement on `tx`: from there the transaction reads."""

    code = "read_shut"


class StatementFailed(TransactionError):
    """A database error that the handler swallowed; use `tx.savepoint()` around what may fail."""

    code = "statement_failed"


class TransactionControl(TransactionError):
    """BEGIN, COMMIT, ROLLBACK or SAVEPOINT in a user's SQL; the transaction is not the user's."""

    code = "transaction_control"


class Refused(TransactionError):
    """The database does not take what a handler wrote; nothing of it was kept.

    A constraint's no is one of SQLAlchemy's `IntegrityError`, too.

    Attributes:
        told: the column and why, without the value; a client may read it.
        column: `table.column`, several with commas, the name of a CHECK, or "" if it is not known.
        status: 409 if the row is at odds with other rows, 422 if it is the value itself.
    """

    code, status = "refused", 422

    def __init__(self, told: str, *, column: str = "", status: int = 422) -> None:
        Exception.__init__(self, told)
        self.told, self.column = told, column
        self.status = status  # type: ignore[misc]  # of the instance, where it is not the class's


class MessageTooLarge(TransactionError):
    """A letter, an answer or a response is over the limit, found before the commit."""

    code = "message_too_large"


class NotCarried(TransactionError):
    """What is sent, answered or recorded would arrive changed; found before anything is written."""

    code = "not_carried"


class TransactionLost(TransactionError):
    """The database ended the transaction by itself (disk full, interrupted); it is run again."""

    code = "transaction_lost"


class CommitUnknown(TransactionLost):
    """A COMMIT was sent and not answered: it may have been kept, or may yet be."""

    code = "commit_unknown"
    effect = "unknown"


class NotDeclared(TransactionError):
    """A service sends what its declaration does not name; the message has the line to add."""

    code = "not_declared"


class SagaError(HoldfastError):
    """A saga cannot go on; it is parked, and nothing is undone."""

    code = "saga"


class SagaChanged(SagaError):
    """The saga's function no longer matches the steps that were recorded under this version."""

    code = "saga_changed"


class SagaTooLong(SagaError):
    """More than 1,000 steps; continue with `saga.restart(input)`."""

    code = "saga_too_long"


class NotSimulated(HoldfastError):
    """Code inside the simulation reached for something that a seed does not decide.

    Handlers are made to survive errors: their callers get a 500, their letters more tries. So a run
    keeps what was refused in it, and ends with it.
    """

    code = "not_simulated"


class BrokenWorkload(HoldfastError):
    """The workload itself raised: nothing that it would find says anything about the system."""

    code = "broken_workload"


class BrokenTraffic(HoldfastError):
    """The traffic of a load raised, offers what cannot be asked, or nothing is answered well."""

    code = "broken_traffic"


class DidNotStart(HoldfastError):
    """A system that was started for its load ended, or was silent; its last words are told."""

    code = "did_not_start"


class Deadlock(HoldfastError):
    """Every task waits, and nothing is left that could wake one."""

    code = "deadlock"


class Livelock(HoldfastError):
    """The run goes on and on without coming to an end."""

    code = "livelock"
