"""Whoever is told to stop leaves nothing behind: twice, or in the middle of the start."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, LIMIT_S, Cli, Server

pytestmark = pytest.mark.chaos  # it takes real servers, and minutes

Stop = signal.Signals


def left_behind(folder: Path) -> list[str]:
    """Return the command lines of processes that work in a folder, or name it."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            here = (process / "cwd").readlink()
        except OSError:  # it has ended, or is ending
            continue
        if command and (os.fsencode(folder) in command or here.is_relative_to(folder)):
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.parametrize("numbers", [(Stop.SIGTERM,) * 2, (Stop.SIGINT,) * 3])
@pytest.mark.parametrize("options", [(), ("--split",)], ids=["one", "split"])
def test_told_twice_it_leaves_nothing_behind(
    cli: Cli, serve: Callable[..., Server], options: tuple[str, ...], numbers: tuple[Stop, ...]
) -> None:
    """The drain is broken off; servers, services and stand-ins have ended when it has."""
    server = serve("run", "tiny", "--on", "postgres,nats,redis", *options)
    running = len(left_behind(cli.folder))
    for number in numbers:
        server.signal(number)
    code = server.wait()

    assert running >= (6 if options else 4)
    assert left_behind(cli.folder) == []
    assert code in (0, 1)  # 0: all was drained before the second one was seen


@pytest.mark.parametrize("number", [Stop.SIGTERM, Stop.SIGINT])
@pytest.mark.parametrize("options", [(), ("--split",)], ids=["one", "split"])
def test_told_again_while_the_servers_end_it_leaves_nothing_behind(
    cli: Cli, serve: Callable[..., Server], options: tuple[str, ...], number: Stop
) -> None:
    """All is drained by then: there is nothing to break off but the end of the servers."""
    server = serve("run", "tiny", "--on", "postgres,nats,redis", *options)
    log = cli.folder / ".holdfast" / "tiny" / "servers" / "postgres.log"
    server.signal(number)
    while "shutdown request" not in log.read_text():
        pass  # the test's time-out is the bound
    server.signal(number)
    code = server.wait()

    assert left_behind(cli.folder) == []
    assert code == 0 or options  # a split one has been told to hurry


@pytest.mark.parametrize("number", [Stop.SIGTERM, Stop.SIGINT])
@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ((), "servers/postgres.log"),
        ((), "servers/nats.log"),
        (("--split",), "servers/postgres.log"),
        (("--split",), "servers/nats.log"),
        (("--split",), "desk-1.err"),
    ],
)
def test_told_while_it_starts_it_leaves_nothing_behind(
    cli: Cli, options: tuple[str, ...], seen: str, number: Stop
) -> None:
    """At any moment of the start, such as before its first server is up."""
    process = subprocess.Popen(
        [*COMMAND, "run", "tiny", "--on", "postgres,nats", "--port", "0", *options],
        cwd=cli.folder,
        env=cli.environ({}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while not (cli.folder / ".holdfast" / "tiny" / seen).exists():
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()

    assert left_behind(cli.folder) == []
    assert b"Traceback" not in err


@pytest.mark.parametrize("options", [(), ("--split",)], ids=["one", "split"])
def test_killed_it_leaves_nothing_behind(
    cli: Cli, serve: Callable[..., Server], options: tuple[str, ...]
) -> None:
    """Nobody can tell its children; the kernel does."""
    server = serve("run", "tiny", "--on", "postgres,nats,redis", *options)
    server.signal(Stop.SIGKILL)
    server.wait()
    while left_behind(cli.folder):
        pass  # the test's time-out is the bound
    again = serve("run", "tiny", "--on", "postgres,nats,redis", *options)

    assert again.post("/v1/parcels", {"note": "a", "kg": 1}) == 202
    assert again.stop() == 0
