"""Which spans are exported: sampled ones at once, others if something in their trace went wrong."""

import msgspec
import pytest

from holdfast.observability import spans as module
from holdfast.observability.span import SpanEvent, SpanKind, SpanRecord, SpanSort
from holdfast.observability.spans import (
    CHUNK,
    CROWD_MAX,
    HELD_S,
    HELD_SPANS_MAX,
    KEPT_TRACES_MAX,
    Additions,
    Spans,
)
from tests.observability.fakes import SetClock
from tests.observability.recorded import span_of

SLOW = SpanSort("GET /slow", SpanKind.SERVER, slow_s=0.3)


def spans(queue_max: int = 2_048, full_at: int = 512) -> Spans:
    """Return nobody's spans."""
    return Spans(SetClock(), queue_max=queue_max, full_at=full_at)


def ids(found: list[SpanRecord]) -> list[int]:
    """Return the numbers of spans, in their order."""
    return [int(span.context.span_id, 16) for span in found]


def taken(of: Spans) -> list[int]:
    """Take all that waits; return its numbers."""
    return ids(of.take(1_000_000))


def test_sampled_spans_wait_in_their_order() -> None:
    """What is taken does not wait any more."""
    some = spans()
    for number in (1, 2, 3):
        some.record(span_of(span=number))

    assert ids(some.take(2)) == [1, 2]
    assert (some.stats().recorded, some.stats().queued) == (3, 1)
    assert taken(some) == [3]
    assert some.stats().queued == 0


def test_the_queue_is_bounded_and_what_it_does_not_take_is_counted() -> None:
    """Those that wait already stay: they are the beginning of what went on."""
    some = spans(queue_max=3)
    for number in range(1, 11):
        some.record(span_of(span=number))

    assert (some.stats().queued, some.stats().dropped, some.stats().recorded) == (3, 7, 10)
    assert taken(some) == [1, 2, 3]


def test_whoever_exports_is_told_once_when_a_batch_is_full() -> None:
    """And again for the next one."""
    some, told = spans(full_at=2), list[int]()
    some.on_full = lambda: told.append(some.stats().queued)

    for number in range(1, 5):
        some.record(span_of(span=number))
    assert told == [2]

    taken(some)
    some.record(span_of(span=5))
    some.record(span_of(span=6))
    assert told == [2, 2]


def test_spans_that_are_not_sampled_are_held_back() -> None:
    """Nothing of them leaves."""
    some = spans()
    for number in (1, 2):
        some.record(span_of(span=number, sampled=False))

    assert taken(some) == []
    assert (some.stats().held, some.stats().recorded, some.stats().dropped) == (2, 0, 0)


def test_an_error_brings_the_whole_trace_and_no_other() -> None:
    """What was held of it first, then the error, then what comes after it."""
    some = spans()
    some.record(span_of(1, 1, sampled=False))
    some.record(span_of(2, 2, sampled=False))
    some.record(span_of(1, 3, sampled=False, error="KeyError"))
    some.record(span_of(1, 4, sampled=False))

    assert taken(some) == [1, 3, 4]
    assert some.stats().held == 1


@pytest.mark.parametrize(("took_s", "kept"), [(0.29, []), (0.31, [1, 2])])
def test_a_slow_span_brings_its_trace(took_s: float, kept: list[int]) -> None:
    """Slow is over the objective of its route; a route without one has none that is slow."""
    some = spans()
    some.record(span_of(span=1, sampled=False, begun=0.0, ended=99.0))
    some.record(span_of(span=2, sampled=False, begun=5.0, ended=5.0 + took_s, sort=SLOW))

    assert taken(some) == kept


@pytest.mark.parametrize(
    ("error", "kept"),
    [("404", []), ("400", []), ("500", [1]), ("503", [1]), ("timeout", [1]), ("4xx-like", [1])],
)
def test_a_refusal_brings_no_trace(error: str, kept: list[int]) -> None:
    """That a client met a 4xx is an error of its span, and nobody's trouble."""
    some = spans()
    some.record(span_of(span=1, sampled=False, error=error))

    assert taken(some) == kept


