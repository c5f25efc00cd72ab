"""The audit log: what is written, what is counted, and what is hidden."""

import asyncio
import io
from dataclasses import dataclass, field

import pytest

from holdfast.observability import Audit, Context, Logger, within
from holdfast.observability.audit import APART_MAX, KINDS_MAX, LOST, OTHERS, REPEATS_S
from holdfast.observability.chain import Deed
from holdfast.testing import virtual_time
from tests.auditing import audit_in, entries_in
from tests.virtual_loop import LoopClock

CARD = "4111 1111 1111 1111"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@dataclass
class Sink:
    """Keeps deeds, or has no room for them."""

    kept: list[Deed] = field(default_factory=list)
    full: bool = False
    closed: bool = False

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self.kept)

    def append(self, deed: Deed, *, durable: bool) -> bool:
        """Take one, if there is room."""
        if not self.full:
            self.kept.append(deed)
        return not self.full

    def close(self) -> None:
        """Remember it."""
        self.closed = True


@virtual_time
async def test_a_flood_of_one_refusal_is_two_entries_a_minute() -> None:
    """The first is written at once, the rest is counted, and told when the minute is over."""
    sink = Sink()
    audit = Audit(sink, LoopClock())

    for _ in range(10_000):
        audit.record("request.refused", who="address 203.0.113.7", outcome="refused: expired")
    at_once = list(sink.kept)
    await asyncio.sleep(REPEATS_S + 1)

    assert [deed.times for deed in at_once] == [1]
    assert [(deed.who, deed.times) for deed in sink.kept[1:]] == [("address 203.0.113.7", 9_999)]


@virtual_time
async def test_what_goes_back_to_a_caller_says_for_whom_it_was() -> None:
    """As data; an authority that is known is not replaced by it."""
    sink = Sink()
    audit = Audit(sink, LoopClock())
    with within(Context("c-1", subject="ada")):
        audit.record("letter.refused", who="service oven")
        audit.record("request.refused", who="caller ada", authority="token of web")
    audit.record("peer.refused", who="a peer")

    assert [deed.authority for deed in sink.kept] == ["for ada, as data", "token of web", ""]


@virtual_time
async def test_a_flood_from_everywhere_is_bounded_and_hides_no_other_kind() -> None:
    """Whoever comes from a thousand addresses fills neither the disk nor the place of others."""
    sink = Sink()
    audit = Audit(sink, LoopClock())

    for n in range(1_000):
        audit.record("request.refused", who=f"address 2001:db8::{n}", outcome="refused")
    audit.record("peer.refused", who="address 10.1.2.3", outcome="refused: no certificate")
    await asyncio.sleep(REPEATS_S + 1)

    assert len(sink.kept) == APART_MAX + 2
    assert sum(deed.times for deed in sink.kept) == 1_001
    assert [deed.who for deed in sink.kept if deed.what == "peer.refused"] == ["address 10.1.2.3"]
    assert [deed.times for deed in sink.kept if deed.who == OTHERS] == [1_000 - APART_MAX]


@virtual_time
async def test_kinds_that_an_app_makes_up_are_bounded_too() -> None:
    """A name for each user would be a kind for each user."""
    sink = Sink()
    audit = Audit(sink, LoopClock())

    for n in range(10 * KINDS_MAX):
        audit.record(f"made.up.{n}", who="app")
    audit.close()

    assert len(sink.kept) <= KINDS_MAX + APART_MAX + 2
    assert sum(deed.times for deed in sink.kept) == 10 * KINDS_MAX
    assert sink.closed


@virtual_time
async def test_what_an_operator_does_is_never_counted_together() -> None:
    """Each time has its entry."""
    sink = Sink()
    audit = Audit(sink, LoopClock())

    for _ in range(3):
        assert audit.require("operator.drop", who="unix user ada", on="id=1")

    assert [(deed.what, deed.times) for deed in sink.kept] == [("operator.drop", 1)] * 3


@virtual_time
async def test_entries_that_were_lost_are_told_by_the_next_one() -> None:
    """A full disk leaves a count, and a required entry says that it is not there."""
    sink = Sink(full=True)
    audit = Audit(sink, LoopClock())

    audit.record("request.refused", who="address 203.0.113.7")
    kept = audit.require("operator.drop", who="unix user ada")
    sink.full = False
    audit.record("peer.refused", who="address 10.1.2.3")

    assert not kept and audit.lost == 2
    assert [(deed.what, deed.times) for deed in sink.kept] == [(LOST, 2), ("peer.refused", 1)]


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"Bearer {JWT}",
        "password=hunter22",
        "postgres://u:hunter22@db/x",
        "4111 1111 1111 1111",
    ],
)
@virtual_time
async def test_no_secret_stands_in_an_entry(text: str) -> None:
    """Wherever it is said, and at the end of a text that is cut."""
    sink = Sink()
    audit = Audit(sink, LoopClock())

    audit.record(text, who=text, authority=text, on=text, outcome="." * 250 + text)
    audit.require(text, who=text, authority=text, on=text, outcome=text)

    said = repr(sink.kept)
    assert not any(secret in said for secret in ("eyJ", "hunter22", "1111"))


@virtual_time
async def test_texts_are_cut() -> None:
    """A client's own words do not make an entry long."""
    log = io.BytesIO()
    clock = LoopClock()
    logger = Logger(log, clock, "tiny")
    audit = audit_in(logger, clock)

    audit.record("x" * 9_000, who="\x00" * 9_000, on="\ud800" * 9_000, outcome="ä" * 9_000)
    logger.close()

    lines = log.getvalue().splitlines()
    assert len(entries_in(lines)) == 2 and max(map(len, lines)) < 5_000


@virtual_time
async def test_an_entry_leads_to_the_lines_of_its_request() -> None:
    """By its correlation id."""
    sink = Sink()
    audit = Audit(sink, LoopClock())

    with within(Context(service="gateway", correlation_id="c-1")):
        audit.record("request.refused", who="address 203.0.113.7")

    assert [deed.correlation for deed in sink.kept] == ["c-1"]
