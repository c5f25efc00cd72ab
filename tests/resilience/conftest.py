"""Every async test of this folder runs on virtual time."""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.virtual_loop import LoopClock, VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop that these tests use."""
    return {"virtual": VirtualLoop}


@pytest.fixture
def clock() -> LoopClock:
    """Return the clock of the running loop."""
    return LoopClock()


@pytest.fixture
def rng() -> random.Random:
    """Return chance with a fixed seed."""
    return random.Random(7)
