"""Every async test of this folder runs on virtual time, in a world of three services."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from holdfast.consistency.schedule import Schedule
from tests.consistency.world import World
from tests.virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop that these tests use."""
    return {"virtual": VirtualLoop}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return a world that is not started yet; its times are short."""
    schedule = Schedule(saga_timeout_ms=60_000, undo_parks_ms=120_000, retry_cap_ms=5_000)
    made = World(tmp_path, schedule)
    yield made
    await made.end()
    made.patch.undo()
