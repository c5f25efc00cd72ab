"""Replicas on one database and one broker: nothing skipped, nothing sold twice, no deadlock."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec
import pytest

from holdfast.consistency.schedule import Schedule
from holdfast.contract.spiffe import GATEWAY
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import IDLE_MS, PostgresDatabase
from holdfast.errors import TransactionLost
from holdfast.observability import Logger
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority, variables_of
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import start
from holdfast.runtime.servers import Servers
from holdfast.runtime.variables import url_variable
from holdfast.system import System
from holdfast.testing import Client
from shop.system import shop
from tests.chaos import notes

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

HASTY = Schedule(retry_ms=10, retry_cap_ms=50, poll_ms=50)


@dataclass(slots=True)
class Replicas:
    """Processes of one system, on servers.

    Attributes:
        client: of the gateway, which asks each replica in turn.
    """

    servers: Servers
    processes: list[Process]
    client: Client

    async def rows(self, service: str, sql: str, *values: Any) -> list[Any]:
        """Read a service's database, past the framework."""
        url = self.servers.environ[f"{service.upper()}_DATABASE_URL"]
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def until(self, service: str, sql: str, wanted: Callable[[Any], bool]) -> Any:
        """Ask until the first value is as wanted; the test's time-out is the bound."""
        while not wanted(found := (await self.rows(service, sql))[0][0]):
            await asyncio.sleep(0.05)
        return found


@asynccontextmanager
async def replicas(
    system: System, folder: Path, services: list[str], schedule: Schedule = HASTY
) -> AsyncIterator[Replicas]:
    """Start servers, a process for each entry of `services`, and a gateway.

    Each has an identity of its own, and rights of nobody else.
    """
    authority = LocalAuthority(folder / IDENTITIES, system.name, MachineClock())
    servers = Servers(folder / "servers", ["postgres", "nats"], system, authority=authority)
    ports = [free_port() for _ in services]
    urls = {
        url_variable(name): ",".join(
            f"https://127.0.0.1:{port}"
            for port, other in zip(ports, services, strict=True)
            if other == name
        )
        for name in services
    }
    async with AsyncExitStack() as stack:
        stack.push_async_callback(servers.stop)
        await servers.start()

        async def process(name: str, **options: Any) -> Process:
            environ = {**servers.environ, **variables_of(authority, name), **urls}
            told = Options(environ=environ, schedule=schedule, **options)
            made = Process(system, told, Logger(BytesIO(), MachineClock(), system.name))
            await start(made)
            stack.push_async_callback(made.stop)
            return made

        found = [
            await process(
                name,
                data=folder / str(n),
                port=ports[n],
                ops_port=0,
                services=(name,),
                gateway=False,
            )
            for n, name in enumerate(services)
        ]
        gateway = await process(GATEWAY, data=folder / GATEWAY, port=0, services=())
        client = Client(gateway.url)
        stack.push_async_callback(client.close)
        yield Replicas(servers, found, client)


async def test_no_event_of_64_writers_is_skipped(tmp_path: Path) -> None:
    """Commits come in another order than their ids; whoever reads by number would skip some."""
    chance = random.Random(7)
    kinds = ["desk"] * 4 + ["shed"] * 2
    async with replicas(notes.system, tmp_path, kinds) as run:
        numbers = iter(range(640))

        async def writer() -> None:
            for number in numbers:
                note = {"number": number, "dawdle_ms": chance.choice([0, 0, 0, 1, 20])}
                assert (await run.client.post("/v1/notes", json=note)).status == 202

        await asyncio.gather(*(writer() for _ in range(64)))
        await run.until("shed", "SELECT count(*) FROM heard", lambda count: count == 640)
        again = await run.rows("shed", "SELECT count(*) FROM holdfast_message WHERE state = 'dead'")

    assert again[0][0] == 0


