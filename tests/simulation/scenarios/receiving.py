"""Scenarios that aim at how letters are received, and at the transaction."""

import asyncio
import os
import random
from datetime import timedelta

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.exc import IntegrityError

from holdfast import Command, External, Failure, Model, Outside, Saga, Service, System, Tx, Undo
from holdfast.consistency.schedule import Schedule
from holdfast.contract.http import Request, Response
from holdfast.errors import CallError
from holdfast.ports import Clock
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Lever, Pause, Restart
from tests.simulation.scenario import Scenario


def notes_table(metadata: MetaData) -> Table:
    """Return a table of notes."""
    return Table(
        "note",
        metadata,
        Column("number", Integer, primary_key=True),
        Column("what", String(40), nullable=False, unique=True),
    )


async def post_all(client: Client, path: str, **fields: object) -> None:
    """Send `client.size` commands, each by a request of its own."""
    for number in range(client.size):
        body = {"number": number, **fields}
        answer = await client.post(path, json=body, key=f"{path}-{number}")
        assert answer.status == 202, answer
        await client.sleep(client.chance.uniform(0, 0.5))


class Number(Model):
    """A number."""

    number: int


# -- poison: a letter whose handler takes its process with it -------------------------------------


class Swallow(Command[None]):
    """Take something in; number 1 is poison."""

    number: int


_swallowed = MetaData()
swallowed = notes_table(_swallowed)
stomach = Service("stomach", tables=_swallowed)
mouth = Service("mouth", calls=[Swallow])


@stomach.handles
async def swallow(command: Swallow, tx: Tx) -> None:
    """Take it in."""
    if command.number == 1:
        os._exit(1)
    tx.insert(swallowed, what=str(command.number))


@mouth.post("/v1/bites", status_code=202, public=True)
async def bite(body: Number, tx: Tx) -> None:
    """Bite."""
    tx.send(Swallow(number=body.number))


eater = System("eater", services=[stomach, mouth])


@eater.workload
async def meals(client: Client) -> None:
    """Eat."""
    await post_all(client, "/v1/bites")


@eater.invariant
def the_healthy_part_is_eaten(world: World) -> None:
    """Poison keeps nobody from the rest."""
    found = sorted(row.what for row in world.rows("stomach", select(swallowed)))
    assert found == [str(n) for n in range(world.setup.size) if n != 1], found


@eater.invariant
def poison_is_dead(world: World) -> None:
    """It is set aside."""
    crashes = len(world.history.of("crash"))
    assert crashes <= 40, f"the stomach died {crashes} times"


# -- a busy database: conflicts are nobody's fault ------------------------------------------------


def busy(chance: random.Random) -> list[AnyFault]:
    """Draw a database that is busy for minutes."""
    share = round(chance.uniform(0.94, 0.97), 3)
    return [Lever(engine="database ledger", lever="conflict", value=share, at_s=0.1, for_s=150.0)]


class Book(Command[None]):
    """Book a number."""

    number: int


_ledger = MetaData()
entries = notes_table(_ledger)
ledger = Service("ledger", tables=_ledger)
clerk = Service("clerk", calls=[Book])


@ledger.handles
async def book(command: Book, tx: Tx) -> None:
    """Book it, with several statements."""
    for part in range(6):
        await tx.execute(insert(entries).values(what=f"{command.number}.{part}"))


@clerk.post("/v1/bookings", status_code=202, public=True)
async def order_booking(body: Number, tx: Tx) -> None:
    """Have it booked."""
    tx.send(Book(number=body.number))


office = System("office", services=[ledger, clerk])


@office.workload
async def clerks(client: Client) -> None:
    """Book."""
    await post_all(client, "/v1/bookings")


# -- an undo that fails for minutes ---------------------------------------------------------------


class Closed(Failure, status=409):
    """The shop is closed."""


class NotNow(Failure, status=409):
    """A refusal that an undo must not give."""


class Lend(Command[None]):
    """Lend something."""

    number: int


class TakeBack(Undo[Lend]):
    """Take it back; that works from some time on."""

    number: int


