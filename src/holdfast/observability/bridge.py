"""The bridge: what users and libraries give to the standard `logging` becomes lines of our log.

Such a line has the ids of the code that called, and no secrets. Its event is the name of the
standard logger, the text is the field `message`, and what came as `extra` are fields. structlog
comes the same way if it ends in `structlog.stdlib.LoggerFactory()`: rendered to text, by
`render_to_log_kwargs`, or as the dict that `ProcessorFormatter.wrap_for_formatter` hands over.
"""

import logging
from collections.abc import Container, Generator, Mapping
from contextlib import contextmanager
from typing import cast

from holdfast.contract.secret_names import is_secret_name
from holdfast.observability.logs import RANKS, Level, Logger
from holdfast.observability.redact import REDACTED

_OF_RECORDS = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
_BENEATH = ("alembic", "asyncio", "asyncpg", "nats", "opentelemetry", "redis", "sqlalchemy")
"""Libraries that Holdfast stands on: what they do is told by its own lines."""
_OF_STRUCTLOG = frozenset(("level", "logger", "timestamp", "exc_info"))  # the line has its own


class Bridge(logging.Handler):
    """Hands the records of the standard `logging` to a Logger."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        exc = record.exc_info[1] if record.exc_info else None
        self._logger.log(_level_of(record.levelno), record.name, _fields_of(record), exc=exc)


@contextmanager
def bridged(logger: Logger) -> Generator[None]:
    """Let the standard `logging` write to a Logger in this block.

    The root logger, if it has Python's own level of WARNING, gets that of the Logger; the libraries
    that Holdfast stands on go on with their warnings alone, if nobody has given them a level.
    """
    root, handler = logging.getLogger(), Bridge(logger)
    level = root.level
    beneath = [one for one in map(logging.getLogger, _BENEATH) if one.level == logging.NOTSET]
    root.addHandler(handler)
    if level == logging.WARNING:
        root.setLevel(logger.rank)
        for library in beneath:
            library.setLevel(max(logging.WARNING, logger.rank))
    try:
        yield
    finally:
        root.setLevel(level)
        for library in beneath:
            library.setLevel(logging.NOTSET)
        root.removeHandler(handler)


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the text of a record, then what came with it."""
    fields = _without(_OF_RECORDS, vars(record))
    said: object = record.msg
    if isinstance(said, dict):  # structlog's, not rendered
        fields |= _without(_OF_STRUCTLOG, cast("dict[str, object]", said))
        return {"message": fields.pop("event", ""), **fields}
    return {"message": _text_of(record), **fields}


def _without(names: Container[str], given: Mapping[str, object]) -> dict[str, object]:
    return {n: v for n, v in given.items() if n not in names and not n.startswith("_")}


def _text_of(record: logging.LogRecord) -> str:
    """Return a record's text; where its arguments do not fit it, the text without them."""
    args = record.args
    if isinstance(args, Mapping):
        args = {n: REDACTED if is_secret_name(n) else value for n, value in args.items()}
    try:
        return str(record.msg) % args if args else str(record.msg)
    except Exception:  # the caller's mistake must not break what it reports about
        return str(record.msg)


def _level_of(number: int) -> Level:
    found: Level = "debug"
    for level, rank in RANKS.items():
        found = level if rank <= number else found
    return found
