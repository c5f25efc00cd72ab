"""The simulated database and broker keep the contracts of the real ones; and how they fail."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from sqlalchemy import select

from holdfast.engines.joined import JoinedTransaction
from holdfast.errors import CommitUnknown, TransactionLost, Unreachable
from holdfast.ports import Broker
from holdfast.simulation.broker import ACK_WAIT_S, PAYLOAD_MAX, SimBroker
from holdfast.simulation.clock import SimClock
from holdfast.simulation.database import SimDatabase
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.node import Node
from holdfast.simulation.store import SimStore
from holdfast.simulation.transaction import SimTransaction
from holdfast.storage import Database, Transaction, Write
from tests.contracts.broker import BrokerContract
from tests.contracts.database import DatabaseContract
from tests.contracts.rows import EDGES, METADATA, THING, letter

T = TypeVar("T")


class TestDatabase(DatabaseContract):
    """The contract, on a server whose nodes come and go."""

    @pytest.fixture(autouse=True)
    def given_back(self) -> Any:
        """Give every store's connections back."""
        self.stores: list[SimStore] = []
        yield
        for store in self.stores:
            store.give_back()

    async def make(self) -> Database:
        """Return the database of a fresh server."""
        self.stores.append(store_of())
        return SimDatabase(self.stores[-1], None)

    async def end_transaction(self, database: Database, tx: Transaction) -> None:
        """The server ends it."""
        assert isinstance(tx, SimTransaction)
        tx.end("it took too long")


class TestJoinableDatabase(TestDatabase):
    """The same, on a server that joins turns; here each is alone."""

    async def make(self) -> Database:
        """Return the database of a fresh server."""
        self.stores.append(store_of())
        return SimDatabase(self.stores[-1], None, JoinedTransaction)


class TestBroker(BrokerContract):
    """The contract, on a server that outlives its clients."""

    async def make(self) -> Broker:
        """Return a client of a fresh server."""
        return SimBroker(random.Random(1)).client(None)


def store_of() -> SimStore:
    """Return a fresh database server."""
    return SimStore("me", SimClock(), random.Random(1))


def simulated(main: Callable[[], Awaitable[T]]) -> T:
    """Run something in virtual time."""

    async def run() -> T:
        return await main()

    loop = SimLoop(random.Random(1))
    try:
        result: T = loop.run_until_complete(run())
        assert loop.errors == []
        return result
    finally:
        loop.close()


# -- the database ----------------------------------------------------------------------------------


async def insert(database: SimDatabase, number: int) -> bool:
    """Commit one thing; return whether the server says that it did."""
    tx = await database.begin()
    await tx.write([Write(THING, {"id": number, "name": "x"})])
    return await tx.commit()


def numbers(store: SimStore) -> list[int]:
    """Return the committed things."""
    return [row.id for row in store.query(select(THING.c.id).order_by(THING.c.id))]


def with_store(main: Callable[[SimStore, SimDatabase], Awaitable[None]]) -> list[int]:
    """Run something on an open store; return what is committed at the end."""
    store = store_of()

    async def run() -> list[int]:
        database = SimDatabase(store, None)
        await database.open(EDGES, [METADATA])
        await main(store, database)
        return numbers(store)

    try:
        return simulated(run)
    finally:
        store.give_back()


@pytest.mark.parametrize(
    ("lever", "kept"), [("lose_reply", [1]), ("lose_commit", []), ("void", [])]
)
def test_a_commit_may_be_answered_wrongly(lever: str, kept: list[int]) -> None:
    """Not at all, though it was kept or was not; or by a rollback."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        setattr(store, lever, 1.0)
        if lever == "void":
            assert await insert(database, 1) is False
        else:
            with pytest.raises(CommitUnknown):
                await insert(database, 1)

    assert with_store(main) == kept


@pytest.mark.parametrize("lever", ["conflict", "drop"])
def test_a_transaction_may_be_lost_before_its_commit(lever: str) -> None:
    """Somewhere on its way."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        setattr(store, lever, 1.0)
        with pytest.raises(TransactionLost):
            await insert(database, 1)
        setattr(store, lever, 0.0)
        assert await insert(database, 2)

    assert with_store(main) == [2]