class Ask(Command[None], fails=[Closed]):
    """Ask a shop that is closed."""

    number: int


_lending = MetaData()
lending = notes_table(_lending)
opened = Table("opened", _lending, Column("number", Integer, primary_key=True))
library = Service("library", tables=_lending)
reader = Service("reader", calls=[Lend, Ask])


@library.post("/v1/opened", public=True)
async def open_library(body: Number, tx: Tx) -> None:
    """From now on things are taken back."""
    tx.insert(opened, number=body.number)


@library.handles
async def lend(command: Lend, tx: Tx) -> None:
    """Lend."""
    tx.insert(lending, what=f"lent {command.number}")


@library.handles
async def take_back(undo: TakeBack, tx: Tx) -> None:
    """Take back."""
    if (await tx.execute(select(opened))).first() is None:
        if undo.number % 2:
            raise NotNow()
        raise LookupError("nobody is there yet")
    tx.insert(lending, what=f"back {undo.number}")


@library.handles
async def ask(command: Ask, tx: Tx) -> None:
    """Refuse."""
    raise Closed()


@reader.post("/v1/loans", status_code=202, public=True)
async def borrow(body: Number, tx: Tx) -> None:
    """Borrow."""
    tx.start(loan, body)


@reader.saga
async def loan(saga: Saga, body: Number) -> None:
    """Borrow, find the shop closed, and give back."""
    await saga.call(Lend(number=body.number), undo=TakeBack(number=body.number))
    await saga.call(Ask(number=body.number))


reading = System("reading", services=[library, reader])


@reading.workload
async def readers(client: Client) -> None:
    """Borrow; the library opens after more time than eight tries take."""
    await post_all(client, "/v1/loans")
    await client.sleep(400)
    answer = await client.post("/v1/opened", json={"number": 1}, key="open")
    assert answer.status == 200, answer


# -- two replicas at one row ----------------------------------------------------------------------


class Weigh(Command[None]):
    """Weigh something; it takes a while."""

    number: int


scale = External("scale", url="http://scale")
_weighed = MetaData()
weighed = Table(
    "weight", _weighed, Column("id", Integer, primary_key=True), Column("what", String(40))
)
weighing = Service("weighing", tables=_weighed, reaches=[scale])
asking = Service("asking", calls=[Weigh])


@weighing.handles
async def weigh(command: Weigh, outside: Outside, tx: Tx) -> None:
    """Weigh over there, and write it down."""
    await outside.get(scale, f"/v1/weights/{command.number}")
    await tx.execute(insert(weighed).values(what=str(command.number)))


@asking.post("/v1/weights", status_code=202, public=True)
async def want_weight(body: Number, tx: Tx) -> None:
    """Have something weighed."""
    tx.send(Weigh(number=body.number))


class SlowScale:
    """Answers after a while."""

    async def handle(self, request: Request) -> Response:
        """Answer."""
        await asyncio.sleep(1.0)
        return Response(200, [], b"{}")


scales = System("scales", services=[weighing, asking])


@scales.stand_in(scale)
def slow_scale(clock: Clock) -> SlowScale:
    """Return it."""
    return SlowScale()


@scales.workload
async def weighers(client: Client) -> None:
    """Weigh."""
    await post_all(client, "/v1/weights")


def paused_at_work(chance: random.Random) -> list[AnyFault]:
    """Draw parcels that come twice, slow statements, nodes that stop for longer than a lease."""
    twice = Lever(engine="broker", lever="drop", value=0.5, at_s=0.0, for_s=3.0)
    pauses = [
        Pause(
            node=f"weighing-{n}",
            at_s=round(chance.uniform(0.5, 8), 3),
            for_s=round(chance.uniform(3, 8), 3),
        )
        for n in (1, 2, 1, 2, 1, 2)
    ]
    slow = Lever(engine="database weighing", lever="latency_s", value=(0.02, 0.3), for_s=60.0)
    return [twice, slow, *pauses]


# -- work that takes longer than a lease ----------------------------------------------------------


class Fire(Command[None]):
    """Fire a pot."""

    number: int


