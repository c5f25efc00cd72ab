"""The quick look at a body: it changes no value and no error, whatever the body is."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AnyUrl,
    BaseModel,
    ConfigDict,
    RootModel,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from holdfast import Field, Model
from holdfast.contract.carrier import adapter_of
from holdfast.contract.http import Request
from holdfast.dispatch.body import Body
from holdfast.errors import BadRequest, RequestError
from holdfast.system.signature import read_signature


class Colour(Enum):
    """A closed choice."""

    RED = "red"
    TEXT = "text"


class Level(IntEnum):
    """A choice of numbers."""

    LOW = 1


class Part(Model):
    """What is inside others."""

    text: str = ""
    number: int | None = None


class Scalars(Model):
    """A field of each kind of which all is known."""

    text: str = Field("", max_length=20)
    number: int = 0
    flag: bool = False
    id: UUID = UUID(int=0)
    day: date = date(2020, 1, 1)
    hour: time = time(1)
    moment: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    pause: timedelta = timedelta(0)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    word: Literal["text", "number", 1] = "text"
    nothing: None = None

    @field_validator("text")
    @classmethod
    def no_bad_words(cls, value: str) -> str:
        """Refuse a word."""
        if value == "bad":
            raise ValueError("a bad word")
        return value


class Linked(Part):
    """A part with an address."""

    url: AnyUrl | None = None


class Named(Model):
    """Fields that are called something else outside, also what JSON itself is made of."""

    text: str = Field("", alias="the text")
    number: int = Field(0, alias="númber")
    quoted: str = Field("", alias='a"b')
    empty: str = Field("", alias="")
    dotted: int = Field(0, alias="t.xt")
    both: int = Field(0, validation_alias="validated", serialization_alias="serialised")


class Open(Part):
    """A model that would take more, if a body might have more."""

    model_config = ConfigDict(extra="allow")


class Nested(Model):
    """Models in models, lists and sets."""

    text: str = ""
    part: Open | None = None
    parts: list[Part] = Field(default_factory=list)
    words: set[str] = Field(default_factory=set)
    rows: list[list[int]] = Field(default_factory=list)


class OpenInside(Model):
    """One that holds such a model."""

    part: Open = Open()
    text: str = ""


class Numbers(Model):
    """Numbers that are infinite if nobody looks, or that keep their digits."""

    text: str = ""
    number: float = 0.0
    exact: Decimal = Decimal(0)


class Choices(Model):
    """A field with several names, and a dictionary with any."""

    text: str = Field("", validation_alias=AliasChoices("text", "words"))
    number: dict[str, int] = Field(default_factory=dict)


class Tree(Model):
    """A model that holds itself."""

    text: str = ""
    part: "Tree | None" = None


class Weights(TypedDict, total=False):
    """A dictionary with given keys."""

    text: str
    number: int


class Rows(RootModel[list[Part]]):
    """A list that is a model."""


class Checked(BaseModel):
    """A model that sets a field of its own when it is whole."""

    text: str = ""
    number: int = 0

    @model_validator(mode="after")
    def counted(self) -> "Checked":
        """Count."""
        self.number = len(self.text)
        return self


class Made(BaseModel):
    """A model that does so when it is made."""

    text: str = ""
    number: int = 0

    def model_post_init(self, context: object, /) -> None:
        """Count."""
        self.number = len(self.text)


class Whole(BaseModel):
    """A model whose parts do so."""

    parts: list[Checked] = Field(default_factory=list)
    made: Made | None = None


class Anything(Model):
    """Of which nothing is known."""

    text: Any = None
    number: object = None


KINDS: list[Any] = [
    *(
        Scalars,
        Named,
        Nested,
        Open,
        OpenInside,
        Linked,
        Numbers,
        Choices,
        Tree,
        Weights,
        Rows,
        Anything,
        Checked,
        Made,
        Whole,
    ),
    *(Part, list[Part], list[int], str, int, Part | None, Part | Numbers),
    *(dict[str, Part], tuple[int, str], tuple[Part, ...], Annotated[Part, "marked"]),
]


def _reader(kind: Any) -> Body:
    async def take(body: Any) -> None: ...

    take.__annotations__["body"] = kind
    (parameter,) = read_signature(take, path_names=[]).parameters
    return Body(parameter)


READERS: list[tuple[Body, Body]] = []
"""Of each kind that has a quick look: one that takes it, and one that does not."""
for _kind in KINDS:
    _quick, _careful = _reader(_kind), _reader(_kind)
    _careful._count = None
    if _quick._count is not None:
        READERS.append((_quick, _careful))
PART = _reader(Part)


def outcome(reader: Body, body: bytes) -> object:
    """Return the value that a reader reads, or what it says of the body."""
    try:
        value = reader.read(Request("POST", "/", body=body))
    except RequestError as error:
        return error.status, error.code, error.detail, str(error.fields)
    return repr(value)


NAMES = sorted(
    {
        *("text", "number", "part", "parts", "words", "more", "the text", "númber", 'a"b', ","),
        *(":", "}, ", "", "t.xt", "both", "validated", "quoted", "exact", "rows"),
        *Scalars.model_fields,
    }
)
VALUES = [
    *('""', '"text"', '"number"', '":"', '"\\"text\\""', '"bad"', '"\\u0000"', '"\\ud800"', "1"),
    *("-1", "1.0", "1e999", "-1e999", "NaN", "-Infinity", "Infinity", "9" * 400, "01", "1e3"),
    *("true", "null", "[]", "{}", '"red"', '"2020-01-01"', '"2020-01-01T00:00:00Z"', '"P1D"'),
    *('"01:02"', '"00000000-0000-7000-8000-000000000001"', '"https://a.example/"', '"\x01"'),
    *('"té"', "[1, 2]", '["text", "text"]', '{"text": "a"}', '[{"text": ""}, {"text": ""}]'),
    *('{"text": "a", "text": "b"}', '{"number": 1, "part": {"number": 1}}', "[[1], [2]]"),
]
SPACES = st.sampled_from(["", "", "", " ", "\n", "\t ", "\x0b", "\u00a0"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw something like an object, whose names are those of the types above, and often twice."""
    members: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        spelled = json.dumps(draw(st.sampled_from(NAMES)), ensure_ascii=draw(st.booleans()))
        if len(spelled) > 2 and draw(st.integers(0, 9)) == 0 and spelled[1] != "\\":
            spelled = f'"\\u{ord(spelled[1]):04x}{spelled[2:]}'
        value = draw(st.one_of(st.sampled_from(VALUES), texts()))
        members.append(f"{spelled}{draw(SPACES)}:{draw(SPACES)}{value}")
    between = draw(st.sampled_from([",", ", ", " ,", ",,"])) if len(members) > 1 else ","
    text = "{" + between.join(members) + "}"
    return draw(st.sampled_from([text, text, text, f"[{text}]", f"[{text},{text}]", f" {text}\n"]))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: mostly JSON, in an encoding that is mostly the right one, mostly whole."""
    body = draw(texts()).encode(draw(st.sampled_from(["utf-8"] * 7 + ["utf-16", "utf-8-sig"])))
    match draw(st.integers(0, 12)):
        case 0:
            at = draw(st.integers(0, len(body)))
            body = body[:at] + draw(st.binary(max_size=3)) + body[at:]
        case 1:
            at = draw(st.integers(0, len(body)))
            body = body[:at] + body[at + 1 :]
        case 2:
            body += draw(st.sampled_from([b"\x00", b"x", b" ", b"{}", b"\xff"]))
        case _:
            pass
    return body


@settings(max_examples=200)
@given(bodies())
@example(b'{"text": "a", "text": "b"}')
@example(b'{"text": "text"}')
@example(b'{"text" : "a", "text" : "b"}')
@example(b'{"te\\u0078t": "a", "text": "b"}')
@example(b'{":": "x", ",": 1, ",": 2}')
@example(b'{":": "x", ":": "y"}')
@example(b'{"text": "a", ":": 1, "text": "b"}')
@example(b'{"number": 1, "number": 2, "text": "a"}')
@example(b'{"text": "b", "text": "a"}')
@example(b'{"parts": [{"text": "a", "text": "b"}], "made": {"text": "a", "text": "b"}}')
@example(b'{"text": ":", "text": "\n:"}')
@example(b'{"part": {"more": 1, "more": 2}}')
@example(b"[" * 5_000)
@example(b'{"part": ' * 2_000 + b"{}" + b"}" * 2_000)
@example(b'{"number": ' + b"9" * 5_000 + b"}")
@example(b'{"text": "\xed\xa0\x80"}')
@example(b'{"moment": NaN}')
@example(b'{"pause": 1e999}')
@example(b'{"number": "1"}')
@example(b'{"number": true, "flag": 1}')
@example(b'{"part": {"number": 1, "number": 2}}')
@example(b'{"parts": [{"number": 1, "number": 2}]}')
def test_a_body_is_read_alike(body: bytes) -> None:
    """With the quick look and without it: the same value, or the same status and words."""
    for quick, careful in READERS:
        assert outcome(quick, body) == outcome(careful, body), quick.parameter.annotation


def test_which_types_have_a_quick_look() -> None:
    """Those of which all names are known, and that hold no number that could be infinite."""
    having = [quick.parameter.annotation for quick, _ in READERS]
    assert having == [
        *(Scalars, Named, Nested, Open, OpenInside, Rows, Part, list[Part], list[int]),
        *(str, int, Part | None, tuple[Part, ...], Annotated[Part, "marked"]),
    ]


GOOD: dict[Any, str] = {
    Part: '{"text": "a", "number": 1}',
    Scalars: '{"text": "at 10:15", "moment": "2020-01-01T00:00:00Z", "flag": true}',
    Nested: '{"text": ":", "parts": [{"number": 1}, {"text": "b", "number": 1}], "part": null}',
    tuple[Part, ...]: '[{"text": "a"}, {"text": "b"}]',
    Rows: '[{"text": "a"}, {"text": "b"}]',
}


@pytest.mark.parametrize("kind", GOOD)
def test_the_quick_look_is_enough_for_a_good_body(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read as JSON once more, whatever its texts hold and however often a name comes."""
    reader, body = _reader(kind), GOOD[kind].encode()
    monkeypatch.setattr("holdfast.dispatch.body._look_at", _never)
    assert outcome(reader, body) == repr(adapter_of(kind).validate_json(body))


