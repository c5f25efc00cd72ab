"""What README says of a card processor that hangs."""

import asyncio
from pathlib import Path

import pytest

from holdfast.contract.http import Request, Response
from holdfast.ports import Clock
from holdfast.security import TokenSigner
from holdfast.testing import Running, running, virtual_time
from shop.payments.service import processor
from shop.processor.ledger import Ledger
from shop.processor.simulated import CardProcessor
from shop.simulation import KEY
from shop.system import shop
from shop.users.messages import AUDIENCE, ISSUER
from shop.users.service import SCOPES

MINUTE, HOUR = 60, 3_600
ALL = 100_000


class Hanging:
    """A processor that answers nothing until `works`; it may have charged all the same."""

    def __init__(self, clock: Clock, *, charges: bool) -> None:
        self.works, self._charges = False, charges
        self.ledger = Ledger(":memory:", clock)
        self._inner = CardProcessor(self.ledger)

    async def handle(self, request: Request) -> Response:
        """Serve one request, or leave its sender waiting."""
        if self.works:
            return await self._inner.handle(request)
        if self._charges:
            await self._inner.handle(request)
        await asyncio.sleep(HOUR)
        return Response(504, [], b"")


async def stands(system: Running, order: str) -> tuple[str, int]:
    """Return an order's state, and how many pieces of tea are on the shelf."""
    shown = await system.client.get(f"/v1/orders/{order}", token=token(system))
    shelf = await system.client.get("/v1/stock")
    [tea] = [item for item in shelf.json()["items"] if item["sku"] == "TEA-100G"]
    return str(shown.json()["state"]), int(tea["available"])


def token(system: Running) -> str:
    """Return a fresh token, as log-in gives one."""
    signer = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE)
    now = system.process.hosts[0].ledger.clock.now()
    return signer.sign("ada", SCOPES, now=now, lifetime_s=60, token_id="1")


@pytest.mark.parametrize("charges", [False, True], ids=["nothing-charged", "charged"])
def test_an_order_is_open_until_it_is_known_what_there_is_to_refund(
    charges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up after two minutes, goods free about an hour later, cancelled when it answers."""
    hanging: list[Hanging] = []

    def stand_in(clock: Clock) -> Hanging:
        hanging.append(Hanging(clock, charges=charges))
        return hanging[-1]

    monkeypatch.setitem(shop.simulated.stand_ins, processor.name, stand_in)

    @virtual_time
    async def story() -> list[tuple[str, int]]:
        environ = {"USERS_SIGNING_KEY": KEY.to_json()}
        async with running(shop, data=tmp_path, environ=environ) as system:
            order = {"lines": [{"sku": "TEA-100G", "quantity": 2}], "card": "tok_ok"}
            answer = await system.client.post("/v1/orders", json=order, token=token(system))
            placed = answer.json()["id"]
            seen: list[tuple[str, int]] = []
            for pause_s in (MINUTE, 10 * MINUTE, 2 * HOUR):
                await asyncio.sleep(pause_s)
                seen.append(await stands(system, placed))
            hanging[0].works = True
            await system.settled()
            return [*seen, await stands(system, placed)]

    first, given_up, later, in_the_end = story()
    booked = hanging[0].ledger.page(0, 10)

    assert first == given_up == ("placed", ALL - 2)
    assert later == ("placed", ALL)
    assert in_the_end == ("cancelled", ALL)
    assert sum(c["amount_cents"] - c["refunded_cents"] for c in booked) == 0
