"""Every async test of this folder runs on virtual time."""

import asyncio
from collections.abc import Callable

from tests.virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop that these tests use."""
    return {"virtual": VirtualLoop}
