"""Trace context is read strictly and handed on; spans cost nothing unless sampled."""

import pytest

from holdfast.contract.cause import NO_CAUSE, SUBJECT_CHARS_MAX, Cause
from holdfast.observability import Context, Tracer, parse_traceparent
from tests.observability.fakes import SetRandom

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_valid_traceparents_are_read(value: str, sampled: bool) -> None:
    """Unknown flags and later versions are accepted, as the specification asks."""
    assert parse_traceparent(value) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_invalid_traceparents_are_refused(value: str) -> None:
    """Anything else means: no parent."""
    assert parse_traceparent(value) is None


def test_work_continues_the_callers_trace() -> None:
    """A new span under the caller's, sampled as the caller was."""
    tracer = Tracer(SetRandom([0xABC]), ratio=0.0)

    context = tracer.enter(Cause(correlation="c", trace=f"00-{TRACE}-{SPAN}-01"), service="orders")

    assert context == Context("c", TRACE, "0000000000000abc", True, "orders", SPAN)
    assert context.traceparent == f"00-{TRACE}-0000000000000abc-01"


@pytest.mark.parametrize("cause", [NO_CAUSE, Cause(correlation="c")])
def test_a_subject_may_be_so_long(cause: Cause) -> None:
    """To the character; a longer one is left out, and its request goes on."""
    tracer = Tracer(SetRandom([0xABC] * 8), ratio=0.0)
    most = "s" * SUBJECT_CHARS_MAX

    assert tracer.enter_whole(cause, most).subject == most
    assert tracer.enter_whole(cause, most + "s").subject == ""


def test_an_invalid_parent_starts_a_new_trace() -> None:
    """Ids are made by the port; zero, which the specification forbids, becomes one."""
    tracer = Tracer(SetRandom([0]), ratio=1.0)

    context = tracer.enter(Cause(correlation="c", trace="nonsense"), service="orders")

    assert context.traceparent == f"00-{'0' * 31}1-{'0' * 15}1-01"
    assert context.parent_id == ""


@pytest.mark.parametrize(
    ("ratio", "last_bits", "sampled"),
    [
        (0.0, 2**56 - 1, False),
        (1.0, 0, True),
        (0.25, round(0.75 * 2**56), True),
        (0.25, round(0.75 * 2**56) - 1, False),
    ],
)
def test_sampling_reads_the_trace_id(ratio: float, last_bits: int, sampled: bool) -> None:
    """Processes with one ratio agree, because the last 56 bits decide."""
    random = SetRandom([7, (5 << 56) | last_bits])

    context = Tracer(random, ratio=ratio).enter(NO_CAUSE, service="orders")

    assert context.sampled is sampled


def test_a_ratio_outside_zero_to_one_is_refused() -> None:
    """Percent instead of a share is the usual mistake."""
    with pytest.raises(ValueError, match="between 0 and 1, got 50"):
        Tracer(SetRandom(), ratio=50)


def test_no_context_has_no_traceparent() -> None:
    """Outside a trace nothing is handed on."""
    assert Context().traceparent == ""


@pytest.mark.parametrize(
    ("sent", "handed_on"),
    [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")],
)
def test_flags_are_a_bit_field(sent: str, handed_on: str) -> None:
    """Sampled and random go on as they came, from service to service; the others are unknown."""
    tracer = Tracer(SetRandom([0xABC, 0xABD]), ratio=0.0)

    first = tracer.enter(Cause(trace=f"00-{TRACE}-{SPAN}-{sent}"), service="gateway")
    second = tracer.enter(first.cause, service="orders")

    assert first.traceparent[-2:] == second.traceparent[-2:] == handed_on
    assert second.trace_id == TRACE
