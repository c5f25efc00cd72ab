"""A small system without HTTP: three services on SQLite files, a broker in memory, virtual time.

`shop` runs sagas; `stock` and `money` handle commands; `till` is the External of `money`. A
`Plan` may strike at every step that the outside can see: a commit, a parcel, a charge.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from holdfast.consistency.advance import SagaType
from holdfast.consistency.core import Core, Duties, Observers
from holdfast.consistency.delivery import Delivery
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.letters import Addresses
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.senders import Senders, Sent
from holdfast.consistency.steps import recorded
from holdfast.consistency.turn import Turn
from holdfast.consistency.unit import Unit
from holdfast.contract.carrier import carrier_of
from holdfast.contract.cause import Cause
from holdfast.contract.envelope import (
    HTTP,
    EdgeRow,
    Kind,
    Lane,
    MessageRow,
    SagaRow,
    State,
)
from holdfast.contract.messages import Command, Event, Message, Undo
from holdfast.contract.model import Model
from holdfast.engines.machine import MachineIds
from holdfast.pump import may_wait
from holdfast.resilience import AdaptivePrefetch, ConcurrencyLimits
from holdfast.storage import MessageFilter, SagaFilter
from tests.ablations.off import switch_off
from tests.consistency.faults import Plan, Till, WatchedBroker, WatchedDatabase
from tests.consistency.messages import (
    EFFECTS,
    METADATA,
    OWNERS,
    SERVICES,
    GiveBack,
    Note,
    Order,
    Pay,
    Refund,
    Shipped,
    Take,
    Taken,
)
from tests.consistency.moves import check_moves
from tests.virtual_loop import LoopClock

PAIRS = [
    ("shop", "stock"),
    ("shop", "money"),
    ("stock", "shop"),
    *((name, name) for name in SERVICES),
]
Function = Callable[[Any, Unit, "Reaching"], Coroutine[Any, Any, Any]]


@dataclass(slots=True)
class Reaching:
    """The outside of one delivery: what a handler may do at the till."""

    delivery: Delivery
    till: Till
    plan: Plan
    key_life_s: float = 86_400.0
    calls: int = 0

    async def charge(self, cents: int) -> int:
        """Charge the till once for this letter, whatever happens."""
        self.delivery.unit.check_outside()
        number = self.calls
        self.calls += 1
        if number in self.delivery.kept:
            kept = self.delivery.kept[number]
            assert isinstance(kept, int)
            return kept
        digest = hashlib.blake2b(str(cents).encode(), digest_size=8).digest()
        await self.delivery.reach(digest, number, self.key_life_s)
        await self.plan.step("before the charge")
        charged = self.till.charge(f"{self.delivery.letter.id}.{number}", cents)
        await self.plan.step("after the charge")
        self.delivery.kept[number] = charged
        return charged


@dataclass(slots=True)
class Hand:
    """A handler by hand, as `inbox.Handled` wants it."""

    message: type[Message]
    function: Function
    world: "World"
    alone: bool = False
    key_life_s: float = 86_400.0
    runs: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    waits: bool = field(init=False)

    def __post_init__(self) -> None:
        self.waits = may_wait(self.function)

    async def invoke(self, delivery: Delivery) -> Any:
        """Run the function on a letter."""
        message = self.message.model_validate_json(bytes(delivery.letter.body))
        reaching = Reaching(delivery, self.world.till, self.world.plan, self.key_life_s)
        return await self.function(message, delivery.unit, reaching)

    def encode_reply(self, value: Any) -> bytes:
        """Encode the reply."""
        kind = getattr(self.message, "reply_type", None)
        if kind is None:
            return b"null"
        carrier = carrier_of(kind)
        return carrier.encode(carrier.fit(value))

    def next_row(self, now_ms: int) -> None:
        """Nothing comes after it."""

    def observe(
        self, delivery: Delivery, outcome: str, seconds: float, error: Exception | None
    ) -> None:
        """Remember how it ended, and what it took."""
        self.runs.append((outcome, seconds))


def effect(service: str, what: str, number: int = 0) -> Function:
    """Return a handler whose one effect is a row."""

    async def handle(message: Any, tx: Unit, outside: Reaching) -> Any:
        tx.insert(EFFECTS[service], id=tx.new_id(), what=what, number=number)
        return Taken(shelf=1) if isinstance(message, Take) else None

    return handle


async def pay(message: Pay, tx: Unit, outside: Reaching) -> int:
    """Charge the till, then write."""
    charged = await outside.charge(message.cents)
    tx.insert(EFFECTS["money"], id=tx.new_id(), what="pay", number=charged)
    return charged


class Service:
    """One service, in memory: everything here is lost in a crash."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        clock = LoopClock()
        self.database = WatchedDatabase(world.folder / f"{name}.db", clock, world.plan, name)
        subscribers: dict[str, tuple[str, ...]] = (
            {Shipped.wire_name(): ("shop",)} if name == "stock" else {}
        )
        owners = {kind.wire_name(): owner for kind, owner in OWNERS.items()}
        self.addresses = Addresses(owners if name == "shop" else {}, subscribers)
        self.ledger = Ledger(name, self.database, clock, MachineIds(), world.schedule, world.safe)
        self.hands = {
            kind.wire_name(): Hand(kind, function, world, key_life_s=world.key_life_s)
            for kind, function in world.handlers.items()
            if OWNERS.get(kind, name) == name and (name == "shop") == issubclass(kind, Event)
        }
        self.duties = duties = Duties(
            self.addresses,
            self.senders(),
            self.hands.get,
            world.sagas if name == "shop" else {},
            {Shipped.wire_name(): Shipped} if name == "shop" else {},
        )
        observers = Observers(
            self.notice,
            saga_ended=self.ended,
            saga_parked=self.parked,
            refused=lambda sender, what, why: world.audited.append((sender, what, why)),
        )
        prefetch = AdaptivePrefetch(ConcurrencyLimits(1_000, 1.0), clock.monotonic)
        self.core = Core(self.ledger, world.broker, duties, observers, prefetch)
        self.outbox, self.writer, self.sagas = self.core.outbox, self.core.writer, self.core.sagas
        self.relay, self.inbox, self.letters = self.core.relay, self.core.inbox, self.core.letters

    def senders(self) -> Senders:
        """Return who may send what: the shop its commands and undos, the stock its event."""
        sent: set[Sent] = {(Kind.EVENT, Shipped.wire_name())}
        for wire, hand in self.hands.items():
            if issubclass(hand.message, Undo):
                sent.add((Kind.UNDO, wire))
            elif not issubclass(hand.message, Event):
                sent |= {(Kind.COMMAND, wire), (Kind.WITHDRAW, wire)}
        known = frozenset({*self.hands, Shipped.wire_name()})
        return Senders(self.name, {self.world.senders[self.name]: frozenset(sent)}, known)

    def ended(self, saga: str, outcome: str, took_ms: int) -> None:
        """Remember how a saga ended."""
        self.world.ended.append((saga, outcome))

    def parked(self, saga: str, id: UUID, error: str) -> None:
        """Remember that a saga cannot go on, as an operator would read it."""
        self.world.parked.append((saga, id, error))

    def notice(self, event: str, *, cause: Cause | None = None, **fields: Any) -> None:
        """Remember what an operator would read, and what it is about."""
        self.world.notices.append((event, fields))
        self.world.causes.append((event, cause))

    async def start(self) -> None:
        """Open the file, and begin to work."""
        edges = [
            EdgeRow(0, sender, receiver, lane)
            for sender, receiver in PAIRS
            for lane in Lane
            if self.name in (sender, receiver)
        ]
        edges.append(EdgeRow(0, HTTP, self.name, Lane.WORK))
        self.ledger.know(await self.database.open(edges, [METADATA[self.name]]), edges)
        await self.core.start()

    async def write(self, work: Callable[[Unit], object]) -> None:
        """Run a piece of work in a transaction of its own, as a route would."""
        now_ms = int(self.ledger.clock.now() * 1000)
        unit = Unit(self.core.units, self.ledger.seed(now_ms), now_ms)
        await self.writer.perform(Work(unit, self.sagas, work))

    async def effects(self) -> list[str]:
        """Return what was written, oldest first."""
        reader = await self.database.read()
        table = EFFECTS[self.name]
        found = await reader.execute(select(table.c.what).order_by(table.c.row))
        names = [row.what for row in found]
        await reader.close()
        return names

    async def rows(self, *states: State) -> list[MessageRow]:
        """Return message rows."""
        return await self.database.messages(MessageFilter(states=states, limit=10_000))

    async def out_rows(self) -> list[MessageRow]:
        """Return the unanswered letters to others."""
        return [row for row in await self.rows() if self.ledger.is_out(row.edge)]