def test_a_commit_may_land_after_its_client_gave_up() -> None:
    """Until then nobody else gets a turn: who asks by inserting waits for it."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        store.late_commit_s = (3.0, 3.0)
        with pytest.raises(CommitUnknown):
            await insert(database, 1)
        assert numbers(store) == []
        store.late_commit_s = None
        before = asyncio.get_running_loop().time()
        assert await insert(database, 2)
        assert asyncio.get_running_loop().time() - before == 3.0

    assert with_store(main) == [1, 2]


def test_a_transaction_waits_for_the_one_before_it() -> None:
    """They are serial: the second begins when the first has ended, and sees it."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        first = await database.begin()
        await first.write([Write(THING, {"id": 1, "name": "x"})])
        second = asyncio.create_task(database.begin())
        await asyncio.sleep(1)
        assert not second.done()
        await first.commit()
        tx = await second
        assert len((await tx.execute(select(THING))).all()) == 1
        await tx.abort()

    assert with_store(main) == [1]


def test_a_dead_node_leaves_nothing_open() -> None:
    """Its transaction is rolled back by the server, and the next one begins."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        node = Node("me-1", "me")
        tx = await SimDatabase(store, node).begin()
        await tx.write([Write(THING, {"id": 1, "name": "x"})])
        store.crashed(node)
        with pytest.raises(TransactionLost):
            await tx.commit()
        assert await insert(database, 2)

    assert with_store(main) == [2]


def test_a_server_that_is_down_serves_nobody() -> None:
    """Not even those who only look."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        store.down = True
        with pytest.raises(TransactionLost, match="away"):
            await database.begin()
        with pytest.raises(TransactionLost, match="away"):
            await database.due_in_ms()

    assert with_store(main) == []


def test_letters_count_when_they_are_committed() -> None:
    """What was rolled back, with its savepoint or as a whole, was never sent."""

    async def main(store: SimStore, database: SimDatabase) -> None:
        tx = await database.begin()
        await tx.insert_messages([letter(1)])
        await tx.savepoint()
        await tx.insert_messages([letter(2)])
        await tx.rollback()
        assert store.letters == {}
        await tx.commit()
        tx = await database.begin()
        await tx.insert_messages([letter(3)])
        await tx.abort()
        assert list(store.letters) == [letter(1).id]

    with_store(main)


# -- the broker ------------------------------------------------------------------------------------


class Desk:
    """Takes parcels; refuses the first `refuse` deliveries."""

    def __init__(self, refuse: int = 0) -> None:
        self.came: list[tuple[float, bytes, bool]] = []
        self._refuse = refuse

    async def deliver(self, parcel: bytes, again: bool, sender: str) -> None:
        """Take one."""
        self.came.append((asyncio.get_running_loop().time(), parcel, again))
        if len(self.came) <= self._refuse:
            raise LookupError("not now")


def with_broker(
    levers: dict[str, Any], parcels: int = 1, *, refuse: int = 0, for_s: float = 100.0
) -> Desk:
    """Publish some parcels on a broker whose levers are set; return what came."""
    desk = Desk(refuse)
    server = SimBroker(random.Random(1))

    async def run() -> None:
        client = server.client(None)
        await client.subscribe("me", "work", desk.deliver)
        for name, value in levers.items():
            setattr(server, name, value)
        for number in range(parcels):
            await client.publish("me", "work", bytes([number]), sender="ada")
        await asyncio.sleep(for_s)

    simulated(run)
    return desk


def test_it_loses() -> None:
    """A share of the parcels never comes."""
    assert 20 < len(with_broker({"drop": 0.5}, 100).came) < 80