def test_a_trace_is_kept_on_demand() -> None:
    """What is held, and what will come."""
    some = spans()
    some.record(span_of(1, 1, sampled=False))
    some.keep(f"{1:032x}")
    some.record(span_of(1, 2, sampled=False))
    some.record(span_of(2, 3, sampled=False))

    assert taken(some) == [1, 2]
    assert some.stats().held == 1


def test_a_trace_that_is_sampled_later_is_there_from_its_beginning() -> None:
    """An undone saga is sampled from its undo on; what this process held of it comes along."""
    some = spans()
    some.record(span_of(1, 1, sampled=False))
    some.record(span_of(1, 2, sampled=True))
    some.record(span_of(1, 3, sampled=False))

    assert sorted(taken(some)) == [1, 2, 3]
    some.record(span_of(1, 4, sampled=False))
    assert taken(some) == [4]
    assert some.stats().held == 0


def test_the_names_of_kept_traces_are_bounded() -> None:
    """The oldest is forgotten: its later spans are held like those of others."""
    some = spans()
    for number in range(KEPT_TRACES_MAX + 1):
        some.keep(f"{number + 1:032x}")
    some.record(span_of(1, 1, sampled=False))
    some.record(span_of(2, 2, sampled=False))

    assert taken(some) == [2]
    assert some.stats().held == 1