class Work(Turn):
    """A transaction that a test begins."""

    def __init__(self, unit: Unit, sagas: Sagas, work: Callable[[Unit], object]) -> None:
        self._unit, self._sagas, self._work = unit, sagas, work

    async def run(self, tx: Any) -> None:
        """Do it."""
        self._unit.tx = tx
        result = self._work(self._unit)
        if asyncio.iscoroutine(result):
            await result
        await self._sagas.settle(self._unit, self.effects)


class World:
    """The files, the till and the plan live for ever; the cores live until a crash."""

    def __init__(self, folder: Path, schedule: Schedule, safe: Safeguards = ALL_ON) -> None:
        self.folder, self.schedule, self.safe = folder, schedule, safe
        self.patch = pytest.MonkeyPatch()
        self.key_life_s = 86_400.0
        self.plan = Plan()
        self.till = Till()
        self.sagas: dict[str, SagaType] = {}
        self.handlers: dict[type[Message], Function] = {
            Take: effect("stock", "take"),
            GiveBack: effect("stock", "give back"),
            Pay: pay,
            Refund: effect("money", "refund"),
            Note: effect("money", "note"),
        }
        self.senders = {"shop": "stock", "stock": "shop", "money": "shop"}
        self.ended: list[tuple[str, str]] = []
        self.parked: list[tuple[str, UUID, str]] = []
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.causes: list[tuple[str, Cause | None]] = []
        self.audited: list[tuple[str, str, str]] = []
        self.broker = WatchedBroker(self.plan)
        self.cores: dict[str, Service] = {}
        self.killed = asyncio.Event()

    def switch_off(self, safeguard: str) -> None:
        """Switch a safeguard off until the test ends."""
        self.safe = switch_off(self.patch, safeguard)

    def __getitem__(self, name: str) -> Service:
        return self.cores[name]

    def saga(
        self, function: Callable[..., Any], *, version: int = 1, input_type: type[Model] = Order
    ) -> Callable[..., Any]:
        """Make a function a saga of the shop; a new one replaces the old one at the next start."""
        kind = SagaType(function.__name__, function, version, input_type)
        self.sagas[kind.name] = kind
        return function

    async def start(self) -> None:
        """Start all services in one process."""
        self.cores = {name: Service(self, name) for name in SERVICES}
        for core in self.cores.values():
            await core.start()

    async def kill(self, where: str = "") -> None:
        """Stop everything at once, here and now; for a plan's strike."""
        self.killed.set()
        await asyncio.get_running_loop().create_future()

    async def crash(self) -> None:
        """Forget everything that is not in a file, and start again."""
        await self.end()
        fate = self.broker.fate
        self.broker = WatchedBroker(self.plan)
        self.broker.fate = fate
        self.killed = asyncio.Event()
        await self.start()

    async def end(self) -> None:
        """Kill the process."""
        me = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not me]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for core in self.cores.values():
            await core.database.close()
        if self.safe is ALL_ON:
            check_moves(self.folder.glob("*.db"))

    async def settle(self, seconds: float = 120.0) -> None:
        """Let time pass until the shop's sagas have ended and nothing is on its way."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await self.pass_time(1.0)
            if not await self.busy():
                return

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; a process that was killed is started again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            try:
                async with asyncio.timeout(until - loop.time()):
                    await self.killed.wait()
            except TimeoutError:
                return
            await self.crash()

    async def busy(self) -> bool:
        """Whether a saga runs, or a row waits for something other than an operator."""
        running = any(row.state == "running" for row in await self.saga_rows())
        for core in self.cores.values():
            running = running or bool(await core.rows(State.DUE, State.HELD))
        return running

    async def saga_rows(self) -> list[SagaRow]:
        """Return the shop's sagas, newest first."""
        return await self["shop"].database.sagas(SagaFilter(limit=10_000))

    async def begin(self, saga: Callable[..., Any], order: Order | None = None) -> UUID:
        """Start a saga in a transaction that also has an effect; return its id."""
        started: list[UUID] = []

        def work(tx: Unit) -> None:
            started[:] = [tx.start(saga, order or Order())]
            tx.insert(EFFECTS["shop"], id=tx.new_id(), what="placed")

        await self["shop"].write(work)
        return started[0]

    async def steps(self, saga: UUID) -> list[tuple[str, str, str]]:
        """Return (path, kind, outcome) of a saga's ended steps, in the order of their paths."""
        found = recorded(await self["shop"].database.saga_steps(saga))
        ordered = sorted(found.items(), key=lambda item: [int(n) for n in item[0].split(".")])
        return [(path, step.kind, step.outcome.kind) for path, step in ordered]

    async def send(self, message: Command[Any]) -> None:
        """Send a command from the shop, whose answer nobody waits for."""
        await self["shop"].write(lambda tx: tx.send(message))

    async def all_effects(self) -> dict[str, list[str]]:
        """Return what every service has written."""
        return {name: await core.effects() for name, core in self.cores.items()}
