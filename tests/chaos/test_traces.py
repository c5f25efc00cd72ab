"""One order is one trace, over processes on Postgres and NATS, and after a kill of one of them."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.runtime.children import free_port
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import Supervisor
from holdfast.testing import Client
from shop.demo.children import Child
from shop.system import shop
from tests.otlp_receiver import Receiver, receiving
from tests.shop.test_traces import CONFIRMED, UNDONE, environ, once, order, orders

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def split(tree: str) -> str:
    """Return the tree of an order whose services have processes of their own: with the hop."""
    first, *others = tree.splitlines()
    return "\n".join([first, "  gateway: POST (client)", *(f"  {line}" for line in others)])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver of traces."""
    with receiving() as made:
        yield made


async def until(truth: Callable[[], bool]) -> None:
    """Wait; the test's time-out is the bound."""
    while not truth():
        await asyncio.sleep(0.05)


async def test_processes_on_servers_make_one_trace(receiver: Receiver, tmp_path: Path) -> None:
    """Confirmed, undone, and gone on with by the next process of payments."""
    processor = Child(
        "card processor",
        [
            *("-m", "shop.processor", "--port", str(card_port := free_port()), "--hang-s", "600"),
            *("--ledger", str(tmp_path / "processor.db")),
        ],
        url=f"http://127.0.0.1:{card_port}",
        ready="/health",
        log=tmp_path / "processor.log",
        environ={},
    )
    servers = Servers(tmp_path / "servers", ["postgres", "nats"], shop)
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    run: Supervisor | None = None

    def came(name: str) -> int:
        return [span.name for span in receiver.spans].count(name)

    try:
        await processor.start()
        await servers.start()
        run = Supervisor(
            shop,
            "shop",
            tmp_path / "data",
            host="127.0.0.1",
            port=port,
            ops_port=None,
            replicas={},
            environ={
                **os.environ,
                **servers.environ,
                **environ(receiver),
                "PROCESSOR_URL": processor.url,
                "HOLDFAST_LOG_LEVEL": "error",
            },
            drain_s=5.0,
        )
        await run.start()
        await order(client, "tok_ok")
        await order(client, "tok_stolen")
        await until(lambda: came("process notifications.OrderCancelled.v1") == 1)
        await until(lambda: came("process inventory.OrderConfirmed.v1") == 1)
        await order(client, "tok_silent_before")
        await until(lambda: came("process inventory.Reserve.v1") == 3)
        await until(lambda: came("send payments.Charge.v1") == 3)
        [payments] = [m for name, m in run.members.items() if name.startswith("payments")]
        assert payments.pid is not None
        os.kill(payments.pid, signal.SIGKILL)
        await until(lambda: came("process inventory.OrderConfirmed.v1") == 2)
        await until(lambda: came("process notifications.OrderConfirmed.v1") == 2)
    finally:
        await client.close()
        if run is not None:
            await run.stop()
        await servers.stop()
        await processor.kill()

    assert orders(receiver) == [split(CONFIRMED), split(UNDONE), split(CONFIRMED)]
    assert once(receiver.spans)
