"""The shop's traffic: what it offers is served, and it is of many customers."""

import asyncio
from collections import Counter

from holdfast.load import Offer
from holdfast.load.offered import mix_of
from holdfast.testing import Client, running
from shop.system import shop
from shop.traffic import CUSTOMERS, KEY, customers


async def ask(client: Client, offer: Offer) -> int:
    """Send one request; return the status."""
    answer = await client.request(offer.method, offer.path, json=offer.json, token=offer.token)
    return answer.status


async def test_the_offers_of_the_shop_are_served_and_good() -> None:
    """Each customer places, looks and lists, with a token of the run's own key."""
    async with running(shop, environ={"USERS_SIGNING_KEY": KEY.to_json()}) as run:
        offers = await customers(run.client)
        answers = await asyncio.gather(*(ask(run.client, offer) for offer in offers[:6]))

    assert Counter(map(str, offers))["POST /v1/orders"] == CUSTOMERS
    assert len({offer.token for offer in offers}) == CUSTOMERS
    assert answers == [202, 200, 200, 202, 200, 200]
    assert mix_of(shop, offers, host="h", keys="k").request(0).startswith(b"POST /v1/orders")
