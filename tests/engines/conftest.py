"""The servers that engines run on, one of each for all tests."""

from collections.abc import Iterator

import pytest

from tests.servers import Nats, Postgres, nats_server, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running Postgres."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    """A running nats-server."""
    with nats_server() as server:
        yield server
