"""Hypothesis draws types that pydantic can declare, and values of them."""

import enum
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Json,
    PrivateAttr,
    computed_field,
    create_model,
)
from typing_extensions import TypedDict

from holdfast import Field, Model

T = TypeVar("T")


class Colour(enum.StrEnum):
    """A closed choice of texts."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """A closed choice of numbers."""

    LOW = 1
    HIGH = 2


class Place(NamedTuple):
    """A tuple with names."""

    x: int
    label: str


class Sizes(TypedDict, total=False):
    """A dictionary with given keys."""

    width: int
    raw: bytes


@dataclass(frozen=True)
class Span:
    """A dataclass of the standard library."""

    start: int
    note: str | None = None


class Box(Model, Generic[T]):
    """A generic model."""

    content: T


class Cat(Model):
    """One of two."""

    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(Model):
    """The other."""

    kind: Literal["dog"] = "dog"
    weight: float


class Puppy(Dog):
    """A derived class, whose own field a `Dog` would lose."""

    weeks: int = 1


class Area(Model):
    """A computed field, a private attribute, and what is called otherwise by HTTP."""

    side: int = Field(alias="Side-Length")
    unit: str = Field("m", validation_alias=AliasChoices("u", "unit-name"))
    _seen: int = PrivateAttr(0)

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def square(self) -> int:
        """A value that is computed, and not sent."""
        return self.side**2


class Open(Model):
    """A model that keeps what it does not know."""

    model_config = ConfigDict(extra="allow")

    known: int = 0


class Foreign(BaseModel):
    """A model that is not one of ours."""

    model_config = ConfigDict(extra="forbid")

    number: float = 0.0
    blob: bytes = b""


class Tree(Model):
    """A model that holds itself."""

    value: int
    below: "list[Tree]" = Field(default_factory=list)


PET = Annotated[Cat | Dog, Field(discriminator="kind")]
_zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=45)), ZoneInfo("Europe/Paris"), None]
)
_texts = st.text(max_size=8)
_floats = st.floats(allow_nan=True, allow_infinity=True)
_cats = st.builds(Cat, lives=st.integers(0, 9))
_dogs = st.builds(Dog, weight=_floats)
_numbers = st.integers(-(2**70), 2**70)
_areas = st.builds(
    lambda side, unit: Area.model_validate({"Side-Length": side, "u": unit}), _numbers, _texts
)
_trees = st.recursive(
    st.builds(Tree, value=_numbers),
    lambda below: st.builds(Tree, value=_numbers, below=st.lists(below, max_size=2)),
    max_leaves=4,
)
_plain_decimals = st.decimals(allow_nan=False, allow_infinity=False)

LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, _texts),
    (int, _numbers),
    (bool, st.booleans()),
    (float, _floats),
    (bytes, st.binary(max_size=8)),
    (Decimal, _plain_decimals),
    (UUID, st.uuids()),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=_zones)),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 1, True], st.sampled_from(["a", 1, True])),
    (None, st.none()),
    (complex, st.complex_numbers()),
    (IPv4Address, st.ip_addresses(v=4)),
    (PurePosixPath, st.sampled_from([PurePosixPath("/a/b"), PurePosixPath("c")])),
    (Annotated[int, Field(ge=1, le=9)], st.integers(1, 9)),
    (Annotated[str, Field(pattern="^[a-c]+$")], st.text("abc", min_size=1, max_size=4)),
    (Place, st.builds(Place, st.integers(), _texts)),
    (Span, st.builds(Span, st.integers(), st.none() | _texts)),
    (Sizes, st.fixed_dictionaries({}, optional={"width": st.integers(), "raw": st.binary()})),
    (Box[bytes], st.builds(Box[bytes], content=st.binary(max_size=8))),
    (Cat, _cats),
    (Dog, _dogs | st.builds(Puppy, weight=st.just(1.0), weeks=st.integers(0, 9))),
    (PET, _cats | _dogs),
    (Cat | Dog, _cats | _dogs),
    (Area, _areas),
    (Open, st.builds(Open, known=st.integers(), more=st.integers() | _texts)),
    (Foreign, st.builds(Foreign, number=_floats, blob=st.binary(max_size=8))),
    (Tree, _trees),
    (Json[list[int]], st.lists(st.integers(-9, 9)).map(str)),
    (Decimal | str, _plain_decimals | _texts),
    (int | float | str, st.integers() | _floats | _texts),
    (date | datetime | str, st.dates() | st.datetimes() | _texts),
    (Any, st.dates() | st.integers() | _floats | _texts | st.binary() | st.booleans() | _cats),
    (object, st.integers() | st.tuples(st.integers())),
]


LIST: Any = list
TUPLE: Any = tuple
DEQUE: Any = deque
SET: Any = set
FROZENSET: Any = frozenset
DICT: Any = dict
BOX: Any = Box
Drawn = tuple[Any, st.SearchStrategy[Any]]
KEYS = [leaf for leaf in LEAVES if leaf[0] in (str, int, UUID, Colour, date)]


def _boxed(drawn: Drawn) -> Drawn:
    kind = BOX[drawn[0]]
    return kind, drawn[1].map(lambda value: kind(content=value))


def _model(drawn: Drawn) -> Drawn:
    kind = create_model("Drawn", __base__=Model, one=(drawn[0], ...), two=(int, 2))
    return kind, drawn[1].map(lambda value: kind(one=value))


def _nested(of: st.SearchStrategy[Drawn]) -> st.SearchStrategy[Drawn]:
    """Draw types that are made of others."""
    keys = st.sampled_from(KEYS)
    return st.one_of(
        of.map(lambda t: (LIST[t[0]], st.lists(t[1], max_size=3))),
        of.map(lambda t: (TUPLE[t[0], ...], st.lists(t[1], max_size=3).map(tuple))),
        of.map(lambda t: (DEQUE[t[0]], st.lists(t[1], max_size=3).map(deque))),
        of.map(lambda t: (t[0] if t[0] is None else t[0] | None, st.none() | t[1])),
        of.map(_boxed),
        of.map(_model),
        keys.map(lambda t: (SET[t[0]], st.sets(t[1], max_size=3))),
        keys.map(lambda t: (FROZENSET[t[0]], st.frozensets(t[1], max_size=3))),
        st.tuples(keys, of).map(
            lambda two: (
                DICT[two[0][0], two[1][0]],
                st.dictionaries(two[0][1], two[1][1], max_size=3),
            )
        ),
        st.tuples(of, of).map(
            lambda two: (TUPLE[two[0][0], two[1][0]], st.tuples(two[0][1], two[1][1]))
        ),
    )


TYPES: st.SearchStrategy[Drawn] = st.recursive(st.sampled_from(LEAVES), _nested, max_leaves=4)
"""(type, strategy of its values)."""
