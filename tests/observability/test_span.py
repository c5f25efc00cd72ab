"""A span as a value: what an error leaves in it, and ids that every process knows."""

import asyncio
import subprocess
import sys
from typing import ClassVar
from uuid import UUID

import pytest

from holdfast import Failure
from holdfast.errors import Unreachable
from holdfast.observability import semconv
from holdfast.observability.span import (
    SpanLink,
    error_type,
    exception_event,
    link_to,
    tick_trace_id,
    try_id,
)
from tests.observability.recorded import span_of

LETTER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"


class OutOfStock(Failure):
    """A declared refusal."""

    left: int = 0


class Coded(Exception):
    """One of somebody else's with a code that is no text."""

    code: ClassVar[int] = 42


def raised(error: BaseException) -> BaseException:
    """Return an error as it is once it was raised, by a line with a secret in a variable."""
    password = "hunter2-" + "x" * 3  # what must not be seen
    try:
        if password:
            raise error
    except BaseException as exc:
        return exc


def test_a_failure_is_no_error() -> None:
    """It is named, and nothing else of the span changes."""
    span = span_of(attributes=(("a", 1),)).failed(OutOfStock(left=2))

    assert span == span_of(attributes=(("a", 1), ("holdfast.failure", OutOfStock().name)))
    assert not span.is_wanted


def test_an_exception_is_recorded_where_it_ended_the_span() -> None:
    """With its type, what it says, and the frames that it passed."""
    span = span_of(ended=7.5).failed(raised(ValueError("no such shelf")))

    assert (span.error, span.message) == ("ValueError", "ValueError: no such shelf")
    assert span.is_wanted
    (event,) = span.events
    said = dict(event.attributes)
    assert (event.name, event.at) == (semconv.EXCEPTION, 7.5)
    assert said[semconv.EXCEPTION_TYPE] == "builtins.ValueError"
    assert said[semconv.EXCEPTION_MESSAGE] == "ValueError: no such shelf"
    assert "in raised" in str(said[semconv.EXCEPTION_STACKTRACE])


def test_secrets_in_an_exception_are_redacted() -> None:
    """In the message of the span and in that of the event; values of variables are not shown."""
    span = span_of().failed(raised(ValueError(f"refused: Bearer {TOKEN}, password=hunter2")))

    shown = repr(span)
    assert "[redacted]" in span.message
    assert TOKEN not in shown
    assert "hunter2-xxx" not in shown
    assert "password=hunter2" not in shown


def test_what_was_chained_is_not_told() -> None:
    """The cause of an error may hold anything; its frames are its own alone."""
    error = ValueError("outer")
    error.__cause__ = raised(KeyError("inner-secret"))

    assert "inner-secret" not in repr(exception_event(raised(error), 1.0))


def test_frames_are_bounded() -> None:
    """Of a deep recursion, the innermost are shown."""

    def dig(depth: int) -> None:
        if depth == 0:
            raise ValueError("deep")
        dig(depth - 1)

    with pytest.raises(ValueError, match="deep") as caught:
        dig(200)
    text = str(dict(exception_event(caught.value, 1.0).attributes)[semconv.EXCEPTION_STACKTRACE])

    assert text.count('File "') <= 20
    assert 'raise ValueError("deep")' in text


@pytest.mark.parametrize("error", [asyncio.CancelledError(), TimeoutError(), KeyboardInterrupt()])
def test_what_was_cancelled_is_an_error(error: BaseException) -> None:
    """OpenTelemetry's SDK leaves such a span without a status, as if it had gone well."""
    span = span_of().failed(raised(error))

    assert span.error == type(error).__name__
    assert span.is_wanted
    assert len(span.events) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Unreachable("a"), "unreachable"), (Coded(), "Coded"), (KeyError("a"), "KeyError")],
)
def test_the_type_of_an_error_has_few_values(error: Exception, kind: str) -> None:
    """The code of one of ours, the class of another's; never what it says."""
    assert error_type(error) == kind


def test_ids_of_tries_are_the_same_in_every_process() -> None:
    """They are of the letter and the number alone: written down here, and made in another one."""
    code = (
        "from uuid import UUID\n"
        "from holdfast.observability.span import tick_trace_id, try_id\n"
        f"print(try_id(UUID('{LETTER}'), 2), tick_trace_id(UUID('{LETTER}')))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert there == [try_id(LETTER, 2), tick_trace_id(LETTER)]
    assert there == ["c221c4df42fc4c23", "b1b87cd2f5cb2d86033365f5376e79c8"]


def test_ids_of_tries_differ() -> None:
    """Between tries, between letters; and they are ids as W3C wants them."""
    other = UUID(int=LETTER.int + 1)
    found = {try_id(letter, number) for letter in (LETTER, other) for number in range(1, 51)}

    assert len(found) == 100
    assert {len(each) for each in found} == {16}
    assert len(tick_trace_id(LETTER)) == 32
    assert tick_trace_id(LETTER) != tick_trace_id(other)


def test_a_link_is_read_from_a_traceparent() -> None:
    """What is none links nothing."""
    assert link_to(f"00-{'1' * 32}-{'2' * 16}-00") == (SpanLink("1" * 32, "2" * 16),)
    assert link_to("") == link_to("nonsense") == ()
