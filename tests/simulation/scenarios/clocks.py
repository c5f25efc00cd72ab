"""Scenarios that aim at the clocks of database servers."""

import random
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, Table, Uuid, select

from holdfast import Command, Model, Service, System, Tx
from holdfast.consistency.schedule import Schedule
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Jump, Restart
from tests.simulation.scenario import Scenario

OFTEN = Schedule(keep_ms=1_000, poll_ms=2_000)  # floors are announced each second


class Card(Command[None]):
    """A card to somebody."""

    number: UUID


class Written(Model):
    """What somebody has written."""

    number: UUID


def post(name: str, every_s: float) -> System:
    """Return a system that sends one card after the other; each arrives once."""
    metadata = MetaData()
    cards = Table(
        "card",
        metadata,
        Column("row", Integer, primary_key=True),
        Column("number", Uuid, nullable=False),
    )
    door = Service("door", tables=metadata)
    counter = Service("counter", calls=[Card])
    made = System(name, services=[door, counter])

    async def arrive(command: Card, tx: Tx) -> None:
        """Put it through the door."""
        tx.insert(cards, number=command.number)

    async def send(body: Written, tx: Tx) -> None:
        """Send it."""
        tx.send(Card(number=body.number))

    async def writers(client: Client) -> None:
        """Write one card after the other."""
        for number in range(client.size):
            body = {"number": str(UUID(int=number))}
            await client.post("/v1/cards", json=body, key=f"card-{number}")
            await client.sleep(every_s)

    def arrived(world: World) -> None:
        """Every card has arrived, and none twice."""
        found = sorted(row.number.int for row in world.rows("door", select(cards)))
        assert found == list(range(world.setup.size)), f"these arrived: {found}"

    door.handles(arrive)
    counter.post("/v1/cards", status_code=202, public=True)(send)
    made.workload(writers)
    made.invariant(arrived)
    return made


def set_back(chance: random.Random) -> list[AnyFault]:
    """Draw a server's clock that is set back, and a restart of whoever went by it."""
    back = Jump(node="database counter", by_s=-round(chance.uniform(70, 7_200), 3), at_s=8.0)
    return [back, Restart(node="counter-1", at_s=9.0, for_s=0.5)]


def set_forward(chance: random.Random) -> list[AnyFault]:
    """Draw clocks that are set forward, again and again: one replica sees it before the other."""
    jumps: list[AnyFault] = [
        Jump(node="database counter", by_s=round(chance.uniform(100, 600), 3), at_s=at_s)
        for at_s in (4.1, 7.2, 9.3)
    ]
    apart_s = round(chance.uniform(0.2, 1.8), 3)  # between the looks of the two
    return [Restart(node="counter-2", at_s=apart_s, for_s=0.3), *jumps]


_aims: list[tuple[str, float, str, int, Callable[[random.Random], list[AnyFault]]]] = [
    ("post", 1.0, "time_goes_on", 1, set_back),
    ("posts", 0.1, "sent_above_floor", 2, set_forward),
]
SCENARIOS = [
    Scenario(
        post(name, every_s),
        (aim,),
        setup=Setup(size=int(15 / every_s), schedule=OFTEN, replicas={"counter": replicas}),
        faults=faults,
    )
    for name, every_s, aim, replicas, faults in _aims
]
