"""The shop's traffic: customers who place orders, look at one, and list theirs.

`holdfast load shop` finds this module beside `shop.system`. Who puts load on a shop that runs
elsewhere gives it the key that tokens are signed with there, as USERS_SIGNING_KEY.
"""

import asyncio
import os
import time
from secrets import token_bytes
from uuid import uuid4

from holdfast.load import Offer
from holdfast.security import SigningKey, TokenSigner
from holdfast.testing import Client
from shop.system import shop
from shop.users.messages import AUDIENCE, ISSUER
from shop.users.service import SCOPES

CUSTOMERS = 200  # a rate is limited for each of them
TOKEN_S = 12 * 3_600
SKUS = ("ANCHOR-8KG", "BUOY-RED", "CHART-NORTH-SEA", "COMPASS", "KETTLE", "LANTERN", "TEA-100G")
PLACING, LOOKING, LISTING = 0.6, 0.3, 0.1  # shares of all requests
_AT_ONCE = 16

_GIVEN = os.environ.get("USERS_SIGNING_KEY")
KEY = SigningKey.from_json(_GIVEN) if _GIVEN else SigningKey(token_bytes(32))


@shop.traffic(environ={"USERS_SIGNING_KEY": KEY.to_json()})
async def customers(client: Client) -> list[Offer]:
    """Let each customer place one order, to have one to look at."""
    signer = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE, max_lifetime_s=TOKEN_S)
    now, few = int(time.time()), asyncio.Semaphore(_AT_ONCE)

    async def offers(number: int) -> list[Offer]:
        token = signer.sign(
            str(uuid4()), SCOPES, now=now, lifetime_s=TOKEN_S, token_id=str(uuid4())
        )
        skus = (SKUS[number % len(SKUS)], SKUS[(number + 1) % len(SKUS)])
        order = {"lines": [{"sku": sku, "quantity": 1} for sku in skus], "card": "tok_ok"}
        async with few:
            while True:
                placed = await client.post("/v1/orders", json=order, token=token)
                if placed.status != 503:
                    break
                await asyncio.sleep(float(placed.headers["retry-after"]))  # it is full just now
        assert placed.status == 202, placed
        shown = f"/v1/orders/{placed.json()['id']}"
        return [
            Offer("POST", "/v1/orders", json=order, token=token, keyed=True, share=PLACING),
            Offer("GET", shown, token=token, share=LOOKING),
            Offer("GET", "/v1/orders", token=token, share=LISTING),
        ]

    each = await asyncio.gather(*(offers(number) for number in range(CUSTOMERS)))
    return [offer for one in each for offer in one]
