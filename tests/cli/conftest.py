"""The command in processes of its own, in an empty working directory."""

import http.client
import importlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from holdfast.cli.main import main

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "holdfast.cli"]
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of what was printed into the pipe."""
        return [line.split("\t") for line in self.out.splitlines()]

    def json(self) -> Any:
        """Return what was printed as JSON."""
        return json.loads(self.out)


@dataclass(slots=True)
class Cli:
    """Runs commands in `folder`; `tiny`, and whatever lies in `folder`, can be imported."""

    folder: Path

    def environ(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a command."""
        paths = [str(HERE), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **extra}

    def __call__(self, *arguments: str, **environ: str) -> Done:
        """Run one command to its end."""
        ended = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environ(environ),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def quick(self, *arguments: str, **environ: str) -> Done:
        """Run one command inside the test's process: the same code, without its start.

        What it imports of `folder` is forgotten afterwards, so that the next one reads it again.
        """
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        code: object = 0
        argv, path, known = sys.argv, list(sys.path), set(sys.modules)
        compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # it dates by the second
        sys.argv, sys.path[:0] = ["holdfast", *arguments], [str(HERE)]
        importlib.invalidate_caches()
        try:
            with (
                chdir(self.folder),
                patch.dict(os.environ, environ),
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                main()
        except SystemExit as exc:
            code = exc.code or 0
        finally:
            sys.argv, sys.path[:], sys.dont_write_bytecode = argv, path, compiled
            for name in set(sys.modules) - known:
                if (getattr(sys.modules[name], "__file__", "") or "").startswith(str(self.folder)):
                    del sys.modules[name]
        assert isinstance(code, int)
        return Done(code, *(text.buffer.getvalue().decode() for text in (out, err)))


class Server:
    """A serving command, from the moment that it says it is ready."""

    def __init__(self, cli: Cli, arguments: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self.log = cli.folder / "log.json"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments, "--port", "0", "--ops-port", "0"],
                cwd=cli.folder,
                env=cli.environ(environ),
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self._process.stderr is not None
        self.greeting: list[str] = []
        for line in self._process.stderr:
            self.greeting.append(line.rstrip("\n"))
            if line.startswith("  data"):
                return
        raise AssertionError(f"it did not start: {self.greeting[-5:]}")

    @property
    def address(self) -> str:
        """The gateway's host and port."""
        found = [line.split()[1] for line in self.greeting if line.startswith("  gateway")]
        return found[0].removeprefix("http://")

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def get(self, path: str) -> Any:
        """Send a GET; return what it answers as JSON."""
        connection = http.client.HTTPConnection(self.address, timeout=LIMIT_S)
        try:
            connection.request("GET", path)
            with connection.getresponse() as response:
                return json.loads(response.read())
        finally:
            connection.close()

    def post(self, path: str, body: object) -> int:
        """Send a POST; return the status."""
        connection = http.client.HTTPConnection(self.address, timeout=LIMIT_S)
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            with connection.getresponse() as response:
                response.read()
                return response.status
        finally:
            connection.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        assert self._process.stderr is not None
        code = self._process.wait(LIMIT_S)
        self._process.stderr.close()
        return code

    def stop(self) -> int:
        """Send SIGTERM and wait for the end; return the exit code."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def events(self) -> list[str]:
        """Return the events that were logged."""
        return [json.loads(line)["event"] for line in self.log.read_bytes().splitlines()]

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait()


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command."""
    return Cli(tmp_path)


@pytest.fixture
def serve(cli: Cli) -> Iterator[Callable[..., Server]]:
    """Starts serving commands, and ends those that a test left running."""
    servers: list[Server] = []

    def start(*arguments: str, environ: Mapping[str, str] | None = None) -> Server:
        servers.append(Server(cli, arguments, environ or {}))
        return servers[-1]

    yield start
    for server in servers:
        server.end()
