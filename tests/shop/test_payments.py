"""Payments: what is asked of the processor, and what is made of its answers."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from holdfast.errors import BadAnswer
from shop.payments.messages import CardDeclined, Charge, Refund
from shop.payments.service import charge, refund
from shop.payments.tables import metadata, payment_table
from tests.shop.fakes import FakeOutside, FakeTx

ORDER = UUID(int=1)
CHARGE = Charge(order_id=ORDER, amount_cents=1_250, card="tok_ok")
CHARGES, FIND = ("POST", "/v1/charges"), ("GET", f"/v1/charges?reference={ORDER}")
CHARGED = {"id": "ch_9", "amount_cents": 1_250}


@pytest.fixture
def tx() -> Iterator[FakeTx]:
    """Start with no payments."""
    tx = FakeTx(metadata)
    yield tx
    tx.close()


async def test_a_charge_is_kept_under_its_receipt(tx: FakeTx) -> None:
    """The order's id is the reference that the charge is found by later."""
    outside = FakeOutside({CHARGES: (201, CHARGED)})
    receipt = await charge(CHARGE, outside, tx)

    sent = {"amount_cents": 1_250, "card": "tok_ok", "reference": str(ORDER)}
    assert outside.sent == [(*CHARGES, sent)]
    assert tx.rows(payment_table) == [
        {
            "id": receipt.payment_id,
            "order_id": ORDER,
            "charge_id": "ch_9",
            "amount_cents": 1_250,
            "state": "charged",
        }
    ]


async def test_a_declined_card_is_a_refusal_with_its_reason(tx: FakeTx) -> None:
    """Nothing is kept."""
    with pytest.raises(CardDeclined, match="stolen_card"):
        await charge(CHARGE, FakeOutside({CHARGES: (402, {"reason": "stolen_card"})}), tx)

    assert tx.rows(payment_table) == []


async def test_an_answer_that_is_no_charge_is_tried_again(tx: FakeTx) -> None:
    """Only a charge is a charge, and only a 402 is a refusal."""
    with pytest.raises(BadAnswer, match="processor: id: Field required"):
        await charge(CHARGE, FakeOutside({CHARGES: (409, {"reason": "key_reused"})}), tx)


async def test_a_refund_goes_to_the_charge_of_the_order(tx: FakeTx) -> None:
    """The payment is then marked as refunded."""
    refunds = ("POST", "/v1/charges/ch_9/refunds")
    answers = {
        CHARGES: (201, CHARGED),
        FIND: (200, {"charges": [CHARGED]}),
        refunds: (200, CHARGED),
    }
    outside = FakeOutside(answers)
    await charge(CHARGE, outside, tx)
    await refund(Refund(order_id=ORDER), outside, tx)

    assert [(method, path) for method, path, _ in outside.sent[1:]] == [FIND, refunds]
    assert [row["state"] for row in tx.rows(payment_table)] == ["refunded"]


@pytest.mark.parametrize(
    ("charges", "refund_answer"),
    [([], (200, CHARGED)), ([CHARGED], (404, {"reason": "no_such_charge"}))],
)
async def test_a_refund_that_gave_nothing_back_is_tried_again(
    tx: FakeTx, charges: list[object], refund_answer: tuple[int, object]
) -> None:
    """A payment is never marked as refunded while the processor has the money."""
    refunds = ("POST", "/v1/charges/ch_9/refunds")
    outside = FakeOutside(
        {CHARGES: (201, CHARGED), FIND: (200, {"charges": charges}), refunds: refund_answer}
    )
    await charge(CHARGE, outside, tx)

    with pytest.raises(BadAnswer, match="processor"):
        await refund(Refund(order_id=ORDER), outside, tx)
    assert [row["state"] for row in tx.rows(payment_table)] == ["charged"]


def test_a_card_is_in_no_repr() -> None:
    """What is printed or logged by mistake does not show it."""
    assert "tok_ok" not in repr(CHARGE)
