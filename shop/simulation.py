"""The shop in a simulation: its customers, the card processor, and what must hold.

`holdfast sim shop` finds this module beside `shop.system`.
"""

import asyncio
from uuid import UUID

from sqlalchemy import func, select

from holdfast.ports import Clock
from holdfast.security import SigningKey, TokenSigner
from holdfast.simulation import Client, World
from shop.inventory.tables import CATALOGUE, reservation_table, stock_table
from shop.notifications.tables import notification_table
from shop.orders.tables import order_table
from shop.payments.service import processor
from shop.payments.tables import payment_table
from shop.processor.ledger import Ledger
from shop.processor.simulated import CardProcessor
from shop.system import shop
from shop.users.messages import AUDIENCE, ISSUER
from shop.users.service import SCOPES

CUSTOMERS = 3
CARDS = ("tok_ok",) * 5 + (
    "tok_insufficient_funds",
    "tok_fails_twice",
    "tok_silent_before",
    "tok_silent_after",
)
KEY = SigningKey(bytes(range(32)))
shop.simulated.environ = {"USERS_SIGNING_KEY": KEY.to_json()}


@shop.stand_in(processor)
def card_processor(clock: Clock) -> CardProcessor:
    """Return a processor whose ledger nothing befalls."""
    return CardProcessor(Ledger(":memory:", clock))


@shop.workload
async def customers(client: Client) -> None:
    """Place `client.size` orders, some of which nobody can pay or deliver."""
    signer = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE)
    waiting: list[asyncio.Task[None]] = []
    for number in range(client.size):
        customer = str(UUID(int=client.chance.randrange(CUSTOMERS)))
        token = signer.sign(
            customer, SCOPES, now=client.now(), lifetime_s=3_600, token_id=str(number)
        )
        waiting.append(asyncio.create_task(place_order(client, token, number)))
        await client.sleep(client.chance.uniform(0, 0.3))
    await asyncio.gather(*waiting)


async def place_order(client: Client, token: str, number: int) -> None:
    """Place one order, and look at it."""
    first = {0: ("LANTERN", "tok_ok"), 1: ("LANTERN", "tok_insufficient_funds")}
    drawn = (client.chance.choice(list(CATALOGUE)), client.chance.choice(CARDS))
    sku, card = first.get(number, drawn)  # one that succeeds, one that is undone, then any
    lines = [{"sku": sku, "quantity": client.chance.randint(1, 3)}]
    order = {"lines": lines, "card": card}
    answer = await client.post("/v1/orders", json=order, token=token, key=f"order-{number}")
    assert answer.status == 202, answer
    placed = answer.json()["id"]
    shown = await client.get(f"/v1/orders/{placed}", token=token)
    assert shown.status == 200, f"order {placed} was accepted and is gone: {shown}"


@shop.always
def stock_is_conserved(world: World) -> None:
    """No piece is sold twice, none gets lost."""
    for shelf in world.rows("inventory", select(stock_table)):
        assert shelf.available + shelf.reserved + shelf.sold == shelf.received, shelf
        assert min(shelf.available, shelf.reserved, shelf.sold) >= 0, shelf


@shop.invariant
def every_order_has_ended(world: World) -> None:
    """It is confirmed or cancelled, and its customer was told so once."""
    told: dict[UUID, int] = {}
    for note in world.rows("notifications", select(notification_table)):
        told[note.order_id] = told.get(note.order_id, 0) + 1
    for order in world.rows("orders", select(order_table)):
        assert order.state in ("confirmed", "cancelled"), order
        assert told.get(order.id) == 1, f"{told.get(order.id, 0)} notifications of {order}"


@shop.invariant
def money_and_goods_match(world: World) -> None:
    """Whoever paid gets the goods, and nobody else; the processor's ledger says the same."""
    ledger: Ledger = world.stand_ins["processor"].ledger
    payments = {row.order_id: row for row in world.rows("payments", select(payment_table))}
    held = {row.order_id: row.state for row in world.rows("inventory", select(reservation_table))}
    for order in world.rows("orders", select(order_table)):
        confirmed = order.state == "confirmed"
        charges = ledger.find(str(order.id))
        kept = sum(c["amount_cents"] - c["refunded_cents"] for c in charges)
        assert kept == (order.total_cents if confirmed else 0), f"{order}: charges {charges}"
        assert len(charges) <= 1, f"{order}: charged {len(charges)} times"
        if confirmed:
            assert payments[order.id].state == "charged", order
            assert held[order.id] == "sold", order
        else:
            assert order.id not in payments or payments[order.id].state == "refunded", order
            assert held.get(order.id, "released") == "released", order


@shop.invariant
def what_is_off_the_shelf_is_reserved_for_somebody(world: World) -> None:
    """The shelves' sums are those of the reservations."""
    sold = select(func.coalesce(func.sum(reservation_table.c.quantity), 0)).where(
        reservation_table.c.state == "sold"
    )
    shelves = select(func.sum(stock_table.c.sold), func.sum(stock_table.c.reserved))
    assert world.rows("inventory", shelves)[0] == (world.rows("inventory", sold)[0][0], 0)
