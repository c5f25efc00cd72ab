"""Each row of the tables of docs/parameters.md is declared, checked, and sent a request."""

import re
from collections.abc import Iterator
from typing import Any

import fastapi
import pytest
from pydantic import AliasChoices

from holdfast import Service, System
from holdfast.contract.http import Request
from holdfast.dispatch.inputs import Inputs
from holdfast.dispatch.openapi import openapi
from holdfast.errors import DeclarationError, RequestError
from holdfast.system.shapes import is_list
from holdfast.system.signature import read_signature
from tests.docs.snippets import ROOT, blocks, section

PAGE = ROOT / "docs" / "parameters.md"
_ROW = re.compile(r"^\| (`.*) \|$", re.MULTILINE)


class Socket:
    """What pydantic does not know."""


def rows(title: str) -> Iterator[list[str]]:
    """Return the rows of the table under a heading."""
    for found in _ROW.finditer(section(PAGE, title)):
        cells = re.split(r"(?<!\\) \| ", found[1].replace(" |  | ", " | ` ` | "))
        yield [cell.strip().replace("\\|", "|").replace("\\`", "`") for cell in cells]


def code(cell: str) -> str:
    """Return the text of a cell without its back-ticks."""
    return cell[1:-1] if cell.startswith("`") else cell


NAMES: dict[str, Any] = {}
[_block] = [block for block in blocks(PAGE) if block.language == "python"]
exec(_block.text, NAMES)
NAMES |= {"fastapi": fastapi, "AliasChoices": AliasChoices, "Socket": Socket}


def declared(parameter: str, path: str, method: str) -> tuple[System, Any]:
    """Return a system with one route that takes this, and its function."""
    scope = dict(NAMES)
    exec(f"async def take({parameter}) -> None: ...", scope)
    service = Service("case")
    function = scope["take"]
    service._route(method, path, status_code=200, scope=None, public=True)(function)  # pyright: ignore[reportPrivateUsage]  # of any method
    return System("case", services=[service]), function


PLACES = {
    "## The path": ("/x/{p}", "GET"),
    "## The query": ("/x", "GET"),
    "## Headers": ("/x", "GET"),
    "## The body": ("/x", "POST"),
}
TAKEN = [(title, *row) for title in PLACES for row in rows(title)]
REFUSED = list(rows("## What `holdfast check` refuses"))


def request_of(title: str, text: str) -> tuple[Request, dict[str, str]]:
    """Return the request of a row, and what its path holds."""
    request = Request(PLACES[title][1], "/x")
    if title == "## The path":
        return request, {"p": text.removeprefix("/x/").replace("%20", " ")}
    if title == "## The query":
        request.query = text.strip().removeprefix("?")
    elif title == "## Headers":
        lines = [one.partition(": ") for one in text.split("` `") if one.strip()]
        request.headers = [(name.lower().encode(), value.encode()) for name, _, value in lines]
    else:
        request.body = text.strip().encode()
    return request, {}


@pytest.mark.parametrize(("title", "parameter", "sent", "gets"), TAKEN)
def test_a_parameter_is_filled_as_the_table_says(
    title: str, parameter: str, sent: str, gets: str
) -> None:
    """The declaration passes the check; the request is read or refused."""
    path, method = PLACES[title]
    system, function = declared(code(parameter), path, method)
    system.check()
    inputs = Inputs(read_signature(function, path_names=["p"] if "{p}" in path else []))
    request, found = request_of(title, code(sent))

    if gets.isdigit():
        with pytest.raises(RequestError) as refused:
            inputs.read(request, found)
        assert refused.value.status == int(gets)
    else:
        [value] = inputs.read(request, found).values()
        wanted = eval(code(gets), NAMES)
        assert (value, type(value), repr(value)) == (wanted, type(wanted), repr(value))
        assert not isinstance(wanted, NAMES["Decimal"]) or str(value) == str(wanted)


@pytest.mark.parametrize(("parameter", "words"), REFUSED)
def test_a_parameter_that_nothing_could_fill_is_refused_by_check(
    parameter: str, words: str
) -> None:
    """With one line that names the route and says what to write."""
    method = "POST" if "Cat" in parameter else "GET"
    system, _ = declared(code(parameter), "/x", method)

    with pytest.raises(DeclarationError) as refused:
        system.check()

    [problem] = refused.value.problems
    assert code(words) in problem
    assert problem.startswith(("case: GET /x (", "case: POST /x ("))


def test_the_tables_are_read() -> None:
    """A table that nobody finds would test nothing."""
    counts = [len([row for row in TAKEN if row[0] == title]) for title in PLACES]

    assert [count > 8 for count in counts] == [True] * 4
    assert len(REFUSED) > 25
    assert all(len(row) == 4 for row in TAKEN)


WHERE = {"## The path": "path", "## The query": "query", "## Headers": "header"}


@pytest.mark.parametrize(
    ("title", "parameter"), dict.fromkeys((title, parameter) for title, parameter, *_ in TAKEN)
)
def test_the_api_document_tells_clients_of_each_parameter(title: str, parameter: str) -> None:
    """Where it stands, how it is called there, and whether it may be left out."""
    path, method = PLACES[title]
    system, function = declared(code(parameter), path, method)
    names = ["p"] if "{p}" in path else []
    [declared_] = read_signature(function, path_names=names).parameters

    told = openapi(system)["paths"][path][method.lower()]

    if title == "## The body":
        assert told["requestBody"]["required"] == declared_.required
        assert told["requestBody"]["content"]["application/json"]["schema"]
    else:
        [one] = [p for p in told["parameters"] if p["name"] != "Idempotency-Key"]
        assert (one["in"], one["name"]) == (WHERE[title], declared_.alias)
        assert one["required"] == (declared_.required or title == "## The path")
        assert "array" in str(one["schema"]) or not is_list(declared_.annotation)
