"""A whole system inside a test: HTTP, SQLite files, one process; in real or in virtual time."""

import asyncio
import io
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from pydantic_core import to_json

from holdfast.communication import PORT, ClientPool, Origin
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import HTTP, Kind, MessageRow, State
from holdfast.contract.http import Request
from holdfast.contract.messages import Command
from holdfast.dispatch.host import ServiceHost
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.errors import UnknownName
from holdfast.observability import Logger, bridged, troubles
from holdfast.ports import Clock, Network
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import start
from holdfast.storage import MessageFilter, SagaFilter
from holdfast.system import System
from holdfast.testing.stage import HOST, SELDOM, staged
from holdfast.testing.virtual import VirtualLoop

WITHIN_S = 120.0
VIRTUAL_WITHIN_S = 400 * 86_400.0

_SHOWN_MAX = 10

T = TypeVar("T")


class Broken(AssertionError):
    """A saga is parked, or a letter dead, in a test that does not say that it expects so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer in a test.

    Attributes:
        status: of HTTP.
        headers: {name in small letters: value}.
        body: as it came; `json()` reads it.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return msgspec.json.decode(self.body)


class Client:
    """A plain HTTP client for one address, on Holdfast's own pool."""

    def __init__(
        self, url: str, *, network: Network | None = None, clock: Clock | None = None
    ) -> None:
        """Open nothing yet; the network and the clock are the machine's by default."""
        self._origin = Origin.parse(url)
        self._pool = ClientPool(network=network or SystemNetwork(), clock=clock or MachineClock())

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes = b"",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
    ) -> Answer:
        """Send one request. Raises CallError."""
        wire = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
        if json is not None:
            body = to_json(json)
            wire.append((b"content-type", b"application/json"))
        if token is not None:
            wire.append((b"authorization", f"Bearer {token}".encode()))
        route, _, query = path.partition("?")
        request = Request(method, route, query, wire, body)
        response = await self._pool.request(self._origin, request, deadline_s=timeout_s)
        named = {k.decode("latin-1"): v.decode("latin-1") for k, v in response.headers}
        return Answer(response.status, named, response.body)

    async def get(self, path: str, **options: Any) -> Answer:
        """Send a GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        """Send a POST."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Answer:
        """Send a PUT."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Answer:
        """Send a PATCH."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        """Send a DELETE."""
        return await self.request("DELETE", path, **options)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


@dataclass(slots=True)
class Running:
    """A running system.

    Attributes:
        process: what runs it, for tests that look inside.
        client: of its gateway.
        log: the lines that it has logged, as JSON; those of the standard `logging` are among them.
    """

    process: Process
    client: Client
    log: io.BytesIO

    async def send(self, command: Command[Any]) -> UUID:
        """Send a command to the service that handles it, as `holdfast send` does.

        Returns:
            the letter's id. Its effect is there after `settled()`.
        Raises:
            UnknownName: no service of the system handles it.
        """
        owner = self.process.system.owner_of(type(command))
        for host in self.process.hosts:
            if host.name == owner:
                return await host.interventions.send(command)
        raise UnknownName(f"no service that runs here handles {command.name}")

    def measured(self, name: str, /, **labels: str) -> float:
        """Return what a service's own counter has counted, or how many values its histogram has.

        Args:
            labels: of which series; the sum over all that have them, 0 if there is none.
        """
        return self.process.metrics.measured(name, labels)

    async def settled(self, *, within_s: float | None = None, broken_ok: bool = False) -> None:
        """Wait until every saga has ended and every letter is answered.

        Args:
            within_s: two minutes by default; in virtual time 400 days, which pass at once.
            broken_ok: parked sagas and dead letters are what the test is about.
        Raises:
            Broken: a saga is parked or a letter dead, with its error.
            TimeoutError: not within `within_s`; what is open then is in the message.
        """
        loop = asyncio.get_running_loop()
        is_virtual = isinstance(loop, VirtualLoop)
        if within_s is None:
            within_s = VIRTUAL_WITHIN_S if is_virtual else WITHIN_S
        begun = loop.time()
        while True:
            open_ = await self.open()
            broken = [] if broken_ok else await self.broken()
            if broken:
                raise Broken("\n".join([*broken, "if it is to be: settled(broken_ok=True)"]))
            if not open_:
                return
            waited_s = loop.time() - begun
            if waited_s > within_s:
                raise TimeoutError(f"not settled after {within_s:g} s: {open_[:5]}")
            # What costs time here is to look: what takes days is looked at seldom.
            await asyncio.sleep(max(0.01, waited_s / 50) if is_virtual else 0.01)

    async def broken(self) -> list[str]:
        """Return what waits for a person: parked sagas and dead letters, with their errors."""
        control = self.process.control
        sagas = [
            f"{saga['service']}: saga {saga['type']} {saga['id']} is parked: {saga['error']}"
            for saga in await control.sagas(limit=_SHOWN_MAX, state="parked")
        ]
        dead = await _among(control.dead_letters, lambda one: one["attention"] == "dead")
        letters = [
            f"{letter['service']}: {letter['kind']} {letter['type']} {letter['id']} is dead: "
            f"{letter['error']}"
            for letter in dead[:_SHOWN_MAX]
        ]
        return sagas + letters

    async def open(self) -> list[str]:
        """Return what is not settled: sagas under way, letters without an answer."""
        found: list[str] = []
        for host in self.process.hosts:
            database = host.ledger.database
            for saga in await database.sagas(SagaFilter(states=("running",))):
                found.append(f"{host.name}: saga {saga.type} {saga.id}")
            backlog = await database.backlog(host.ledger.out_edges)
            if backlog.out_rows:
                found.append(f"{host.name}: {backlog.out_rows} letters")
            taken = await _taken(host)
            if taken:
                found.append(f"{host.name}: {taken} letters to handle")
            if host.core.writer.stats().waiting:
                found.append(f"{host.name}: turns")
        return found


async def _taken(host: ServiceHost) -> int:
    """Count letters that a service has, and that are due or were tried; others are for later.

    Those of other services count too: of an event the sender's row is gone once it is taken.
    """
    now_ms, edges = host.ledger.clock.now() * 1000, host.ledger.edges.values()
    come_in = tuple(e.id for e in edges if e.receiver == host.name and e.sender != HTTP)

    def look(limit: int) -> Awaitable[list[MessageRow]]:
        due = MessageFilter(edges=come_in, states=(State.DUE,), limit=limit)
        return host.ledger.database.messages(due)

    def is_open(row: MessageRow) -> bool:
        was_tried = row.tries > 0 or row.error is not None  # of an outage the try is given back
        is_due = row.due_at is not None and row.due_at <= now_ms
        return row.kind in (Kind.COMMAND, Kind.EVENT, Kind.UNDO) and (was_tried or is_due)

    return len(await _among(look, is_open))


async def _among(look: Callable[[int], Awaitable[list[T]]], wanted: Callable[[T], bool]) -> list[T]:
    """Return what is wanted of a list, or some of it, however much else comes before."""
    limit = 100
    while True:
        listed = await look(limit)
        found = [one for one in listed if wanted(one)]
        if found or len(listed) < limit:
            return found
        limit *= 10


@asynccontextmanager
async def running(
    system: System,
    *,
    data: Path | None = None,
    environ: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
    safe: Safeguards = ALL_ON,
    locals: bool = True,
) -> AsyncGenerator[Running, None]:
    """Run a system inside a test, on free ports and in a folder of its own.

    In a test under `virtual_time` it runs on a simulated network: HTTP is spoken as ever, and days
    pass at once. Third parties are the stand-ins that the system declares (`@system.stand_in`),
    and what blocks in `outside.run` takes no time.

    An exception that leaves the block, such as a failed assertion, has the system's latest errors
    as notes, which pytest shows.

    Args:
        data: the data folder; a temporary one by default.
        environ: the environment that settings are read from; empty by default.
        schedule: how long things wait and are kept, for tests of what takes hours.
        safe: for tests of Holdfast itself: which of its safeguards are on.
        locals: whether stand-ins (`External(local=…)`) are started; not in virtual time.
    """
    log = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        options = Options(
            data=data or Path(folder),
            port=0,
            environ=environ or {},
            schedule=schedule or Schedule(),
            safe=safe,
            locals=locals,
        )
        if isinstance(asyncio.get_running_loop(), VirtualLoop):
            scene = _virtual(system, options, log, seldom=schedule is None)
        else:
            scene = _real(system, options, log)
        async with scene as (process, client):
            try:
                yield Running(process, client, log)
            except Exception as exc:  # raised again: the test's own, with what was logged
                process.logger.flush()
                for line in troubles(log.getvalue()):
                    exc.add_note(line)
                raise
            finally:
                await client.close()
                await process.stop()
                process.logger.flush()


@asynccontextmanager
async def _real(
    system: System, options: Options, log: io.BytesIO
) -> AsyncGenerator[tuple[Process, Client], None]:
    logger = Logger(log, MachineClock(), system.name, form="json")
    with bridged(logger):
        process = Process(system, options, logger)
        await start(process)
        yield process, Client(process.url)


@asynccontextmanager
async def _virtual(
    system: System, options: Options, log: io.BytesIO, *, seldom: bool
) -> AsyncGenerator[tuple[Process, Client], None]:
    system.check()
    folder = options.data
    assert folder is not None, "set by `running`"
    async with staged(system) as stage:
        options = replace(
            options,
            data=None,
            host=HOST,
            port=PORT,
            environ={**stage.environ, **options.environ},
            schedule=SELDOM if seldom else options.schedule,
        )
        logger = Logger(log, stage.clock, system.name, form="json")
        with bridged(logger):
            process = Process(system, options, logger, stage.engines(folder))
            await start(process)
            yield process, Client(process.url, network=stage.outside(), clock=stage.clock)
