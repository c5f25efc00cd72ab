"""Several processes of one system: started, watched, stopped.

One for each service and replica, and the gateway; or some that each serve all of it on one port.

A process that ends is started again, later each time it ends soon.
"""

import asyncio
import logging
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.communication import LOOPBACK, Origin
from holdfast.contract.spiffe import ALL, GATEWAY
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.errors import SettingError
from holdfast.runtime.children import free_port, pause_s, start_child, stop_child
from holdfast.runtime.engines import database_url
from holdfast.runtime.environ import Environ
from holdfast.runtime.identity import operator_of
from holdfast.runtime.local_authority import LocalAuthority, variables_of
from holdfast.runtime.public_certificate import public_tls_of
from holdfast.runtime.stand_in import StandIn
from holdfast.runtime.variables import (
    BROKER_URL,
    DATABASE_URL,
    PUBLIC_CERTIFICATE,
    PUBLIC_KEY,
    SHARE_PORT,
    database_variable,
    file_variable,
    url_variable,
)
from holdfast.system import External, System

READY_S = 60.0


@dataclass
class Member:
    """One supervised process.

    Attributes:
        name: `orders-2`, or `gateway`. starts: how often it was started.
        origin, operations: where it serves requests, and probes.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)
    origin: Origin
    operations: Origin
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process, while it lives."""
        alive = self.process is not None and self.process.returncode is None
        return self.process.pid if alive and self.process else None


