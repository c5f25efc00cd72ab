"""The OpenAPI document says what the routes do."""

from typing import Annotated, Any
from uuid import UUID

import pytest

from holdfast import (
    Caller,
    Failure,
    Field,
    Header,
    Model,
    Outside,
    Query,
    Read,
    Service,
    Tx,
)
from holdfast.dispatch.openapi import openapi
from tests.dispatch.hosting import system
from tests.dispatch.test_inputs import Colour


class Taken(Failure, status=409):
    """Somebody has it.

    A second paragraph is for developers.
    """


class NotThere(Failure, status=404):
    """There is none."""


class GetShelf(Query[int], fails=[NotThere]):
    """Ask for a shelf."""


class Item(Model):
    """A thing; it is body and answer at once."""

    name: str = Field(min_length=1)
    pieces: int = 1


class Page(Model):
    """An answer alone."""

    items: list[Item]


def store() -> Service:
    """Return a service with a route of every kind."""
    service = Service("store", calls=[GetShelf])

    @service.post("/v1/items", status_code=201, scope="items:write")
    async def add(body: Item, outside: Outside, tx: Tx, caller: Caller) -> Item:
        """Add an item.

        Not part of the summary.
        """
        if await outside.ask(GetShelf()):
            raise Taken
        return body

    @service.post("/v1/keys", record=False, public=True)
    async def make_key(tx: Tx) -> str:
        return "k"

    @service.get("/v1/items/{id}/parts/{part}", public=True)
    async def parts(
        id: UUID,
        part: int,
        read: Read,
        tags: list[str] | None = None,
        size: Annotated[int, Field(alias="page-size", le=100)] = 20,
        colour: Colour = Colour.RED,
        match: Annotated[str, Header("If-Match")] = "",
    ) -> list[Item]:
        return []

    @service.get("/v1/pages", public=True)
    async def pages(read: Read) -> Page | None:
        return None

    @service.delete("/v1/items/{id}")
    async def drop(id: UUID, tx: Tx) -> None: ...

    return service


@pytest.fixture
def document() -> dict[str, Any]:
    """Return the document of the store, which runs nowhere."""
    return openapi(system(store()))


def schema(document: dict[str, Any], content: Any) -> Any:
    """Return the schema of a JSON content, with its first reference followed."""
    found = content["content"]["application/json"]["schema"]
    if "$ref" in found:
        beside = {key: value for key, value in found.items() if key != "$ref"}
        return {**document["components"]["schemas"][found["$ref"].rpartition("/")[2]], **beside}
    return found


def parameters(operation: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return {(place, name): parameter}."""
    return {(one["in"], one["name"]): one for one in operation.get("parameters", [])}


async def test_each_route_is_an_operation(document: dict[str, Any]) -> None:
    """With an id that generators make a method name of, and the first line of its docstring."""
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }

    assert sorted(operations) == [
        "DELETE /v1/items/{id}",
        "GET /v1/items/{id}/parts/{part}",
        "GET /v1/pages",
        "POST /v1/items",
        "POST /v1/keys",
    ]
    assert operations["POST /v1/items"]["operationId"] == "store_add"
    assert operations["POST /v1/items"]["summary"] == "Add an item."
    assert operations["POST /v1/keys"]["summary"] == "make key"


async def test_one_model_may_be_body_and_answer(document: dict[str, Any]) -> None:
    """As a body it is closed to fields that nobody knows, as an answer it may grow."""
    operation = document["paths"]["/v1/items"]["post"]
    body = schema(document, operation["requestBody"])
    answer = schema(document, operation["responses"]["201"])

    assert operation["requestBody"]["required"] is True
    assert body["required"] == ["name"]
    assert body["unevaluatedProperties"] is False
    assert answer["properties"] == body["properties"]
    assert "unevaluatedProperties" not in answer


async def test_parameters_are_named_as_on_the_wire(document: dict[str, Any]) -> None:
    """Alias, place, whether it is required, and a schema without references."""
    found = parameters(document["paths"]["/v1/items/{id}/parts/{part}"]["get"])

    assert set(found) == {
        ("path", "id"),
        ("path", "part"),
        ("query", "tags"),
        ("query", "page-size"),
        ("query", "colour"),
        ("header", "If-Match"),
    }
    assert [key for key, one in found.items() if one["required"]] == [
        ("path", "id"),
        ("path", "part"),
    ]
    assert found["path", "id"]["schema"]["format"] == "uuid"
    assert found["query", "page-size"]["schema"]["maximum"] == 100
    assert found["query", "colour"]["schema"]["enum"] == ["red"]
    assert found["query", "colour"]["schema"]["default"] == "red"


async def test_answers_that_are_no_model_have_a_schema(document: dict[str, Any]) -> None:
    """A list, an optional Model, a plain string; and nothing at all has none."""
    paths = document["paths"]
    parts = paths["/v1/items/{id}/parts/{part}"]["get"]["responses"]["200"]
    pages = paths["/v1/pages"]["get"]["responses"]["200"]
    key = paths["/v1/keys"]["post"]["responses"]["200"]

    assert schema(document, parts)["type"] == "array"
    assert {"type": "null"} in schema(document, pages)["anyOf"]
    assert schema(document, key)["type"] == "string"
    assert "content" not in paths["/v1/items/{id}"]["delete"]["responses"]["204"]


async def test_errors_are_documented_where_they_can_come(document: dict[str, Any]) -> None:
    """Raised failures and those of queries that are asked, with their first line."""
    responses = document["paths"]["/v1/items"]["post"]["responses"]
    public = document["paths"]["/v1/pages"]["get"]["responses"]

    assert responses["404"]["description"] == "There is none."
    assert {"400", "401", "403", "413", "415", "422", "429", "500", "503"} <= set(responses)
    assert not {"400", "401", "403", "404", "409", "422"} & set(public)
    content = responses["401"]["content"]["application/problem+json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


async def test_doors_and_keys_are_documented(document: dict[str, Any]) -> None:
    """The scope stands at the route that asks for it; the key where it is recorded."""
    add = document["paths"]["/v1/items"]["post"]
    drop = document["paths"]["/v1/items/{id}"]["delete"]
    key = document["paths"]["/v1/keys"]["post"]

    assert add["security"] == [{"bearer": ["items:write"]}]
    assert drop["security"] == [{"bearer": []}]
    assert "security" not in key
    assert ("header", "Idempotency-Key") in parameters(add)
    assert ("header", "Idempotency-Key") in parameters(drop)
    assert ("header", "Idempotency-Key") not in parameters(key)


async def test_every_reference_is_good(document: dict[str, Any]) -> None:
    """Nothing points into the void, and no schema stands there unused."""
    schemas = document["components"]["schemas"]

    assert set(references(document)) == {f"#/components/schemas/{name}" for name in schemas}


def references(node: Any) -> list[str]:
    """Return every reference in a document."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    if isinstance(node, list):
        return [ref for value in node for ref in references(value)]
    return []
