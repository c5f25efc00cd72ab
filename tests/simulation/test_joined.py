"""Joined turns on the simulated database; and that the simulator finds mistakes in them."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast.consistency.safeguards import ALL_ON
from holdfast.engines.joined import Apart, JoinedTransaction
from holdfast.simulation.clock import SimClock
from holdfast.simulation.database import SimDatabase
from holdfast.simulation.store import SimStore
from holdfast.storage import Database
from tests.contracts.joined import JoinedContract
from tests.simulation.broken_joins import BROKEN
from tests.simulation.scenarios.joined import SCENARIOS

FIND = 8  # seeds of each scenario, within which a mistake is found


class TestSimulated(JoinedContract):
    """The contract, on a server whose nodes come and go."""

    @pytest.fixture(autouse=True)
    def given_back(self) -> Any:
        """Give the store's connections back."""
        self.store = SimStore("me", SimClock(), random.Random(1))
        yield
        self.store.give_back()

    async def make(self) -> Database:
        """Return the database of a fresh server."""
        return SimDatabase(self.store, None, JoinedTransaction)


@pytest.mark.sim
@pytest.mark.parametrize("join", BROKEN, ids=lambda join: join.__name__)
def test_a_mistake_in_it_is_found(join: Callable[[Apart], JoinedTransaction]) -> None:
    """With the mistake something breaks soon; without it nothing does, see `test_ablations`."""
    for scenario in SCENARIOS:
        assert scenario.setup is not None
        broken = replace(scenario, setup=replace(scenario.setup, join=join), joined=True)
        if any(broken.broken(ALL_ON, range(FIND))):
            return
    pytest.fail(f"nobody notices {join.__name__}")
