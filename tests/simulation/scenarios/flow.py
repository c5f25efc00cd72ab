"""Scenarios that aim at how much is under way, for how long, and how often."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Uuid, select

from holdfast import (
    Command,
    External,
    Failure,
    Gateway,
    Model,
    Outside,
    Query,
    Read,
    Saga,
    Service,
    System,
    Tx,
    Undo,
)
from holdfast.consistency.schedule import Schedule
from holdfast.contract.http import Request, Response
from holdfast.errors import CallError
from holdfast.ports import Clock
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Crash, Cut, Lever
from tests.simulation.scenario import Scenario


class Thing(Model):
    """What somebody wants."""

    id: UUID


def rows_of(*columns: str) -> tuple[MetaData, Table]:
    """Return a table of numbered rows, with some columns of integers and a thing."""
    metadata = MetaData()
    integers = [Column(name, BigInteger) for name in columns]
    number = Column("number", Integer, primary_key=True)
    thing = Column("thing", Uuid, nullable=False)
    return metadata, Table("entry", metadata, number, thing, *integers)


# -- a receiver that is away is not flooded --------------------------------------------------------


class Drop(Command[None]):
    """A drop of the flood."""

    thing: UUID


_basin, drops = rows_of()
basin = Service("basin", tables=_basin)
spring = Service("spring", calls=[Drop])


@basin.handles
async def catch(command: Drop, tx: Tx) -> None:
    """Catch a drop."""
    tx.insert(drops, thing=command.thing)


@spring.post("/v1/drops", status_code=202, public=True)
async def drip(body: Thing, tx: Tx) -> None:
    """Let it drip."""
    tx.send(Drop(thing=body.id))


river = System("river", services=[basin, spring])
WINDOW = 8


@river.workload
async def rain(client: Client) -> None:
    """Let it rain, all at once."""

    async def one(number: int) -> None:
        answer = await client.post(
            "/v1/drops", json={"id": str(UUID(int=number))}, key=f"drop-{number}"
        )
        assert answer.status == 202, answer

    await client.sleep(1)
    await asyncio.gather(*map(one, range(client.size)))


@river.always
def the_broker_is_not_flooded(world: World) -> None:
    """What waits for somebody who is away waits in the table, and not in the broker."""
    waiting = world.broker.waiting("basin")
    assert waiting <= 3 * WINDOW, f"{waiting} parcels wait in the broker"


def basin_away(chance: random.Random) -> list[AnyFault]:
    """Draw a receiver that is away."""
    return [Crash(node="basin-1", at_s=round(chance.uniform(0, 1), 3), for_s=15.0)]


delta = System("delta", services=[basin, spring])


@delta.workload
async def cloudburst(client: Client) -> None:
    """More than fits into the windows, over several replicas."""
    await rain(client)


@delta.invariant
def nobody_waits_for_a_full_window(world: World) -> None:
    """Answers that another replica got make room all the same."""
    late = [drop.at_s for drop in world.history.of("broker.deliver") if drop.fields["to"]]
    assert max(late) < 12.0, f"the last parcel came at {max(late):.1f} s"


# -- large letters do not travel together ----------------------------------------------------------


class Crate(Command[None]):
    """A crate; twelve of them are more than a parcel may weigh."""

    thing: UUID
    content: str


_quay, crates = rows_of()
quay = Service("quay", tables=_quay)
ship = Service("ship", calls=[Crate])


@quay.handles
async def unload(command: Crate, tx: Tx) -> None:
    """Unload a crate."""
    tx.insert(crates, thing=command.thing)


@ship.post("/v1/crates", status_code=202, public=True)
async def load(body: Thing, tx: Tx) -> None:
    """Send twelve crates."""
    for _ in range(12):
        tx.send(Crate(thing=body.id, content="x" * 200_000))


freight = System("freight", services=[quay, ship])


@freight.workload
async def loading(client: Client) -> None:
    """Load some; what one transaction sends travels together, as far as it fits."""
    for number in range(client.size):
        body = {"id": str(UUID(int=number))}
        assert (await client.post("/v1/crates", json=body, key=f"crate-{number}")).status == 202


# -- an undo does not wait for new work ------------------------------------------------------------


class Dawdle(Command[None]):
    """Take long."""

    thing: UUID


class Seat(Command[None]):
    """Take a seat."""

    thing: UUID


class Stand(Undo[Seat]):
    """Stand up again."""

    thing: UUID


class Late(Failure, status=409):
    """It is too late."""


slow = External("slow", url="http://slow")
_hall, seats = rows_of()
hall = Service("hall", tables=_hall, reaches=[slow])
_desk, given_up = rows_of("at_ms")
desk = Service("desk", tables=_desk, calls=[Dawdle, Seat])


def ms(tx: Tx) -> int:
    """Return the transaction's time, in milliseconds."""
    return int(tx.now.timestamp() * 1000)


