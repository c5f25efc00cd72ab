"""A system whose blocking function never comes back, and a slow write."""

import time

from sqlalchemy import Column, MetaData, String, Table, Uuid, select

from holdfast import Model, Outside, Read, Service, System, Tx

METADATA = MetaData()
NOTES = Table("note", METADATA, Column("id", Uuid, primary_key=True), Column("text", String))
stuck = Service("stuck", tables=METADATA)


class Note(Model):
    """What is written down."""

    text: str


@stuck.post("/v1/hang", public=True)
async def hang(outside: Outside, tx: Tx) -> None:
    """Call an SDK without a time-out whose other side is gone."""
    await outside.run(time.sleep, 600)


@stuck.post("/v1/notes", public=True)
async def note(body: Note, outside: Outside, tx: Tx) -> Note:
    """Write, after a moment in which a client may lose patience."""
    await outside.run(time.sleep, 0.2)
    tx.insert(NOTES, id=tx.new_id(), text=body.text)
    return body


@stuck.post("/v1/blocks", public=True)
async def blocks(tx: Tx) -> None:
    """Block the loop, which no handler should."""
    time.sleep(2)  # that is the point


@stuck.get("/v1/notes", public=True)
async def notes(read: Read) -> list[str]:
    """List what was written."""
    return list((await read.execute(select(NOTES.c.text))).scalars())


system = System("stuck", services=[stuck])
