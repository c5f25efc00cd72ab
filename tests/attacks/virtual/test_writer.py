"""What a handler may raise inside its transaction without harming the others."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, Uuid, insert

from holdfast import Model, Service, Tx
from tests.dispatch.hosting import hosting, problem, system

METADATA = MetaData()
NOTES = Table(
    "note",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("text", String, nullable=False),
)


class Note(Model):
    """What a route writes down."""

    text: str


@pytest.fixture
async def desk() -> Service:
    """Return a service whose route raises what no handler should."""
    service = Service("desk", tables=METADATA)

    @service.post("/v1/notes")
    async def note(body: Note, tx: Tx) -> Note:
        if body.text == "early":
            raise asyncio.CancelledError
        await tx.execute(insert(NOTES).values(id=tx.new_id(), text=body.text))
        if body.text == "cancelled":
            raise asyncio.CancelledError  # such as `result()` of a task that was cancelled
        if body.text == "nested":
            raise BaseExceptionGroup("", [asyncio.CancelledError()])
        return body

    return service


@pytest.mark.parametrize("text", ["cancelled", "early", "nested"])
async def test_a_handler_that_raises_cancelled_breaks_itself_alone(
    desk: Service, tmp_path: Path, text: str
) -> None:
    """The request is a 500, its writes are undone, and the next one is served."""
    async with hosting(system(desk), tmp_path) as hosted:
        async with asyncio.timeout(5):
            problem(await hosted.post("/v1/notes", json={"text": text}), 500)
        async with asyncio.timeout(5):
            assert (await hosted.post("/v1/notes", json={"text": "b"})).status == 200
        assert [row.text for row in await hosted.table("desk", NOTES)] == ["b"]
