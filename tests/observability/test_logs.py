"""A log line is one JSON object with the ids of its context, bounded and without secrets."""

import asyncio
import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from holdfast.observability import Context, Logger, current, within
from holdfast.observability.bridge import Bridge, bridged
from holdfast.observability.log_buffer import LogBuffer
from tests.observability.fakes import SetClock
from tests.virtual_loop import run_virtual

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


class Log:
    """A logger in memory, and what it wrote."""

    def __init__(self, **options: Any) -> None:
        self.stream = io.BytesIO()
        self.clock = SetClock(1_790_000_000.1239)
        self.logger = Logger(self.stream, self.clock, "orders", **options)

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines so far."""
        self.logger.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Log:
    """A logger at level info."""
    return Log()


def test_a_line_has_the_fixed_fields(log: Log) -> None:
    """Time in UTC with milliseconds, level, event, service, then what the caller adds."""
    log.logger.info("order.placed", lines=3, owner="alice", express=False, note=None)

    assert log.lines() == [
        {
            "ts": "2026-09-21T14:13:20.123Z",
            "level": "info",
            "event": "order.placed",
            "service": "orders",
            "lines": 3,
            "owner": "alice",
            "express": False,
            "note": None,
        }
    ]
    assert list(log.lines()[0])[:4] == ["ts", "level", "event", "service"]


def test_time_goes_on(log: Log) -> None:
    """Each line has its own time, also before 1970's first second is over."""
    log.clock.now_s = 0.5
    log.logger.info("a")
    log.clock.now_s = 0.501
    log.logger.info("b")

    assert [line["ts"] for line in log.lines()] == [
        "1970-01-01T00:00:00.500Z",
        "1970-01-01T00:00:00.501Z",
    ]


async def test_the_context_is_in_every_line(log: Log) -> None:
    """Ids come from the context; its service wins over the process's."""
    current.set(Context("c-1", "a" * 32, "b" * 16, False, "payments"))

    log.logger.info("charged")

    line = log.lines()[0]
    assert (line["correlation_id"], line["trace_id"], line["span_id"]) == (
        "c-1",
        "a" * 32,
        "b" * 16,
    )
    assert line["service"] == "payments"


def test_a_line_says_for_whom_the_work_is(log: Log) -> None:
    """A secret in its place is hidden, and no field of a handler passes for it."""
    for subject in ("ada", JWT, ""):
        with within(Context("c-1", subject=subject)):
            log.logger.info("baked", on_behalf_of="eve")

    said = [line.get("on_behalf_of") for line in log.lines()]
    assert said[0] == "ada"
    assert JWT not in str(said[1])
    assert said[2] is None
    assert [line["on_behalf_of_"] for line in log.lines()] == ["eve"] * 3


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_lines_below_the_level_are_not_written(level: Any) -> None:
    """The level itself and all above it are."""
    log = Log(level=level)
    names = ["debug", "info", "warning", "error", "critical"]

    for name in names:
        getattr(log.logger, name)("event")

    assert [line["level"] for line in log.lines()] == names[names.index(level) :]


def test_secrets_are_not_written(log: Log) -> None:
    """By name, by shape, in the event, in the correlation id, in nested values and in errors."""
    token = current.set(Context(correlation_id=f"Bearer {JWT}"))
    try:
        raise RuntimeError(f"refused {JWT}") from ValueError("password=hunter2")
    except RuntimeError as error:
        log.logger.error(
            f"bad {JWT}",
            exc=error,
            password="hunter2",
            text=f"sent {JWT}",
            number=4111111111111111,
            nested={"api_key": "hunter2", "list": [JWT]},
        )
    finally:
        current.reset(token)

    text = log.stream.getvalue().decode()
    assert "eyJ" not in text
    assert "hunter2" not in text
    assert "4111" not in text
    line = log.lines()[0]
    assert line["password"] == "[redacted]"
    assert line["error_type"] == "RuntimeError"
    assert line["error_causes"] == ["ValueError: password=[redacted]"]


def test_the_same_secret_is_removed_every_time(log: Log) -> None:
    """What is remembered about clean texts never covers a secret one."""
    for _ in range(3):
        log.logger.info("x", text="password=hunter2", token="abc")

    assert b"hunter2" not in log.stream.getvalue()
    assert [line["token"] for line in log.lines()] == ["[redacted]"] * 3


def test_an_error_tells_where_it_was(log: Log) -> None:
    """Frames name file, line and function; a group's members are among the causes."""
    try:
        raise ExceptionGroup("two", [KeyError("a"), OSError("b")])
    except ExceptionGroup as error:
        log.logger.error("failed", exc=error)

    line = log.lines()[0]
    assert "test_an_error_tells_where_it_was" in line["error_at"][-1]
    assert line["error_causes"] == ["KeyError: 'a'", "OSError: b"]


