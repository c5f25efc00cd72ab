"""What clients may send and handlers may answer: never a 500, never half of anything."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, func, select

from holdfast import Model, Read, Service, Tx
from holdfast.contract.http import Response
from holdfast.errors import TransactionError
from tests.dispatch.hosting import Hosted, hosting, problem, system

METADATA = MetaData()
NOTES = Table(
    "note",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("text", String, nullable=False),
    Column("number", Integer),
)


class Note(Model):
    """What a client sends."""

    text: str
    number: int = 0


def desk(looking: list[asyncio.Task[None]] | None = None) -> Service:
    """Return a service that answers in every way that a route can."""
    service = Service("desk", tables=METADATA)
    looking = [] if looking is None else looking

    def keep(tx: Tx, text: str) -> None:
        tx.insert(NOTES, id=tx.new_id(), text=text)

    @service.post("/v1/notes")
    async def note(body: Note, tx: Tx) -> Note:
        tx.insert(NOTES, id=tx.new_id(), text=body.text, number=body.number)
        return body

    @service.get("/v1/notes/{number}")
    async def count(number: int, read: Read, least: int = 0) -> int:
        found = await read.execute(
            select(func.count()).where(NOTES.c.number == number, NOTES.c.number >= least)
        )
        return int(found.scalar_one())

    @service.post("/v1/anything")
    async def anything(body: Any, tx: Tx) -> None:
        keep(tx, "anything")

    @service.post("/v1/pictures")
    async def picture(tx: Tx) -> Any:
        keep(tx, "picture")
        return Response(200, [(b"content-type", b"image/png")], b"\x89PNG\xff\xfe")

    @service.post("/v1/streams")
    async def stream(tx: Tx) -> Any:
        keep(tx, "stream")
        return Response(200, [], b"first ", _pieces())

    @service.post("/v1/names")
    async def name(tx: Tx) -> Any:
        keep(tx, "name")
        return Response(200, [(b"x-name", "Zoë".encode("latin-1"))], b"{}")

    @service.post("/v1/broken")
    async def broken(body: Note, tx: Tx) -> Any:
        keep(tx, "broken")
        return Response(body.number, [(b"x-text", body.text.encode())], b"{}")

    @service.get("/v1/later")
    async def later(read: Read) -> None:
        async def look() -> None:
            await asyncio.sleep(1)
            await read.execute(select(func.count()).select_from(NOTES))

        looking.append(asyncio.create_task(look()))

    return service


async def _pieces() -> AsyncIterator[bytes]:
    yield b"second"


async def kept(hosted: Hosted) -> list[str]:
    """Return what was written."""
    return sorted(row.text for row in await hosted.table("desk", NOTES))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"text": ' + b"[" * 100_000,
        b'{"text": "NaN", "number": ' + b"[" * 100_000,
        b'{"text": "x", "number": ' + b"9" * 5_000 + b"}",
        b'{"text": "x", "number": 1e999}',
        b'{"text": "\\ud800"}',
        b'{"text": "x", "number": 99999999999999999999}',
    ],
    ids=["deep", "deep-field", "deep-nan", "digits", "inf", "surrogate", "bigint"],
)
@pytest.mark.parametrize("path", ["/v1/notes", "/v1/anything"])
async def test_no_json_is_our_fault(tmp_path: Path, body: bytes, path: str) -> None:
    """Whatever the parser makes of it, the client is told that it sent it."""
    async with hosting(system(desk()), tmp_path) as hosted:
        answer = await hosted.post(path, body=body)

        assert answer.status < 500, answer.body


@pytest.mark.parametrize("number", [str(2**63), str(-(2**63) - 1), "9" * 400, "9" * 5_000])
async def test_a_number_that_no_database_holds_is_not_our_fault(
    tmp_path: Path, number: str
) -> None:
    """The greatest integer of a column is a fact of the request, not of the server."""
    async with hosting(system(desk()), tmp_path) as hosted:
        assert (await hosted.request("GET", f"/v1/notes/{number}")).status < 500
        assert (await hosted.request("GET", f"/v1/notes/1?least={number}")).status < 500


@pytest.mark.parametrize("path", ["/v1/pictures", "/v1/names"])
async def test_any_bytes_can_be_recorded(tmp_path: Path, path: str) -> None:
    """A response that is no text is repeated byte by byte, and happened once."""
    async with hosting(system(desk()), tmp_path) as hosted:
        first = await hosted.post(path, key="k")
        again = await hosted.post(path, key="k")

        assert first.status == again.status == 200
        assert again.body == first.body
        assert again.headers[: len(first.headers)] == first.headers
        assert len(await kept(hosted)) == 1


async def test_a_stream_cannot_be_recorded(tmp_path: Path) -> None:
    """It is refused before anything is kept, not repeated without its end."""
    async with hosting(system(desk()), tmp_path) as hosted:
        problem(await hosted.post("/v1/streams", key="k"), 500)
        assert await kept(hosted) == []


@pytest.mark.parametrize(
    "answer", [{"text": "a\r\nset-cookie: x", "number": 200}, {"text": "a", "number": 99}]
)
async def test_a_response_that_cannot_be_sent_is_found_before_the_commit(
    tmp_path: Path, answer: dict[str, Any]
) -> None:
    """A client that is told 500 may send it again, so nothing may have happened."""
    async with hosting(system(desk()), tmp_path) as hosted:
        problem(await hosted.post("/v1/broken", json=answer), 500)
        assert await kept(hosted) == []


async def test_a_view_that_outlives_its_request_holds_no_connection(tmp_path: Path) -> None:
    """A task that reads after its handler has returned is refused, and blocks nobody."""
    looking: list[asyncio.Task[None]] = []
    async with hosting(system(desk(looking)), tmp_path) as hosted:
        for _ in range(40):
            assert (await hosted.request("GET", "/v1/later")).status == 200
        ended = await asyncio.wait_for(asyncio.gather(*looking, return_exceptions=True), 60)
        assert {type(error) for error in ended} == {TransactionError}
        async with asyncio.timeout(5):
            assert (await hosted.request("GET", "/v1/notes/1")).status == 200


async def test_a_thousand_posts_with_one_key_happen_once(tmp_path: Path) -> None:
    """All answers are the one answer, or say that it is under way."""
    async with hosting(system(desk()), tmp_path) as hosted:
        send = [hosted.post("/v1/notes", json={"text": "once"}, key="k") for _ in range(1_000)]
        answers = await asyncio.gather(*send)
        answers += [await hosted.post("/v1/notes", json={"text": "once"}, key="k")]

        assert {answer.status for answer in answers} <= {200, 409}
        assert len({answer.body for answer in answers if answer.status == 200}) == 1
        assert answers[-1].status == 200
        assert await kept(hosted) == ["once"]
