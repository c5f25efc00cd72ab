"""Who may look into a running system's data folder, and into one that is only looked at."""

import json
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Server


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Whoever starts us lets everybody read and write what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def within(folder: Path) -> list[Path]:
    """Return a folder and all in it; a server that runs may remove some meanwhile."""
    found = [folder]
    for place, folders, files in os.walk(folder):
        found += [Path(place, name) for name in (*folders, *files)]
    return found


def open_to_others(folder: Path) -> list[str]:
    """Return what in a folder, itself included, others may do anything with."""
    wide: list[str] = []
    for path in within(folder):
        with suppress(FileNotFoundError):
            if stat.S_IMODE(path.lstat().st_mode) & 0o077:
                wide.append(str(path))
    return wide


@pytest.mark.usefixtures("open_umask")
def test_everything_in_it_is_its_users_alone(cli: Cli, serve: Callable[..., Server]) -> None:
    """Databases with their logs, the lock, the socket and the servers' files, under umask 000."""
    server = serve("run", "tiny", "--on", "nats,redis")
    posted = server.post("/v1/parcels", {"note": "a", "kg": 1})
    data = cli.folder / ".holdfast" / "tiny"
    running = open_to_others(data)
    names = {path.name for path in within(data)}
    server.stop()

    assert posted == 202
    assert names >= {"desk.db", "desk.db-wal", "lock", "control.sock", "nats.log", "redis.log"}
    assert running == []
    assert open_to_others(data) == []


def test_a_command_that_looks_refuses_an_open_folder(cli: Cli) -> None:
    """One line, exit 1, and how to close it."""
    data = cli.folder / "data"
    data.mkdir(mode=0o755)

    done = cli.quick("sagas", "list", "tiny", "--data", "data")

    assert done.code == 1
    assert f"`chmod -R go= {data}`" in done.err
    assert len(done.err.splitlines()) == 1


def test_each_process_is_told_of_its_own_database_alone(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """What was not told cannot be read out of a process that is broken into; nor printed."""
    server = serve("run", "tiny", "--on", "postgres,nats", "--split")
    told: dict[str, list[str]] = {}
    for line in server.greeting:
        found = re.search(r"  process (\d+)", line)
        if found is not None:
            name = line.strip().partition("  ")[0]
            environ = Path(f"/proc/{found[1]}/environ").read_text().split("\0")
            told[name] = sorted(v.partition("=")[0] for v in environ if "postgresql://" in v)
    passwords = json.loads(
        (cli.folder / ".holdfast" / "tiny" / "servers" / "passwords.json").read_text()
    )

    assert told == {
        "gateway": [],
        "desk-1": ["DESK_DATABASE_URL"],
        "shed-1": ["SHED_DATABASE_URL"],
    }
    assert not [word for word in passwords.values() if word in "\n".join(server.greeting)]


@pytest.mark.parametrize("options", [(), ("--split",)], ids=["one", "split"])
def test_a_folder_of_before_is_closed_by_one_command(
    cli: Cli, serve: Callable[..., Server], options: tuple[str, ...]
) -> None:
    """That which is told closes all of it, its servers' included, and it goes on where it was."""
    words = ("run", "tiny", "--on", "nats", *options)
    server = serve(*words)
    server.stop()
    data = cli.folder / ".holdfast" / "tiny"
    for path in within(data):
        path.chmod(0o755 if path.is_dir() else 0o644)

    refused = cli.quick(*words)
    told = refused.err.partition("`")[2].partition("`")[0]
    subprocess.run(told.split(), check=True)
    again = serve(*words)

    assert (refused.code, told) == (1, f"chmod -R go= {data}")
    assert again.post("/v1/parcels", {"note": "a", "kg": 1}) == 202
    assert open_to_others(data) == []