def test_it_repeats() -> None:
    """A share of them comes twice."""
    came = [parcel for _, parcel, _ in with_broker({"duplicate": 1.0}, 5).came]

    assert sorted(came) == [bytes([n]) for n in range(5) for _ in range(2)]


def test_it_reorders() -> None:
    """What was sent later may come earlier."""
    came = [parcel for _, parcel, _ in with_broker({"reorder_s": 5.0}, 20).came]

    assert sorted(came) == [bytes([n]) for n in range(20)] != came


def test_a_lost_acknowledgement_has_it_delivered_again() -> None:
    """After the wait, and marked so."""
    (first, _, again), (second, _, marked), *_ = with_broker({"lose_ack": 1.0}).came

    assert (again, marked) == (False, True)
    assert second - first == pytest.approx(ACK_WAIT_S, abs=0.1)


def test_what_was_refused_comes_again_soon() -> None:
    """And then no more."""
    came = with_broker({}, refuse=2).came

    assert [again for _, _, again in came] == [False, True, True]


@pytest.mark.parametrize(
    ("forget", "kept"),
    [
        (lambda server: server.forget_all(), []),
        (lambda server: server.forget(1.0), []),
        (lambda server: server.forget_since(5.0), [b"old"]),
    ],
)
def test_it_forgets(forget: Callable[[SimBroker], None], kept: list[bytes]) -> None:
    """Everything, a share, or what came last."""
    desk = Desk()
    server = SimBroker(random.Random(1))

    async def run() -> None:
        client = server.client(None)
        await client.publish("me", "work", b"old", sender="ada")
        await asyncio.sleep(10)
        await client.publish("me", "work", b"new", sender="ada")
        await asyncio.sleep(1)
        forget(server)
        await client.subscribe("me", "work", desk.deliver)
        await asyncio.sleep(1)

    simulated(run)
    assert [parcel for _, parcel, _ in desk.came] == kept


def test_a_broker_that_is_down_refuses() -> None:
    """And what is too large is refused always; what waits is handed out when it is up again."""
    desk = Desk()
    server = SimBroker(random.Random(1))

    async def run() -> None:
        client = server.client(None)
        with pytest.raises(Unreachable):
            await client.publish("me", "work", bytes(PAYLOAD_MAX + 1), sender="ada")
        await client.publish("me", "work", b"x", sender="ada")
        await asyncio.sleep(1)
        server.down = True
        with pytest.raises(Unreachable):
            await client.publish("me", "work", b"y", sender="ada")
        await client.subscribe("me", "work", desk.deliver)
        await asyncio.sleep(5)
        assert desk.came == []
        server.down = False
        await asyncio.sleep(5)

    simulated(run)
    assert [parcel for _, parcel, _ in desk.came] == [b"x"]


def test_replicas_share_a_stream() -> None:
    """Each parcel goes to one of them; a dead one's go to the others after the wait."""
    server = SimBroker(random.Random(1))
    one, two = Desk(), Desk()

    async def run() -> None:
        nodes = [Node(f"me-{n}", "me") for n in (1, 2)]
        for node, desk in zip(nodes, (one, two), strict=True):
            await server.client(node).subscribe("me", "work", desk.deliver)
        for number in range(40):
            await server.client(None).publish("me", "work", bytes([number]), sender="ada")
        await asyncio.sleep(1)
        assert len(one.came) + len(two.came) == 40
        assert min(len(one.came), len(two.came)) > 5
        for number in range(40, 60):
            await server.client(None).publish("me", "work", bytes([number]), sender="ada")
        await asyncio.sleep(0.0021)
        nodes[0].alive = False
        server.crashed(nodes[0])
        await asyncio.sleep(2 * ACK_WAIT_S)

    simulated(run)
    assert {parcel for _, parcel, _ in one.came + two.came} == {bytes([n]) for n in range(60)}
