"""Scenarios that aim at who may reach whom: a service is taken over, and tries everything."""

import random

from sqlalchemy import Column, Integer, MetaData, Table, select

from holdfast import Command, Model, Outside, Query, Saga, Service, System, Tx
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Lever, Takeover
from tests.simulation.scenario import Scenario


class GetFineness(Query[int]):
    """How fine gold must be."""


class Weigh(Command[int]):
    """Weigh a bar."""

    number: int


class Bar(Model):
    """A bar that somebody brings."""

    number: int


_metadata = MetaData()
weighed = Table(
    "weighed",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("grams", Integer, nullable=False),
    Column("fineness", Integer, nullable=False),
)
scale = Service("scale")
clerk = Service("clerk", calls=[GetFineness, Weigh], tables=_metadata)
guest = Service("guest")


@scale.handles
async def fineness(query: GetFineness) -> int:
    """Four nines, as far as it goes."""
    return 999


@scale.handles
async def weigh(command: Weigh, tx: Tx) -> int:
    """Weigh it."""
    return 1_000 + command.number


class Weighing(Model):
    """What is weighed, and how fine it must be."""

    number: int
    fineness: int
    grams: int = 0


@clerk.saga
async def weighing(saga: Saga, bar: Weighing) -> None:
    """Have it weighed, and write that down."""
    grams = await saga.call(Weigh(number=bar.number))
    await saga.local(note, bar.model_copy(update={"grams": grams}))


async def note(tx: Tx, bar: Weighing) -> None:
    """Write it down."""
    tx.insert(weighed, number=bar.number, grams=bar.grams, fineness=bar.fineness)


@clerk.post("/v1/bars", status_code=202, public=True)
async def bring(body: Bar, tx: Tx, outside: Outside) -> None:
    """Bring a bar."""
    fine = await outside.ask(GetFineness())
    tx.start(weighing, Weighing(number=body.number, fineness=fine))


@guest.get("/v1/lounge", public=True)
async def lounge() -> None:
    """Sit down."""


mint = System("mint", services=[scale, clerk, guest])


@mint.workload
async def day(client: Client) -> None:
    """Bring bars."""
    for number in range(client.size):
        await client.post("/v1/bars", json={"number": number}, key=f"bar-{number}")
        await client.sleep(1.0)


@mint.invariant
def every_bar_has_its_weight(world: World) -> None:
    """Each bar was weighed by the scale, and by nobody else."""
    rows = world.rows("clerk", select(weighed))
    found = sorted((row.number, row.grams, row.fineness) for row in rows)
    assert found == [(n, 1_000 + n, 999) for n in range(world.setup.size)], f"noted: {found}"


def taken_over(chance: random.Random) -> list[AnyFault]:
    """Draw when the guest, taken over, tries all that there is while letters take their time."""
    at_s = round(chance.uniform(0.0, 4), 3)
    slow = Lever(engine="broker", lever="latency_s", value=(0.2, 1.0), at_s=0.0, for_s=6.0)
    return [slow, Takeover(service="guest", attempts=99, at_s=at_s)]


def posing(chance: random.Random) -> list[AnyFault]:
    """Draw for how long the name of the scale leads to the guest."""
    for_s = round(chance.uniform(0.5, 4), 3)
    return [Takeover(service="guest", attempts=0, poses="scale", for_s=for_s)]


SCENARIOS = [
    Scenario(
        mint,
        (
            "allowed_letters",
            "asker_is_the_peer",
            "authenticate_senders",
            "declared_queries",
            "proven_peers",
            "routes_for_the_gateway",
            "signed_callers",
        ),
        setup=Setup(size=4),
        faults=taken_over,
    ),
    Scenario(mint, ("server_is_who_was_meant",), setup=Setup(size=4), faults=posing),
]
