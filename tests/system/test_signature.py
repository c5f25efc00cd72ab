"""What a function takes, read from its annotations."""

from typing import Annotated, Any, Optional

import pytest
from pydantic import BaseModel, Field

from holdfast import Caller, Command, Header, Model, Outside, Read, Saga, Settings, Tx
from holdfast.system.signature import EMPTY, Source, bare, message_of, read_signature


class Body(Model): ...


class Charge(Command[None]): ...


class Keys(Settings): ...


class Mailer: ...


class Foreign(BaseModel): ...


async def everything(
    tx: Tx,
    read: Read,
    outside: Outside,
    saga: Saga,
    caller: Caller | None,
    message: Charge,
    settings: Keys,
    mailer: Mailer,
    body: Optional[Body],  # noqa: UP045
    id: int,
    after: Annotated[int, Field(alias="from")] = 0,
    user_agent: Annotated[str | None, Header()] = None,
    etag: Annotated[str, Header("If-Match")] = "",
    nothing=None,  # type: ignore[no-untyped-def]  # what a beginner writes
) -> Body: ...


def test_each_parameter_comes_from_where_its_annotation_says() -> None:
    """Injected by type; the rest by the path, the query, the headers and the body."""
    signature = read_signature(everything, path_names=["id"], provided=[Mailer])

    assert [p.source for p in signature.parameters] == [
        Source.TX,
        Source.READ,
        Source.OUTSIDE,
        Source.SAGA,
        Source.CALLER,
        Source.MESSAGE,
        Source.SETTINGS,
        Source.PROVIDED,
        Source.BODY,
        Source.PATH,
        Source.QUERY,
        Source.HEADER,
        Source.HEADER,
        Source.UNKNOWN,
    ]
    assert signature.returns is Body
    assert message_of(signature) is Charge


def test_names_on_the_wire() -> None:
    """A header is written with dashes; an alias wins."""
    signature = read_signature(everything, path_names=["id"], provided=[Mailer])

    names = {p.name: p.alias for p in signature.parameters}
    assert names["user_agent"] == "user-agent"
    assert names["etag"] == "If-Match"
    assert names["after"] == "from"
    assert names["id"] == "id"


def test_outside_a_route_nothing_comes_from_the_request() -> None:
    """Without a path there is neither query nor header."""
    signature = read_signature(everything)

    assert not signature.of(Source.QUERY) and not signature.of(Source.HEADER)
    assert {p.name for p in signature.of(Source.UNKNOWN)} == {
        "mailer",
        "id",
        "after",
        "user_agent",
        "etag",
        "nothing",
    }


@pytest.mark.parametrize("kind", [dict, Foreign])
def test_structured_data_is_a_body(kind: Any) -> None:
    """It is refused later, as a body that is no Model, and not read from the query."""

    async def route(data: kind) -> None: ...

    (body,) = read_signature(route, path_names=[]).of(Source.BODY)
    assert body.kind is kind


def test_an_annotation_that_does_not_resolve_raises() -> None:
    """The checks turn it into a problem with its place."""

    async def route(data: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(NameError, match="Nowhere"):
        read_signature(route)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int, int),
        (int | None, int),
        (Annotated[int | None, Header()], int),
        (int | str, int | str),
        (int | str | None, int | str | None),
        (list[int], list[int]),
        (EMPTY, EMPTY),
    ],
)
def test_the_bare_type_of_an_annotation(annotation: Any, kind: Any) -> None:
    """Annotated and `| None` go; a choice of types stays."""
    assert bare(annotation) == kind
