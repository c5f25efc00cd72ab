"""Messages: names on the wire, versions, replies, undos and topics."""

from typing import Any, Generic, TypeVar
from uuid import UUID

import pytest
from pydantic import ValidationError

from holdfast import Command, Event, Failure, Model, Query, Undo
from holdfast.contract.messages import undone_by

ID = UUID("01900000-0000-7000-8000-000000000001")
T = TypeVar("T", bound=Command[Any])


class Receipt(Model):
    payment_id: UUID


class Declined(Failure): ...


class Charge(Command[Receipt], fails=[Declined]):
    amount_cents: int


class Refund(Undo[Charge]):
    amount_cents: int = 0


class Paid(Event, topic="order_id"):
    order_id: UUID


def test_the_name_on_the_wire_has_the_version() -> None:
    """Two versions of a message are two messages."""

    class Ship(Command[None], version=3): ...

    assert (Ship.name, Ship.version, Ship.wire_name()) == ("Ship", 3, "Ship.v3")
    assert Charge.wire_name() == "Charge.v1"


def test_versions_count_from_one() -> None:
    """Zero is a slip, not a version."""
    with pytest.raises(TypeError, match=r"class Ship\(version=0\): versions count from 1"):

        class Ship(Command[None], version=0): ...


@pytest.mark.parametrize("reply", [None, int, Receipt, list[Receipt], Receipt | None])
def test_a_message_promises_a_reply(reply: Any) -> None:
    """It is read from the base, for commands and queries alike."""

    class Ship(Command[reply]): ...

    class GetShip(Query[reply]): ...

    assert Ship.reply_type in (reply, type(reply)) and GetShip.reply_type == Ship.reply_type


def test_what_is_derived_from_a_message_keeps_what_it_declared() -> None:
    """The reply, the failures and the topic are inherited; the name and the version are not."""

    class LargeCharge(Charge): ...

    class PaidLate(Paid): ...

    assert LargeCharge.reply_type is Receipt
    assert LargeCharge.fails == (Declined,)
    assert LargeCharge.wire_name() == "LargeCharge.v1"
    assert PaidLate(order_id=ID).topic_key() == f"PaidLate:{ID}"


def test_only_failures_can_be_declared() -> None:
    """An exception that is no Failure has no place in a contract."""
    with pytest.raises(TypeError, match=r"class Ship\(fails=…\): .*ValueError.* is no failure"):

        class Ship(Command[None], fails=[ValueError]): ...  # type: ignore[list-item]


def test_failures_of_one_message_differ_by_name() -> None:
    """On the wire the name is all there is."""
    other = type("Declined", (Failure,), {})
    with pytest.raises(TypeError, match="two failures are named Declined; rename one"):

        class Ship(Command[None], fails=[Declined, other]): ...


def test_an_undo_knows_its_command() -> None:
    """It is named as a type, so that checkers and the graph can follow it."""
    assert Refund.undoes is Charge
    assert undone_by(Refund) is Charge
    assert undone_by(Charge) is None


def test_an_undo_declares_no_failures() -> None:
    """It is tried until it succeeds; there is nobody to refuse to."""
    with pytest.raises(TypeError, match=r"class Release\(fails=…\): an undo is tried until"):

        class Release(Undo[Charge], fails=[Declined]): ...


def test_an_undo_names_a_command() -> None:
    """Without one, or with a query, nobody could tell what it takes back."""
    with pytest.raises(TypeError, match=r"class Release: .*; derive it from Undo\[TheCommand\]"):

        class Release(Undo): ...  # type: ignore[type-arg]

    with pytest.raises(TypeError, match=r"derive it from Undo\[TheCommand\]"):

        class Forget(Undo[Query[int]]): ...  # type: ignore[type-var]


def test_a_base_of_undos_may_leave_the_command_open() -> None:
    """Its subclasses name it."""

    class Cancel(Undo[T], Generic[T]):
        why: str

    class CancelCharge(Cancel[Charge]): ...

    assert undone_by(CancelCharge) is Charge


def test_a_topic_is_a_field() -> None:
    """A saga waits by the value of a field; a wrong name would never match."""
    assert Paid(order_id=ID).topic_key() == f"Paid:{ID}"
    with pytest.raises(TypeError, match=r"topic='order'\): there is no such field; name one of id"):

        class Lost(Event, topic="order"):
            id: UUID


def test_an_event_without_a_topic_has_no_key() -> None:
    """Nobody can wait for it; subscribers hear it all the same."""

    class Noted(Event): ...

    assert Noted().topic_key() is None


@pytest.mark.parametrize("field", ["name", "version", "fails", "reply_type", "topic"])
def test_a_field_cannot_hide_what_a_message_is(field: str) -> None:
    """A field called `name` would take the place of the name on the wire."""
    with pytest.raises(TypeError, match=f"class Ship: a field cannot be called '{field}'"):
        type(Command[None])("Ship", (Command[None],), {"__annotations__": {field: str}})


def test_messages_are_immutable_and_ignore_what_is_new() -> None:
    """A letter of a newer sender is no poison; a letter that was read does not change."""
    charge = Charge.model_validate_json('{"amount_cents": 5, "coupon": "added later"}')

    assert charge == Charge(amount_cents=5)
    with pytest.raises(ValidationError, match="frozen"):
        charge.amount_cents = 6


def test_bytes_travel_as_base64() -> None:
    """JSON has no bytes; what was sent is what arrives."""

    class Upload(Command[None]):
        data: bytes

    sent = Upload(data=b"\x00\xff")

    assert sent.model_dump_json() == '{"data":"AP8="}'