@hall.handles
async def dawdle(command: Dawdle, outside: Outside, tx: Tx) -> None:
    """Take long."""
    await outside.get(slow, "/v1/long")
    tx.insert(seats, thing=command.thing)


@hall.handles
async def sit(command: Seat, tx: Tx) -> None:
    """Sit."""
    tx.insert(seats, thing=command.thing)


@hall.handles
async def stand(undo: Stand, tx: Tx) -> None:
    """Stand."""
    tx.insert(seats, thing=undo.thing)


@desk.post("/v1/dawdlers", status_code=202, public=True)
async def let_dawdle(body: Thing, tx: Tx) -> None:
    """Send somebody who takes long."""
    tx.send(Dawdle(thing=body.id))


@desk.post("/v1/guests", status_code=202, public=True)
async def let_sit(body: Thing, tx: Tx) -> None:
    """Send somebody who does not stay."""
    tx.start(visit, body)


async def noted(tx: Tx, thing: Thing, at: float) -> None:
    """Note a time."""
    tx.insert(given_up, thing=thing.id, at_ms=int(at * 1000))


@desk.saga
async def visit(saga: Saga, thing: Thing) -> None:
    """Sit, and leave after three seconds."""
    await saga.call(Seat(thing=thing.id), undo=Stand(thing=thing.id))
    await saga.sleep(timedelta(seconds=3))
    await saga.local(noted, thing, saga.now.timestamp())
    await saga.undo()
    await saga.local(noted, thing, saga.now.timestamp())


lobby = System("lobby", services=[hall, desk])


class Slow:
    """A third party that takes long."""

    async def handle(self, request: Request) -> Response:
        """Answer after a second."""
        await asyncio.sleep(1)
        return Response(200, [], b"{}")


@lobby.stand_in(slow)
def a_slow_one(clock: Clock) -> Slow:
    """Stand for it."""
    return Slow()


@lobby.workload
async def visitors(client: Client) -> None:
    """One guest, and then many who dawdle."""
    body = {"id": str(UUID(int=1))}
    assert (await client.post("/v1/guests", json=body, key="guest")).status == 202
    await client.sleep(1 + client.chance.random())
    for number in range(client.size):
        body = {"id": str(UUID(int=100 + number))}
        answer = await client.post("/v1/dawdlers", json=body, key=f"dawdler-{number}")
        assert answer.status == 202, answer


@lobby.invariant
def who_gives_up_is_heard_at_once(world: World) -> None:
    """An undo passes the new work that waits."""
    times = [row.at_ms for row in world.rows("desk", select(given_up))]
    assert max(times) - min(times) < 1_000, f"to stand up took {max(times) - min(times)} ms"


# -- two that are full -----------------------------------------------------------------------------


class Give(Command[None]):
    """Give something to the one on the other side."""

    thing: UUID


class GiveBack(Command[None]):
    """Give something back."""

    thing: UUID