def _never(body: bytes, decoder: Callable[..., object]) -> object:
    raise AssertionError("it was read")


TWICE = [
    b'{"text":"a","text":"b"}',
    b'{"text":"a","number":1,"text":"b"}',
    b'{"number":1,"number":1}',
    b'{"text"\n:"a","text"\t:"b"}',
    b'{"te\\u0078t":"a","text":"b"}',
]


@pytest.mark.parametrize("body", TWICE)
def test_a_member_comes_once(body: bytes) -> None:
    """However it is spelled, and whatever stands between."""
    with pytest.raises(BadRequest, match="twice"):
        PART.read(Request("POST", "/", body=body))


@pytest.mark.parametrize("alias", [",", ", ", ":", " :", ",:", '","'])
def test_a_name_that_could_stand_between_others_hides_none(alias: str) -> None:
    """The end of one text and the beginning of the next may be taken for that name."""

    class Odd(Model):
        """A model with such a name."""

        text: str = ""
        more: str = ""
        odd: int = Field(0, alias=alias)

    quick, name = _reader(Odd), json.dumps(alias)
    for between in (",", ", ", ",\n", " ,"):
        for members in (
            ['"more":"x"', '"more":"y"'],
            [f"{name}:1", '"more":"x"', f"{name} : 2"],
            ['"more":"x"', f"{name}:1", '"text":":"', f"{name}:2"],
        ):
            body = f"{{{between.join(members)}}}"
            with pytest.raises(BadRequest, match="twice"):
                quick.read(Request("POST", "/", body=body.encode()))
