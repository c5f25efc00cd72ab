"""What goes wrong in the tests: a plan that strikes, an External, and watched engines."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import MetaData

from holdfast.contract.envelope import (
    EdgeRow,
    Letter,
    Parcel,
)
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.engines.sqlite_transaction import SqliteTransaction
from holdfast.errors import CallError
from holdfast.ports import Allowed, Deliver, any_number
from holdfast.storage import Sharing
from tests.consistency.moves import watch_moves
from tests.virtual_loop import LoopClock


@dataclass(slots=True)
class Plan:
    """Counts the steps that the outside can see, and strikes at one of them.

    Attributes:
        at: the number of the step to strike at, or a name: its first step; None for never.
        strike: what happens there; awaited in the middle of the step.
        log: the names of the steps so far.
    """

    at: int | str | None = None
    strike: Callable[[str], Awaitable[None]] | None = None
    log: list[str] = field(default_factory=list)

    async def step(self, name: str) -> None:
        """Pass a step."""
        self.log.append(name)
        first = self.at == name and self.log.count(name) == 1
        if self.strike is not None and (first or len(self.log) - 1 == self.at):
            await self.strike(name)


class Till:
    """A third party that knows idempotency keys, outlives every crash, and may be away."""

    def __init__(self) -> None:
        self.charges: dict[str, int] = {}
        self.calls: list[tuple[str, int]] = []
        self.away = 0  # so many calls fail before they have an effect
        self.silent = 0  # so many calls fail after they have had their effect

    def charge(self, key: str, cents: int) -> int:
        """Take money once per key."""
        self.calls.append((key, cents))
        if self.away:
            self.away -= 1
            raise CallError("the till is away")
        self.charges.setdefault(key, cents)
        if self.silent:
            self.silent -= 1
            raise CallError("the till did not answer")
        return self.charges[key]


class WatchedTransaction(SqliteTransaction):
    """A transaction whose commit is a step, before and after."""

    plan: Plan
    name: str

    async def commit(self) -> bool:
        """Commit, unless the plan strikes before."""
        await self.plan.step(f"{self.name}: before commit")
        kept = await super().commit()
        await self.plan.step(f"{self.name}: after commit")
        return kept


class WatchedDatabase(SqliteDatabase):
    """A SQLite file that does not wait for the disk: no test here pulls the plug."""

    def __init__(self, path: Path, clock: LoopClock, plan: Plan, name: str) -> None:
        super().__init__(path, clock)
        self.plan, self.name = plan, name

    async def open(
        self,
        edges: Sequence[EdgeRow],
        tables: Sequence[MetaData] | None,
        *,
        lag_ms: int | None = 0,
    ) -> list[EdgeRow]:
        """Open the file."""
        found = await super().open(edges, tables, lag_ms=lag_ms)
        self.writer.execute("PRAGMA synchronous=OFF")
        watch_moves(self.writer, self.name)
        return found

    async def begin(self, *, sharing: Sharing = Sharing.ALONE) -> WatchedTransaction:
        """Begin a watched transaction."""
        plain = await super().begin(sharing=sharing)
        tx = WatchedTransaction(self, plain.now_ms)
        tx.plan, tx.name = self.plan, self.name
        return tx


class WatchedBroker(MemoryBroker):
    """A broker whose parcels are steps; `fate` says how often each is delivered, and how."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.fate: Callable[[str, str, bytes], Sequence[bool]] = lambda to, lane, parcel: (False,)
        self.deliver: dict[tuple[str, str], Deliver] = {}
        self.parcels: list[tuple[str, str, bytes]] = []

    async def subscribe(
        self, service: str, lane: str, deliver: Deliver, allowed: Allowed = any_number
    ) -> None:
        """See `ports.Broker`; copies are delivered one after the other."""

        async def copies(parcel: bytes, again: bool, sender: str) -> None:
            for redelivered in self.fate(service, lane, parcel):
                await deliver(parcel, again or redelivered, sender)

        await super().subscribe(service, lane, copies, allowed)
        self.deliver[service, lane] = deliver

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        """Hand a parcel over."""
        await self.plan.step(f"parcel to {to}")
        self.parcels.append((to, lane, parcel))
        await super().publish(to, lane, parcel, sender=sender)


def drop_all(to: str, lane: str, parcel: bytes) -> Sequence[bool]:
    """A broker that loses everything."""
    return ()


def dropping(what: str, to: str = "") -> Callable[[str, str, bytes], Sequence[bool]]:
    """Return a broker's fate: it loses letters of one kind or type, or all `answers`."""

    def fate(receiver: str, lane: str, raw: bytes) -> Sequence[bool]:
        parcel = msgspec.json.decode(raw, type=Parcel)
        letters = [msgspec.json.decode(bytes(letter), type=Letter) for letter in parcel.letters]
        names = {name for letter in letters for name in (letter.kind.value, letter.type)}
        if parcel.answers and any(answer.outcome != "expired" for answer in parcel.answers):
            names.add("answers")
        return () if what in names and to in ("", receiver) else (False,)

    return fate