async def test_a_transaction_left_open_holds_nobody_up(tmp_path: Path) -> None:
    """A process that stands still in the middle of one loses it, and the others go on."""
    async with replicas(notes.system, tmp_path, ["desk"]) as run:
        url = run.servers.environ["DESK_DATABASE_URL"]
        stands_still = PostgresDatabase(url, MachineClock())
        tx = await stands_still.begin()
        await tx.insert_messages([])
        answer = await run.client.post("/v1/notes", json={"number": 1})
        with pytest.raises(TransactionLost):
            await tx.commit()
        await tx.abort()
        await stands_still.close()

    assert answer.status == 202
    assert IDLE_MS < 1_000


async def test_readiness_shows_what_is_away(tmp_path: Path) -> None:
    """The process stays in service: letters wait in its outbox."""
    async with replicas(notes.system, tmp_path, ["desk"]) as run:
        health = run.processes[0].health

        async def checks() -> Any:
            return msgspec.json.decode((await health.ready()).body)["checks"]

        before = await checks()
        run.servers.children["nats"].kill()
        while (after := await checks())["broker"]["ok"]:
            await asyncio.sleep(0.05)
        status = (await health.ready()).status
        noted = await run.client.post("/v1/notes", json={"number": 1})

    well = {"ok": True}
    assert {"broker", "database of desk"} <= before.keys()
    assert all(check == well for check in before.values())
    assert (status, after["database of desk"]) == (200, well)
    assert noted.status == 202


async def test_the_last_piece_is_sold_once(tmp_path: Path) -> None:
    """Forty buyers look at two replicas; five pieces are left, and each sees the truth."""
    async with replicas(notes.system, tmp_path, ["desk"] * 2) as run:
        url = run.servers.environ["DESK_DATABASE_URL"]
        database = PostgresDatabase(url, MachineClock())
        tx = await database.begin()
        await tx.execute(notes.pieces(5))
        await tx.commit()
        await database.close()
        bodies = [{"number": n, "dawdle_ms": n % 3} for n in range(40)]
        answers = await asyncio.gather(
            *(run.client.post("/v1/sales", json=body) for n, body in enumerate(bodies))
        )
        [[left]] = await run.rows("desk", 'SELECT left_ FROM (SELECT "left" AS left_ FROM piece) p')
        [[sold]] = await run.rows("desk", "SELECT count(*) FROM sale")

    statuses = [answer.status for answer in answers]
    assert (statuses.count(200), statuses.count(409)) == (5, 35)
    assert (left, sold) == (0, 5)


