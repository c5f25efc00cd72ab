"""What all tests share."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.servers import Postgres, postgres_server

# Time limits of single examples measure the machine, not the code.
settings.register_profile("holdfast", deadline=None)
settings.load_profile("holdfast")

# A shell's background job ignores Ctrl-C, and hands that on to all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_running() -> Iterator[Postgres]:
    """A running Postgres, one for all tests of a process."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres(postgres_running: Postgres) -> Iterator[Postgres]:
    """It, for one test, whose databases are the next one's."""
    yield postgres_running
    postgres_running.give_back()
