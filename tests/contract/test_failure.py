"""Failures: exceptions that are data."""

import copy
import pickle
from typing import Any
from uuid import UUID

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from holdfast import Failure, Model, Unanswered

ID = UUID("01900000-0000-7000-8000-000000000001")


class Line(Model):
    sku: str
    count: int = 1


class OutOfStock(Failure, status=410):
    """There is not enough."""

    lines: list[Line] = Field(default_factory=list)
    order: UUID = ID
    why: str | None = None


class OutOfStockHere(OutOfStock):
    shelf: int


class Plain(Failure): ...


SOME = [
    Plain(),
    OutOfStock(),
    OutOfStock(lines=[Line(sku="a"), Line(sku="b", count=2)], why="sold"),
    OutOfStockHere(shelf=3),
    Unanswered(command="Charge.v1"),
]


@pytest.mark.parametrize("failure", SOME, ids=str)
def test_a_failure_survives_the_wire(failure: Failure) -> None:
    """Its fields are JSON types, and make it again on the other side."""
    again = TypeAdapter(type(failure)).validate_python(failure.fields())

    assert type(again) is type(failure)
    assert again.fields() == failure.fields()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))]
)
@pytest.mark.parametrize("failure", SOME, ids=str)
def test_a_failure_can_be_copied_and_pickled(failure: Failure, copied: Any) -> None:
    """Process pools and test runners do both, and keep the class and the fields."""
    again = copied(failure)

    assert type(again) is type(failure)
    assert again.fields() == failure.fields()
    assert str(again) == str(failure)


def test_a_failure_reads_as_its_name_and_fields() -> None:
    """This is what a log line and a saga's `why` show."""
    assert str(Plain()) == repr(Plain()) == "Plain"
    assert str(Unanswered(command="Charge.v1")) == (
        "Unanswered (command=Charge.v1, effect=unknown)"
    )


def test_fields_are_json_types() -> None:
    """Nested models and ids too."""
    assert OutOfStock(lines=[Line(sku="a")]).fields() == {
        "lines": [{"sku": "a", "count": 1}],
        "order": str(ID),
        "why": None,
    }


def test_fields_are_validated_and_given_by_name() -> None:
    """A wrong refusal is a bug that shows where it is raised."""
    assert OutOfStock(lines=[{"sku": "a"}]).lines == [Line(sku="a")]  # type: ignore[list-item]
    with pytest.raises(ValidationError, match="shelf"):
        OutOfStockHere()  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="positional"):
        Unanswered("Charge.v1")  # type: ignore[misc]


def test_defaults_are_not_shared() -> None:
    """Each failure has lines of its own."""
    one, two = OutOfStock(), OutOfStock()

    one.lines.append(Line(sku="a"))

    assert two.lines == []


def test_a_failure_is_equal_to_itself_alone() -> None:
    """It is an exception: it hashes, though its fields may not; compare `fields()`."""
    one, two = OutOfStock(), OutOfStock()

    assert one == one and one != two and len({one, two}) == 2
    assert one.fields() == two.fields()


def test_a_failure_can_be_raised_and_chained() -> None:
    """Catching a base catches what is derived from it, with its cause."""
    with pytest.raises(OutOfStock, match=r"^OutOfStockHere \(lines=\[\], .*shelf=3\)$") as raised:
        raise OutOfStockHere(shelf=3) from ValueError("why")

    assert isinstance(raised.value.__cause__, ValueError)


def test_the_name_and_status_belong_to_the_class() -> None:
    """The status is inherited, the name is not."""
    assert (Plain.name, Plain.status) == ("Plain", 409)
    assert (OutOfStockHere.name, OutOfStockHere.status) == ("OutOfStockHere", 410)


@pytest.mark.parametrize("status", [200, 399, 500])
def test_a_refusal_is_the_clients_to_mend(status: int) -> None:
    """What is our fault is an exception, never a Failure."""
    with pytest.raises(TypeError, match=rf"class Late\(status={status}\): a refusal is 400..499"):

        class Late(Failure, status=status): ...


@pytest.mark.parametrize("field", ["name", "status", "fields", "args"])
def test_a_field_cannot_hide_what_a_failure_is(field: str) -> None:
    """A field called `name` would take the place of the name on the wire."""
    with pytest.raises(
        TypeError, match=rf"class Late\(Failure\): a field cannot be called '{field}'"
    ):
        type("Late", (Failure,), {"__annotations__": {field: str}})


def test_the_base_is_not_raised() -> None:
    """A refusal has a name of its own, or nobody could declare it."""
    with pytest.raises(TypeError, match="raise a failure of your own"):
        Failure()