async def test_batches_of_replicas_do_not_deadlock(tmp_path: Path) -> None:
    """Four replicas take batches of 64 side by side; the gate lets one in at a time."""
    kinds = ["desk"] + ["shed"] * 4
    schedule = Schedule(batch=64, poll_ms=50)
    async with replicas(notes.system, tmp_path, kinds, schedule) as run:
        numbers = iter(range(2_000))

        async def writer() -> None:
            for number in numbers:
                note = {"number": number}
                assert (await run.client.post("/v1/notes", json=note)).status == 202

        await asyncio.gather(*(writer() for _ in range(64)))
        await run.until("shed", "SELECT count(*) FROM heard", lambda count: count == 2_000)
        [[deadlocks]] = await run.rows(
            "shed", "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        took = [process.hosts[0].core.writer.stats().turns for process in run.processes[1:]]

    assert deadlocks == 0
    assert min(took) > 0, "a replica had nothing to do"


async def test_poison_is_put_aside(tmp_path: Path) -> None:
    """One letter in a hundred can never be handled: all others are, and each of these is kept."""
    async with replicas(notes.system, tmp_path, ["desk", "shed"]) as run:
        numbers = iter(range(1_000))

        async def writer() -> None:
            for number in numbers:
                note = {"number": number, "poison": number % 100 == 50}
                assert (await run.client.post("/v1/notes", json=note)).status == 202

        await asyncio.gather(*(writer() for _ in range(32)))
        await run.until("shed", "SELECT count(*) FROM heard", lambda count: count == 990)
        dead = "SELECT count(*) FROM holdfast_message WHERE state = 'dead'"
        await run.until("shed", dead, lambda count: count == 10)
        rows = await run.rows(
            "shed", "SELECT tries, error FROM holdfast_message WHERE state = 'dead' ORDER BY id"
        )

    assert {tries for tries, _ in rows} == {HASTY.tries_max}
    assert all("is poison" in error for _, error in rows)


async def test_what_the_database_refuses_at_the_end_is_a_failed_try(tmp_path: Path) -> None:
    """A deferred constraint: the letter dies after its tries, and is not run for ever."""
    async with replicas(notes.system, tmp_path, ["desk", "shed"]) as run:
        for number in (-1, 2):
            answer = await run.client.post("/v1/notes", json={"number": number})
            assert answer.status == 202
        dead = "SELECT count(*) FROM holdfast_message WHERE state = 'dead'"
        await run.until("shed", dead, lambda count: count == 1)
        rows = await run.rows(
            "shed", "SELECT tries, error FROM holdfast_message WHERE state = 'dead'"
        )
        kept = await run.rows("shed", "SELECT number FROM heard")

    assert (rows[0][0], [row[0] for row in kept]) == (HASTY.tries_max, [2])
    assert "violates foreign key constraint" in rows[0][1]


async def test_the_tables_stay_bounded_through_two_days(tmp_path: Path) -> None:
    """A day is hurried into 25 s: what is kept for a day is kept for that long.

    Postgres looks for what to vacuum each second, which is an hour of such a day.
    """
    day_s = 25
    hurried = Schedule(
        transaction_ms=500,
        keep_ms=250,
        event_kept_ms=day_s * 1000,
        saga_kept_ms=day_s * 1000,
        request_kept_ms=day_s * 1000,
    )
    names = tuple(service.name for service in shop.services)
    sizes, counts = list[int](), list[int]()
    async with replicas(shop, tmp_path, list(names), hurried) as run:
        postgres = await asyncpg.connect(run.servers.addresses["postgres"])
        await postgres.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        await postgres.execute("SELECT pg_reload_conf()")
        await postgres.close()
        client = run.client
        login = {"email": "ada@example.com", "password": "a long password"}
        await client.post("/v1/users", json={**login, "name": "Ada"})
        token = (await client.post("/v1/tokens", json=login)).json()["access_token"]
        body = {"lines": [{"sku": "KETTLE", "quantity": 1}], "card": "tok_ok"}
        ended = asyncio.Event()
        placed: list[int] = []

        async def customer(name: int) -> None:
            number = 0
            while not ended.is_set():
                number += 1
                headers = {"Idempotency-Key": f"{name}-{number}"}
                answer = await client.post("/v1/orders", json=body, token=token, headers=headers)
                placed.append(answer.status)
                await asyncio.sleep(0.1)  # a steady load, which leaves the cores some time

        async with asyncio.TaskGroup() as load:
            for name in range(4):
                load.create_task(customer(name))
            for _ in range(3):
                await asyncio.sleep(day_s)
                sizes.append(await _kept(run, names))
                counts.append(placed.count(202) - sum(counts))
            ended.set()

    assert set(placed) <= {202, 503}, (
        "refused, as when a transaction took longer than half a second"
    )
    assert min(counts) > 50
    more = max(1.0, counts[2] / counts[1])
    assert sizes[2] < 1.25 * more * sizes[1], f"bytes after each day: {sizes}; orders: {counts}"


async def _kept(run: Replicas, names: tuple[str, ...]) -> int:
    """Return the bytes of the framework's tables and their indexes, in all databases."""
    sql = (
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class "
        "WHERE relname LIKE 'holdfast\\_%' AND relkind = 'r'"
    )
    return sum([(await run.rows(name, sql))[0][0] for name in names])
