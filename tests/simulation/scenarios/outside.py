"""Scenarios that aim at what is reached outside, and at undos that meet their commands."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, select

from holdfast import (
    Command,
    External,
    Failure,
    Model,
    Outside,
    Saga,
    Service,
    System,
    Tx,
    Unanswered,
    Undo,
)
from holdfast.consistency.schedule import Schedule
from holdfast.contract.http import Request, Response
from holdfast.ports import Clock
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Crash, Lever, Strike
from tests.simulation.scenario import Scenario

HURRIED = Schedule(
    poll_ms=500, resend_ms=1_000, taken_ms=2_000, transaction_ms=1_000, keep_ms=500, lease_ms=5_000
)
"""Floors pass within seconds, as they otherwise do within minutes."""


class Bank:
    """A third party that honours keys for a while; what it did outlives everything.

    Attributes:
        asked: {key: the bodies that were sent under it}.
        paid: {reference: the cents that were paid, each time}.
        silent: so many first tries of a key are charged, and not answered in time.
        failing: so many are charged, and answered by 500.
    """

    def __init__(
        self, clock: Clock, *, key_life_s: float = 86_400, silent: int = 0, failing: int = 0
    ) -> None:
        self.asked: dict[str, set[bytes]] = {}
        self.paid: dict[str, list[int]] = {}
        self._clock = clock
        self._key_life_s = key_life_s
        self._silent = silent
        self._failing = failing
        self._known: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    async def handle(self, request: Request) -> Response:
        """Pay, or pay back: `POST /v1/<reference>/<cents>`."""
        key = (request.header(b"idempotency-key") or b"").decode()
        _, _, reference, cents = request.path.split("/")
        self.asked.setdefault(key, set()).add(request.path.encode() + request.body)
        known = self._known.get(key)
        if known is None or self._clock.monotonic() - known > self._key_life_s:
            self._known[key] = self._clock.monotonic()
            self.paid.setdefault(reference, []).append(int(cents))
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] <= self._silent:
            await asyncio.sleep(30)
        failed = self._tries[key] <= self._failing
        return Response(500 if failed else 200, [], b"{}")


# -- a payment that is undone when it takes too long ---------------------------------------------


class Pay(Command[None]):
    """Pay for one thing."""

    thing: UUID


class PayBack(Undo[Pay]):
    """Pay it back."""

    thing: UUID


class Thing(Model):
    """What is bought."""

    id: UUID


def shop_of(name: str, *, silent: int = 0, failing: int = 0) -> System:
    """Return a system that pays at a bank, and waits for it for five seconds."""
    bank = External("bank", url="http://bank")
    metadata = MetaData()
    payment = Table(
        "payment", metadata, Column("id", Uuid, primary_key=True), Column("state", String(10))
    )
    outcome = MetaData()
    bought = Table(
        "bought", outcome, Column("id", Uuid, primary_key=True), Column("state", String(10))
    )
    cashier = Service("cashier", tables=metadata, reaches=[bank])
    buyer = Service("buyer", tables=outcome, calls=[Pay])

    @cashier.handles
    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        await outside.post(bank, f"/v1/{command.thing}/100")
        tx.insert(payment, id=command.thing, state="paid")

    @cashier.handles
    async def pay_back(undo: PayBack, outside: Outside, tx: Tx) -> None:
        await outside.post(bank, f"/v1/{undo.thing}/-100")
        tx.update(payment, undo.thing, state="paid back")

    async def over(tx: Tx, thing: Thing, state: str) -> None:
        tx.insert(bought, id=thing.id, state=state)

    @buyer.post("/v1/things", status_code=202, public=True)
    async def buy(body: Thing, tx: Tx) -> None:
        tx.start(purchase, body)

    @buyer.saga
    async def purchase(saga: Saga, thing: Thing) -> None:
        try:
            await saga.call(
                Pay(thing=thing.id), undo=PayBack(thing=thing.id), timeout=timedelta(seconds=5)
            )
        except Failure:
            await saga.undo()
            await saga.local(over, thing, "given up")
        else:
            await saga.local(over, thing, "bought")

    made = System(name, services=[cashier, buyer])

    @made.stand_in(bank)
    def a_bank(clock: Clock) -> Bank:
        return Bank(clock, silent=silent, failing=failing)

    @made.workload
    async def buyers(client: Client) -> None:
        for number in range(client.size):
            answer = await client.post(
                "/v1/things", json={"id": str(UUID(int=number))}, key=f"thing-{number}"
            )
            assert answer.status == 202, answer
            await client.sleep(client.chance.uniform(0, 1))

    @made.invariant
    def whoever_gives_up_has_not_paid(world: World) -> None:
        paid = world.stand_ins["bank"].paid
        for row in world.rows("buyer", select(bought)):
            kept = sum(paid.get(str(row.id), []))
            assert kept == (100 if row.state == "bought" else 0), f"{row}: {paid[str(row.id)]}"

    return made


def dies_at_the_bank(chance: random.Random) -> list[AnyFault]:
    """Draw a process that dies in the middle, and stays away for longer than anybody waits."""
    forgets = Lever(engine="broker", lever="drop", value=0.3, at_s=0.0, for_s=10.0)
    dies = Strike(
        service="cashier",
        step="await",
        nth=chance.randint(5, 120),
        for_s=round(chance.uniform(6, 15), 3),
    )
    return [dies, forgets]


# -- handlers that do not send the same again, and banks that forget -------------------------------

COUNT: list[int] = []
"""Something that changes from try to try."""


class Tip(Command[None]):
    """Give a tip."""

    thing: UUID


def tipping(name: str, *, fickle: bool, key_life_s: float = 86_400) -> System:
    """Return a system that gives tips, from a command that nobody waits for."""
    bank = External("bank", url="http://bank", key_life_s=key_life_s)
    metadata = MetaData()
    tip_table = Table("tip", metadata, Column("id", Uuid, primary_key=True))
    jar = Service("jar", tables=metadata, reaches=[bank])
    guest = Service("guest", calls=[Tip])

    @jar.handles
    async def tip(command: Tip, outside: Outside, tx: Tx) -> None:
        COUNT.append(1)
        body = {"count": len(COUNT)} if fickle else {}
        await outside.post(bank, f"/v1/{command.thing}/1", json=body)
        tx.insert(tip_table, id=command.thing)

    @guest.post("/v1/tips", status_code=202, public=True)
    async def give(body: Thing, tx: Tx) -> None:
        tx.send(Tip(thing=body.id))

    made = System(name, services=[jar, guest])

    @made.stand_in(bank)
    def a_bank(clock: Clock) -> Bank:
        COUNT.clear()
        return Bank(clock, key_life_s=key_life_s)

    @made.workload
    async def guests(client: Client) -> None:
        for number in range(client.size):
            answer = await client.post(
                "/v1/tips", json={"id": str(UUID(int=number))}, key=f"tip-{number}"
            )
            assert answer.status == 202, answer

    @made.invariant
    def one_key_one_request(world: World) -> None:
        for key, bodies in world.stand_ins["bank"].asked.items():
            assert len(bodies) == 1, f"under one key {key}: {bodies}"

    @made.invariant
    def paid_once(world: World) -> None:
        for reference, cents in world.stand_ins["bank"].paid.items():
            assert cents == [1], f"{reference}: {cents}"

    return made


def dies_for_long(chance: random.Random) -> list[AnyFault]:
    """Draw processes that die in the middle, and come back after some time."""
    return [
        Strike(
            service="jar",
            step="await",
            nth=chance.randint(3, 60),
            for_s=round(chance.uniform(1, 20), 3),
        )
        for _ in range(2)
    ]


# -- undos behind the floor ------------------------------------------------------------------------


class Hold(Command[None]):
    """Hold a seat."""

    thing: UUID


class LetGo(Undo[Hold]):
    """Let it go."""

    thing: UUID


class Full(Failure, status=409):
    """There is no more room."""


class Board(Command[None], fails=[Full]):
    """Go on board; there is no room."""

    thing: UUID


class Wave(Command[None]):
    """Wave; it cannot be undone."""

    thing: UUID


_ferry = MetaData()
seats = Table(
    "seat",
    _ferry,
    Column("number", Integer, primary_key=True),
    Column("thing", Uuid, nullable=False),
    Column("what", String(10), nullable=False),
)
ferry = Service("ferry", tables=_ferry)
_pier = MetaData()
seen = Table("seen", _pier, Column("id", Uuid, primary_key=True), Column("what", String(20)))
pier = Service("pier", tables=_pier, calls=[Hold, Board, Wave])


@ferry.handles
async def hold(command: Hold, tx: Tx) -> None:
    """Hold."""
    tx.insert(seats, thing=command.thing, what="hold")


@ferry.handles
async def let_go(undo: LetGo, tx: Tx) -> None:
    """Let go."""
    tx.insert(seats, thing=undo.thing, what="let go")


@ferry.handles
async def board(command: Board, tx: Tx) -> None:
    """Refuse."""
    raise Full()


@ferry.handles
async def wave(command: Wave, tx: Tx) -> None:
    """Wave."""
    tx.insert(seats, thing=command.thing, what="wave")


@pier.post("/v1/passengers", status_code=202, public=True)
async def arrive(body: Thing, tx: Tx) -> None:
    """Arrive."""
    tx.start(crossing, body)


@pier.post("/v1/wavers", status_code=202, public=True)
async def stay(body: Thing, tx: Tx) -> None:
    """Stay, and wave."""
    tx.start(waving, body)


async def noted(tx: Tx, thing: Thing, what: str) -> None:
    """Note how it ended."""
    tx.insert(seen, id=thing.id, what=what)


@pier.saga
async def crossing(saga: Saga, thing: Thing) -> None:
    """Hold a seat, wait for long, find no room."""
    try:
        await saga.call(
            Hold(thing=thing.id), undo=LetGo(thing=thing.id), timeout=timedelta(seconds=3)
        )
        await saga.sleep(timedelta(seconds=8))
        await saga.call(Board(thing=thing.id))
    except Failure:
        await saga.undo()
    await saga.local(noted, thing, "stayed")


@pier.saga
async def waving(saga: Saga, thing: Thing) -> None:
    """Wave; if nobody saw it in time, it was not done."""
    try:
        await saga.call(Wave(thing=thing.id), timeout=timedelta(seconds=2))
    except Unanswered as unanswered:
        await saga.local(noted, thing, f"effect {unanswered.effect}")
    else:
        await saga.local(noted, thing, "waved")


harbour = System("harbour", services=[ferry, pier])


@harbour.workload
async def passengers(client: Client) -> None:
    """Arrive, and wave."""
    for number in range(client.size):
        for path, which in (("/v1/passengers", number), ("/v1/wavers", 1_000 + number)):
            answer = await client.post(
                path, json={"id": str(UUID(int=which))}, key=f"arrival-{which}"
            )
            assert answer.status == 202, answer
        await client.sleep(client.chance.uniform(0, 1))


@harbour.invariant
def who_stayed_holds_no_seat(world: World) -> None:
    """What was held was let go, and what was waved is known."""
    done: dict[UUID, list[str]] = {}
    for row in world.rows("ferry", select(seats).order_by(seats.c.number)):
        done.setdefault(row.thing, []).append(row.what)
    for row in world.rows("pier", select(seen)):
        there = done.get(row.id, [])
        if row.what == "stayed":
            assert there in ([], ["hold", "let go"]), f"{row.id}: {there}"
        else:
            wanted = ["wave"] if row.what == "waved" else []
            assert there == wanted, f"{row.id} was told {row.what!r}: {there}"
            assert row.what in ("waved", "effect none"), row.what


def slow_and_lossy(chance: random.Random) -> list[AnyFault]:
    """Draw a broker that is late, and loses some."""
    slow = (0.01, round(chance.uniform(1, 6), 3))
    return [
        Lever(engine="broker", lever="latency_s", value=slow, at_s=0.0, for_s=30.0),
        Lever(engine="broker", lever="drop", value=0.4, at_s=0.0, for_s=30.0),
        Lever(engine="broker", lever="lose_ack", value=0.3, at_s=0.0, for_s=30.0),
    ]


# -- a sender that was away while its answers came -------------------------------------------------


def away(chance: random.Random) -> list[AnyFault]:
    """Draw a buyer that is away while the answers come, from a broker that takes its time."""
    return [
        Lever(engine="broker", lever="latency_s", value=(0.4, 0.8), for_s=60.0),
        Crash(node="buyer-1", at_s=round(chance.uniform(0.1, 1.1), 3), for_s=9.0),
    ]


patient = shop_of("patient")


@patient.invariant
def nobody_gave_up(world: World) -> None:
    """The bank was well; that the buyer was away is no reason to give up what was paid in time."""
    for reference, cents in world.stand_ins["bank"].paid.items():
        assert cents == [100], f"{reference}: {cents}"


SCENARIOS = [
    Scenario(
        shop_of("dying"),
        ("reached_committed",),
        setup=Setup(size=4),
        faults=dies_at_the_bank,
    ),
    Scenario(
        shop_of("silent", silent=3),
        ("forward_finishes_first",),
        setup=Setup(size=3),
        faults=lambda chance: [],
    ),
    Scenario(
        shop_of("failing", failing=6),
        ("reached_kept",),
        setup=Setup(size=3),
        faults=lambda chance: [],
    ),
    Scenario(patient, ("expire_behind_answers",), setup=Setup(size=4), faults=away),
    Scenario(
        tipping("fickle", fickle=True),
        ("same_bytes",),
        setup=Setup(size=4, dead_letters=True),
        faults=dies_for_long,
    ),
    Scenario(
        tipping("forgetful", fickle=False, key_life_s=4.0),
        ("key_life",),
        setup=Setup(size=4, dead_letters=True, schedule=HURRIED),
        faults=dies_for_long,
    ),
    Scenario(
        harbour,
        (
            "floor_check",
            "held_until_undone",
            "refuse_before_command",
            "undo_carries_knowledge",
            "withdraw_without_undo",
        ),
        setup=Setup(size=3, schedule=HURRIED),
        faults=slow_and_lossy,
    ),
]
