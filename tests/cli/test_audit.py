"""`holdfast audit`: what an operator did stands there, and that nobody changed it is checked."""

import getpass
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, Cli, Server
from tests.cli.test_operate import NOBODY

ME = f"unix user {getpass.getuser()}"
SOCKET, OWN = (f"{by}, uid {os.getuid()}" for by in ("control socket", "own process"))


def shown(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    """Return the entries that `audit show` prints."""
    found: list[dict[str, Any]] = cli.quick("audit", "show", "tiny", "--json", *arguments).json()
    return found


def facts(cli: Cli, *arguments: str) -> list[tuple[str, str, str, str]]:
    """Return what, authority, on and outcome of them."""
    return [(e["what"], e["authority"], e["on"], e["outcome"]) for e in shown(cli, *arguments)]


def test_commands_of_operators_are_written_before_and_after(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """Through the control socket by the user that the kernel names, and without a process; looks
    are not; what is in a message is not."""
    server = serve("run", "tiny")
    assert cli.quick("send", "tiny", "Closed", '{"why": "hush-hush"}').code == 0
    assert cli.quick("dead-letters", "drop", "tiny", NOBODY).code == 2
    assert cli.quick("sagas", "list", "tiny").code == 0
    assert server.stop() == 0
    assert cli.quick("send", "tiny", "Closed", '{"why": "hush-hush"}').code == 0

    entries = shown(cli, "--what", "operator")
    assert {entry["who"] for entry in entries} == {ME}
    failed = f"failed: UnknownName: there is no dead letter {NOBODY}"
    assert facts(cli, "--what", "operator") == [
        ("operator.send", SOCKET, "message=Closed", "begun"),
        ("operator.send", SOCKET, "message=Closed", "done"),
        ("operator.drop", SOCKET, f"id={NOBODY}", "begun"),
        ("operator.drop", SOCKET, f"id={NOBODY}", failed),
        ("operator.send", OWN, "message=Closed", "begun"),
        ("operator.send", OWN, "message=Closed", "done"),
    ]
    assert facts(cli, "--what", "process.started") == [("process.started", OWN, "all", "done")]
    assert "hush" not in (cli.folder / ".holdfast/tiny/audit.jsonl").read_text()
    assert shown(cli, "--who", "eve") == []


def test_what_cannot_be_written_is_not_done(cli: Cli) -> None:
    """A folder in the place of the file, as a disk without room."""
    (cli.folder / ".holdfast/tiny/audit.jsonl").mkdir(mode=0o700, parents=True)
    (cli.folder / ".holdfast").chmod(0o700)
    (cli.folder / ".holdfast/tiny").chmod(0o700)

    refused = cli.quick("send", "tiny", "Closed", '{"why": "x"}')

    assert (refused.code, refused.out) == (1, "")
    assert "the audit log cannot be written, so nothing was done: make room" in refused.err


def test_a_migration_is_written(cli: Cli) -> None:
    """Of each database, by whom; a check changes nothing."""
    assert cli.quick("migrate", "tiny").code == 0
    assert cli.quick("migrate", "tiny", "--check").code == 0

    said = [(e["what"], e["who"], e["on"], e["outcome"]) for e in shown(cli, "--what", "operator")]
    assert said == [
        ("operator.migrate", ME, f"database of {name}", outcome)
        for name in ("desk", "shed")
        for outcome in ("begun", "done")
    ]


@pytest.fixture
def written(cli: Cli) -> Path:
    """The audit log after three commands."""
    (cli.folder / ".holdfast/tiny").mkdir(mode=0o700, parents=True)
    for _ in range(3):
        assert cli.quick("send", "tiny", "Closed", '{"why": "x"}').code == 0
    return cli.folder / ".holdfast/tiny/audit.jsonl"


def test_a_log_that_nobody_changed_is_whole(cli: Cli, written: Path) -> None:
    """One line for each chain, with its head, and exit 0."""
    done = cli.quick("audit", "verify")
    named = cli.quick("audit", "verify", str(written), "--json")

    last = json.loads(written.read_bytes().splitlines()[-1])
    chain = {"chain": last["chain"], "entries": 7, "whole": True, "seq": 6, "hash": last["hash"]}
    assert done.code == 0
    assert done.rows == [[last["chain"], "7", "yes", "6", last["hash"]]]
    assert named.json() == {"chains": [chain], "problems": []}


def test_the_first_line_that_was_changed_is_named(cli: Cli, written: Path) -> None:
    """And the command ends with 1."""
    written.write_text(written.read_text().replace('"message=Closed"', '"message=Opened"', 1))

    done = cli.quick("audit", "verify")

    assert done.code == 1
    assert f"{written.relative_to(cli.folder)}, line 2: entry 1 was changed" in done.err


def test_a_cut_end_is_found_by_the_head_of_the_process_s_log(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """The log tells how the chain ends, and what is given to the command is what it prints."""
    server = serve("run", "tiny")
    cli.quick("send", "tiny", "Closed", '{"why": "x"}')
    assert server.stop() == 0
    written = cli.folder / ".holdfast/tiny/audit.jsonl"
    told = [json.loads(line) for line in server.log.read_bytes().splitlines()]
    last = [line for line in told if line["event"] == "audit.head"][-1]
    head = f"{last['chain']}:{last['seq']}:{last['hash']}"

    whole = cli.quick("audit", "verify", "--head", head)
    written.write_bytes(b"".join(written.read_bytes().splitlines(keepends=True)[:-1]))
    cut = cli.quick("audit", "verify", "--head", head)

    assert whole.code == 0
    assert cut.code == 1 and "its end was cut off" in cut.err
    assert cli.quick("audit", "verify").code == 0


def test_entries_in_the_log_of_a_process_are_checked(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """Where nothing is kept on the machine, they are among its lines: from stdin, and in a file."""
    server = serve("run", "tiny", environ={"HOLDFAST_AUDIT": "log"})
    cli.quick("send", "tiny", "Closed", '{"why": "x"}')
    assert server.stop() == 0
    assert not (cli.folder / ".holdfast/tiny/audit.jsonl").exists()
    lines = server.log.read_bytes().splitlines(keepends=True)
    entries = [line for line in lines if b'"event":"audit"' in line]

    def verify(given: list[bytes]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, "audit", "verify", "-"], input=b"".join(given), capture_output=True
        )

    assert [json.loads(line)["what"] for line in entries] == [
        *("chain.begun", "process.started", "operator.send", "operator.send"),
    ]
    assert json.loads(entries[0])["on"] == "tiny/all"
    assert verify(lines).returncode == 0
    assert cli.quick("audit", "verify", str(server.log)).code == 0
    lines.remove(entries[2])
    left_out = verify(lines)
    assert left_out.returncode == 1
    assert b"entry 3 stands after entry 1: 1 is missing" in left_out.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify",), "there is no audit.jsonl in .holdfast"),
        (("verify", "nowhere"), "nowhere: No such file or directory"),
        (("verify", "empty"), "no entry of an audit log is in what was given"),
        (("verify", "empty", "--head", "a"), "--head a: write it as CHAIN:SEQ:HASH"),
        (("show", "tiny"), "there is no audit.jsonl in .holdfast/tiny"),
    ],
)
def test_what_is_not_there_is_said(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    """With exit 2: what was typed names nothing."""
    (cli.folder / "empty").touch()

    done = cli.quick("audit", *arguments)

    assert done.code == 2 and said in done.err


def test_a_provision_is_written(cli: Cli) -> None:
    """Also one that came to nothing."""
    assert cli.quick("provision", "tiny", BROKER_URL="nats://127.0.0.1:1").code == 1

    begun, failed = facts(cli, "--what", "operator")
    assert begun == ("operator.provision", OWN, "streams", "begun")
    assert failed[3].startswith("failed: Unreachable: ")
