"""Stories told of rows alone: the pure part, with what a running system seldom comes to."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from holdfast.consistency.schedule import id_before
from holdfast.consistency.steps import CANCELLED, StepOutcome
from holdfast.contract.envelope import (
    EdgeRow,
    Kind,
    Lane,
    Letter,
    LetterAnswer,
    MessageRow,
    SagaInput,
    SagaRow,
    State,
    StepRow,
)
from holdfast.errors import Invalid
from holdfast.story import OrderRows, OrderStory, diagram, document, lines, tell, wanted
from tests.runtime.ferry import ferry

NOON = 1_796_040_000_000
SAGA = id_before(NOON)
OUT, OUT_URGENT, OWN, IN, IN_URGENT = 1, 2, 3, 1, 2
DESK = {
    OUT: EdgeRow(OUT, "desk", "harbour", Lane.WORK),
    OUT_URGENT: EdgeRow(OUT_URGENT, "desk", "harbour", Lane.URGENT),
    OWN: EdgeRow(OWN, "desk", "desk", Lane.WORK),
}
HARBOUR = {
    IN: EdgeRow(IN, "desk", "harbour", Lane.WORK),
    IN_URGENT: EdgeRow(IN_URGENT, "desk", "harbour", Lane.URGENT),
}


def at(seconds: float) -> UUID:
    """Return the id of a letter that was made so long after noon."""
    return id_before(NOON + round(seconds * 1000))


def ms(seconds: float) -> int:
    """Return a time after noon."""
    return NOON + round(seconds * 1000)


def saga(state: str = "running", **columns: Any) -> SagaRow:
    """Return the saga of a booking."""
    stored = columns.pop("stored", {})
    body = msgspec.Raw(b'{"who":"ada","door":"open-sesame"}')
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    started = SagaInput(body=body, correlation="corr-1", trace=trace, **stored)
    given = msgspec.json.encode(started)
    return SagaRow(SAGA, "travel", 1, state, given, started_at=NOON, **columns)  # type: ignore[arg-type]  # the test's state


def step(path: str, kind: str, ended_s: float, outcome: StepOutcome) -> StepRow:
    """Return an ended step."""
    return StepRow(SAGA, path, kind, msgspec.json.encode(outcome), ms(ended_s))


def letter(
    seconds: float, type_: str = "Load.v1", kind: Kind = Kind.COMMAND, **columns: Any
) -> MessageRow:
    """Return a letter's row, of the saga's second step."""
    id_ = at(seconds)
    body = msgspec.json.encode(
        Letter(id_, kind, type_, msgspec.Raw(b'{"who":"ada"}'), correlation="corr-1")
    )
    given: dict[str, Any] = {"edge": OUT, "state": State.DUE, "body": body, "tries": 1, **columns}
    return MessageRow(id=id_, kind=kind, **given)


def story(*, desk: list[Any] | None = None, harbour: list[MessageRow] | None = None) -> OrderStory:
    """Tell what is in two databases."""
    held = [OrderRows("desk", DESK), OrderRows("harbour", HARBOUR)]
    for row in desk or []:
        if isinstance(row, SagaRow):
            held[0].sagas[row.id] = row
        elif isinstance(row, StepRow):
            held[0].steps.setdefault(row.saga, []).append(row)
        else:
            held[0].messages[row.edge, row.id] = row
    for row in harbour or []:
        held[1].messages[row.edge, row.id] = row
    return tell(ferry, held, wanted("corr-1", None), typed="ferry")


def told(found: OrderStory) -> list[str]:
    """Return what happened, where and how, in order."""
    return [f"{e.service}{' → ' * bool(e.to)}{e.to}: {e.what}" for e in found.entries]


BERTH = step("1", "call Berth.v1", 1, StepOutcome("reply", msgspec.Raw(b"7"), letter=at(0)))


def test_a_dead_letter_says_why_and_what_to_do() -> None:
    """With each failed try at its time, and the commands for this very letter."""
    errors = (
        "try 1 at 2026-11-30T12:00:02.000+00:00: LookupError: no driver\n    at a.py:3 in load\n"
        "replayed at 2026-11-30T12:00:03.000+00:00\n"
        "try 1 at 2026-11-30T12:00:04.000+00:00: LookupError: still none"
    )
    out = letter(1, owner=SAGA, path="2", due_at=ms(60), expires_at=ms(18_000))
    there = letter(1, state=State.DEAD, tries=8, error=errors)
    found = story(desk=[saga(), BERTH, out], harbour=[there])
    [open_] = found.open

    assert told(found)[3:] == [
        "desk → harbour: step 2, Load.v1 is sent",
        "harbour: step 2, Load.v1 is tried, and fails",
        "harbour: step 2, Load.v1: an operator has it tried again",
        "harbour: step 2, Load.v1 is tried, and fails",
    ]
    assert [entry.detail for entry in found.entries if entry.failed] == [
        "LookupError: no driver at a.py:3 in load",
        "LookupError: still none",
    ]
    assert (open_.what, open_.on, open_.since) == ("step 2, Load.v1", "harbour", ms(1))
    assert open_.why == "dead in harbour after 8 tries; the last error: LookupError: still none"
    assert open_.until == "counts as unanswered at 2026-11-30T17:00:00.000Z"
    assert [advice.command for advice in found.advice] == [
        f"holdfast dead-letters replay ferry {at(1)}",
        f"holdfast dead-letters drop ferry {at(1)}",
        f"holdfast sagas cancel ferry {SAGA}",
    ]


def test_a_parked_saga_says_since_when_and_why() -> None:
    """Since its last step; the error of its function is the reason."""
    error = "RuntimeError: a bug\nat ferry.py:70 in travel"
    found = story(desk=[saga("parked", error=error), BERTH])
    [open_] = found.open

    assert found.state == [f"travel {SAGA} of desk: parked"]
    assert (open_.what, open_.since) == ("saga travel is parked", ms(1))
    assert open_.why == "RuntimeError: a bug at ferry.py:70 in travel"
    assert [advice.command for advice in found.advice] == [
        f"holdfast sagas retry ferry {SAGA}",
        f"holdfast sagas cancel ferry {SAGA}",
    ]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (saga(), ""),
        (SagaRow(SAGA, "gone", 1, "running", b'{"body":1}'), "this code does not know it"),
        (SagaRow(SAGA, "travel", 9, "running", b'{"body":1}'), "it is at version 9"),
    ],
)
def test_a_saga_of_another_version_waits_for_it(row: SagaRow, why: str) -> None:
    """Nobody can retry it here; it says which version it wants."""
    found = story(desk=[row])

    assert [why in one.why for one in found.open] == [True] * bool(why)
    assert found.advice == []


def test_what_is_waited_for_is_named() -> None:
    """A sleep, an event, and a letter that nobody takes."""
    timer = MessageRow(OWN, at(2), State.DUE, Kind.TIMER, ms(90), owner=SAGA, path="3")
    wait = MessageRow(
        *(OWN, at(3), State.DUE, Kind.WAIT, ms(99)), owner=SAGA, path="4", body=b"wait Sailed.v1"
    )
    new = letter(4, owner=SAGA, path="5", due_at=ms(9))
    old = letter(5, owner=SAGA, path="6", due_at=ms(9), tries=3)
    known = LetterAnswer(at(6), "taken", tries=2, error="LookupError: no driver")
    heard = letter(6, owner=SAGA, path="7", due_at=ms(9), answer=msgspec.json.encode(known))
    held = letter(7, owner=SAGA, path="8", state=State.HELD)
    found = story(desk=[saga(), timer, wait, new, old, heard, held])

    assert [(one.what, one.why) for one in found.open] == [
        ("step 3, sleep", "it sleeps"),
        ("step 4, wait Sailed.v1", "the event has not come"),
        ("step 5, Load.v1", "sent 1 time, sent again at 2026-11-30T12:00:09.000Z"),
        (
            "step 6, Load.v1",
            "sent 3 times, sent again at 2026-11-30T12:00:09.000Z; harbour has not taken it",
        ),
        (
            "step 7, Load.v1",
            "sent 1 time, sent again at 2026-11-30T12:00:09.000Z; harbour last said, after 2 "
            "tries: LookupError: no driver",
        ),
        ("step 8, Load.v1", "it timed out, and is kept until its undo is answered"),
    ]
    assert found.open[0].until == "goes on at 2026-11-30T12:01:30.000Z"
    assert "holdfast send ferry Sailed '{…}'" in [advice.command for advice in found.advice]


def test_an_answer_never_stands_before_its_question() -> None:
    """Though the clock of one host is an hour behind, and that of another an hour ahead."""
    error = "try 1 at 2026-11-30T11:00:00.000+00:00: LookupError: no driver"
    there = letter(0, state=State.DONE, body=b"", error=error)
    ended = saga("completed", ended_at=ms(1))
    found = story(desk=[ended, BERTH], harbour=[there])

    assert told(found) == [
        "desk: saga travel starts",
        "desk → harbour: step 1, Berth.v1 is sent",
        "harbour: step 1, Berth.v1 is tried, and fails",
        "harbour → desk: step 1, Berth.v1 is done",
        "desk: saga travel completed",
    ]
    assert found.open == found.advice == []


def test_a_letter_that_ended_while_it_was_read_is_told_once() -> None:
    """Databases are read one after another: its row was there, and then its step was recorded."""
    out = letter(0, "Berth.v1", owner=SAGA, path="1")
    held = letter(1, owner=SAGA, path="2", state=State.HELD)
    late = step("2", "call Load.v1", 3, StepOutcome("unanswered", letter=held.id))
    found = story(desk=[saga(), BERTH, out, held, late])

    assert [line for line in told(found) if "Berth.v1 is sent" in line] == [
        "desk → harbour: step 1, Berth.v1 is sent"
    ]
    assert [one.what for one in found.open] == ["step 2, Load.v1"]


def test_every_way_in_which_a_step_ends_has_words() -> None:
    """Those of the protocol: nothing is told as a success that was none."""
    event = msgspec.Raw(b'{"who":"ada"}')
    ends = [
        step("1", "call Berth.v1", 1, StepOutcome("unanswered", letter=at(0))),
        step("2", "call Load.v1", 2, StepOutcome("unanswered", letter=at(1), effect="none")),
        step("3", "call Load.v1", 3, StepOutcome("unanswered", type=CANCELLED, letter=at(2))),
        step("4", "sleep", 4, StepOutcome("slept")),
        step("5", "wait Sailed.v1", 5, StepOutcome("event", event, "Sailed.v1", at(4))),
        step("6", "wait Sailed.v1", 6, StepOutcome("event")),
        step("7.1", "undo Free.v1", 7, StepOutcome("undone", letter=at(6))),
        step("8", "local confirm", 8, StepOutcome("failure", event, "shop.x:Full")),
    ]
    cancelled = saga("failed", ended_at=ms(9), error="cancelled", stored={"cancelled": ms(2.5)})
    found = story(desk=[cancelled, *ends])
    ends_told = [line for line in told(found) if "is sent" not in line][1:]

    assert ends_told == [
        "desk: step 1, Berth.v1 got no answer in time; whether it was done is unknown",
        "desk: step 2, Load.v1 got no answer in time; it was withdrawn, and has not run",
        "desk: an operator cancels saga travel",
        "desk: step 3, Load.v1 is not waited for any more: the saga was cancelled",
        "desk: step 4, sleep: over",
        "desk: step 5, wait Sailed.v1: Sailed.v1 came",
        "desk: step 6, wait Sailed.v1: none came in time",
        "harbour → desk: step 7.1, undo Free.v1 is done",
        "desk: step 8, local confirm: is refused: Full",
        "desk: saga travel failed",
    ]
    assert sum(entry.failed for entry in found.entries) == 6


def test_secrets_are_not_told() -> None:
    """Neither of a field that is left out of every repr, nor in JSON."""
    found = story(desk=[saga()])
    written = [*lines(found), *diagram(found), str(document(found))]

    assert "open-sesame" not in "".join(written)
    assert any("[redacted]" in line for line in written)


def test_what_cannot_be_read_is_said() -> None:
    """The others are told, and the one that is away is named."""
    held = [OrderRows("desk", DESK, {SAGA: saga()}), OrderRows("harbour", trouble="OSError: gone")]
    found = tell(ferry, held, wanted("corr-1", None), typed="ferry", runs=False)

    assert "What harbour holds; its database cannot be read: OSError: gone" in found.gone
    assert any(sentence.startswith("The request: it had no Idem") for sentence in found.gone)


def test_a_system_that_is_down_is_to_be_started_first() -> None:
    """Where something waits; nothing else goes on."""
    held = [OrderRows("desk", DESK, {SAGA: saga()})]
    row = letter(1, owner=SAGA, path="2")
    held[0].messages[OUT, row.id] = row
    found = tell(ferry, held, wanted("corr-1", None), typed="ferry --data x", runs=False)

    assert found.advice[0].command == "holdfast run ferry --data x"


def test_a_diagram_has_no_text_that_ends_it() -> None:
    """Semicolons, tags and line breaks of an error would be read as Mermaid's own."""
    found = story(desk=[saga("parked", error="Bad: a;b\n<script> #1")])
    drawn = list(diagram(found))

    assert drawn[0] == "sequenceDiagram"
    assert not any("<script>" in line or "a;b" in line for line in drawn)
    assert any("a#59;b #lt;script#gt; #35;1" in line for line in drawn)


@pytest.mark.parametrize("about", ["", "order_id", "=1", "order_id="])
def test_what_is_asked_for_is_a_field_and_its_value(about: str) -> None:
    """What cannot be meant is refused."""
    with pytest.raises(Invalid, match="write it as FIELD=VALUE"):
        wanted(None, about)


def test_either_an_id_or_a_field_is_asked_for() -> None:
    """Not both, and not neither."""
    for asked, about in ((None, None), ("a", "b=c")):
        with pytest.raises(Invalid, match="give an ID, or --about"):
            wanted(asked, about)