def test_what_is_held_is_bounded_in_number() -> None:
    """The oldest go, a chunk at a time."""
    some = spans(queue_max=3 * HELD_SPANS_MAX)
    for number in range(HELD_SPANS_MAX // 2 + 1):
        some.record(span_of(number + 1, 2 * number + 1, sampled=False))
        some.record(span_of(number + 1, 2 * number + 2, sampled=False))

    stats = some.stats()
    assert HELD_SPANS_MAX - CHUNK < stats.held <= HELD_SPANS_MAX
    assert stats.held + stats.let_go == HELD_SPANS_MAX + 2
    assert stats.let_go == CHUNK
    some.keep(f"{CHUNK // 2:032x}")
    assert taken(some) == []
    some.keep(f"{CHUNK // 2 + 1:032x}")
    assert taken(some) == [CHUNK + 1, CHUNK + 2]


def test_one_trace_does_not_crowd_out_the_others() -> None:
    """Of one that never ends the beginning is held; others that are there meanwhile stay."""
    some = spans()
    for number in range(CROWD_MAX + 5 * CHUNK):
        some.record(span_of(1 if number % CHUNK else number + 2, number + 1, sampled=False))

    stats = some.stats()
    others = [number for number in range(CROWD_MAX + 5 * CHUNK) if not number % CHUNK]
    assert CROWD_MAX <= stats.held - len(others) < CROWD_MAX + CHUNK
    assert stats.held + stats.let_go == CROWD_MAX + 5 * CHUNK
    for number in others:
        some.keep(f"{number + 2:032x}")
    assert taken(some) == [number + 1 for number in others]
    some.keep(f"{1:032x}")
    assert taken(some)[:3] == [2, 3, 4]
    assert some.stats().held == 0


def test_a_trace_has_room_again_after_a_while() -> None:
    """One that lives for days is not left out for ever because it was loud once."""
    some = spans()
    for number in range(2 * CROWD_MAX):
        some.record(span_of(1, number + 1, sampled=False))
    assert some.stats().let_go > 0
    for number in range(CHUNK):
        late = HELD_S + 2.0
        some.record(span_of(1, 9_000 + number, sampled=False, begun=late, ended=late))

    assert (some.stats().held, some.stats().let_go) == (CHUNK, 2 * CROWD_MAX)


def test_what_is_sought_is_bounded() -> None:
    """Where every second trace is sampled, what is held is looked through before it is many."""
    some = spans(queue_max=3 * KEPT_TRACES_MAX)
    some.record(span_of(1, 1, sampled=False))
    for number in range(KEPT_TRACES_MAX + 1):
        some.record(span_of(number + 1, number + 2, sampled=True))

    assert not some._sought
    assert sorted(taken(some))[:2] == [1, 2]


def test_what_is_held_is_bounded_in_time() -> None:
    """All of it that is too old goes, not one chunk for each that comes."""
    some = spans()
    for number in (1, 2, 3):
        some.record(span_of(number, number, sampled=False, begun=0.0, ended=1.0))
        assert some.stats().held == number  # each is a chunk: whoever exports looks so often
    some.record(span_of(4, 4, sampled=False, begun=1.0, ended=1.0 + HELD_S))
    assert (some.stats().held, some.stats().let_go) == (4, 0)

    some.record(span_of(5, 5, sampled=False, begun=1.0, ended=1.1 + HELD_S))

    assert (some.stats().held, some.stats().let_go) == (2, 3)


def test_what_somebody_else_says_goes_with_the_span() -> None:
    """Attributes, events and an error; what the span says of itself comes first."""
    some = spans()
    event = SpanEvent("cache.miss", 1.2, (("key", "a"),))
    some.add(f"{1:016x}", Additions(attributes=(("user.id", "7"),)))
    some.add(f"{1:016x}", Additions(events=(event,), error="error", message="no stock"))
    some.add(f"{9:016x}", Additions(attributes=(("other", "1"),)))
    some.record(span_of(span=1, attributes=(("a", 1),)))
    some.record(span_of(span=1))

    first, second = some.take(2)
    assert first.attributes == (("a", 1), ("user.id", "7"))
    assert (first.events, first.error, first.message) == ((event,), "error", "no stock")
    assert second == span_of(span=1)  # it is said once


def test_the_error_of_the_span_itself_wins() -> None:
    """It knows how it ended."""
    said = Additions(error="error", message="guess").to(span_of(error="KeyError", message="'a'"))

    assert (said.error, said.message) == ("KeyError", "'a'")


def test_what_is_set_twice_is_said_once() -> None:
    """Names of attributes are unique; the last value holds, as OpenTelemetry has it."""
    some = spans()
    for value in (1, 2):
        some.add(f"{1:016x}", Additions(attributes=(("retries", value), ("a", value))))
    some.record(span_of(span=1, attributes=(("a", 0),)))

    (span,) = some.take(1)
    assert span.attributes == (("a", 2), ("retries", 2))


def test_what_somebody_says_can_have_a_trace_kept() -> None:
    """A handler that sets an error on the current span is a handler that met one."""
    some = spans()
    some.add(f"{1:016x}", Additions(error="error"))
    some.record(span_of(span=1, sampled=False))

    assert taken(some) == [1]


def test_what_is_said_is_bounded() -> None:
    """Of one span, and of spans that never end."""
    some = spans()
    for number in range(module._SAID_MAX + 5):
        some.add(f"{1:016x}", Additions(events=(SpanEvent(str(number), 1.0),)))
    some.record(span_of(span=1))
    (span,) = some.take(1)
    assert len(span.events) == module._SAID_MAX

    for number in range(module._SAID_SPANS_MAX + 1):
        some.add(f"{number + 1:016x}", Additions(attributes=(("n", number),)))
    some.record(span_of(span=1))
    some.record(span_of(span=2))
    forgotten, known = some.take(2)
    assert (forgotten.attributes, known.attributes) == ((), (("n", 1),))


def test_a_span_is_as_it_was_handed_in() -> None:
    """Nothing on the way changes it."""
    some = spans()
    span = span_of(attributes=(("a", True),), error="x", message="y")
    some.record(msgspec.structs.replace(span))

    assert some.take(1) == [span]
