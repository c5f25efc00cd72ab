"""A system as processes with identities on loopback, and everybody who may come to their doors."""

import io
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from re import sub
from typing import NamedTuple

from holdfast import Query
from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import Request, Response
from holdfast.contract.spiffe import ALL, GATEWAY, NOT_SERVICES, SIGNER
from holdfast.dispatch.inner_headers import ASK, ASKING, DEADLINE
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.network import SystemNetwork
from holdfast.errors import CallError
from holdfast.observability import Logger
from holdfast.runtime.engines import embedded
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.process import Options, Process
from holdfast.runtime.signing import FollowedSigner
from holdfast.runtime.variables import url_variable
from holdfast.system import System
from tests.identities import Identities

STRANGER, FOREIGNER = "", "foreigner"
"""Who has no certificate, and who has one of `gateway` by another authority."""
PATIENCE_S = 120.0


class Cell(NamedTuple):
    """Who comes to whose door, in whose name, and what for: a query, or `GET /path`."""

    caller: str
    says: str
    door: str
    wanted: str

    @property
    def is_query(self) -> bool:
        """Whether it asks, and enters no route."""
        return " " not in self.wanted


@dataclass(frozen=True)
class Doors:
    """The processes of a system, one for each service and the gateway, and who may come."""

    system: System
    processes: dict[str, Process]
    identities: dict[str, TlsIdentity]
    pools: dict[str, ClientPool]
    authority: LocalAuthority

    @property
    def callers(self) -> list[str]:
        """Everybody who may come."""
        return list(self.pools)

    def handshakes(self) -> int:
        """Return how many connections the processes have opened to each other."""
        wirings = [process._wiring for process in self.processes.values()]
        pools = [pool for one in wirings for pool in (one.pool, one.elsewhere._hops)]
        return sum(pool.stats().opened for pool in pools)

    async def knock(self, cell: Cell) -> Response | None:
        """Come to a door; None: the connection was refused, or the stranger was not heard."""
        headers = [(DEADLINE, b"5000"), (b"content-type", b"application/json")]
        if cell.is_query:
            headers.append((ASK, b"1"))
            request = Request("POST", f"{ASKING}{cell.says}/{cell.wanted}", "", headers, b"{}")
        else:
            method, _, path = cell.wanted.partition(" ")
            request = Request(method, sub(r"\{[^}]*\}", "1", path), "", headers, b"{}")
        at = Origin.parse(self.processes[cell.door].url)
        return await self._call(cell.caller, at, cell.door, request)

    async def look(self, caller: str, process: str, path: str) -> Response | None:
        """Come to the operations port of a process."""
        at = Origin.parse(self.processes[process].ops_url)
        return await self._call(caller, at, process, Request("GET", path))

    async def _call(self, caller: str, at: Origin, door: str, request: Request) -> Response | None:
        there = at if caller == STRANGER else replace(at, workload=door)
        try:
            return await self.pools[caller].request(there, request, deadline_s=PATIENCE_S)
        except CallError:
            return None

    def cells(self) -> Iterator[Cell]:
        """Yield everybody with everything that any door serves, in every name."""
        services = [service.name for service in self.system.services]
        for edge in self.system.graph().edges:
            for caller in self.callers:
                if edge.kind == "route":
                    yield Cell(caller, caller, edge.receiver, edge.message)
        for door, query in queries_of(self.system):
            for caller in self.callers:
                for says in dict.fromkeys([caller or "nobody", *services, GATEWAY]):
                    yield Cell(caller, says, door, query)

    def declared(self) -> set[Cell]:
        """Return the cells that the graph declares; a process of all services is each of them."""
        found: set[Cell] = set()
        for edge in self.system.graph().edges:
            if edge.kind == "route":
                found |= {Cell(who, who, edge.receiver, edge.message) for who in (GATEWAY, ALL)}
            if edge.kind == "query":
                asked = edge.receiver, edge.message
                found |= {Cell(who, edge.sender, *asked) for who in (edge.sender, ALL)}
        keys = [tokens.keys for tokens in self.system.gateway.issuers]
        for door, query in queries_of(self.system):
            if query in [one.wire_name() for one in keys if not isinstance(one, str)]:
                found |= {Cell(who, GATEWAY, door, query) for who in (GATEWAY, ALL)}
        return found


def queries_of(system: System) -> list[tuple[str, str]]:
    """Return (who answers, the query) of all queries."""
    return [
        (name, wire)
        for name, handlers in system.handlers().items()
        for wire, handler in handlers.by_wire_name.items()
        if issubclass(handler.message, Query)
    ]


def nobodys_tls() -> ssl.SSLContext:
    """Return what a client speaks that has no certificate and believes any."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


@asynccontextmanager
async def doors(system: System, folder: Path) -> AsyncIterator[Doors]:
    """Run a system as one process for each service, and one for the gateway."""
    issued = Identities(folder / "identities", system.name)
    foreign = Identities(folder / "others", system.name)
    services = [service.name for service in system.services]
    identities = {name: issued.of(name)[0] for name in (*services, *sorted(NOT_SERVICES))}
    signer = FollowedSigner(issued.authority.issue(SIGNER), system.name, MachineClock())
    engines = embedded(lambda name: folder / f"{name}.db", threads=1)
    externals = {one.name for service in system.services for one in service.reaches}
    environ = {url_variable(name): "http://127.0.0.1:9" for name in externals}
    environ |= system.simulated.environ
    network, clock = SystemNetwork(), MachineClock()
    processes: dict[str, Process] = {}
    async with AsyncExitStack() as stack:

        def discover(service: str) -> list[Origin]:
            return [replace(Origin.parse(processes[service].url), workload=service)]

        for name in (*services, GATEWAY):
            hosted = () if name == GATEWAY else (name,)
            options = Options(
                data=None, port=0, services=hosted, gateway=name == GATEWAY, environ=environ
            )
            own = replace(engines, identity=identities[name], discover=discover, signer=signer)
            logger = Logger(io.BytesIO(), clock, system.name, form="json")
            process = processes[name] = Process(system, options, logger, own)
            await process.start()
            stack.push_async_callback(process.stop)
        pools = {
            name: ClientPool(network=network, clock=clock, identity=one)
            for name, one in identities.items()
        }
        other, _ = foreign.of(GATEWAY)
        pools[FOREIGNER] = ClientPool(network=network, clock=clock, identity=other)
        pools[STRANGER] = ClientPool(network=network, clock=clock, tls=nobodys_tls())
        for pool in pools.values():
            stack.push_async_callback(pool.close)
        yield Doors(system, processes, identities, pools, issued.authority)
