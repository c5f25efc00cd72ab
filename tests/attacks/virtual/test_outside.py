"""Third parties on a bad day: every effect once, nothing dead for an outage, no storm after it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Uuid

from holdfast import Command, External, Model, Outside, Service, System, Tx
from holdfast.contract.envelope import State
from holdfast.contract.http import Request, Response
from holdfast.engines.sqlite_transaction import SqliteTransaction
from holdfast.errors import ConnectionLost, DeadlineExceeded, TransactionLost, Unreachable
from holdfast.resilience import BulkheadPolicy, EdgePolicy
from tests.dispatch.hosting import Hosted, hosting, system

HOUR_S = 3_600
METADATA = MetaData()
PAID = Table("paid", METADATA, Column("id", Uuid, primary_key=True), Column("cents", Integer))

bank = External("bank", url="https://bank.example")
post_office = External("post-office", url="https://post.example", key_life_s=600)
fax = External("fax", url="https://fax.example", idempotent=False)


class Pay(Command[None]):
    """Pay somebody."""

    cents: int


class Done(Model):
    """What the bank says of a payment."""

    id: str


Handler = Callable[[Pay, Outside], Awaitable[object]]


def office(pay: Handler, *reaches: External) -> System:
    """Return a service that pays by `pay`, and writes down that it did."""
    service = Service("office", tables=METADATA, reaches=list(reaches) or [bank])

    @service.handles
    async def handle(command: Pay, outside: Outside, tx: Tx) -> None:
        await pay(command, outside)
        tx.insert(PAID, id=tx.new_id(), cents=command.cents)

    return system(service)


async def pay(command: Pay, outside: Outside) -> None:
    """Pay, and look at the answer."""
    answer = await outside.post(bank, "/v1/payments", json={"cents": command.cents})
    answer.parse(Done)


@dataclass
class Bank:
    """A third party that has each effect once per key, as long as it knows the key.

    Attributes:
        effects: {key: how often it had its effect}; more than 1 is a payment made twice.
        mood: what to do with the next requests: an answer, an exception, or how long to hang.
    """

    effects: Counter[str] = field(default_factory=Counter)
    asked: list[float] = field(default_factory=list)
    mood: Callable[[], Response | Exception | float | None] = lambda: None
    after: bool = False  # the effect happens even if the answer is lost
    life_s: float = 86_400.0
    _first: dict[str, float] = field(default_factory=dict)

    async def __call__(self, request: Request) -> Response:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        mood = self.mood()
        if mood is None or self.after:
            key = (request.header(b"idempotency-key") or b"").decode()
            if key not in self._first or now - self._first[key] > self.life_s:
                self.effects[key] += 1
                self._first[key] = now
        if isinstance(mood, Exception):
            raise mood
        if isinstance(mood, float):
            await asyncio.sleep(mood)
        return mood if isinstance(mood, Response) else Response(200, [], b'{"id": "p"}')


async def paid(hosted: Hosted) -> list[int]:
    """Return the payments that were written down."""
    return sorted(row.cents for row in await hosted.table("office", PAID))


async def test_two_effects_at_once_have_a_key_each(tmp_path: Path) -> None:
    """A handler may gather its calls; a try that fails does not confuse their keys."""
    moods: list[Response | None] = [None, Response(503), Response(503), Response(503), None]
    there = Bank()
    there.mood = lambda: moods.pop(0) if moods else None

    async def both(command: Pay, outside: Outside) -> None:
        await asyncio.gather(
            outside.post(bank, "/v1/payments", json={"cents": 1}),
            outside.post(bank, "/v1/payments", json={"cents": 2}),
        )

    async with hosting(office(both), tmp_path, answering=there) as hosted:
        await hosted.command("office", Pay(cents=1))
        await asyncio.sleep(120)

        assert await hosted.rows("office", State.DEAD, State.DUE) == []
        assert await paid(hosted) == [1]
        assert sorted(there.effects.values()) == [1, 1]


async def test_a_lost_transaction_between_two_effects_does_not_mix_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered is kept, and the next effect has its own key all the same."""
    there, losses = Bank(), [1]
    commit = SqliteTransaction.commit

    async def lose(tx: SqliteTransaction) -> bool:
        if len(there.asked) == 1 and losses:
            losses.clear()
            raise TransactionLost("the disk was full for a moment")
        return await commit(tx)

    monkeypatch.setattr(SqliteTransaction, "commit", lose)

    async def both(command: Pay, outside: Outside) -> None:
        await outside.post(bank, "/v1/payments", json={"cents": 1})
        await outside.post(bank, "/v1/payments", json={"cents": 2})

    async with hosting(office(both), tmp_path, answering=there) as hosted:
        await hosted.command("office", Pay(cents=1))
        await asyncio.sleep(60)

        assert await hosted.rows("office", State.DEAD, State.DUE) == []
        assert list(there.effects.values()) == [1, 1]


