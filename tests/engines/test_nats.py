"""JetStream keeps the broker's contract; and what is its own."""

import itertools
import logging

import pytest

from holdfast.engines.nats import NatsBroker
from holdfast.ports import Broker
from tests.contracts.broker import BrokerContract
from tests.servers import Nats

NUMBERS = itertools.count(1)


class TestNats(BrokerContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, nats: Nats, caplog: pytest.LogCaptureFixture) -> None:
        """Keep the server; a delivery that fails is logged, as it should be."""
        caplog.set_level(logging.CRITICAL, "holdfast")
        self.url = nats.url

    async def make(self) -> Broker:
        """Return the broker of a system of its own."""
        return NatsBroker(f"test{next(NUMBERS)}", self.url)
