"""Orders of the shop in virtual time, and their stories as text that is the same in every run."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast.consistency.schedule import Schedule
from holdfast.security import TokenSigner
from holdfast.story import OrderStory, databases_of, find, lines, tell, wanted
from holdfast.testing import Running, running
from shop.simulation import KEY
from shop.system import shop
from shop.users.messages import AUDIENCE, ISSUER
from shop.users.service import SCOPES

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TRACE = re.compile(r"\b[0-9a-f]{32}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z")
_PLACE = re.compile(r" at \S+/(shop/\S+:)\d+")


@asynccontextmanager
async def open_shop(data: Path) -> AsyncGenerator[Running]:
    """Run the shop with the card processor of its simulation; rows are cleaned up as usually."""
    environ = {"USERS_SIGNING_KEY": KEY.to_json()}
    async with running(shop, data=data, environ=environ, schedule=Schedule()) as system:
        yield system


async def place(system: Running, card: str) -> str:
    """ServiceDatabase an order; return its id."""
    signer = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE)
    now = system.process.hosts[0].ledger.clock.now()
    token = signer.sign("ada", SCOPES, now=now, lifetime_s=60, token_id=card)
    answer = await system.client.post(
        "/v1/orders",
        json={"lines": [{"sku": "TEA-100G", "quantity": 2}], "card": card},
        token=token,
        headers={"idempotency-key": f"key-{card}", "x-correlation-id": f"corr-{card}"},
    )
    assert answer.status == 202
    return str(answer.json()["id"])


async def story_of(data: Path, asked: str | None, about: str | None = None) -> OrderStory:
    """Read and tell a story."""
    meant = wanted(asked, about)
    async with databases_of(shop, data, {}, typed="shop") as databases:
        return tell(shop, await find(shop, databases, meant), meant, typed="shop")


def same(story: OrderStory) -> str:
    """Return a story as text, with ids numbered as they come, and without times."""
    text = "\n".join(line.rstrip() for line in lines(story))
    for pattern, name in ((_UUID, "id"), (_TRACE, "trace")):
        numbers: dict[str, str] = {}
        for found in pattern.findall(text):
            numbers.setdefault(found, f"<{name}-{len(numbers) + 1}>")
        for found, number in numbers.items():
            text = text.replace(found, number)
    text = re.sub(r"(?m)^(\S+Z) {2,}(?:[+-][\d.]+ \w+)? *", r"\1 ", text)
    return _PLACE.sub(r" at \1…", _TIME.sub("<time>", text))