class Supervisor:
    """Runs a system as several processes on this machine.

    Args:
        module: what `holdfast serve` calls the system.
        replicas: {service: number of processes}; 1 for those that are not named.
        authority: issues the identities of the processes; None: they believe each other.
        processes: so many that each serve all services on one port; 0: one for each service.
        environ: the environment of all processes, with the servers' URLs.
        drain_s: how long a process may take to stop.
    """

    def __init__(
        self,
        system: System,
        module: str,
        folder: Path,
        *,
        host: str,
        port: int,
        ops_port: int | None,
        replicas: Mapping[str, int],
        environ: Mapping[str, str],
        drain_s: float,
        authority: LocalAuthority | None = None,
        processes: int = 0,
    ) -> None:
        self._authority = authority
        self._operator: TlsIdentity | None = None
        _check(system, replicas, processes, environ)
        self._public = public_tls_of(environ, host) is not None
        self._system, self._module, self._folder = system, module, folder
        self._environ = environ if isinstance(environ, Environ) else Environ(environ, {})
        self._drain_s = drain_s
        self._stand_ins: list[StandIn] = []
        self._stopping = False
        self.members: dict[str, Member] = {}
        if processes:
            self._all_in_each(processes, host, port, ops_port)
        else:
            self._one_for_each(replicas, host, port, ops_port)

    def _all_in_each(self, count: int, host: str, port: int, ops_port: int | None) -> None:
        at = _origin(host, port)
        if at.path is not None:
            raise SettingError([f"--host {host}: several processes cannot share one socket"])
        at = replace(at, tls=self._public)
        self.url = str(at)
        self._environ |= {SHARE_PORT: "true"}
        for n in range(1, count + 1):
            name = f"{self._system.name}-{n}"
            self._member(name, ["run", self._module], at, ops_port if n == 1 else None)

    def _one_for_each(
        self, replicas: Mapping[str, int], host: str, port: int, ops_port: int | None
    ) -> None:
        serve = ("serve", self._module)
        urls: dict[str, str] = {}
        for service in self._system.services:
            made = [
                self._member(f"{service.name}-{n}", [*serve, service.name], _origin(LOOPBACK, 0))
                for n in range(1, replicas.get(service.name, 1) + 1)
            ]
            for member in made:
                member.origin = replace(member.origin, tls=self._authority is not None)
            urls[url_variable(service.name)] = ",".join(str(member.origin) for member in made)
        gateway = self._member(GATEWAY, [*serve, GATEWAY], _origin(host, port), ops_port)
        gateway.origin = replace(gateway.origin, tls=self._public)
        self.url = str(gateway.origin)
        self._environ |= urls

    def _member(
        self, name: str, what: Sequence[str], origin: Origin, ops_port: int | None = None
    ) -> Member:
        operations = _origin(LOOPBACK if origin.path else origin.host, ops_port or 0)
        operations = replace(operations, tls=self._authority is not None)
        listens = f"unix:{origin.path}" if origin.path else origin.host
        command = [sys.executable, "-m", "holdfast.cli", *what]
        command += ["--host", listens, "--port", str(origin.port)]
        command += ["--ops-port", str(operations.port), "--data", str(self._folder / name)]
        self.members[name] = Member(name, command, self._environ, origin, operations)
        return self.members[name]

    async def start(self) -> None:
        """Start everything; when this returns all are ready. Raises SettingError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._authority is not None:
            self._operator = operator_of(self._authority, self._system.name)
        for service in self._system.services:
            for external in service.reaches:
                await self._start_stand_in(external)
        for member in self.members.values():
            member.environ = self._environ_of(member.name) | self._identity_of(member.name)
            member.task = asyncio.create_task(self._watch(member), name=member.name)
        async with asyncio.TaskGroup() as group:
            for member in self.members.values():
                group.create_task(self._ready(member))

    def _environ_of(self, name: str) -> dict[str, str]:
        """Return the environment of a member: of databases, it learns where its own are.

        A process that is broken into cannot tell what it was not told.
        """
        named = {service.name: database_variable(service.name) for service in self._system.services}
        serves = name.rpartition("-")[0]
        if serves not in named:  # the gateway, which has none, or a process with all services
            serves = "" if name == GATEWAY else "*"
        environ = self._environ
        if serves == "*":
            return environ.told()
        if serves:  # clients come to the gateway alone
            environ = environ.without({PUBLIC_CERTIFICATE, PUBLIC_KEY})
        told = environ.without({*named.values(), DATABASE_URL}).told()
        url = database_url(serves, environ, alone=False) if serves else ""
        if not url:
            return told
        variable = named[serves] if environ.get(named[serves]) else DATABASE_URL
        if path := environ.file(variable):  # which it reads itself, and anew when it changes
            return told | {file_variable(variable): path}
        return told | {named[serves]: url}

    def _identity_of(self, name: str) -> dict[str, str]:
        if self._authority is None:
            return {}
        names = {service.name for service in self._system.services} | {GATEWAY}
        service = name if name == GATEWAY else name.rpartition("-")[0]
        return variables_of(self._authority, service if service in names else ALL)

    async def _start_stand_in(self, external: External) -> None:
        variable = url_variable(external.name)
        if external.local and not self._environ.get(variable):
            stand_in = StandIn(external, self._folder)
            self._stand_ins.append(stand_in)
            await stand_in.begin()
            await stand_in.wait()
            self._environ |= {variable: stand_in.url}

    async def _watch(self, member: Member) -> None:
        loop, log = asyncio.get_running_loop(), logging.getLogger("holdfast")
        paused_s = 0.0
        while not self._stopping:
            member.starts += 1
            begun = loop.time()
            try:
                code, last = await self._lived(member)
            except OSError as exc:  # no process, file or memory is left; there may be some later
                log.warning("%s cannot be started: %s", member.name, exc)
            else:
                if self._stopping:
                    return
                log.warning("%s ended with %s %s", member.name, code, last)
            paused_s = pause_s(paused_s, loop.time() - begun)
            await asyncio.sleep(paused_s)

    async def _lived(self, member: Member) -> tuple[int, str]:
        """Start a member; when it has ended, return with what code, and its last words."""
        said = self._folder / f"{member.name}.err"
        with said.open("wb") as stderr:
            member.process = await start_child(
                member.command, environ=member.environ, stderr=stderr
            )
        code = await member.process.wait()
        lines = said.read_text(errors="replace").splitlines() if code > 0 else []
        return code, lines[-1] if lines else ""

    async def _ready(self, member: Member) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + READY_S
        tls = self._operator.reaches("") if self._operator is not None else None
        while not await _is_ready(member.operations.reachable, tls):
            if self._operator is not None:
                self._operator.look()  # its own certificate is followed by others, too
            if loop.time() > give_up:
                raise SettingError([f"{member.name} was not ready within {READY_S:g} s"])
            await asyncio.sleep(0.05)

    async def restart(self, name: str) -> None:
        """Replace one process: drain it, start the next one, wait until that is ready."""
        member = self.members[name]
        process = member.process
        if process is not None and process.returncode is None:
            process.terminate()
            await process.wait()
        while member.process is process:  # noqa: ASYNC110  # `_watch` starts the next one soon
            await asyncio.sleep(0.02)
        await self._ready(member)

    async def stop(self) -> None:
        """Stop the gateway, then all others, then the stand-ins."""
        self._stopping = True
        grace_s = self._drain_s + 5
        watching = [member.task for member in self.members.values() if member.task is not None]
        for task in watching:  # before the processes: none of them starts another one
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if GATEWAY in self.members:
            await stop_child(self.members[GATEWAY].process, grace_s)
        await asyncio.gather(*(stop_child(m.process, grace_s) for m in self.members.values()))
        for stand_in in self._stand_ins:
            await stand_in.stop()

    def hurry(self) -> None:
        """End all processes at once: what they have not finished is found at the next start."""
        self._stopping = True
        for member in self.members.values():
            if member.process is not None and member.process.returncode is None:
                member.process.kill()


def _origin(host: str, port: int) -> Origin:
    """Return where a member listens, on a free port if none is named."""
    origin = Origin.of(host, port)
    if port or origin.path is not None:
        return origin
    return replace(origin, port=free_port(origin.host))


def _check(
    system: System, replicas: Mapping[str, int], processes: int, environ: Mapping[str, str]
) -> None:
    """Refuse what several processes cannot be. Raises SettingError."""
    for name, count in replicas.items():
        system.service(name)
        if count < 1:
            raise SettingError([f"--replicas {name}={count}: at least 1"])
    if not environ.get(BROKER_URL):
        raise SettingError([f"several processes need a broker: add `--on nats`, or {BROKER_URL}"])
    for service in system.services:
        shared = processes > 1 or replicas.get(service.name, 1) > 1
        if shared and not database_url(service.name, environ, alone=False):
            raise SettingError(
                [
                    f"several processes of {service.name} need one database: add `--on postgres`, "
                    f"or {database_variable(service.name)}"
                ]
            )


async def _is_ready(operations: Origin, tls: ssl.SSLContext | None) -> bool:
    asked = f"GET /health/ready HTTP/1.1\r\nhost: {operations.authority}\r\n\r\n"
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(
                operations.host, operations.port, ssl=tls
            )
            try:
                writer.write(asked.encode())
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in line
