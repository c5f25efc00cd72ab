"""Every safeguard is missed: without it the simulator finds a violation; with it, none.

`python -m tests.simulation.ablations` prints the whole table; this keeps it from rotting.
"""

from dataclasses import fields

import pytest

from holdfast.consistency.safeguards import ALL_ON, Safeguards
from tests.simulation.ablations import AIMED, scenarios, scenarios_for
from tests.simulation.scenario import Scenario

pytestmark = pytest.mark.sim

SEEDS = 12  # of each scenario, with everything on
FIND = 200  # seeds within which one must be found, for a test's patience


@pytest.mark.parametrize("safeguard", AIMED)
def test_without_it_something_breaks(safeguard: str) -> None:
    """Some seed of a scenario that aims at it violates something."""
    for scenario in scenarios_for(safeguard):
        for _, outcome in scenario.broken(ALL_ON.without(safeguard), range(FIND)):
            assert outcome.violations
            return
    pytest.fail(f"nothing misses {safeguard}")


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.system.name)
def test_with_it_nothing_breaks(scenario: Scenario) -> None:
    """Every scenario holds with everything on."""
    broken = [(seed, o.violations) for seed, o in scenario.broken(ALL_ON, range(SEEDS))]
    assert broken == []


def test_every_safeguard_is_accounted_for() -> None:
    """A new one needs a scenario that misses it."""
    assert set(AIMED) == {field.name for field in fields(Safeguards)}
