"""Every safeguard is missed: without it the simulator finds a violation; with it, none.

Both on databases where statements are made at once, and where what turns write is joined.

`python -m tests.simulation.ablations` prints the whole table; this keeps it from rotting.
"""

from dataclasses import replace

import pytest

from holdfast.consistency.safeguards import ALL_ON
from tests.ablations.off import SAFEGUARDS, off
from tests.simulation.ablations import AIMED, scenarios, scenarios_for
from tests.simulation.scenario import Scenario

pytestmark = pytest.mark.sim

SEEDS = 12  # of each scenario, with everything on
FIND = 200  # seeds within which one must be found, for a test's patience


CARRIED = {"sticky_errors", "window"}
"""What databases that join turns carry: after a failed statement they take no other, and letters of
a batch are one parcel, so that the scenario's river is no flood."""

MISSED = [(s, joined) for s in AIMED for joined in (False, True) if not (joined and s in CARRIED)]


@pytest.mark.parametrize(("safeguard", "joined"), MISSED)
def test_without_it_something_breaks(safeguard: str, joined: bool) -> None:
    """Some seed of a scenario that aims at it violates something."""
    for scenario in scenarios_for(safeguard):
        scenario = replace(scenario, joined=joined)
        with off(safeguard) as safe:
            if any(scenario.broken(safe, range(FIND))):
                return
    pytest.fail(f"nothing misses {safeguard}")


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.system.name)
def test_with_it_nothing_breaks(scenario: Scenario, joined: bool) -> None:
    """Every scenario holds with everything on."""
    scenario = replace(scenario, joined=joined)
    broken = [(seed, o.violations) for seed, o in scenario.broken(ALL_ON, range(SEEDS))]
    assert broken == []


def test_every_safeguard_is_accounted_for() -> None:
    """A new one needs a scenario that misses it."""
    assert set(AIMED) == set(SAFEGUARDS)