kiln = External("kiln", url="http://kiln")
_fired = MetaData()
fired = notes_table(_fired)
pottery = Service("pottery", tables=_fired, reaches=[kiln])
guild = Service("guild", calls=[Fire])


@pottery.handles
async def fire(command: Fire, outside: Outside, tx: Tx) -> None:
    """Heat it several times, and write it down; who stood still meanwhile begins anew."""
    for _ in range(6):
        begun = asyncio.get_running_loop().time()
        await outside.get(kiln, f"/v1/pots/{command.number}")
        if asyncio.get_running_loop().time() - begun > 1.7:
            raise TimeoutError("the fire went out")
    tx.insert(fired, what=str(command.number))


@guild.post("/v1/pots", status_code=202, public=True)
async def want_pot(body: Number, tx: Tx) -> None:
    """Have a pot fired."""
    tx.send(Fire(number=body.number))


class Kiln:
    """Heats for a while, and counts who heats one pot at the same time."""

    def __init__(self) -> None:
        self.under_way: dict[str, int] = {}
        self.most = 0

    async def handle(self, request: Request) -> Response:
        """Heat."""
        path = request.path
        self.under_way[path] = self.under_way.get(path, 0) + 1
        self.most = max(self.most, self.under_way[path])
        await asyncio.sleep(1.0)
        self.under_way[path] -= 1
        return Response(200, [], b"{}")


potters = System("potters", services=[pottery, guild])


@potters.stand_in(kiln)
def hot_kiln(clock: Clock) -> Kiln:
    """Return it."""
    return Kiln()


@potters.workload
async def buyers(client: Client) -> None:
    """Buy pots."""
    await post_all(client, "/v1/pots")


@potters.invariant
def nobody_fires_a_pot_that_is_in_the_fire(world: World) -> None:
    """One run at a time, however long it takes."""
    most = world.stand_ins["kiln"].most
    assert most == 1, f"{most} heated one pot at the same time"


@potters.invariant
def every_pot_is_fired_once(world: World) -> None:
    """Whoever did it."""
    found = sorted(row.what for row in world.rows("pottery", select(fired)))
    assert found == [str(n) for n in range(world.setup.size)], found


def stood_still(chance: random.Random) -> list[AnyFault]:
    """Draw nodes that stop in the middle of their work, for longer than a lease."""
    return [
        Pause(
            node=f"pottery-{n}",
            at_s=round(chance.uniform(1, 5) + 8 * nth, 3),
            for_s=round(chance.uniform(3, 5), 3),
        )
        for nth, n in enumerate((1, 2, 1))
    ]


# -- what must be checked before the commit, and what a transaction must not do -------------------


class Big(Command[None]):
    """A long text."""

    text: str


class Both(Command[None], fails=[Closed]):
    """Write two notes, or refuse."""

    number: int


_desk = MetaData()
desk_notes = notes_table(_desk)
desk = Service("desk", tables=_desk)
_front = MetaData()
front_notes = notes_table(_front)
front = Service("front", tables=_front, calls=[Big, Both])

RAN: list[int] = []
"""The handlers that ran to their end, in this run."""


@desk.handles
async def big(command: Big, tx: Tx) -> None:
    """Take it."""
    tx.insert(desk_notes, what=f"{len(command.text)} characters")


@desk.handles
async def both(command: Both, tx: Tx) -> None:
    """Write, and think better of it."""
    await tx.execute(insert(desk_notes).values(what=f"half of {command.number}"))
    raise Closed()


@front.post("/v1/texts", status_code=202, public=True)
async def write_text(body: Number, tx: Tx) -> None:
    """Send a text that is too long."""
    tx.send(Big(text="x" * (body.number * (2 << 20))))


@front.post("/v1/halves", status_code=202, public=True)
async def write_halves(body: Number, tx: Tx) -> None:
    """Send what will be refused."""
    tx.send(Both(number=body.number))


