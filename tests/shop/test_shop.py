"""The whole shop, over HTTP, with a processor that misbehaves."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.testing import Client, Running, running
from holdfast.testing.run import Answer
from shop.system import shop
from tests.shop.conftest import Cards

PATIENT = replace(shop, gateway=replace(shop.gateway, deadline_s=600.0))
"""On a machine that is busy nothing is late."""
TEA = [{"sku": "TEA-100G", "quantity": 2}]
TEA_CENTS = 1_300


@dataclass
class Shop:
    """A running shop, its files and the processor that it pays with."""

    run: Running
    data: Path
    cards: Cards

    @property
    def client(self) -> Client:
        return self.run.client

    def rows(self, service: str, sql: str) -> list[Any]:
        """Return what a service's database holds."""
        with closing(sqlite3.connect(self.run.process.folder.database(service))) as database:
            return database.execute(sql).fetchall()

    async def login(self, email: str) -> str:
        """Open an account and return its token."""
        who = {"email": email, "password": "correct horse"}
        opened = await self.client.post("/v1/users", json=who | {"name": "Somebody"})
        token = await self.client.post("/v1/tokens", json=who)
        assert (opened.status, token.status) == (201, 200)
        return str(token.json()["access_token"])


@pytest.fixture
async def open_shop(cards: Cards, tmp_path: Path) -> AsyncIterator[Shop]:
    """Run the shop beside the processor."""
    data = tmp_path / "data"
    async with running(PATIENT, data=data, environ={"PROCESSOR_URL": cards.url}) as run:
        yield Shop(run, data, cards)


async def test_every_order_ends_and_the_books_add_up(open_shop: Shop) -> None:
    """However the cards behave: money, goods and notifications agree with the orders."""
    token = await open_shop.login("ada@example.org")
    expected = {
        "tok_ok": "confirmed",
        "tok_fails_twice": "confirmed",
        "tok_silent_before": "confirmed",
        "tok_silent_after": "confirmed",
        "tok_stolen": "cancelled",
        "tok_insufficient_funds": "cancelled",
    }

    async def order(lines: Any, card: str) -> Any:
        placed = await open_shop.client.post(
            "/v1/orders", token=token, json={"lines": lines, "card": card}
        )
        assert (placed.status, placed.json()["state"]) == (202, "placed")
        return placed.json()["id"]

    ids = dict(zip(expected, await asyncio.gather(*(order(TEA, c) for c in expected)), strict=True))
    rare = await order([*TEA, {"sku": "RARE-ASTROLABE", "quantity": 1}], "tok_ok")
    await open_shop.run.settled()

    got = {
        c: (await open_shop.client.get(f"/v1/orders/{i}", token=token)).json()
        for c, i in ids.items()
    }
    assert {card: order["state"] for card, order in got.items()} == expected
    assert got["tok_stolen"]["why"] == "CardDeclined (reason=stolen_card)"
    gone = (await open_shop.client.get(f"/v1/orders/{rare}", token=token)).json()
    assert (gone["state"], gone["why"]) == (
        "cancelled",
        "OutOfStock (sku=RARE-ASTROLABE, available=0)",
    )

    confirmed = Counter(expected.values())["confirmed"]
    assert open_shop.cards.ledger.totals() == {
        "count": confirmed,
        "charged_cents": confirmed * TEA_CENTS,
        "refunded_cents": 0,
    }
    assert open_shop.rows("payments", "SELECT count(*), sum(amount_cents) FROM payment") == [
        (confirmed, confirmed * TEA_CENTS)
    ]
    stock = "SELECT available, reserved, sold FROM stock WHERE sku = 'TEA-100G'"
    assert open_shop.rows("inventory", stock) == [(100_000 - 2 * confirmed, 0, 2 * confirmed)]
    told = open_shop.rows("notifications", "SELECT order_id, kind FROM notification")
    assert Counter(told) == Counter(
        {(order["id"].replace("-", ""), order["state"]): 1 for order in (*got.values(), gone)}
    )


async def test_the_same_key_places_one_order(open_shop: Shop) -> None:
    """A client that heard nothing may ask again."""
    token = await open_shop.login("ada@example.org")
    options: Any = {
        "json": {"lines": TEA},
        "token": token,
        "headers": {"Idempotency-Key": "once"},
    }
    first = await open_shop.client.post("/v1/orders", **options)
    second = await open_shop.client.post("/v1/orders", **options)
    await open_shop.run.settled()

    assert (second.status, second.body) == (first.status, first.body)
    assert open_shop.rows("orders", "SELECT count(*) FROM customer_order") == [(1,)]
    assert open_shop.cards.ledger.totals()["count"] == 1