_left, lefts = rows_of()
_right, rights = rows_of()
left = Service("left", tables=_left, calls=[Give])
right = Service("right", tables=_right, calls=[GiveBack])


@right.handles
async def take(command: Give, tx: Tx) -> None:
    """Take it."""
    tx.insert(rights, thing=command.thing)


@left.handles
async def take_back(command: GiveBack, tx: Tx) -> None:
    """Take it back."""
    tx.insert(lefts, thing=command.thing)


@left.post("/v1/gifts", status_code=202, public=True)
async def give(body: Thing, tx: Tx) -> None:
    """Give."""
    tx.send(Give(thing=body.id))


@right.post("/v1/returns", status_code=202, public=True)
async def give_back(body: Thing, tx: Tx) -> None:
    """Give back."""
    tx.send(GiveBack(thing=body.id))


table = System("table", services=[left, right])


@table.workload
async def both(client: Client) -> None:
    """Both give, at the same time."""
    for number in range(client.size):
        body = {"id": str(UUID(int=number))}
        sent = [
            client.post(path, json=body, key=f"{path}-{number}")
            for path in ("/v1/gifts", "/v1/returns")
        ]
        assert [a.status for a in await asyncio.gather(*sent)] == [202, 202]


def broker_away(chance: random.Random) -> list[AnyFault]:
    """Draw a broker that is away at first."""
    return [Lever(engine="broker", lever="down", value=True, for_s=round(chance.uniform(2, 9), 3))]


# -- periodic jobs on two replicas -----------------------------------------------------------------

PERIOD_S = 2
_tower, bells = rows_of("at_ms")
tower = Service("tower", tables=_tower)


@tower.every(timedelta(seconds=PERIOD_S))
async def ring(tx: Tx) -> None:
    """Ring the bell."""
    tx.insert(bells, thing=UUID(int=0), at_ms=ms(tx))


@tower.get("/v1/hour", public=True)
async def hour() -> int:
    """Tell the hour."""
    return 12


town = System("town", services=[tower])


@town.workload
async def listen(client: Client) -> None:
    """Listen for a while."""
    await client.sleep(client.size * PERIOD_S)


@town.invariant
def the_bell_rings_once_in_a_period(world: World) -> None:
    """However many replicas there are; one that comes late may fall into the next period."""
    times = [row.at_ms for row in world.rows("tower", select(bells))]
    most = (max(times) - min(times)) // (PERIOD_S * 1000) + 2
    assert len(times) <= most, f"it rang {len(times)} times in {most} periods"


def crashes(chance: random.Random) -> list[AnyFault]:
    """Draw crashes of its replicas."""
    return [
        Crash(
            node=f"tower-{chance.choice([1, 2])}",
            at_s=round(chance.uniform(0, 8), 3),
            for_s=round(chance.uniform(0.1, 3), 3),
        )
        for _ in range(2)
    ]


# -- a client that does not wait any more ----------------------------------------------------------


class Rate(Query[int]):
    """Ask for the rate."""


market = External("market", url="http://market")
broker = Service("broker", reaches=[market])
teller = Service("teller", calls=[Rate])


@broker.handles
async def rate(query: Rate, read: Read, outside: Outside) -> int:
    """Ask the market, page by page: below the first call of a chain nothing is tried again."""
    for page in range(2):
        try:
            return (await outside.get(market, f"/v1/rates/{page}")).parse(int)
        except CallError:
            continue
    return (await outside.get(market, "/v1/rates/old")).parse(int)


@teller.get("/v1/rate", public=True)
async def tell_rate(outside: Outside) -> int:
    """Ask those who know."""
    return await outside.ask(Rate())


exchange = System("exchange", services=[broker, teller], gateway=Gateway(deadline_s=0.5))