@front.post("/v1/swallowed", public=True)
async def swallow_errors(body: Number, tx: Tx) -> None:
    """Write a note and its copy; the error of the copy is swallowed."""
    await tx.execute(insert(front_notes).values(what=f"first of {body.number}"))
    try:
        await tx.execute(insert(front_notes).values(what=f"first of {body.number}"))
    except IntegrityError:
        return


@front.post("/v1/waits", public=True)
async def wait_inside(body: Number, tx: Tx) -> None:
    """Wait for something else inside the transaction."""
    await tx.execute(insert(front_notes).values(what=f"waited {body.number}"))
    await asyncio.sleep(20)


@front.post("/v1/quick", public=True)
async def quick(body: Number, tx: Tx) -> None:
    """Write quickly."""
    tx.insert(front_notes, what=f"quick {body.number}")


_late = MetaData()
late_notes = notes_table(_late)
late = Service("late", tables=_late)
PARTS = 21


@late.post("/v1/slow", public=True)
async def slow(body: Number, tx: Tx) -> None:
    """Write with several statements, each of which takes a while."""
    for part in range(PARTS):
        await tx.execute(insert(late_notes).values(what=f"slow {body.number}.{part}"))
    RAN.append(body.number)


counter = System("counter", services=[desk, front])


@counter.workload
async def everything_wrong(client: Client) -> None:
    """Ask for everything that must not go wrong."""
    await client.post("/v1/halves", json={"number": 1}, key="halves")
    for path in ("/v1/texts", "/v1/swallowed"):
        answer = await client.post(path, json={"number": 1})
        assert answer.status >= 400, f"{path}: {answer}"
    waiting = asyncio.create_task(client.post("/v1/waits", json={"number": 1}))
    await client.sleep(0.5)
    before = client.now()
    answer = await client.post("/v1/quick", json={"number": 1}, key="quick")
    assert client.now() - before < 10, f"a quick write took {client.now() - before:.0f} s"
    assert answer.status == 200, answer
    await asyncio.gather(waiting, return_exceptions=True)


closing = System("closing", services=[late])


@closing.workload
async def latecomers(client: Client) -> None:
    """Ask for something slow, right before closing time."""
    RAN.clear()
    try:
        await client.post("/v1/slow", json={"number": 1})
    except CallError:
        return


@counter.invariant
def nothing_half_done(world: World) -> None:
    """A refused handler has written nothing, and a failed one neither."""
    assert world.rows("desk", select(desk_notes)) == []
    first = [r.what for r in world.rows("front", select(front_notes)) if "first" in r.what]
    assert first == [], first


@closing.invariant
def what_has_begun_is_finished(world: World) -> None:
    """Though nobody waits for it any more."""
    kept = [row.what for row in world.rows("late", select(late_notes))]
    assert len(kept) == PARTS * len(RAN), f"{RAN} ran, and {kept} is kept"


# -- a newer sender -------------------------------------------------------------------------------


_posted = MetaData()
posted = notes_table(_posted)


def mail(*, newer: bool) -> System:
    """Return a release; the messages of the newer one have one more field."""
    if newer:

        class Letter(Command[None], version=3):
            number: int
            colour: str = "red"
    else:

        class Letter(Command[None], version=3):  # type: ignore[no-redef]  # the older one
            number: int

    box = Service("box", tables=_posted)
    writer = Service("writer", calls=[Letter])

    async def take(command: Letter, tx: Tx) -> None:
        tx.insert(posted, what=str(command.number))

    take.__annotations__.update(command=Letter, tx=Tx)
    box.handles(take)

    @writer.post("/v1/letters", status_code=202, public=True)
    async def write(body: Number, tx: Tx) -> None:
        tx.send(Letter(number=body.number))

    made = System("mail", services=[box, writer])

    @made.workload
    async def writers(client: Client) -> None:
        await post_all(client, "/v1/letters")

    return made


# -- a release whose commands the older one does not know -----------------------------------------


_packed = MetaData()
packed = notes_table(_packed)


