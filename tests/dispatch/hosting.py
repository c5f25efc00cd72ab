"""Services on virtual time and SQLite files: no HTTP in front, a third party that tests script."""

import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pydantic_core import to_json
from sqlalchemy import Table, select

from holdfast import Caller, Command, External, Service, System
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import MessageRow, State
from holdfast.contract.http import Request, Response
from holdfast.dispatch.host import Ports, ServiceHost
from holdfast.dispatch.outside import Blocking
from holdfast.dispatch.queries import QueriesHere
from holdfast.dispatch.router import Router, Target
from holdfast.engines.machine import MachineIds
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.observability import Logger, Metrics, Spans, Tracer, Tracing, current
from holdfast.resilience import ConcurrencyLimits, MemoryLimits
from holdfast.storage import MessageFilter
from tests.auditing import audit_in
from tests.virtual_loop import LoopClock

ADA = Caller("ada", frozenset({"write"}))
Answering = Callable[[Request], Awaitable[Response]]


def system(*services: Service) -> System:
    """Return a system whose routes nobody but these tests reaches."""
    return System("tiny", services=list(services))


async def fine(request: Request) -> Response:
    """Answer like a third party that is well."""
    return Response(200, [], b'{"ok": true}')


@dataclass
class Hosted:
    """The running hosts of a system.

    Attributes:
        sent: what the third parties were asked, in order; `answering` answers it.
    """

    asks: QueriesHere
    answering: Answering
    log: io.BytesIO
    metrics: Metrics
    hosts: dict[str, ServiceHost] = field(default_factory=dict)
    router: Router = field(default_factory=Router)
    sent: list[Request] = field(default_factory=list)

    async def send(self, external: External, request: Request, timeout_s: float) -> Response:
        """See `dispatch.outside.Send`."""
        self.sent.append(request)
        return await self.answering(request)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes = b"",
        caller: Caller | None = ADA,
        key: str | None = None,
        deadline: float | None = None,
    ) -> Response:
        """Serve one request as if the gateway had let it in."""
        headers = [(b"idempotency-key", key.encode())] if key is not None else []
        if json is not None:
            body = to_json(json)
        route, _, query = path.partition("?")
        request = Request(method, route, query, headers, body, caller=caller, deadline=deadline)
        target, names = self.router.find(method, route)
        return await target.serve(request, names)

    async def post(self, path: str, **options: Any) -> Response:
        """Serve a POST."""
        return await self.request("POST", path, **options)

    async def command(self, service: str, command: Command[Any]) -> None:
        """Send a command as an operator does."""
        await self.hosts[service].interventions.send(command)

    async def rows(self, service: str, *states: State) -> list[MessageRow]:
        """Return the rows of a service's letters and requests in some states."""
        which = MessageFilter(states=states, limit=1_000)
        return await self.hosts[service].ledger.database.messages(which)

    async def table(self, service: str, table: Table) -> list[Any]:
        """Return the rows of one of the user's tables, ordered by id."""
        reader = await self.hosts[service].ledger.database.read()
        try:
            return list(await reader.execute(select(table).order_by(table.c.id), None))
        finally:
            await reader.close()


@asynccontextmanager
async def hosting(
    system: System,
    folder: Path,
    *,
    answering: Answering = fine,
    environ: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
    safe: Safeguards = ALL_ON,
    spans: Spans | None = None,
) -> AsyncIterator[Hosted]:
    """Start every service of a system, and stop them at the end."""
    clock, chance, log = LoopClock(), random.Random(1), io.BytesIO()
    hosted = Hosted(QueriesHere(), answering, log, Metrics("tiny"))

    async def run(work: Blocking) -> Any:
        return work.function()

    logger = Logger(log, clock, "tiny", form="json")
    ports = Ports(
        clock=clock,
        ids=MachineIds(),
        random=chance,
        broker=MemoryBroker(),
        send=hosted.send,
        run=run,
        limits=MemoryLimits(clock),
        room=ConcurrencyLimits(1_000, 1.0),
        environ=environ or {},
        metrics=hosted.metrics,
        logger=logger,
        tracing=Tracing(Tracer(chance, ratio=0.0), clock, spans),
        audit=audit_in(logger, clock),
        current=current,
        schedule=schedule or Schedule(),
        safe=safe,
    )
    for service in system.services:
        database = SqliteDatabase(folder / f"{service.name}.db", clock)
        host = ServiceHost(service, system, database, ports, hosted.asks)
        hosted.hosts[service.name] = host
        await host.open()
    try:
        for host in hosted.hosts.values():
            await host.start()
            for route in host.routes:
                declared = route.route
                target = Target(host.name, declared.path, route, declared.public, declared.scope)
                hosted.router.add(declared.method, target)
        yield hosted
    finally:
        for host in hosted.hosts.values():
            await host.stop()
            await host.close()


def problem(response: Response, status: int) -> dict[str, Any]:
    """Return the problem document of an answer, after a look at its status."""
    assert response.status == status, response.body
    document: dict[str, Any] = msgspec.json.decode(response.body)
    return document
