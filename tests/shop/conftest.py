"""A card processor on the loopback device, and a client that gives up soon."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.communication import HttpServer
from holdfast.engines.host import HostClock
from holdfast.engines.network import SystemNetwork
from holdfast.testing import Client
from shop.processor.api import Processor
from shop.processor.ledger import Ledger


@dataclass
class Cards:
    """A running processor and its books."""

    client: Client
    ledger: Ledger
    url: str


@pytest.fixture
async def cards(tmp_path: Path) -> AsyncIterator[Cards]:
    """Serve a processor that, when it is silent, is so for longer than any test."""
    ledger = Ledger(str(tmp_path / "processor.db"), HostClock())
    processor = Processor(ledger, hang_s=600.0)
    server = HttpServer(processor.handle, network=SystemNetwork(), clock=HostClock())
    listener = await server.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.address[1]}"
    client = Client(url)
    yield Cards(client, ledger, url)
    await client.close()
    await server.drain(0.0)
    ledger.close()