def parcels(*, newer: bool) -> System:
    """Return a release; the newer one ties a parcel up in a letter to itself."""

    class Pack(Command[None]):
        number: int

    class Tie(Command[None]):
        number: int

    hall = Service("hall", tables=_packed, calls=[Tie] if newer else [])
    counter = Service("counter", calls=[Pack])

    async def tie(command: Tie, tx: Tx) -> None:
        tx.insert(packed, what=str(command.number))

    async def pack(command: Pack, tx: Tx) -> None:
        if newer:
            tx.send(Tie(number=command.number), delay=timedelta(seconds=2))
        else:
            tx.insert(packed, what=str(command.number))

    tie.__annotations__.update(command=Tie, tx=Tx)
    pack.__annotations__.update(command=Pack, tx=Tx)
    hall.handles(pack)
    if newer:
        hall.handles(tie)

    @counter.post("/v1/parcels", status_code=202, public=True)
    async def bring(body: Number, tx: Tx) -> None:
        tx.send(Pack(number=body.number))

    made = System("parcels", services=[hall, counter])

    @made.workload
    async def senders(client: Client) -> None:
        await post_all(client, "/v1/parcels")

    @made.invariant
    def every_parcel_is_packed(world: World) -> None:
        """Whichever version took it first."""
        found = sorted(row.what for row in world.rows("hall", select(packed)))
        assert found == [str(n) for n in range(world.setup.size)], found

    return made


def closing_time(chance: random.Random) -> list[AnyFault]:
    """Draw slow statements, and a process that is asked to stop in the middle of them."""
    slow_s = Lever(engine="database late", lever="latency_s", value=(0.9, 1.1), for_s=60.0)
    return [slow_s, Restart(node="late-1", at_s=round(chance.uniform(0.3, 2), 3), for_s=1.0)]


SCENARIOS = [
    Scenario(
        eater,
        ("due_first_if_not_first", "try_counted_before"),
        setup=Setup(
            size=4,
            dead_letters=True,
            schedule=Schedule(poll_ms=2_000, lease_ms=3_000, resend_ms=2_000),
        ),
        faults=lambda chance: [],
    ),
    Scenario(
        office,
        ("conflicts_are_no_tries",),
        setup=Setup(size=4, schedule=Schedule(poll_ms=200, lease_ms=5_000, retry_cap_ms=1_000)),
        faults=busy,
    ),
    Scenario(
        reading,
        ("undo_never_dead", "undo_failure_is_a_try"),
        setup=Setup(size=2),
        faults=lambda chance: [],
    ),
    Scenario(
        scales,
        ("guarded_states",),
        setup=Setup(
            size=16,
            replicas={"weighing": 2},
            schedule=Schedule(poll_ms=500, lease_ms=2_000, resend_ms=1_000),
        ),
        faults=paused_at_work,
    ),
    Scenario(
        potters,
        ("lease_fenced",),
        setup=Setup(
            size=3,
            replicas={"pottery": 2},
            schedule=Schedule(poll_ms=500, lease_ms=2_000, resend_ms=1_000),
        ),
        faults=stood_still,
    ),
    Scenario(
        potters,
        ("lease_renewed",),
        setup=Setup(
            size=3,
            replicas={"pottery": 2},
            schedule=Schedule(poll_ms=500, lease_ms=2_000, resend_ms=1_000),
        ),
        faults=lambda chance: [],
    ),
    Scenario(
        counter,
        (
            "encode_before_commit",
            "failure_rolls_back",
            "sticky_errors",
            "no_foreign_awaits",
        ),
        setup=Setup(size=1),
        faults=lambda chance: [],
    ),
    Scenario(closing, ("shielded",), setup=Setup(size=1), faults=closing_time),
    Scenario(
        parcels(newer=True),
        ("unknown_waits",),
        setup=Setup(
            size=4,
            replicas={"hall": 2, "counter": 2},
            older=parcels(newer=False),
            schedule=Schedule(tries_max=1),
        ),
        faults=lambda chance: [],
    ),
    Scenario(
        mail(newer=True),
        ("tolerant_letters",),
        setup=Setup(size=3, replicas={"box": 1, "writer": 2}, older=mail(newer=False)),
        faults=lambda chance: [],
    ),
]
