"""Scenarios that aim at who may send what: a service is taken over, and forges letters."""

import random

from sqlalchemy import Column, Integer, MetaData, Table, select

from holdfast import Command, Model, Service, System, Tx
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Forge
from tests.simulation.scenario import Scenario


class Open(Command[None]):
    """Open the vault; the guard may ask for it."""

    number: int


class Sweep(Command[None]):
    """Sweep before it; the cleaner may ask for that."""

    number: int


class Written(Model):
    """What somebody wants."""

    number: int


_metadata = MetaData()
opened = Table("opened", _metadata, Column("number", Integer, primary_key=True))
vault = Service("vault", tables=_metadata)
guard = Service("guard", calls=[Open])
cleaner = Service("cleaner", calls=[Sweep])


@vault.handles
async def open_it(command: Open, tx: Tx) -> None:
    """Open it."""
    tx.insert(opened, number=command.number)


@vault.handles
async def sweep(command: Sweep, tx: Tx) -> None:
    """Sweep."""


@guard.post("/v1/openings", status_code=202, public=True)
async def ask(body: Written, tx: Tx) -> None:
    """Ask for it."""
    tx.send(Open(number=body.number))


@cleaner.post("/v1/sweepings", status_code=202, public=True)
async def clean(body: Written, tx: Tx) -> None:
    """Ask for that."""
    tx.send(Sweep(number=body.number))


museum = System("museum", services=[vault, guard, cleaner])


@museum.workload
async def day(client: Client) -> None:
    """Open and sweep."""
    for number in range(client.size):
        for path in ("/v1/openings", "/v1/sweepings"):
            await client.post(path, json={"number": number}, key=f"{path}-{number}")
        await client.sleep(1.0)


@museum.invariant
def the_guard_alone_opens(world: World) -> None:
    """The vault was opened as often as the guard asked."""
    found = sorted(row.number for row in world.rows("vault", select(opened)))
    assert found == list(range(world.setup.size)), f"these were opened: {found}"


def forging(says: str, chance: random.Random) -> list[AnyFault]:
    """Draw when the cleaner, taken over, asks for an opening."""
    at_s = round(chance.uniform(0.5, 4), 3)
    body = '{"number": 1000}'
    return [
        Forge(service="cleaner", says=says, to="vault", message="Open.v1", body=body, at_s=at_s)
    ]


SCENARIOS = [
    Scenario(
        museum,
        (aim,),
        setup=Setup(size=4),
        faults=lambda chance, says=says: forging(says, chance),  # type: ignore[misc]  # bound now
    )
    for aim, says in (("authenticate_senders", "guard"), ("allowed_letters", "cleaner"))
]