async def test_the_shortest_key_life_counts(tmp_path: Path) -> None:
    """A letter that reached two third parties is not tried again when one of them forgot it."""
    there = Bank(life_s=post_office.key_life_s)
    down = True

    async def both(command: Pay, outside: Outside) -> None:
        await outside.post(bank, "/v1/payments", json={"cents": 1})
        await outside.post(post_office, "/v1/letters", json={"cents": 2})
        if down:
            raise ConnectionLost("a third one is away")

    async with hosting(office(both, bank, post_office), tmp_path, answering=there) as hosted:
        await hosted.command("office", Pay(cents=1))
        await asyncio.sleep(1_800)
        down = False
        await asyncio.sleep(1_800)

        assert set(there.effects.values()) == {1}
        [dead] = await hosted.rows("office", State.DEAD)
        assert "forgotten its key" in (dead.error or "")


async def test_an_outage_before_anything_was_sent_costs_no_only_try(tmp_path: Path) -> None:
    """Without keys there is one try; one that sent nothing was none."""
    there = Bank()
    there.mood = lambda: Unreachable("no route")

    async def send(command: Pay, outside: Outside) -> None:
        await outside.post(fax, "/v1/faxes", json={"cents": command.cents})

    async with hosting(office(send, fax), tmp_path, answering=there) as hosted:
        for cents in range(30):
            await hosted.command("office", Pay(cents=cents))
        await asyncio.sleep(600)  # the breaker is open by now
        there.mood = lambda: None
        await asyncio.sleep(1_200)

        assert await hosted.rows("office", State.DEAD) == []
        assert await paid(hosted) == list(range(30))
        assert sum(there.effects.values()) == 30


async def test_an_only_try_that_may_have_happened_is_the_last(tmp_path: Path) -> None:
    """Its answer was lost: nobody but a human can know, and nothing is sent again."""
    there = Bank(after=True)
    there.mood = lambda: ConnectionLost("gone")

    async def send(command: Pay, outside: Outside) -> None:
        await outside.post(fax, "/v1/faxes", json={"cents": command.cents})

    async with hosting(office(send, fax), tmp_path, answering=there) as hosted:
        await hosted.command("office", Pay(cents=1))
        await asyncio.sleep(600)

        assert len(there.asked) == 1
        assert len(await hosted.rows("office", State.DEAD)) == 1


@pytest.mark.parametrize(
    "mood",
    [
        Response(200, [], b"<html>maintenance</html>"),
        Response(200, [], b""),
        Response(200, [], b'{"id": 5}'),
        Response(301, [(b"location", b"/")], b""),
        Response(500, [], b""),
        Response(429, [], b""),
        ConnectionLost("half of it came"),
        DeadlineExceeded("no answer"),
        60.0,
    ],
    ids=lambda mood: str(getattr(mood, "status", type(mood).__name__)),
)
async def test_an_outage_of_hours_kills_no_letter(tmp_path: Path, mood: Any) -> None:
    """Fifty letters wait it out; then each has its effect once, under the key it began with."""
    there = Bank(after=True)
    there.mood = lambda: mood
    async with hosting(office(pay), tmp_path, answering=there) as hosted:
        for cents in range(50):
            await hosted.command("office", Pay(cents=cents))
        await asyncio.sleep(HOUR_S)
        during = len(there.asked)
        there.mood = lambda: None
        await asyncio.sleep(900)

        assert await hosted.rows("office", State.DEAD) == []
        assert await paid(hosted) == list(range(50))
        assert len(there.effects) == 50
        assert set(there.effects.values()) == {1}
        assert during < 50 * HOUR_S / 30, "each letter asks at most twice a minute"
        assert len(there.asked) - during <= 150


async def test_a_slow_third_party_is_no_reason_to_die(tmp_path: Path) -> None:
    """Calls that time out one after another take longer than a lease; that is an outage too."""
    patient = replace(bank, policy=EdgePolicy(timeout_s=12, breaker=None))
    there = Bank()
    there.mood = lambda: 3_600.0

    async def slowly(command: Pay, outside: Outside) -> None:
        await outside.post(patient, "/v1/payments", json={"cents": 1})

    async with hosting(office(slowly, patient), tmp_path, answering=there) as hosted:
        await hosted.command("office", Pay(cents=1))
        await asyncio.sleep(3_600)
        there.mood = lambda: None
        await asyncio.sleep(900)

        assert await hosted.rows("office", State.DEAD) == []
        assert await paid(hosted) == [1]


async def test_a_long_queue_before_a_narrow_door_moves_on(tmp_path: Path) -> None:
    """A thousand letters for a third party with ten places wait for their turn, not for hours."""
    narrow = replace(bank, policy=EdgePolicy(bulkhead=BulkheadPolicy(calls_max=10, queue_max=10)))
    there = Bank()
    there.mood = lambda: 0.1

    async def through(command: Pay, outside: Outside) -> None:
        await outside.post(narrow, "/v1/payments", json={"cents": 1})

    async with hosting(office(through, narrow), tmp_path, answering=there) as hosted:
        for cents in range(1_000):
            await hosted.command("office", Pay(cents=cents))
        await asyncio.sleep(60)  # 10 s would be ideal

        assert len(await paid(hosted)) == 1_000
