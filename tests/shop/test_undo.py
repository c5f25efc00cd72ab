"""What inventory and payments did is undone, when another buyer's saga fails late."""

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

from holdfast import Failure, Model, Saga, Service, System, Tx
from holdfast.testing import running
from shop.inventory.messages import Line, Release, Reserve
from shop.inventory.service import inventory
from shop.orders.messages import OrderConfirmed
from shop.payments.messages import Charge, Refund
from shop.payments.service import payments
from tests.shop.conftest import Cards

TEA = (Line(sku="TEA-100G", quantity=2),)
RARE = (Line(sku="RARE-ASTROLABE", quantity=1),)
TEA_CENTS, RARE_CENTS = 1_300, 189_000

buyer = Service("buyer", calls=[Reserve, Charge], publishes=[OrderConfirmed])


class Wish(Model):
    """What is bought first, and what cannot be had."""

    tea: UUID
    rare: UUID


@buyer.post("/wishes", public=True, status_code=202)
async def wish(tx: Tx) -> None:
    tx.start(pay_first, Wish(tea=tx.new_id(), rare=tx.new_id()))


@buyer.saga
async def pay_first(saga: Saga, wish: Wish) -> None:
    try:
        await saga.call(
            Reserve(order_id=wish.tea, lines=TEA, total_cents=TEA_CENTS),
            undo=Release(order_id=wish.tea),
        )
        await saga.call(
            Charge(order_id=wish.tea, amount_cents=TEA_CENTS, card="tok_silent_after"),
            undo=Refund(order_id=wish.tea),
        )
        await saga.call(Reserve(order_id=wish.rare, lines=RARE, total_cents=RARE_CENTS))
    except Failure:
        await saga.undo()


async def test_money_and_goods_go_back(cards: Cards, tmp_path: Path) -> None:
    """Also a charge that was slow to answer is given back, once, in both books."""
    system = System("undoing", services=[buyer, inventory, payments])
    async with running(system, data=tmp_path / "data", environ={"PROCESSOR_URL": cards.url}) as run:
        accepted = await run.client.post("/wishes")
        await run.settled()

        folder = run.process.folder
        with closing(sqlite3.connect(folder.database("payments"))) as database:
            paid = database.execute("SELECT amount_cents, state FROM payment").fetchall()
        with closing(sqlite3.connect(folder.database("inventory"))) as database:
            held = database.execute("SELECT sku, state FROM reservation").fetchall()
            open_ = database.execute("SELECT sku FROM stock WHERE available < received").fetchall()

    assert accepted.status == 202
    assert cards.ledger.totals() == {
        "count": 1,
        "charged_cents": TEA_CENTS,
        "refunded_cents": TEA_CENTS,
    }
    assert paid == [(TEA_CENTS, "refunded")]
    assert held == [("TEA-100G", "released")]
    assert open_ == []
