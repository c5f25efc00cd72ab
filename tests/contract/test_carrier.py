"""What is carried arrives as it was given, or is refused before it leaves."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from holdfast import Command, Failure, Field, Model
from holdfast.contract.carrier import Carrier, carrier_of
from holdfast.contract.difference import first_difference
from holdfast.errors import NotCarried
from tests.contract.carried import (
    LEAVES,
    TYPES,
    Area,
    Box,
    Cat,
    Dog,
    Foreign,
    Open,
    Place,
    Puppy,
    Sizes,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Wrapped(Command[None]):
    """A message with anything in it."""

    content: Any


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_value_arrives_as_it_was_given_or_is_refused(data: st.DataObject) -> None:
    """For types and values that Hypothesis draws, nested at will."""
    kind, values = data.draw(TYPES)
    carrier: Carrier[Any] = Carrier(kind)
    value = carrier.fit(data.draw(values))

    try:
        body = carrier.encode(value)
    except NotCarried:
        return

    back = carrier.decode(body)
    assert first_difference(value, back, "value") is None
    assert repr(value) == repr(back) or _may_look_different(value)


def _may_look_different(value: Any) -> bool:
    """Zones arrive as offsets, sets and classes of drivers in other forms."""
    return any(word in repr(value) for word in ("tzinfo", "fold", "{", "UUID"))


SOMETIMES = (Any, object, Dog, Decimal | str, int | float | str, complex, Sizes, Foreign)
"""What may hold values that would arrive changed; complex loses a -0; the last two write bytes
and floats their way."""
NEVER_REFUSED = [leaf for leaf in LEAVES if leaf[0] not in SOMETIMES]
ARRIVES = [(str(kind), kind, values) for kind, values in NEVER_REFUSED if "date" not in str(kind)]


@pytest.mark.parametrize(
    ("kind", "values"), [pytest.param(k, v, id=name) for name, k, v in ARRIVES]
)
def test_what_has_one_form_always_arrives(kind: Any, values: st.SearchStrategy[Any]) -> None:
    """Nothing of these types is refused: bytes, infinity, aliases and computed fields included."""
    carrier: Carrier[Any] = carrier_of(kind)

    @settings(max_examples=40, deadline=None)
    @given(value=values)
    def arrives(value: Any) -> None:
        fitting = carrier.fit(value)
        assert first_difference(fitting, carrier.decode(carrier.encode(fitting)), "value") is None

    arrives()


class Payment(Model):
    """What others are derived from."""

    cents: int = Field(ge=0)


class CardPayment(Payment):
    """It has a field that a Payment has not."""

    card: str


class Charge(Command[None]):
    """A message that holds a Model."""

    payment: Payment
    others: list[Payment] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            Charge(payment=CardPayment(cents=1, card="4")),
            r"^Charge\.payment is CardPayment\(.*\) \(CardPayment\) and would arrive as Payment",
        ),
        (
            Charge(payment=Payment(cents=1), others=[CardPayment(cents=1, card="4")]),
            r"^Charge\.others\.0 is CardPayment",
        ),
        (
            Charge.model_construct(payment=Payment.model_construct(cents=-1)),
            r"^Charge\.payment\.cents: who gets it would refuse it",
        ),
        (
            Charge.model_construct(),  # type: ignore[call-arg]  # it is to be incomplete
            r"^Charge\.payment: who gets it would refuse it",
        ),
        (Wrapped(content=date(2026, 1, 1)), r"date\) and would arrive as '2026-01-01' \(str\)"),
        (Wrapped(content={1: "a"}), r"^Wrapped\.content is \{1: 'a'\}"),
        (Wrapped(content=(1,)), r"\(tuple\) and would arrive as \[1\] \(list\)"),
        (Wrapped(content=Cat()), r"\(Cat\) and would arrive as .* \(dict\)"),
        (Wrapped(content=SecretStr("x")), r"would arrive as '\*+' \(str\)"),
        (Wrapped(content=object()), r"^Wrapped cannot be written as JSON"),
        (Wrapped(content="\ud800"), r"^Wrapped cannot be written as JSON"),
    ],
)
def test_what_would_arrive_changed_is_refused_with_its_field(message: Any, said: str) -> None:
    """The error names the field, what it holds, and what would come."""
    with pytest.raises(NotCarried, match=said):
        carrier_of(type(message)).encode(message)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (Decimal("1.10"), Decimal("1.1")),
        (NOON, NOON.replace(tzinfo=None)),
        (NOON, NOON.astimezone(ZoneInfo("Europe/Paris"))),
        (NOON, date(2026, 1, 1)),
        ((1, 2), [1, 2]),
        (Place(1, "a"), (1, "a")),
        ({1, 2}, frozenset({1, 2})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Dog(weight=1), Puppy(weight=1)),
        (Open(known=1), Open.model_validate({"known": 1, "more": 2})),
    ],
)
def test_what_only_looks_equal_differs(one: Any, other: Any) -> None:
    """`==` is not enough: the handler would see another type, other digits, or another time."""
    assert first_difference(one, other, "x") is not None
    assert first_difference(Box[Any](content=[one]), Box[Any](content=[other]), "x") is not None
    assert first_difference(one, one, "x") is None


def test_an_hour_that_comes_twice_arrives() -> None:
    """Such times are unequal to all times of other zones in Python, and still the same."""
    twice = datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris"))
    carrier: Carrier[datetime] = carrier_of(datetime)

    assert carrier.decode(carrier.encode(twice)).isoformat() == "2025-10-26T02:30:00+01:00"


def test_a_drivers_own_class_arrives_as_what_it_is_derived_from() -> None:
    """asyncpg, for one, gives ids of a class of its own."""

    class Fast(UUID): ...

    carrier: Carrier[UUID] = carrier_of(UUID)

    assert carrier.decode(carrier.encode(Fast(int=5))) == UUID(int=5)


def test_a_private_attribute_that_was_set_is_refused() -> None:
    """It would arrive with its default."""
    area = Area.model_validate({"Side-Length": 3})
    carrier_of(Area).encode(area)
    area._seen = 5  # pyright: ignore[reportPrivateUsage]  # as a method of its own would

    with pytest.raises(NotCarried, match=r"Area\._seen is 5"):
        carrier_of(Area).encode(area)


def test_fields_of_a_newer_sender_are_ignored_unless_they_are_wanted() -> None:
    """A model that says extra="allow" keeps them; one that forbids them is no poison either."""
    assert carrier_of(Cat).decode(b'{"lives": 3, "new": 1}') == Cat(lives=3)
    assert carrier_of(Open).decode(b'{"new": 1}') == Open.model_validate({"new": 1})
    assert carrier_of(Foreign).decode(b'{"new": 1}') == Foreign()
    with pytest.raises(ValidationError, match="new"):
        carrier_of(Cat).decode(b'{"new": 1}', extra="forbid")


class Refused(Failure):
    """A failure with fields that JSON has no form for."""

    raw: bytes
    limit: float
    at: datetime


def test_a_failure_arrives_with_its_fields() -> None:
    """And its fields as JSON, as a client sees them, are what travels."""
    refused = Refused(raw=b"\xff", limit=float("inf"), at=datetime(2026, 1, 1, tzinfo=UTC))
    carrier: Carrier[Refused] = carrier_of(Refused)

    back = carrier.decode(carrier.encode(refused))

    assert (back.raw, back.limit, back.at) == (refused.raw, refused.limit, refused.at)
    assert refused.fields() == {"raw": "_w==", "limit": "Infinity", "at": "2026-01-01T00:00:00Z"}
