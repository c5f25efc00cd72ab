"""Logs: one JSON line an event, with the ids of the current context, without secrets.

    logger.info("order.placed", order_id=order.id, lines=3)

An event is a fixed name that can be counted and searched; what varies goes into fields. Fields
are bounded (20 of them, 1,024 characters each, 8 KiB a line) and scrubbed by `redact`.
"""

import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Literal, cast

import msgspec

from holdfast.contract.secret_names import is_secret_name
from holdfast.observability.console import console_line
from holdfast.observability.log_buffer import LogBuffer, LogStats, Stream
from holdfast.observability.redact import (
    CARD_MIN,
    FIELDS_MAX,
    NAME_CHARS_MAX,
    REDACTED,
    bounded,
    bounded_fields,
    describe,
    is_suspicious,
)
from holdfast.observability.trace import Context, current
from holdfast.ports import Clock

Level = Literal["debug", "info", "warning", "error", "critical"]

LINE_BYTES_MAX: Final = 8192

RANKS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_OWN = frozenset(
    ("ts", "level", "event", "service", "correlation_id", "trace_id", "span_id", "on_behalf_of")
)
_REMEMBERED_MAX = 4096
_REMEMBERED_CHARS_MAX = 128
_FRAMES_MAX = 10
_CAUSES_MAX = 5

_encode = msgspec.json.Encoder().encode


