"""Lines about letters and ticks on which nobody works carry the ids of what caused them."""

from uuid import UUID

import pytest

from holdfast.contract.cause import Cause
from holdfast.contract.envelope import Kind, Letter
from holdfast.dispatch.trail import about
from holdfast.observability import Context
from holdfast.observability.span import tick_trace_id, try_id

ID, TRACE, SPAN = UUID(int=7), "1" * 32, "2" * 16


@pytest.mark.parametrize(
    ("cause", "context"),
    [
        (
            Letter(
                id=ID, kind=Kind.COMMAND, type="A", correlation="c", trace=f"00-{TRACE}-{SPAN}-01"
            ),
            Context("c", TRACE, SPAN, True, "back"),
        ),
        (Cause(correlation="c"), Context("c", service="back")),
        (
            Letter(id=ID, kind=Kind.TICK, type="t"),
            Context(tick_trace_id(ID), tick_trace_id(ID), try_id(ID, 1), False, "back"),
        ),
    ],
    ids=["letter", "untraced", "tick"],
)
def test_lines_are_about_what_caused_them(cause: Cause, context: Context) -> None:
    """A letter has the span of its sender; a tick, which nobody sent, that of its first try."""
    assert about(cause, "back") == context