class Market:
    """A third party that is ill; it notes when it is asked."""

    def __init__(self, clock: Clock) -> None:
        self.asked_at: list[float] = []
        self._clock = clock

    async def handle(self, request: Request) -> Response:
        """Fail, after a while."""
        self.asked_at.append(self._clock.monotonic())
        await asyncio.sleep(0.4)
        return Response(503, [], b"")


@exchange.stand_in(market)
def a_market(clock: Clock) -> Market:
    """Stand for it."""
    return Market(clock)


@exchange.workload
async def travellers(client: Client) -> None:
    """Ask for the rate; there is none."""
    for _ in range(client.size):
        try:
            await client.once("GET", "/v1/rate")
        except CallError:
            pass
        await client.sleep(5 * client.chance.random())


def deaf_broker(chance: random.Random) -> list[AnyFault]:
    """What comes from the teller is held up now and then: that it has gone is not heard."""
    begins = [2.0 * number + chance.random() for number in range(8)]
    return [Cut(at_s=at, for_s=1.5, source="teller-1", target="broker-1") for at in begins]


@exchange.invariant
def nobody_asks_for_a_client_that_has_gone(world: World) -> None:
    """Half a second is all that it has, from when it is heard; there is no use in asking later."""
    sent = [happening.at_s for happening in world.history.of("request")]
    asked_at = world.stand_ins["market"].asked_at
    for asked in asked_at:
        last = max(at for at in sent if at <= asked)
        late = asked - min(at for at in asked_at if at >= last)
        assert late <= 0.6, f"the market was asked again {late:.3f} s after it was asked"


# -- a COMMIT that nobody was told of --------------------------------------------------------------


_book, entries = rows_of()
book = Service("book", tables=_book)


@book.post("/v1/entries", status_code=201, public=True)
async def enter(body: Thing, tx: Tx) -> None:
    """Enter it; the client sends no Idempotency-Key."""
    tx.insert(entries, thing=body.id)


library = System("library", services=[book])


@library.workload
async def writers(client: Client) -> None:
    """Enter one thing after the other; who gets no answer goes on."""
    for number in range(client.size):
        try:
            await client.post("/v1/entries", json={"id": str(UUID(int=number))})
        except CallError:
            pass
        await client.sleep(client.chance.random())


@library.invariant
def entered_once(world: World) -> None:
    """A request that was sent once has one effect."""
    counts = Counter(row.thing for row in world.rows("book", select(entries)))
    twice = [thing for thing, count in counts.items() if count > 1]
    assert not twice, f"{twice[0]} was entered {counts[twice[0]]} times"


def lost_replies(chance: random.Random) -> list[AnyFault]:
    """Draw COMMITs whose answer is lost."""
    share = round(chance.uniform(0.2, 0.6), 3)
    return [Lever(engine="database book", lever="lose_reply", value=share, for_s=60.0)]


SCENARIOS = [
    Scenario(
        river,
        ("window",),
        setup=Setup(size=60, schedule=Schedule(window=WINDOW)),
        faults=basin_away,
    ),
    Scenario(
        delta,
        (),
        setup=Setup(size=120, schedule=Schedule(window=WINDOW), replicas={"spring": 2}),
        faults=lambda chance: [],
    ),
    Scenario(freight, (), setup=Setup(size=1), faults=lambda chance: []),
    Scenario(
        lobby,
        ("two_lanes",),
        setup=Setup(size=20, schedule=Schedule(window=4)),
        faults=lambda chance: [],
    ),
    Scenario(
        table,
        ("high_water_spares_letters",),
        setup=Setup(size=1, schedule=Schedule(out_bytes_max=0, keep_ms=500)),
        faults=broker_away,
    ),
    Scenario(town, ("derived_ticks",), setup=Setup(size=10, replicas={"tower": 2}), faults=crashes),
    Scenario(exchange, ("remaining_time_on_hops",), setup=Setup(size=8), faults=deaf_broker),
    Scenario(library, ("commit_asked",), setup=Setup(size=10), faults=lost_replies),
]
