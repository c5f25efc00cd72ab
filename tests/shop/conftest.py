"""A card processor on the loopback device, and a client that can give up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.testing import Client
from shop.processor.api import Processor
from shop.processor.http import Request, Server
from shop.processor.ledger import Answer, Ledger


@dataclass
class Cards:
    """A running processor and its books.

    Attributes:
        arrived: how many requests it has got.
    """

    client: Client
    ledger: Ledger
    url: str
    arrived: int = 0

    async def abandon(
        self, asking: Awaitable[object], *, when: Callable[[], bool] | None = None
    ) -> None:
        """Send a request that gets no answer, and give up once it is there, or `when` is so."""
        before = self.arrived
        task = asyncio.ensure_future(asking)
        while self.arrived == before or not (when is None or when()):
            await asyncio.sleep(0.001)  # the test's time-out is the bound
        assert not task.done(), "it was answered"
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def cards(tmp_path: Path) -> AsyncIterator[Cards]:
    """Serve a processor that, when it is silent, is so for longer than any test."""
    ledger = Ledger(str(tmp_path / "processor.db"), MachineClock())
    processor = Processor(ledger, hang_s=600.0)

    async def handle(request: Request) -> Answer:
        made.arrived += 1
        return await processor.answer(request)

    server = Server(handle)
    url = "http://{}:{}".format(*await server.start("127.0.0.1", 0))
    made = Cards(Client(url), ledger, url)
    yield made
    await made.client.close()
    await server.close(0.0)
    ledger.close()
