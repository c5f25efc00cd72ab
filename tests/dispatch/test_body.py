"""A body is strict JSON, and what it says is what the handler gets."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices
from typing_extensions import TypedDict

from holdfast import Field, Model
from holdfast.contract.http import Request
from holdfast.dispatch.inputs import Inputs
from holdfast.errors import BadRequest, Invalid
from holdfast.system.signature import read_signature


class Colour(Enum):
    """A closed choice."""

    RED = "red"


class Card(Model):
    """One way to pay."""

    kind: Literal["card"]
    amount: Decimal


class Meter(Model):
    """Another, whose field of the same name is a float."""

    kind: Literal["meter"]
    amount: float


@dataclass
class Span:
    """A dataclass with a decimal."""

    width: Decimal


class Weights(TypedDict, total=False):
    """A dictionary with given keys."""

    heavy: Decimal


class Tree(Model):
    """A model that holds itself."""

    price: Decimal = Decimal(0)
    below: "list[Tree]" = Field(default_factory=list)


def reading(annotation: Any) -> Callable[[bytes], Any]:
    """Return what reads a body of this type."""

    async def take(body: Any) -> None: ...

    take.__annotations__["body"] = annotation
    inputs = Inputs(read_signature(take, path_names=[]))
    return lambda body: inputs.read(Request("POST", "/", body=body), {})["body"]


class Anything(Model):
    """One field of each kind."""

    number: int = 0
    part: float = 0.0
    yes: bool = False
    text: str = ""
    id: UUID = UUID(int=0)
    day: date = date(2026, 1, 1)
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    span: timedelta = timedelta(0)
    colour: Colour = Colour.RED
    raw: bytes = b""
    tags: frozenset[str] = frozenset()
    pair: tuple[int, int] = (0, 0)
    price: Decimal = Decimal(0)
    anything: Any = None


read_anything = reading(Anything)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("number", wrong) for wrong in ("1", True, 1.0, 1.5, None)),
        *(("part", wrong) for wrong in ("1.5", True, "Infinity")),
        *(("yes", wrong) for wrong in (1, 0, "true", "on")),
        *(("text", wrong) for wrong in (1, True, None)),
        *(("at", wrong) for wrong in (1, "yesterday")),
        *(("day", wrong) for wrong in (20260101, "2026-01-01T10:00")),
        *(("span", wrong) for wrong in (1, "soon")),
        *(("pair", wrong) for wrong in ([1], ["1", 2], [1, 2, 3])),
        *(("price", wrong) for wrong in (True, "a lot", [])),
        ("id", 5),
        ("colour", "blue"),
        ("tags", "a"),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: Any) -> None:
    """A text that looks like a number is a text."""
    with pytest.raises(Invalid, match=rf"body\.{field}"):
        read_anything(json.dumps({field: value}).encode())


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        ("part", 1, 1.0),
        ("id", "00000000-0000-0000-0000-000000000005", UUID(int=5)),
        ("day", "2026-02-03", date(2026, 2, 3)),
        ("at", "2026-02-03T04:05:06Z", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("span", "PT2S", timedelta(seconds=2)),
        ("colour", "red", Colour.RED),
        ("raw", "AP8=", b"\x00\xff"),
        ("tags", ["a", "a"], frozenset("a")),
        ("pair", [1, 2], (1, 2)),
        ("price", "1.10", Decimal("1.10")),
        ("anything", {"a": [1, None]}, {"a": [1, None]}),
    ],
)
def test_what_json_has_no_form_for_comes_as_text(field: str, value: Any, taken: Any) -> None:
    """Ids, times, choices and bytes: there is no other way to send them."""
    assert getattr(read_anything(json.dumps({field: value}).encode()), field) == taken


@pytest.mark.parametrize(
    "body",
    [
        b'{"number": 1, "number": 1}',
        b'{"number": 1, "\\u006eumber": 2}',
        b'{"anything": [{"a": {"b": 1, "b": 2}}]}',
    ],
)
@pytest.mark.parametrize("annotation", [Anything, dict[str, Any], Anything | Tree])
def test_a_member_that_comes_twice_is_refused(annotation: Any, body: bytes) -> None:
    """At any depth, however it is written, and whatever its values are."""
    with pytest.raises(BadRequest, match="twice"):
        reading(annotation)(body)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400 + ".0", "NaN", "-Infinity"])
@pytest.mark.parametrize(
    ("annotation", "body"),
    [
        (Meter, '{"kind": "meter", "amount": %s}'),
        (dict[str, Any], '{"deep": [{"x": %s}]}'),
        (Anything, '{"part": %s}'),
        (Anything, '{"anything": [%s]}'),
        (list[float], "[1, %s]"),
    ],
)
def test_no_number_is_infinite(annotation: Any, body: str, number: str) -> None:
    """It would be null, or a text, wherever it was sent on."""
    with pytest.raises((Invalid, BadRequest), match=r"too large|is no number"):
        reading(annotation)((body % number).encode())


DIGITS = "0.12345678901234567890123"


@pytest.mark.parametrize("digits", [DIGITS, "1.10", "12345678901234567890.5", "1e400", "-0.0"])
@pytest.mark.parametrize(
    ("annotation", "body", "found"),
    [
        (Anything, '{"price": %s}', lambda b: b.price),
        (Card | Meter, '{"kind": "card", "amount": %s}', lambda b: b.amount),
        (
            Annotated[Card | Meter, Field(discriminator="kind")],
            '{"kind": "card", "amount": %s}',
            lambda b: b.amount,
        ),
        (list[Decimal | None], "[null, %s]", lambda b: b[1]),
        (dict[str, list[Decimal]], '{"a": [%s]}', lambda b: b["a"][0]),
        (list[tuple[int, Decimal]], "[[1, %s]]", lambda b: b[0][1]),
        (list[tuple[Decimal, ...]], "[[1, %s]]", lambda b: b[0][1]),
        (Span, '{"width": %s}', lambda b: b.width),
        (Weights, '{"heavy": %s}', lambda b: b["heavy"]),
        (Tree, '{"below": [{"below": [{"price": %s}]}]}', lambda b: b.below[0].below[0].price),
        (list[Annotated[Decimal, Field(allow_inf_nan=False)]], "[%s]", lambda b: b[0]),
    ],
)
def test_a_decimal_keeps_all_digits_of_a_number(
    annotation: Any, body: str, found: Callable[[Any], Decimal], digits: str
) -> None:
    """Wherever it stands; pydantic alone would read a float first."""
    assert str(found(reading(annotation)((body % digits).encode()))) == str(Decimal(digits))


def test_a_float_beside_a_decimal_stays_a_number() -> None:
    """Only what is a decimal is read as one."""
    read = reading(Annotated[Card | Meter, Field(discriminator="kind")])
    body = b'{"part": 1.50, "anything": [2.50], "number": 7, "price": 3.50}'

    assert read(b'{"kind": "meter", "amount": 0.12345678901234567890123}').amount == float(DIGITS)
    assert reading(Decimal | float)(b"1.50") == 1.5
    found = read_anything(body)
    assert (found.part, found.anything, found.number) == (1.5, [2.5], 7)
    assert str(found.price) == "3.50"


def test_a_decimal_is_found_by_its_alias() -> None:
    """By each name that a client may use."""

    class Priced(Model):
        price: Decimal = Field(validation_alias=AliasChoices("Price", "cost"))
        other: Decimal = Field(Decimal(0), alias="Other")

    read = reading(Priced)

    assert str(read(b'{"Price": 1.10}').price) == "1.10"
    assert str(read(b'{"cost": 1.10, "Other": 2.20}').other) == "2.20"


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_every_decimal_arrives_with_its_digits(number: Decimal) -> None:
    """As a number and as a text."""
    text = format(number, "f") if abs(number.adjusted()) < 300 else str(number)
    text = text if "E" not in text or "." in text else text.replace("E", ".0E")
    found = read_anything(f'{{"price": {text}}}'.encode())

    assert str(found.price) == str(Decimal(text))
    assert read_anything(f'{{"price": "{number}"}}'.encode()).price == number


def test_a_default_is_made_for_each_request() -> None:
    """A handler that changes it does not change it for others."""

    async def take(body: list[int] = [1]) -> None:  # noqa: B006  # what is tested
        ...

    async def make(body: Annotated[list[int], Field(default_factory=list)]) -> None: ...

    for function, first in ((take, [1]), (make, [])):
        inputs = Inputs(read_signature(function, path_names=[]))
        got = inputs.read(Request("POST", "/"), {})["body"]
        assert got == first
        got.append(2)
        assert inputs.read(Request("POST", "/"), {})["body"] == first