async def test_orders_are_seen_by_their_owner_alone(open_shop: Shop) -> None:
    """Pages go from the newest to the oldest; another customer sees none of them."""
    ada, eve = [await open_shop.login(f"{name}@example.org") for name in ("ada", "eve")]
    placed = [
        (await open_shop.client.post("/v1/orders", token=ada, json={"lines": TEA})).json()["id"]
        for _ in range(3)
    ]
    first = (await open_shop.client.get("/v1/orders?limit=2", token=ada)).json()
    rest = await open_shop.client.get(f"/v1/orders?limit=2&after={first['next']}", token=ada)
    of_eve = (await open_shop.client.get("/v1/orders", token=eve)).json()
    hidden = await open_shop.client.get(f"/v1/orders/{placed[0]}", token=eve)
    await open_shop.run.settled()

    assert [o["id"] for o in (*first["orders"], *rest.json()["orders"])] == placed[::-1]
    assert rest.json()["next"] is None
    assert of_eve == {"orders": [], "next": None}
    assert (hidden.status, hidden.json()["code"]) == (404, "NoSuchOrder")


async def test_an_order_shows_its_lines_at_the_agreed_price(open_shop: Shop) -> None:
    """Times carry their zone."""
    token = await open_shop.login("ada@example.org")
    lines = [{"sku": "ROPE-20M", "quantity": 1}, *TEA]
    placed = (await open_shop.client.post("/v1/orders", token=token, json={"lines": lines})).json()
    shown = (await open_shop.client.get(f"/v1/orders/{placed['id']}", token=token)).json()
    await open_shop.run.settled()

    assert shown["lines"] == [
        {"sku": "ROPE-20M", "quantity": 1, "unit_cents": 1_850},
        {"sku": "TEA-100G", "quantity": 2, "unit_cents": 650},
    ]
    assert (shown["total_cents"], shown["placed_at"]) == (3_150, placed["placed_at"])
    assert shown["placed_at"].endswith("Z")


async def test_what_cannot_be_an_order_is_refused(open_shop: Shop) -> None:
    """Nothing is written, and nothing is started."""
    bodies: list[Any] = [
        {"lines": []},
        {"lines": TEA * 21},
        {"lines": [{"sku": "TEA-100G", "quantity": 0}]},
        {"lines": [{"sku": "TEA-100G", "quantity": 101}]},
        {"lines": TEA, "total_cents": 1},
        {"lines": [{"sku": "NO-SUCH-THING", "quantity": 1}]},
    ]
    token = await open_shop.login("ada@example.org")
    refused = [await open_shop.client.post("/v1/orders", token=token, json=b) for b in bodies]

    assert [answer.status for answer in refused] == [422, 422, 422, 422, 422, 409]
    assert open_shop.rows("orders", "SELECT count(*) FROM customer_order") == [(0,)]


async def test_without_a_token_nobody_orders(open_shop: Shop) -> None:
    """The catalogue is open to all, the rest is not."""
    stock = await open_shop.client.get("/v1/stock")
    refused = await open_shop.client.post("/v1/orders", json={"lines": TEA})

    assert (stock.status, len(stock.json()["items"])) == (200, 11)
    assert refused.status == 401


async def test_guessing_a_password_meets_a_limit(open_shop: Shop) -> None:
    """Some ten guesses are looked at, and then none; somebody else still logs in."""
    await open_shop.login("eve@example.org")
    await open_shop.login("ada@example.org")  # one attempt
    began, answers = time.monotonic(), list[Answer]()

    while len(answers) < 200 and not (answers and answers[-1].status == 429):
        guess = {"email": "Ada@example.org", "password": f"guess {len(answers)}"}
        answers.append(await open_shop.client.post("/v1/tokens", json=guess))
    took_s = time.monotonic() - began  # one more is allowed each 20 s, on a slow machine
    eve = {"email": "eve@example.org", "password": "correct horse"}
    other = await open_shop.client.post("/v1/tokens", json=eve)

    assert [a.status for a in answers] == [401] * (len(answers) - 1) + [429]
    assert len(answers) <= 11 + took_s / 20
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert other.status == 200


async def test_many_may_log_in_at_once(open_shop: Shop) -> None:
    """Each is served in turn or told at once to come back; meanwhile the shop is open."""
    await open_shop.login("ada@example.org")
    wrong = [{"email": f"{n}@example.org", "password": "who knows"} for n in range(16)]
    logins = [asyncio.create_task(open_shop.client.post("/v1/tokens", json=who)) for who in wrong]
    await asyncio.sleep(0)

    stock = await open_shop.client.get("/v1/stock")
    answers = await asyncio.gather(*logins)

    assert stock.status == 200
    assert {answer.status for answer in answers} <= {401, 503}
    assert 401 in {answer.status for answer in answers}
    assert all(a.json()["code"] == "pool_full" for a in answers if a.status == 503)
