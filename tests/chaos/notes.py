"""A system whose handlers collide: writers that dawdle, a last piece, letters that are poison."""

from typing import Annotated, Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, func, insert, select, update

from holdfast import Event, Failure, Field, Gateway, Model, Rate, Service, System, Tx

desk_tables, shed_tables = MetaData(), MetaData()
piece = Table(
    "piece",
    desk_tables,
    Column("id", Integer, primary_key=True),
    Column("left", Integer, nullable=False),
)
sale = Table("sale", desk_tables, Column("number", Integer, primary_key=True))
late = Table(
    "late",
    shed_tables,
    Column("number", Integer, primary_key=True),
    Column("of", ForeignKey("heard.number", deferrable=True, initially="DEFERRED")),
)
heard = Table("heard", shed_tables, Column("number", Integer, primary_key=True))


class Noted(Event):
    """Somebody wrote a note."""

    number: int
    poison: bool = False


class Note(Model):
    """A note; whoever writes it holds the transaction open for a moment."""

    number: int
    dawdle_ms: Annotated[int, Field(ge=0, le=1000)] = 0
    poison: bool = False


class SoldOut(Failure, status=409):
    """There is nothing left."""


desk = Service("desk", tables=desk_tables, publishes=[Noted])
shed = Service("shed", tables=shed_tables)
_FAST = Rate(per_s=100_000, burst=100_000)
_PATIENT = Gateway(per_address=_FAST, wait_s=60.0, deadline_s=60.0)  # a busy machine refuses none
system = System("notes", services=[desk, shed], gateway=_PATIENT)


@desk.post("/v1/notes", status_code=202, public=True)
async def write(note: Note, tx: Tx) -> None:
    """Write a note."""
    await tx.execute(select(func.pg_sleep(note.dawdle_ms / 1000)))
    tx.publish(Noted(number=note.number, poison=note.poison))


@desk.post("/v1/sales", public=True)
async def sell(note: Note, tx: Tx) -> None:
    """Sell a piece if one is left: it looks first, and writes then."""
    left = (await tx.execute(select(piece.c.left).where(piece.c.id == 1))).scalar_one()
    await tx.execute(select(func.pg_sleep(note.dawdle_ms / 1000)))
    if left <= 0:
        raise SoldOut
    await tx.execute(update(piece).where(piece.c.id == 1).values(left=left - 1))
    tx.insert(sale, number=note.number)


@shed.handles
async def hear(noted: Noted, tx: Tx) -> None:
    """Keep the number; a second time it would be refused."""
    if noted.poison:
        raise ValueError(f"note {noted.number} is poison")
    if noted.number < 0:  # what it refers to is not there, which the database says at the end
        tx.insert(late, number=noted.number, of=-noted.number)
        return
    tx.insert(heard, number=noted.number)


def pieces(count: int) -> Any:
    """Return what puts pieces on the shelf."""
    return insert(piece).values(id=1, left=count)
