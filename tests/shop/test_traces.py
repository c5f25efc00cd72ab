"""One order is one trace: what a real receiver gets, as a tree."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast import Slo
from holdfast.testing import Client, Running, running
from shop.system import shop
from tests.children import shop_in
from tests.otlp_receiver import Receiver, Seen, receiving
from tests.shop.conftest import Cards

TEA = [{"sku": "TEA-100G", "quantity": 2}]
PATIENT = replace(shop, slo=Slo(latency_ms=600_000))
"""On a machine that is busy nothing is slow."""

CONFIRMED = """\
gateway: POST /v1/orders (server)
  orders: POST /v1/orders (server)
    orders: GetPrice.v1 (client)
      inventory: GetPrice.v1 (server)
    orders: saga checkout (internal)
      orders: send inventory.Reserve.v1 (producer)
        inventory: process inventory.Reserve.v1 (consumer)
    orders: saga checkout (internal)
      orders: send payments.Charge.v1 (producer)
        payments: process payments.Charge.v1 (consumer)
          payments: POST (client)
    orders: saga checkout (internal)
      orders: send inventory.OrderConfirmed.v1 (producer)
        inventory: process inventory.OrderConfirmed.v1 (consumer)
      orders: send notifications.OrderConfirmed.v1 (producer)
        notifications: process notifications.OrderConfirmed.v1 (consumer)"""

UNDONE = """\
gateway: POST /v1/orders (server)
  orders: POST /v1/orders (server)
    orders: GetPrice.v1 (client)
      inventory: GetPrice.v1 (server)
    orders: saga checkout (internal)
      orders: send inventory.Reserve.v1 (producer)
        inventory: process inventory.Reserve.v1 (consumer)
    orders: saga checkout (internal)
      orders: send payments.Charge.v1 (producer)
        payments: process payments.Charge.v1 (consumer)
          payments: POST (client) ! 402
    orders: saga checkout (internal)
      orders: send inventory.Release.v1 (producer)
        inventory: process inventory.Release.v1 (consumer)
    orders: saga checkout (internal)
      orders: send notifications.OrderCancelled.v1 (producer)
        notifications: process notifications.OrderCancelled.v1 (consumer)"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver of traces."""
    with receiving() as made:
        yield made


def environ(receiver: Receiver, sampler: str = "always_on") -> dict[str, str]:
    """Return what sends spans to a receiver, at once."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_TRACES_SAMPLER": sampler,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }


@asynccontextmanager
async def traced(
    cards: Cards, receiver: Receiver, sampler: str = "always_on"
) -> AsyncIterator[Running]:
    """Run the shop; at the end of the block all that is exported is there."""
    where = {"PROCESSOR_URL": cards.url, **environ(receiver, sampler)}
    async with running(PATIENT, environ=where) as run:
        yield run


async def token_of(client: Client, who: str) -> str:
    """Open an account."""
    account = {"email": f"{who}@example.org", "password": "correct horse"}
    opened = await client.post("/v1/users", json=account | {"name": "Somebody"})
    token = await client.post("/v1/tokens", json=account)
    assert (opened.status, token.status) == (201, 200), (opened.body, token.body)
    return str(token.json()["access_token"])


async def order(client: Client, card: str) -> str:
    """Place an order of a new customer; return its correlation id."""
    body = {"lines": TEA, "card": card}
    placed = await client.post("/v1/orders", token=await token_of(client, card), json=body)
    assert placed.status == 202
    return dict(placed.headers)["x-correlation-id"]


def orders(receiver: Receiver) -> list[str]:
    """Return the traces of orders."""
    return [tree for tree in receiver.trees() if "/v1/orders" in tree]


def once(spans: list[Seen]) -> bool:
    """Whether no span came twice."""
    return len({span.span_id for span in spans}) == len(spans)


@pytest.mark.parametrize(
    ("card", "tree"), [("tok_ok", CONFIRMED), ("tok_stolen", UNDONE)], ids=["confirmed", "undone"]
)
async def test_one_order_is_one_trace(
    cards: Cards, receiver: Receiver, card: str, tree: str
) -> None:
    """Every span once, below the one that caused it."""
    async with traced(cards, receiver) as run:
        correlation = await order(run.client, card)
        await run.settled()

    assert orders(receiver) == [tree]
    assert once(receiver.spans)
    about = {s.attributes.get("messaging.message.conversation_id") for s in receiver.spans}
    assert about - {None} == {correlation}
    assert {s.resource["service.namespace"] for s in receiver.spans} == {"shop"}


async def test_what_goes_wrong_is_kept_though_nothing_is_sampled(
    cards: Cards, receiver: Receiver
) -> None:
    """The whole trace of an order that was undone, and nothing of one that went well."""
    async with traced(cards, receiver, "always_off") as run:
        for card in ("tok_ok", "tok_stolen"):
            await order(run.client, card)
        await run.settled()

    assert orders(receiver) == [UNDONE]


async def test_a_route_can_have_spans_of_its_own(cards: Cards, receiver: Receiver) -> None:
    """The shop's: attributes, an error that is recorded, a status; and libraries nest alike."""
    async with traced(cards, receiver) as run:
        token = await token_of(run.client, "ada")
        await run.client.get("/v1/users/00000000-0000-0000-0000-000000000000", token=token)

    [own] = [span for span in receiver.spans if span.name == "get-user"]
    [tree] = [tree for tree in receiver.trees() if "get-user" in tree]
    assert tree.splitlines()[2] == (
        "    users: get-user (internal) ! shop.users.service.NoSuchUser"
    )
    assert own.attributes["user.id"] == "00000000-0000-0000-0000-000000000000"
    assert (own.scope, [name for name, _ in own.events]) == ("shop", ["exception"])


async def until(truth: Callable[[], bool]) -> None:
    """Wait; the test's time-out is the bound."""
    while not truth():
        await asyncio.sleep(0.02)


async def test_a_kill_between_two_steps_leaves_one_trace(
    receiver: Receiver, tmp_path: Path
) -> None:
    """The process dies while payments waits for the processor; the next one goes on with the order.

    The span of the try that died was never recorded; that of the next one links to it.
    """

    def came(*names: str) -> bool:
        seen = [span.name for span in receiver.spans]
        return all(name in seen for name in names)

    def is_charged() -> bool:
        with closing(sqlite3.connect(tmp_path / "processor.db")) as ledger:
            return ledger.execute("SELECT count(*) FROM charge").fetchone() == (1,)

    settings = environ(receiver)
    async with shop_in(tmp_path, hang_s=600.0, environ=settings) as (run, client):
        await order(client, "tok_silent_after")
        await until(lambda: came("send payments.Charge.v1", "process inventory.Reserve.v1"))
        await until(is_charged)
        await run.kill()
        await run.start()
        await until(
            lambda: came(
                "process inventory.OrderConfirmed.v1", "process notifications.OrderConfirmed.v1"
            )
        )
        assert await run.stop() == 0

    assert orders(receiver) == [CONFIRMED], (tmp_path / "shop.log").read_text()
    assert once(receiver.spans)
    [charge] = [span for span in receiver.spans if span.name == "process payments.Charge.v1"]
    assert charge.attributes["holdfast.try"] == 2
    assert len(charge.links) == 1
