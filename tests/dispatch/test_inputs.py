"""What a route takes from a request, and what it refuses."""

from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest

from holdfast import Field, Header, Model
from holdfast.contract.http import Request
from holdfast.dispatch.inputs import QUERY_FIELDS_MAX, Inputs, reply_encoder
from holdfast.errors import BadRequest, Invalid, RequestError, UnsupportedMediaType
from holdfast.system.signature import read_signature


class Colour(Enum):
    """A closed choice."""

    RED = "red"


class Line(Model):
    """A part of a body."""

    sku: str
    quantity: int = Field(gt=0)


class Basket(Model):
    """A body."""

    lines: list[Line]


async def search(
    shelf: UUID,
    tags: list[str],
    page: int = Field(1, ge=1),
    size: Annotated[int, Field(alias="page-size", le=100)] = 20,
    colour: Colour | None = None,
    user_agent: Annotated[str | None, Header()] = None,
    match: Annotated[int, Header("If-Match")] = 0,
) -> None: ...


async def place(body: Basket) -> None: ...


async def maybe(body: Basket | None = None) -> None: ...


SEARCH = Inputs(read_signature(search, path_names=["shelf"]))
PLACE = Inputs(read_signature(place, path_names=[]))
SHELF = {"shelf": "00000000-0000-7000-8000-000000000001"}


def searched(query: str, *headers: tuple[bytes, bytes], **path: str) -> dict[str, Any]:
    """Return what `search` would be called with."""
    return SEARCH.read(Request("GET", "/", query, list(headers)), path or SHELF)


def placed(body: bytes, kind: bytes | None = b"application/json", inputs: Inputs = PLACE) -> Any:
    """Return the body that a route would be called with."""
    headers = [] if kind is None else [(b"content-type", kind)]
    return inputs.read(Request("POST", "/", headers=headers, body=body), {})["body"]


def paths(refused: RequestError) -> list[str]:
    """Return the paths of the fields that do not fit."""
    errors: Any = refused.fields["errors"]
    return [error["path"] for error in errors]


def test_each_parameter_is_read_and_converted() -> None:
    """Path, query and headers come as the types that the function names."""
    values = searched(
        "tags=a&tags=b&page=2&page-size=5&colour=red",
        (b"user-agent", b"curl"),
        (b"if-match", b"7"),
    )

    assert values == {
        "shelf": UUID(int=0x7000_8000_000000000001),
        "tags": ["a", "b"],
        "page": 2,
        "size": 5,
        "colour": Colour.RED,
        "user_agent": "curl",
        "match": 7,
    }


def test_what_is_absent_gets_its_default() -> None:
    """Also a default that stands inside `Field`, which also holds its limits."""
    values = searched("tags=a")

    assert values["page"] == 1
    assert values["size"] == 20
    assert (values["colour"], values["user_agent"], values["match"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", "query.tags"),
        ("tags=a&page=0", "query.page"),
        ("tags=a&page=x", "query.page"),
        ("tags=a&page-size=101", "query.page-size"),
        ("tags=a&colour=blue", "query.colour"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_as_the_client_wrote_it(
    query: str, path: str
) -> None:
    """The alias is the name on the wire."""
    with pytest.raises(Invalid, match=path) as caught:
        searched(query)
    assert paths(caught.value) == [path]


def test_a_bad_path_and_a_bad_header_are_named() -> None:
    """Each place has its own prefix."""
    with pytest.raises(Invalid, match=r"path\.shelf"):
        searched("tags=a", shelf="7")
    with pytest.raises(Invalid, match=r"header\.If-Match"):
        searched("tags=a", (b"if-match", b"x"))


def test_a_query_name_that_nobody_reads_is_passed_over() -> None:
    """Links carry marks of others; only bodies are closed."""
    assert "utm" not in searched("tags=a&utm=mail")


def test_nul_is_refused_wherever_text_comes_in() -> None:
    """Postgres does not store it, so it must not get past the door on SQLite either."""
    with pytest.raises(Invalid, match=r"query\.tags holds the character NUL"):
        searched("tags=a%00b")
    with pytest.raises(Invalid, match="NUL"):
        placed(b'{"lines": [{"sku": "a\\u0000", "quantity": 1}]}')


def test_a_query_has_a_maximum_of_fields() -> None:
    """One more than the maximum is refused before it is looked at."""
    full = "&".join(["tags=a"] * QUERY_FIELDS_MAX)

    assert len(searched(full)["tags"]) == QUERY_FIELDS_MAX
    with pytest.raises(BadRequest, match=f"more than {QUERY_FIELDS_MAX} fields"):
        searched(f"{full}&tags=b")


@pytest.mark.parametrize(
    "kind", [None, b"application/json", b"Application/JSON; charset=utf-8", b"application/a+json"]
)
def test_a_body_is_read_as_json(kind: bytes | None) -> None:
    """With any of the media types of JSON, or none."""
    basket = placed(b'{"lines": [{"sku": "a", "quantity": 2}]}', kind)

    assert basket == Basket(lines=[Line(sku="a", quantity=2)])


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded", b""])
def test_another_media_type_is_refused(kind: bytes) -> None:
    """A form that a browser sends across sites is no JSON."""
    with pytest.raises(UnsupportedMediaType, match="send it as application/json"):
        placed(b"{}", kind)


@pytest.mark.parametrize("body", [b"", b"{", b'{"lines": []} x', b'{"lines": NaN}', b"\xff"])
def test_a_body_that_is_not_json_is_a_bad_request(body: bytes) -> None:
    """It is 400, not 422: there is no field to name."""
    with pytest.raises(BadRequest, match="the body is not JSON"):
        placed(body)


def test_every_bad_field_of_a_body_is_named() -> None:
    """Unknown fields too, at any depth."""
    body = b'{"lines": [{"sku": 1, "quantity": 0, "price": 2}], "coupon": "x"}'

    with pytest.raises(Invalid, match="4 field") as caught:
        placed(body)
    assert sorted(paths(caught.value)) == [
        "body.coupon",
        "body.lines.0.price",
        "body.lines.0.quantity",
        "body.lines.0.sku",
    ]


def test_a_body_may_be_left_out_where_it_has_a_default() -> None:
    """Nothing at all is the default; an empty object is a body."""
    inputs = Inputs(read_signature(maybe, path_names=[]))

    assert placed(b"", None, inputs) is None
    with pytest.raises(Invalid, match=r"body\.lines"):
        placed(b"{}", None, inputs)


@pytest.mark.parametrize(
    ("annotation", "value", "body"),
    [
        (None, "ignored", b""),
        (Line, Line(sku="a", quantity=1), b'{"sku":"a","quantity":1}'),
        (Line, {"sku": "a", "quantity": 1}, b'{"sku":"a","quantity":1}'),
        (list[Line], [Line(sku="a", quantity=1)], b'[{"sku":"a","quantity":1}]'),
        (Line | None, None, b"null"),
        (dict[str, int], {"a": 1}, b'{"a":1}'),
    ],
)
def test_an_answer_is_encoded_by_its_annotation(annotation: Any, value: Any, body: bytes) -> None:
    """None is an empty body only where the function promises nothing."""
    assert reply_encoder(annotation)(value) == body


def test_an_answer_that_breaks_the_promise_is_an_error() -> None:
    """It is found before anything is committed."""
    with pytest.raises(ValueError, match="quantity"):
        reply_encoder(Line)({"sku": "a", "quantity": 0})