class Order(BaseModel):
    """For the next test."""

    address: str


def test_models_and_bodies_are_not_dumped(log: Log) -> None:
    """A model is its type, a body its size."""
    log.logger.info("got", order=Order(address="Elm Street"), body=b"x" * 10_000)

    line = log.lines()[0]
    assert (line["order"], line["body"]) == ("<Order>", "<bytes, 10000 bytes>")


def test_fields_are_bounded(log: Log) -> None:
    """At most twenty, each cut at 1,024 characters; what was left out is counted."""
    log.logger.info("big", text="a" * 5000, **{f"f{n}": n for n in range(30)})

    line = log.lines()[0]
    assert line["text"] == "a" * 1024 + "…[cut]"
    assert line["fields_left_out"] == 11
    assert "f18" in line
    assert "f19" not in line


def test_a_line_is_at_most_eight_kib(log: Log) -> None:
    """Every field is cut further when all together are too long."""
    log.logger.info("big", **{f"f{n}": "ü" * 1000 for n in range(20)}, lists=[["x"] * 16] * 16)

    line = log.lines()[0]
    assert len(log.stream.getvalue()) <= 8192
    assert line["line_cut"] is True
    assert line["event"] == "big"


def test_a_field_cannot_pose_as_the_lines_own(log: Log) -> None:
    """Names of the fixed fields get an underscore."""
    log.logger.info("real", event="forged", ts="forged", level="forged")

    line = log.lines()[0]
    assert (line["event"], line["event_"], line["ts_"], line["level_"]) == (
        ("real",) + ("forged",) * 3
    )
    assert line["level"] == "info"


@pytest.mark.parametrize(
    "value", ["\ud800", 2**80, -(2**70), float("nan"), float("inf"), {1: {2: {3: 4}}}, object(), 1j]
)
def test_no_value_breaks_a_line(log: Log, value: object) -> None:
    """Whatever is logged, one line of JSON comes out."""
    log.logger.info("odd", value=value)

    assert log.lines()[0]["event"] == "odd"


def test_the_standard_logging_comes_out_the_same(log: Log) -> None:
    """A library's record becomes a line, cleaned; a record that cannot be formatted too."""
    library = logging.Logger("library.pool")
    library.addHandler(Bridge(log.logger))

    library.warning("connect to %s failed", "postgres://a:hunter2@db")
    library.error("%d rows", "many")
    try:
        raise KeyError("token=abc")
    except KeyError:
        library.exception("failed")

    first, second, third = log.lines()
    assert first["event"] == "library.pool"
    assert first["level"] == "warning"
    assert first["message"] == "connect to postgres://[redacted]@db failed"
    assert second["message"] == "%d rows"
    assert third["error"] == "KeyError: 'token=[redacted]'"


def test_fields_of_the_standard_logging_are_fields(log: Log) -> None:
    """What comes as `extra`, or from structlog as a dict; secrets go by their names there too."""
    library = logging.Logger("mine")
    library.addHandler(Bridge(log.logger))
    structured = {"event": "charged", "level": "info", "order_id": 7, "password": "hunter2"}

    library.warning("charged", extra={"order_id": 7, "password": "hunter2", "service": "x"})
    library.warning(structured, extra={"_logger": library, "_name": "warning"})
    library.warning("as %(who)s with %(password)s", {"who": "ada", "password": "hunter2"})

    extra, told, mapped = log.lines()
    assert (extra["message"], extra["order_id"], extra["service_"]) == ("charged", 7, "x")
    assert (told["event"], told["message"], told["order_id"]) == ("mine", "charged", 7)
    assert told.keys() == extra.keys() - {"service_"}
    assert mapped["message"] == "as ada with [redacted]"
    assert b"hunter2" not in log.stream.getvalue()


@pytest.mark.parametrize(
    ("before", "within"), [(logging.WARNING, logging.INFO), (logging.ERROR, logging.ERROR)]
)
def test_the_level_of_our_log_is_that_of_the_standard_logging(
    log: Log, monkeypatch: pytest.MonkeyPatch, before: int, within: int
) -> None:
    """Unless somebody has chosen another one than Python's; afterwards all is as it was."""
    root = logging.RootLogger(before)
    loggers = logging.Manager(root)
    loggers.disable = logging.NOTSET

    def get(name: str = "") -> logging.Logger:
        return loggers.getLogger(name) if name else root

    monkeypatch.setattr(logging, "getLogger", get)

    with bridged(log.logger):
        inside = root.level
        root.error("a")
        get("alembic.runtime").info("what Holdfast stands on is told by its own lines")
        get("alembic.runtime").error("c")

    root.error("b")
    assert (inside, root.level, root.handlers) == (within, before, [])
    assert get("alembic").level == logging.NOTSET
    assert [line["message"] for line in log.lines()] == ["a", "c"]


