"""Burn rates are those of the table that everybody uses, and budgets are exact."""

from decimal import Decimal

from holdfast.delivery.burn import BURNS, budget_of, plain
from holdfast.delivery.burn_tests import Play, few, play


def test_the_table() -> None:
    """As in The Site Reliability Workbook, table 5-8, with the row of a day besides."""
    rows = [(b.severity, b.long, b.short, plain(b.factor)) for b in BURNS]

    assert rows == [
        ("page", "1h", "5m", "14.4"),
        ("page", "6h", "30m", "6"),
        ("ticket", "1d", "2h", "3"),
        ("ticket", "3d", "6h", "1"),
    ]


def test_a_factor_spends_its_share_of_the_budget_in_the_long_window() -> None:
    """At a steady rate, of a promise of 30 days."""
    for burn in BURNS:
        assert burn.factor * burn.long_h == burn.budget * 720


def test_budgets_and_numbers_are_exact() -> None:
    """1 - 0.999 is 0.0010000000000000009 in floats, which nobody wants to read."""
    assert [plain(budget_of(share)) for share in (0.999, 0.99, 0.94, 0.99999)] == [
        *("0.001", "0.01", "0.06", "0.00001")
    ]
    assert plain(Decimal("100")) == "100"


def test_every_play_is_clear_about_every_row() -> None:
    """For whatever may be promised: just over the row fires, and just below it does not."""
    for thousandths in (1, 2, 5, 10, 20, 35, 50, 60):
        budget = Decimal(thousandths) / 1000
        for burn in BURNS:
            over, below = (play(burn, budget, over=which) for which in (True, False))
            assert [over.fires(burn), below.fires(burn)] == [True, False]
            assert None not in [each.fires(row) for each in (over, below) for row in BURNS]
            assert over.ratio <= 1
            assert {few(burn, budget, 4).fires(row) for row in BURNS} == {False}
            assert few(burn, budget, 6).fires(burn)


def test_a_play_as_counters() -> None:
    """All goes well, then not, then again; each counter goes on where it was."""
    made = Play(BURNS[0], Decimal("0.01"), 20, 0.25, 8, good_after=2)

    every, good, bad = made.good_and_bad()

    assert every == "0.0+8.0x220 1768.0+8.0x19 1928.0+8.0x1"
    assert good == "0.0+8.0x220 1766.0+6.0x19 1888.0+8.0x1"
    assert bad == "0.0+0.0x220 2.0+2.0x19 40.0+0.0x1"
