"""From what became of requests to figures, rows and notes."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from holdfast.contract.tier import Tier
from holdfast.load.result import (
    ALL,
    COLUMNS,
    CapacityRound,
    LevelResult,
    LoadReport,
    capacity_of,
    is_steady,
    level_result,
    missed,
    notes,
    percentile,
    rows,
)
from holdfast.load.table import drawn
from holdfast.load.tally import LoadTally


def tally() -> LoadTally:
    """Return what became of ten requests: critical ones went well, bulk was refused."""
    found = LoadTally()
    for number in range(1, 5):
        found.tiers[Tier.CRITICAL].offered += 1
        found.tiers[Tier.CRITICAL].answered(200, good=True, took_s=number / 1000)
    for status in (429, 503, 503):
        found.tiers[Tier.BULK].offered += 1
        found.tiers[Tier.BULK].answered(status, good=False, took_s=0.002)
    bulk = found.tiers[Tier.BULK]
    bulk.offered += 3
    bulk.answered(500, good=False, took_s=0.1)
    bulk.lost(ConnectionResetError())
    bulk.late += 1
    bulk.unsent += 1
    found.lags_s.extend([0.001] * 10)
    found.bad = "500 oops"
    return found


def level(found: LoadTally, *, settled_s: float | None = 0.0) -> LevelResult:
    """Return the figures of two seconds at 5/s, of a capacity of 4/s."""
    return level_result("5", 5.0, 2.0, found, capacity_per_s=4.0, settled_s=settled_s)


@pytest.mark.parametrize(("settled_s", "goodput"), [(None, 0.5), (0.0, 0.5), (3.0, 0.2)])
def test_what_is_taken_and_not_done_is_no_goodput(settled_s: float | None, goodput: float) -> None:
    """The time until it is quiet counts, as it does for the capacity."""
    found = level(tally(), settled_s=settled_s)

    assert found.whole.goodput == pytest.approx(goodput)
    assert found.whole.good_per_s == 2.0


def report(*levels: LevelResult) -> LoadReport:
    """Return a report of some levels."""
    steady = CapacityRound(32, 8, 0, 2.0, 0.0, is_steady=True)
    return LoadReport("till", "http://a", 2.0, 100, 4.0, (steady,), levels)


def test_each_tier_has_its_figures() -> None:
    """The most important first, all together last; tiers without requests are left out."""
    critical, bulk, whole = level(tally()).tiers

    assert (critical.tier, bulk.tier, whole.tier) == ("critical", "bulk", ALL)
    assert (critical.offered_per_s, critical.good_per_s, critical.goodput) == (2.0, 2.0, 0.5)
    assert (critical.p50_ms, critical.p99_ms, critical.refusal_p50_ms) == (2.0, 4.0, None)
    assert (bulk.refused_429, bulk.refused_503, bulk.late, bulk.unsent) == (1, 2, 1, 1)
    assert (bulk.good_per_s, bulk.p50_ms, bulk.refusal_p50_ms) == (0.0, None, 2.0)
    assert bulk.errors == {"500": 1, "ConnectionResetError": 1}
    assert (whole.offered_per_s, whole.good_per_s, whole.goodput) == (5.0, 2.0, 0.5)
    assert (whole.refused_503, whole.late, whole.errors) == (2, 1, bulk.errors)


def test_a_row_for_all_and_one_for_each_tier() -> None:
    """A level with one tier alone has one row."""
    both = list(rows([level(tally(), settled_s=0.5)]))
    alone = LoadTally()
    alone.tiers[Tier.NORMAL].offered += 1
    alone.lags_s.append(0.0)

    assert [row["tier"] for row in both] == [ALL, "critical", "bulk"]
    assert list(both[0]) == list(COLUMNS)
    assert both[0] == {
        "rate": "5",
        "tier": "all",
        "offered": "5",
        "good": "2",
        "share": "40%",
        "429": 1,
        "503": 2,
        "late": 1,
        "errors": 2,
        "p50": "2",
        "p99": "4",
        "ref50": "2",
        "quiet": "0.5",
    }
    assert [row["quiet"] for row in both[1:]] == [None, None]
    assert [row["tier"] for row in rows([level(alone)])] == [ALL]


def test_a_generator_that_was_behind_has_no_figures() -> None:
    """It is said, and nothing that is expected of them is kept."""
    slow = tally()
    slow.lags_s[9] = 0.06
    found = report(level(slow))

    assert not found.levels[0].kept_up
    assert "behind its own schedule (p99 60 ms): these are no figures" in "".join(notes(found))
    assert list(missed(found, 0.0)) == ["at 5 there are no figures to expect anything of"]


def test_what_else_is_to_be_known_is_noted() -> None:
    """The first error, who had no connection, and a capacity that is none; else nothing."""
    said = list(notes(report(level(tally()))))
    unsteady = replace(report(), rounds=(CapacityRound(32, 8, 0, 2.0, 0.0, is_steady=False),))

    assert said == [
        "at 5 1 requests waited in vain for one of 100 connections: --connections raises their "
        "number",
        "at 5 the first error was: 500 oops",
    ]
    assert "no round of the capacity was steady" in "".join(notes(unsteady))
    assert list(notes(report())) == []


@pytest.mark.parametrize(
    ("per_s", "share", "is_missed"), [(1.0, 1.0, 0), (5, 0.5, 0), (5, 0.51, 1)]
)
def test_what_is_expected_is_a_share_of_what_could_be(
    per_s: float, share: float, is_missed: int
) -> None:
    """Of what is offered up to the capacity, of the capacity above it; here half of it was good."""
    found = report(replace(level(tally()), per_s=per_s))

    assert len(list(missed(found, share))) == is_missed


def test_the_capacity_is_the_best_steady_round_with_what_it_started() -> None:
    """A round that fell off is not believed, however good; the time to settle counts."""
    fast = CapacityRound(32, 1_000, 0, 2.0, 0.0, is_steady=False)
    slow, sure = (CapacityRound(32, n, 0, 2.0, 3.0, is_steady=True) for n in (400, 500))

    assert capacity_of([fast, slow, sure]) == 100.0
    assert capacity_of([fast]) == 500.0
    assert CapacityRound(32, 100, 0, 2.0, None, is_steady=True).per_s == 50.0


@pytest.mark.parametrize(
    ("halves", "steady"),
    [((100, 80), True), ((100, 79), False), ((80, 100), True), ((79, 100), False), ((0, 0), False)],
)
def test_a_round_is_steady_whose_halves_are_alike(halves: tuple[int, int], steady: bool) -> None:
    """Within a fifth."""
    assert is_steady(halves) is steady


def test_percentiles_are_of_the_nearest_rank() -> None:
    """A value that was measured, not one between two."""
    ten = [float(n) for n in range(1, 11)]

    assert [percentile(ten, share) for share in (0.5, 0.9, 0.99, 1.0)] == [5, 9, 10, 10]
    assert percentile([7.0], 0.5) == 7


def test_the_table_of_a_terminal_fits() -> None:
    """Eighty columns, with five digits in each number, and what they are measured in."""
    whole = replace(
        level(tally()).whole,
        offered_per_s=12_345.0,
        good_per_s=1_234.0,
        refused_429=12_345,
        refused_503=12_345,
        late=12_345,
        p99_ms=9_999.0,
        refusal_p50_ms=9_999.0,
    )
    critical = replace(whole, tier="critical")
    out = Console(width=80, file=io.StringIO())

    out.print(drawn([replace(level(tally()), pace="0.8x", tiers=(critical, critical, whole))]))

    assert isinstance(out.file, io.StringIO)
    said = out.file.getvalue()
    assert said.count("12345") == 12 and "critical" in said and "…" not in said
    assert "in ms" in said