def test_people_get_a_readable_line() -> None:
    """The console form has the same fields, and no control character of a hostile value."""
    log = Log(form="console")

    log.logger.info("order.placed", owner="alice", text="two words\x1b[2J\u202e", token="abc")

    log.logger.flush()
    text = log.stream.getvalue().decode()
    assert text.startswith("14:13:20.123 \x1b[32minfo    \x1b[0m orders")
    assert 'owner=alice text="two words\\u001b[2J\\u202e" token=[redacted]' in text
    assert text.count("\n") == 1


class Terminal(io.BytesIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_terminal_gets_the_console_form() -> None:
    """Unless JSON was asked for."""
    terminal, forced = Terminal(), Terminal()

    Logger(terminal, SetClock(), "orders").warning("a")
    Logger(forced, SetClock(), "orders", form="json").warning("a")

    assert b"\x1b[33mwarning" in terminal.getvalue()
    assert json.loads(forced.getvalue())["level"] == "warning"


def test_lines_are_written_soon() -> None:
    """Info waits for the timer, and the timer runs once per batch of lines."""

    async def main() -> list[int]:
        log = Log()
        found: list[int] = []
        for _ in range(2):
            log.logger.info("a")
            log.logger.info("b")
            found.append(log.stream.getvalue().count(b"\n"))
            await asyncio.sleep(0.25)
            found.append(log.stream.getvalue().count(b"\n"))
        return found

    assert run_virtual(main()) == [0, 2, 2, 4]


async def test_warnings_are_written_at_once() -> None:
    """With everything that came before them, in order."""
    log = Log()

    log.logger.info("a")
    log.logger.warning("b")

    assert [json.loads(line)["event"] for line in log.stream.getvalue().splitlines()] == ["a", "b"]
    log.logger.close()


def test_a_logger_outlives_its_loop() -> None:
    """A timer of a loop that was closed does not stop later lines."""
    log = Log()

    async def main(event: str) -> None:
        log.logger.info(event)

    run_virtual(main("a"))
    run_virtual(main("b"))
    log.logger.close()

    assert [line["event"] for line in log.lines()] == ["a", "b"]


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.FileIO]]:
    """A pipe: (read end, stream of the write end)."""
    reading, writing = os.pipe()
    stream = io.FileIO(writing, "wb")
    yield reading, stream
    stream.close()
    os.close(reading)


async def test_a_reader_that_stands_still_costs_lines_not_time(pipe: tuple[int, io.FileIO]) -> None:
    """The pipe fills, then the buffer, then lines are dropped and counted; nothing waits."""
    reading, stream = pipe
    buffer = LogBuffer(stream, bytes_max=10_000)

    for _ in range(200):
        buffer.add(b"x" * 999 + b"\n")
        buffer.flush()

    stats = buffer.stats()
    assert stats.lines == 200
    assert stats.dropped > 0
    assert 9_000 <= stats.waiting_bytes <= 10_000
    got = b""
    while got.count(b"\n") < stats.lines - stats.dropped:
        got += os.read(reading, 65536)
        buffer.flush()
    assert set(got.splitlines()) == {b"x" * 999}
    buffer.close()


async def test_closing_has_an_end(
    pipe: tuple[int, io.FileIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that never reads is waited for a bounded time; what it missed is counted."""
    monkeypatch.setattr("holdfast.observability.log_buffer._STALL_MS", 1)
    buffer = LogBuffer(pipe[1], bytes_max=1_000_000)
    for _ in range(500):
        buffer.add(b"x" * 999 + b"\n")

    buffer.close()

    assert buffer.stats().waiting_bytes == 0
    assert buffer.stats().dropped > 400


async def test_a_reader_that_went_away_is_survived() -> None:
    """A broken pipe loses lines, and says how many."""
    reading, writing = os.pipe()
    stream = io.FileIO(writing, "wb")
    log = Logger(stream, SetClock(), "orders")
    os.close(reading)

    log.error("a")
    log.error("b")

    assert log.stats().dropped == 2
    log.close()
    stream.close()


async def test_threads_may_log() -> None:
    """Lines of many threads come out whole, and none is lost."""
    log = Log()

    def work() -> None:
        for n in range(200):
            log.logger.info("x", n=n)

    threads = [threading.Thread(target=work) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)

    assert sorted(line["n"] for line in log.lines()) == sorted([*range(200)] * 4)
    log.logger.close()
