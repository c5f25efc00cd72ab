"""Several processes of one system: started, watched, stopped.

One for each service and replica, and the gateway; or some that each serve all of it on one port.

A process that ends is started again, later each time it ends soon.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import SettingError
from holdfast.runtime.children import free_port, start_child, stop_child
from holdfast.runtime.engines import database_url, database_variable
from holdfast.runtime.local import Local
from holdfast.system import External, System

READY_S = 60.0
PAUSE_S, PAUSE_CAP_S = 0.2, 10.0
WELL_S = 10.0  # a process that lived so long ended for another reason than its start
GATEWAY = "gateway"


@dataclass
class Member:
    """One supervised process.

    Attributes:
        name: `orders-2`, or `gateway`. starts: how often it was started.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    host: str
    port: int
    ops_port: int
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
        processes: int = 0,
    ) -> None:
        _check(system, replicas, processes, environ)
        self._system, self._module, self._folder = system, module, folder
        self._environ = dict(environ)
        self._drain_s = drain_s
        self._locals: list[Local] = []
        self._stopping = False
        self.members: dict[str, Member] = {}
        if processes:
            self._all_in_each(processes, host, port, ops_port)
        else:
            self._one_for_each(replicas, host, port, ops_port)

    def _all_in_each(self, count: int, host: str, port: int, ops_port: int | None) -> None:
        port = port or free_port()
        self.url = f"http://{host}:{port}"
        self._environ["HOLDFAST_SHARE_PORT"] = "true"
        for n in range(1, count + 1):
            name = f"{self._system.name}-{n}"
            self._member(name, ["run", self._module], host, port, ops_port if n == 1 else None)

    def _one_for_each(
        self, replicas: Mapping[str, int], host: str, port: int, ops_port: int | None
    ) -> None:
        serve = ("serve", self._module)
        urls: dict[str, str] = {}
        for service in self._system.services:
            made = [
                self._member(f"{service.name}-{n}", [*serve, service.name], "127.0.0.1")
                for n in range(1, replicas.get(service.name, 1) + 1)
            ]
            variable = f"{service.name}_URL".upper().replace("-", "_")
            urls[variable] = ",".join(f"http://127.0.0.1:{member.port}" for member in made)
        gateway = self._member(GATEWAY, [*serve, GATEWAY], host, port, ops_port)
        self.url = f"http://{host}:{gateway.port}"
        self._environ |= urls

    def _member(
        self,
        name: str,
        what: Sequence[str],
        host: str,
        port: int = 0,
        ops_port: int | None = None,
    ) -> Member:
        port = port or free_port()
        ops_port = ops_port or free_port()
        command = [sys.executable, "-m", "holdfast.cli", *what]
        command += ["--host", host, "--port", str(port), "--ops-port", str(ops_port)]
        command += ["--data", str(self._folder / name)]
        self.members[name] = Member(name, command, self._environ, host, port, ops_port)
        return self.members[name]

    async def start(self) -> None:
        """Start everything; when this returns all are ready. Raises SettingError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for service in self._system.services:
            for external in service.reaches:
                await self._start_local(external)
        for member in self.members.values():
            member.environ = self._environ
            member.task = asyncio.create_task(self._watch(member), name=member.name)
        async with asyncio.TaskGroup() as group:
            for member in self.members.values():
                group.create_task(self._ready(member))

    async def _start_local(self, external: External) -> None:
        variable = f"{external.name}_URL".upper().replace("-", "_")
        if external.local and not self._environ.get(variable):
            local = Local(external, self._folder)
            self._locals.append(local)
            await local.start()
            self._environ[variable] = local.url

    async def _watch(self, member: Member) -> None:
        loop = asyncio.get_running_loop()
        pause_s = PAUSE_S
        while not self._stopping:
            member.starts += 1
            begun = loop.time()
            said = self._folder / f"{member.name}.err"
            with said.open("wb") as stderr:
                member.process = await start_child(
                    member.command, environ=member.environ, stderr=stderr
                )
            code = await member.process.wait()
            if self._stopping:
                return
            last = (said.read_text(errors="replace").splitlines() or [""])[-1] if code > 0 else ""
            logging.getLogger("holdfast").warning("%s ended with %s %s", member.name, code, last)
            pause_s = PAUSE_S if loop.time() - begun > WELL_S else min(PAUSE_CAP_S, pause_s * 2)
            await asyncio.sleep(pause_s)

    async def _ready(self, member: Member) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + READY_S
        while not await _is_ready(member.ops_port):
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
        if GATEWAY in self.members:
            await stop_child(self.members[GATEWAY].process, grace_s)
        await asyncio.gather(*(stop_child(m.process, grace_s) for m in self.members.values()))
        for member in self.members.values():
            if member.task is not None:
                member.task.cancel()
        for local in self._locals:
            await local.stop()


def _check(
    system: System, replicas: Mapping[str, int], processes: int, environ: Mapping[str, str]
) -> None:
    """Refuse what several processes cannot be. Raises SettingError."""
    for name, count in replicas.items():
        system.service(name)
        if count < 1:
            raise SettingError([f"--replicas {name}={count}: at least 1"])
    if not environ.get("BROKER_URL"):
        raise SettingError(["several processes need a broker: add `--on nats`, or BROKER_URL"])
    for service in system.services:
        shared = processes > 1 or replicas.get(service.name, 1) > 1
        if shared and not database_url(service.name, environ, alone=False):
            raise SettingError(
                [
                    f"several processes of {service.name} need one database: add `--on postgres`, "
                    f"or {database_variable(service.name)}"
                ]
            )


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in line
