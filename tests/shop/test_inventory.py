"""Stock: reserved for all lines or none, released or sold once, conserved always."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from shop.inventory.messages import (
    GetPrice,
    Line,
    OutOfStock,
    PriceChanged,
    Release,
    Reserve,
    Restock,
    UnknownSku,
)
from shop.inventory.service import get_price, list_stock, release, reserve, restock, sell
from shop.inventory.tables import CATALOGUE, metadata, reservation_table, stock_table
from shop.orders.messages import OrderConfirmed
from tests.shop.fakes import FakeTx

ORDER = UUID(int=1)
TEA = Line(sku="TEA-100G", quantity=2)
ROPE = Line(sku="ROPE-20M", quantity=1)
TEA_CENTS, ROPE_CENTS = CATALOGUE["TEA-100G"][0], CATALOGUE["ROPE-20M"][0]


@pytest.fixture
def tx() -> Iterator[FakeTx]:
    """Open a new shop."""
    tx = FakeTx(metadata)
    yield tx
    tx.close()


def reserving(*lines: Line, total_cents: int) -> Reserve:
    return Reserve(order_id=ORDER, lines=lines, total_cents=total_cents)


def pieces(tx: FakeTx, sku: str) -> tuple[int, int, int]:
    """Return (available, reserved, sold) of an article."""
    (row,) = [row for row in tx.rows(stock_table) if row["sku"] == sku]
    return row["available"], row["reserved"], row["sold"]


async def test_a_price_is_the_sum_of_its_lines(tx: FakeTx) -> None:
    """Each line's unit price comes along, in the order of the lines."""
    price = await get_price(GetPrice(lines=(ROPE, TEA)), tx)

    assert price.unit_cents == (ROPE_CENTS, TEA_CENTS)
    assert price.total_cents == ROPE_CENTS + 2 * TEA_CENTS


async def test_an_unknown_article_has_no_price(tx: FakeTx) -> None:
    """The refusal names it."""
    with pytest.raises(UnknownSku, match="NO-SUCH-THING"):
        await get_price(GetPrice(lines=(TEA, Line(sku="NO-SUCH-THING", quantity=1))), tx)


async def test_reserving_moves_pieces_aside(tx: FakeTx) -> None:
    """Lines of one article add up."""
    total = ROPE_CENTS + 5 * TEA_CENTS
    await reserve(reserving(TEA, ROPE, Line(sku="TEA-100G", quantity=3), total_cents=total), tx)

    assert pieces(tx, "TEA-100G") == (99_995, 5, 0)
    assert pieces(tx, "ROPE-20M") == (99_999, 1, 0)
    assert [(r["sku"], r["quantity"], r["state"]) for r in tx.rows(reservation_table)] == [
        ("ROPE-20M", 1, "held"),
        ("TEA-100G", 5, "held"),
    ]


async def test_what_is_not_there_is_not_reserved(tx: FakeTx) -> None:
    """The last piece can be had, one more cannot; lines of one article count together."""
    await restock(Restock(sku="LAST", quantity=3, price_cents=100), tx)
    two, three = Line(sku="LAST", quantity=2), Line(sku="LAST", quantity=3)

    with pytest.raises(OutOfStock, match="sku=LAST, available=3"):
        await reserve(reserving(two, two, total_cents=400), tx)
    await reserve(reserving(three, total_cents=300), tx)

    assert pieces(tx, "LAST") == (0, 3, 0)


async def test_another_price_than_the_customer_saw_is_refused(tx: FakeTx) -> None:
    """Nothing is reserved; the refusal tells today's price."""
    with pytest.raises(PriceChanged, match=f"total_cents={2 * TEA_CENTS}"):
        await reserve(reserving(TEA, total_cents=1), tx)

    assert pieces(tx, "TEA-100G") == (100_000, 0, 0)


async def test_released_pieces_are_available_again(tx: FakeTx) -> None:
    """Only what this order holds moves, and only once."""
    other = Reserve(order_id=UUID(int=2), lines=(TEA,), total_cents=2 * TEA_CENTS)
    await reserve(reserving(TEA, ROPE, total_cents=2 * TEA_CENTS + ROPE_CENTS), tx)
    await reserve(other, tx)

    await release(Release(order_id=ORDER), tx)
    await release(Release(order_id=ORDER), tx)

    assert pieces(tx, "TEA-100G") == (99_998, 2, 0)
    assert pieces(tx, "ROPE-20M") == (100_000, 0, 0)


async def test_a_confirmed_order_is_sold(tx: FakeTx) -> None:
    """Its pieces leave the reserve for good."""
    await reserve(reserving(TEA, total_cents=2 * TEA_CENTS), tx)
    await sell(OrderConfirmed(order_id=ORDER, owner="ada", total_cents=2 * TEA_CENTS), tx)
    await release(Release(order_id=ORDER), tx)

    assert pieces(tx, "TEA-100G") == (99_998, 0, 2)


async def test_restocking_adds_pieces_and_sets_the_price(tx: FakeTx) -> None:
    """A known article gets more of them, an unknown one its first."""
    for _ in range(2):
        await restock(Restock(sku="RARE-ASTROLABE", quantity=2, price_cents=500), tx)
        await restock(Restock(sku="NEW-THING", quantity=1, price_cents=300), tx)

    price = await get_price(GetPrice(lines=(Line(sku="RARE-ASTROLABE", quantity=1),)), tx)
    assert price.total_cents == 500
    assert pieces(tx, "RARE-ASTROLABE") == (4, 0, 0)
    assert pieces(tx, "NEW-THING") == (2, 0, 0)


async def test_the_catalogue_is_read_in_pages(tx: FakeTx) -> None:
    """Following `next` shows every article once; the last page has none."""
    seen, after = [], ""
    while after is not None:
        page = await list_stock(tx, after, limit=4)
        seen += [item.sku for item in page.items]
        after = page.next

    assert seen == sorted(CATALOGUE)


@pytest.mark.parametrize(
    "wrong",
    [{"available": -1, "reserved": 100_001}, {"reserved": 1}, {"sold": -1, "available": 100_001}],
)
async def test_the_database_refuses_stock_that_does_not_add_up(
    tx: FakeTx, wrong: dict[str, int]
) -> None:
    """Whatever a handler gets wrong, pieces are neither negative nor lost."""
    with pytest.raises(IntegrityError, match="CHECK constraint failed"):
        tx.update(stock_table, "TEA-100G", **wrong)
