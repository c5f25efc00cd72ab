"""`holdfast logs`: what processes have written, of one order alone, and what comes."""

import json
import subprocess
from collections.abc import Callable

from tests.cli.conftest import COMMAND, Cli, Server


def test_the_lines_of_one_order(cli: Cli, serve: Callable[..., Server]) -> None:
    """By a field of it; those of its request and its saga, and no others, though it is stopped."""
    server = serve("run", "tiny")
    server.post("/v1/parcels", {"note": "locked"})
    server.post("/v1/parcels", {"note": "a", "kg": 3})
    while not (rows := cli.quick("sagas", "list", "tiny", "--state", "parked").rows):
        pass  # the test's time-out is the bound
    assert server.stop() == 0
    every = cli.quick("logs", "tiny", "--once")
    about = cli.quick("logs", "tiny", "--once", "--about", "note=locked")
    by_id = cli.quick("logs", "tiny", "--once", "--about", rows[0][0])
    nobody = cli.quick("logs", "tiny", "--once", "--about", "nobody")
    events = [json.loads(line)["event"] for line in about.out.splitlines()]

    assert events == ["saga.parked", "request"]
    assert by_id.out == about.out
    assert (nobody.code, nobody.out) == (0, "")
    assert nobody.err == "holdfast: no kept line is about nobody\n"
    assert [json.loads(one)["event"] for one in every.out.splitlines()].count("request") == 2
    assert every.out.splitlines() == server.log.read_text().splitlines()


_TOLD = ("process.ready", "request")


def test_what_comes_is_followed(cli: Cli, serve: Callable[..., Server]) -> None:
    """From what is kept on, until its reader goes."""
    server = serve("run", "tiny")
    with subprocess.Popen(
        [*COMMAND, "logs", "tiny"],
        cwd=cli.folder,
        env=cli.environ({}),
        stdout=subprocess.PIPE,
        text=True,
    ) as follows:
        assert follows.stdout is not None
        lines = (line for line in map(json.loads, follows.stdout) if line["event"] in _TOLD)
        first = next(lines)
        server.post("/v1/parcels", {"note": "a", "kg": 3})
        second = next(lines)
        follows.terminate()

    assert (first["event"], second["event"]) == ("process.ready", "request")


def test_nothing_is_kept(cli: Cli, serve: Callable[..., Server]) -> None:
    """Where it is not wanted, and where nothing ran: one line, and exit code 2."""
    before = cli.quick("logs", "tiny", "--once")
    server = serve("run", "tiny", environ={"HOLDFAST_LOG_KEPT_MB": "0"})
    assert server.stop() == 0
    after = cli.quick("logs", "tiny", "--once")

    assert before.code == after.code == 2
    assert after.err == before.err
    assert after.err.startswith("holdfast: no process has kept a log in .holdfast/tiny; ")
