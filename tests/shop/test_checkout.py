"""The saga of an order, played over given answers."""

from uuid import UUID

import pytest

from holdfast import Failure, Unanswered
from holdfast.testing import play
from shop.inventory.messages import Line, OutOfStock, PriceChanged, Release, Reserve
from shop.orders.service import Order, checkout
from shop.payments.messages import CardDeclined, Charge, Receipt, Refund

ORDER = Order(
    id=UUID(int=7),
    owner="ada",
    lines=(Line(sku="TEA-100G", quantity=2),),
    total_cents=1_300,
    card="tok_ok",
)
RECEIPT = Receipt(payment_id=UUID(int=8))


def test_an_order_that_goes_well_is_confirmed() -> None:
    """The goods are reserved at the price that was seen, before the money is taken."""
    story = play(checkout, ORDER, answers={Reserve: None, Charge: RECEIPT})

    assert story.steps == ["Reserve", "Charge", "confirm"]
    assert story.sent == [
        Reserve(order_id=ORDER.id, lines=ORDER.lines, total_cents=1_300),
        Charge(order_id=ORDER.id, amount_cents=1_300, card="tok_ok"),
    ]
    assert story.ended == "completed"


def test_a_declined_card_releases_the_stock() -> None:
    """Nothing was taken, so nothing is refunded."""
    declined = CardDeclined(reason="limit")
    story = play(checkout, ORDER, answers={Reserve: None, Charge: declined})

    assert story.steps == ["Reserve", "Charge", "Release", "cancel"]
    assert story.sent[2:] == [Release(order_id=ORDER.id)]


@pytest.mark.parametrize(
    "refusal", [OutOfStock(sku="TEA-100G", available=1), PriceChanged(total_cents=1_400)]
)
def test_goods_that_cannot_be_reserved_cost_nothing(refusal: Failure) -> None:
    """The card is not touched and there is nothing to undo."""
    story = play(checkout, ORDER, answers={Reserve: refusal})

    assert story.steps == ["Reserve", "cancel"]
    assert story.ended == "completed"


def test_a_charge_without_an_answer_is_refunded_too() -> None:
    """It may have happened; the newest step is undone first."""
    unanswered = Unanswered(command="Charge.v1")
    story = play(checkout, ORDER, answers={Reserve: None, Charge: unanswered})

    assert story.steps == ["Reserve", "Charge", "Refund", "Release", "cancel"]
    assert story.sent[2:] == [Refund(order_id=ORDER.id), Release(order_id=ORDER.id)]


def test_a_reservation_without_an_answer_is_released() -> None:
    """The money was not asked for."""
    story = play(checkout, ORDER, answers={Reserve: Unanswered(command="Reserve.v1")})

    assert story.steps == ["Reserve", "Release", "cancel"]
