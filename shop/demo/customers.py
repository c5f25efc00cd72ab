"""The customers of the demo: what they want, and how they insist on getting an answer."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from holdfast.errors import CallError
from holdfast.testing import Client
from shop.inventory.tables import CATALOGUE

CUSTOMERS = 5
PASSWORD = "a lantern on the quay"  # noqa: S105  # of customers who exist for a minute
SOLD_OUT = "RARE-ASTROLABE"
SHARES = {
    "tok_insufficient_funds": 0.10,
    "tok_stolen": 0.05,
    "tok_silent_before": 0.02,
    "tok_silent_after": 0.02,
    "tok_fails_twice": 0.02,
}
"""{test card: share of the orders}; the others pay, and a tenth of the orders is out of stock."""
SOLD_OUT_SHARE = 0.10
_AGAIN = frozenset({0, 409, 429, 500, 502, 503, 504})
_PAUSE_S = 0.05
_PAUSE_CAP_S = 1.0
ENTER_S = 300.0
"""How long a customer tries to get in: hashing passwords is slow, and slower on a busy machine."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One order before it is placed; `key` is its Idempotency-Key."""

    key: str
    card: str
    lines: tuple[tuple[str, int], ...]

    def body(self) -> dict[str, Any]:
        """Return the request's body."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in self.lines]
        return {"lines": lines, "card": self.card}


@dataclass(frozen=True, slots=True)
class Placed:
    """One order that was taken: when it was first sent, when answered, and after how many tries."""

    id: UUID
    wish: Wish
    sent_at: datetime
    answered_at: datetime
    tries: int


class Refused(Exception):
    """The shop answered what a correct request must not get."""


def wishes(count: int, chance: Random) -> list[Wish]:
    """Return `count` wishes with the shares of `SHARES` and `SOLD_OUT_SHARE`, shuffled."""
    cards = [card for card, share in SHARES.items() for _ in range(round(count * share))]
    sold_out = round(count * SOLD_OUT_SHARE)
    skus = [sku for sku in CATALOGUE if sku != SOLD_OUT]
    made: list[Wish] = []
    for number in range(count):
        kinds = chance.sample(skus, chance.randint(1, 3))
        lines = [(sku, chance.randint(1, 4)) for sku in kinds]
        card = cards[number] if number < len(cards) else "tok_ok"
        if number >= count - sold_out:
            lines.append((SOLD_OUT, 1))
        made.append(Wish(f"demo-{number}", card, tuple(lines)))
    chance.shuffle(made)
    return made


class Customers:
    """Registered customers and their tokens."""

    def __init__(self, client: Client, chance: Random) -> None:
        self._client = client
        self._chance = chance
        self._tokens: list[str] = []

    async def register(self) -> None:
        """Register everybody and log them in, one after the other: each costs a core for a while.

        Raises:
            Refused: somebody did not get in within ENTER_S.
        """
        self._tokens = [await self._enter(number) for number in range(CUSTOMERS)]

    async def _enter(self, number: int) -> str:
        login = {"email": f"customer-{number}@example.com", "password": PASSWORD}
        account = {**login, "name": f"Customer {number}"}
        await self._insist("/v1/users", account, {201, 409})  # 409: an earlier try got through
        token = await self._insist("/v1/tokens", login, {200})
        return str(json.loads(token)["access_token"])

    async def _insist(self, path: str, body: object, wanted: set[int]) -> bytes:
        """Send a request until its answer is one of those that are wanted. Raises Refused."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + ENTER_S
        while True:
            try:
                answer = await self._client.post(path, json=body, timeout_s=15.0)
                status, raw, after = answer.status, answer.body, answer.headers.get("retry-after")
            except CallError:
                status, raw, after = 0, b"", None
            if status in wanted:
                return raw
            if status not in _AGAIN or loop.time() > give_up:
                raise Refused(f"{path} was answered {status}: {raw.decode()}")
            await asyncio.sleep(self._chance.uniform(0, _PAUSE_CAP_S) + float(after or 0))

    async def place(self, number: int, wish: Wish) -> Placed:
        """Place one order; send it again with the same key until it is answered.

        Raises:
            Refused: the answer is neither 202 nor one that says to try again.
        """
        sent_at = datetime.now(UTC)
        tries = 0
        while True:
            tries += 1
            status, body = await self._try(self._tokens[number % CUSTOMERS], wish)
            if status == 202:
                order = UUID(json.loads(body)["id"])
                return Placed(order, wish, sent_at, datetime.now(UTC), tries)
            if status not in _AGAIN:
                raise Refused(f"{wish.key} was answered {status}: {body.decode()}")
            ceiling_s = min(_PAUSE_CAP_S, _PAUSE_S * 2 ** min(tries, 10))
            await asyncio.sleep(self._chance.uniform(0, ceiling_s))

    async def _try(self, token: str, wish: Wish) -> tuple[int, bytes]:
        """Return status and body; status 0 when there was no answer."""
        try:
            answer = await self._client.post(
                "/v1/orders",
                json=wish.body(),
                token=token,
                headers={"idempotency-key": wish.key},
                timeout_s=15.0,
            )
        except CallError:
            return 0, b""
        return answer.status, answer.body