class Logger:
    """Writes log lines; may be used from any thread.

    Args:
        stream: takes bytes; `sys.stdout.buffer` in a process.
        service: named in lines outside any context, the process's own.
        level: lines below it cost a comparison.
        form: "auto" is "console" when the stream is a terminal, "json" otherwise.
    """

    def __init__(
        self,
        stream: Stream,
        clock: Clock,
        service: str,
        level: Level = "info",
        *,
        form: Literal["auto", "json", "console"] = "auto",
    ) -> None:
        self._clock = clock
        self._service = service
        self._rank = RANKS[level]
        self._buffer = LogBuffer(stream)
        self._kept: LogBuffer | None = None
        self._names: dict[str, str] = {}
        self._clean: set[str] = set()
        self._requests: dict[tuple[str, str, int], str] = {}
        self._now_ms, self._now_text = -1, ""
        isatty = getattr(stream, "isatty", None)
        at_terminal = isatty is not None and bool(isatty())
        self._people = form == "console" or (form == "auto" and at_terminal)

    def debug(self, event: str, /, **fields: object) -> None:
        """Log what helps in development."""
        if self._rank <= 10:
            self._write("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log that something happened as it should."""
        if self._rank <= 20:
            self._write("info", event, fields)

    def warning(self, event: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
        """Log what was handled, but should be rare; flushed at once, as all levels above."""
        self.log("warning", event, fields, exc=exc)

    def error(self, event: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
        """Log that something failed; `exc` adds its message, causes and frames."""
        self.log("error", event, fields, exc=exc)

    def critical(
        self, event: str, /, *, exc: BaseException | None = None, **fields: object
    ) -> None:
        """Log that a person must act now."""
        self.log("critical", event, fields, exc=exc)

    def log(
        self,
        level: Level,
        event: str,
        fields: Mapping[str, object],
        *,
        exc: BaseException | None = None,
    ) -> None:
        """Log at a level that is only known at run time."""
        rank = RANKS[level]
        if rank < self._rank:
            return
        self._write(level, event, fields if exc is None else _error_fields(exc) | dict(fields))
        if rank >= 30:
            self.flush()

    def request(
        self, context: Context, method: str, route: str, status: int, seconds: float, client: str
    ) -> None:
        """Write the line of one HTTP request; the one line that every request pays for.

        Method, route and status are encoded once for all lines that share them. The rest cannot
        hold anything that must be escaped or hidden: the correlation id was checked at the door,
        and `client` is an address.
        """
        if self._rank > RANKS["info"]:
            return
        if self._people:
            fields = {"method": method, "route": route, "status": status, "client": client}
            self._write("info", "request", {**fields, "ms": seconds * 1000})
            return
        key = (method, route, status)
        known = self._requests.get(key)
        if known is None:
            shared = {"method": method, "route": route, "status": status}
            known = _encode(bounded_fields(shared)).decode()[1:-1]
            if len(self._requests) < _REMEMBERED_MAX:
                self._requests[key] = known
        line = (
            f'{{"ts":"{self._timestamp()}","level":"info","event":"request","service":'
            f'"{context.service}","correlation_id":"{context.correlation_id}","trace_id":'
            f'"{context.trace_id}","span_id":"{context.span_id}",{known},"ms":'
            f'{seconds * 1000:.3f},"client":"{client}"}}\n'
        )
        text = line.encode()
        self._buffer.add(text)
        if self._kept is not None:
            self._kept.add(text)

    def keep(self, stream: Stream) -> None:
        """Write every line from now on to a second stream too, as JSON."""
        self._kept = LogBuffer(stream)

    def audit(self, line: bytes) -> bool:
        """Write a line of the audit log as it is; False where it was dropped."""
        taken = self._buffer.add(line)
        self._buffer.flush()
        return taken

    @property
    def rank(self) -> int:
        """From which level on lines are written, as the standard `logging` counts."""
        return self._rank

    def flush(self) -> None:
        """Write what the stream takes now."""
        self._buffer.flush()
        if self._kept is not None:
            self._kept.flush()

    def close(self) -> None:
        """Write what waits, for a second at most; called once, at the end of the process."""
        self._buffer.close()
        if self._kept is not None:
            self._kept.close()

    def stats(self) -> LogStats:
        """Return what was written and dropped."""
        return self._buffer.stats()

    def _write(self, level: Level, event: str, fields: Mapping[str, object]) -> None:
        context = current.get()
        line: dict[str, object] = {
            "ts": self._timestamp(),
            "level": level,
            "event": event if event in self._clean else self._text(event),
            "service": context.service or self._service,
        }
        if context.correlation_id:
            told = context.correlation_id
            line["correlation_id"] = told if told in self._clean else self._text(told)
        if context.trace_id:
            line["trace_id"] = context.trace_id
            line["span_id"] = context.span_id
        if context.subject:
            told = context.subject
            line["on_behalf_of"] = told if told in self._clean else self._text(told)
        if len(fields) > FIELDS_MAX:
            line["fields_left_out"] = len(fields) - FIELDS_MAX
            fields = dict(islice(fields.items(), FIELDS_MAX))
        clean = self._clean
        for name, value in fields.items():
            known = self._names.get(name)
            if known is None:
                known = self._learn(name)
            if known:
                line[known] = value if type(value) is str and value in clean else self._safe(value)
            else:
                line[_name(name)] = REDACTED
        text = self._encoded(line)
        self._buffer.add(console_line(line) if self._people else text)
        if self._kept is not None:
            self._kept.add(text)

    def _safe(self, value: object) -> object:
        """Do what `bounded` does, without its price for the values that most lines have."""
        if type(value) is str:
            return value if value in self._clean else self._text(value)
        if type(value) is int:
            return value if value < CARD_MIN else bounded(value)
        if type(value) is float:
            return round(value, 6)
        return value if value is None or value is True or value is False else bounded(value)

    def _text(self, text: str) -> object:
        """Return a text, scrubbed and cut; short ones without a secret are remembered."""
        if len(text) > _REMEMBERED_CHARS_MAX:
            return bounded(text)
        if is_suspicious(text):
            return bounded(text)
        if len(self._clean) >= _REMEMBERED_MAX:
            self._clean.clear()
        self._clean.add(text)
        return text

    def _encoded(self, line: dict[str, object]) -> bytes:
        """Return a line as JSON; what does not fit is changed in it."""
        try:
            text = _encode(line)
        except (UnicodeError, OverflowError, ValueError):
            # A lone surrogate, or an integer of more than 64 bits.
            line.update({name: bounded(value) for name, value in line.items()})
            text = _encode(line)
        if len(text) >= LINE_BYTES_MAX:
            line.update({name: v if name in _OWN else _shorter(v) for name, v in line.items()})
            line["line_cut"] = True
            text = _encode(line)
        return text + b"\n"

    def _learn(self, name: str) -> str:
        """Decide once per name what it is called in a line; "" when its values are secret."""
        known = "" if is_secret_name(name) else _name(name)
        if len(self._names) < _REMEMBERED_MAX:
            self._names[name] = known
        return known

    def _timestamp(self) -> str:
        now_ms = int(self._clock.now() * 1000)
        if now_ms != self._now_ms:
            second, ms = divmod(now_ms, 1000)
            moment = datetime.fromtimestamp(second, UTC)
            self._now_ms, self._now_text = now_ms, f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
        return self._now_text


def _name(name: str) -> str:
    """Return a field's name, bounded, and never one of the line's own."""
    return f"{name}_" if name in _OWN else name[:NAME_CHARS_MAX]


def _shorter(value: object) -> object:
    if isinstance(value, str):
        return value[:64]
    return value if isinstance(value, int | float | None) else "[cut]"


def _error_fields(exc: BaseException) -> dict[str, object]:
    """Return class, message, frames (innermost last) and causes; no source text, no variables."""
    frames = traceback.extract_tb(exc.__traceback__, limit=-_FRAMES_MAX)
    fields: dict[str, object] = {
        "error_type": type(exc).__name__,
        "error": describe(exc),
        "error_at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    causes = _causes(exc)
    if causes:
        fields["error_causes"] = causes
    return fields


def _causes(exc: BaseException) -> list[str]:
    """Return the messages of what is behind an error: its causes, a group's members."""
    found: list[str] = []
    behind: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while behind and len(found) <= _CAUSES_MAX:
        one = behind.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        found.append(describe(one))
        if isinstance(one, BaseExceptionGroup):
            members = cast("BaseExceptionGroup[BaseException]", one).exceptions
            behind.extend(members[:_CAUSES_MAX])
        behind.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))
    return found[1:]
