"""What engines run on, beside Postgres."""

from collections.abc import Iterator

import pytest

from holdfast.engines.postgres import _BEGIN, IDLE_MS
from tests.servers import Nats, nats_server


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody be put out because this machine is slow; whoever tests the limit sets it again."""
    patient = _BEGIN.replace(f"= {IDLE_MS}", "= 600000")
    monkeypatch.setattr("holdfast.engines.postgres._BEGIN", patient)


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    """A running nats-server."""
    with nats_server() as server:
        yield server
