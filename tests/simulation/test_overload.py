"""A simulated process that is asked for more than it can do, through the entrance of a real one.

The benchmark `overload` asks a real one for the same.
"""

import pytest

from benchmarks.ours.simulated_till import DEADLINE_S, MIXED, NORMAL, WORK_S, run
from holdfast.contract.http import Request
from holdfast.contract.tier import Tier
from holdfast.dispatch.entrance import Entrance


@pytest.mark.parametrize(("load", "least"), [(0.8, 0.78), (2.0, 0.95), (5.0, 0.95)])
def test_what_can_be_done_is_done_in_time(load: float, least: float) -> None:
    """And what cannot be is refused at once."""
    seen = run(load, NORMAL)

    assert seen.good.total() * WORK_S / 6.0 >= least
    assert seen.took_s[int(len(seen.took_s) * 0.99)] <= 0.3 * DEADLINE_S
    if load < 1:
        assert not seen.refused


def test_the_least_important_is_refused_first() -> None:
    """At five times the load everything that is critical is served, and nothing that is bulk."""
    seen = run(5.0, MIXED)

    assert seen.good[Tier.CRITICAL] == seen.came[Tier.CRITICAL] > 0
    assert seen.good[Tier.NORMAL] > 0
    assert seen.refused[Tier.BULK] >= 0.95 * seen.came[Tier.BULK]


def test_without_limits_that_fall_it_is_done_too_late() -> None:
    """So the first one can fail."""
    seen = run(2.0, NORMAL, 6.0, wait_s=1e6)

    assert seen.good.total() * WORK_S / 4.0 < 0.3


@pytest.mark.parametrize("load", [2.0, 5.0])
def test_a_flood_that_comes_at_once_is_soon_over(load: float) -> None:
    """Before it knows how many it can serve it lets too many in, and does not serve those late."""
    seen = run(load, MIXED, 6.0, warm_s=0.0)

    assert seen.good.total() * WORK_S / seen.seconds >= 0.95
    assert seen.took_s[int(len(seen.took_s) * 0.99)] <= 0.4 * DEADLINE_S
    assert seen.good[Tier.CRITICAL] == seen.came[Tier.CRITICAL]


def test_if_late_turns_are_taken_all_the_same_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the one above can fail."""

    def takes_all(gate: Entrance, request: Request) -> None:
        now = gate._monotonic()
        gate._room.waited(now - request.received_at, now)

    monkeypatch.setattr(Entrance, "begin", takes_all)

    seen = run(2.0, MIXED, 6.0, warm_s=0.0)

    assert seen.took_s[int(len(seen.took_s) * 0.99)] > 0.5 * DEADLINE_S
