"""`holdfast sim`: seeds, one seed's story, crash points, and what is kept."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, LIMIT_S, Cli, Done


def violated(done: Done) -> str:
    """Return the number that the table ends with."""
    return next(cells[1] for cells in done.rows if cells[0] == "violations")


def test_seeds_are_counted_and_nothing_breaks(cli: Cli) -> None:
    """The table says what was injected and which crash points were reached."""
    done = cli("sim", "counting", "--seeds", "24", "--size", "4")

    assert (done.code, violated(done)) == (0, "0"), done.out
    assert done.rows[0] == ["runs", "24"]
    assert any(cells[0] == "till commit.after" for cells in done.rows)
    assert not (cli.folder / "tests").exists(), "there was nothing to keep"


def test_a_failing_seed_is_shrunk_kept_and_run_again(cli: Cli) -> None:
    """The kept file is all that it takes to see it fail again; mended, it passes."""
    kept = cli.folder / "kept"
    options = ("--seeds", "30", "--size", "4", "--kept", str(kept), "--json")
    done = cli("sim", "counting", *options, COUNT_BADLY="1")
    files = sorted(kept.glob("counting-*.json"))
    again = cli.quick("sim", "counting", "--seeds", "1", *options[2:], COUNT_BADLY="1")
    mended = cli.quick("sim", "counting", "--seeds", "1", *options[2:])

    assert done.code == 1
    broken = done.json()["violations"]
    assert "cents were counted" in broken[0]["violations"][0]
    assert files
    first = json.loads(files[0].read_text())
    assert first["broke"].startswith("every_coin_is_in_the_till: ")
    assert 1 <= len(first["faults"]) <= 2, "what does not matter was left out"
    assert again.code == 1
    assert f"{files[0]} fails again" in again.err
    assert mended.code == 0


def test_ctrl_c_keeps_the_report(cli: Cli) -> None:
    """What was run until then is told; the terminal sends the signal to the workers as well."""
    begun = cli.folder / "begun"
    with subprocess.Popen(
        [*COMMAND, "sim", "counting", "--seeds", "1000000", "--size", "2", "--json"],
        cwd=cli.folder,
        env=cli.environ({"COUNT_BEGUN": str(begun)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as sim:
        while not begun.exists() or begun.stat().st_size < 40:  # seeds that have begun
            time.sleep(0.01)  # the test's time-out is the bound
        os.killpg(sim.pid, signal.SIGINT)
        out, err = sim.communicate(timeout=LIMIT_S)
    facts = json.loads(out)

    assert sim.returncode == 130
    assert err.splitlines() == ["holdfast: stopped; this is what was run until then"]
    assert 0 < facts["seeds"] < 1_000_000
    assert facts["violations"] == []


def test_what_never_ran_is_told(cli: Cli) -> None:
    """Nothing was found out about it."""
    facts = cli.quick("sim", "counting", "--seeds", "2", "--size", "2", "--json").json()
    table = cli.quick("sim", "counting", "--seeds", "2", "--size", "2")
    story = cli.quick("sim", "counting", "--seed", "1", "--size", "2")

    assert facts["never_ran"] == ["handler till.Lift"]
    assert ["never ran", "handler till.Lift"] in table.rows
    assert "never ran: handler till.Lift" in story.out


def test_a_broken_workload_is_one_line(cli: Cli) -> None:
    """With its line, at the first seed."""
    done = cli.quick("sim", "counting", "--seeds", "1000000", "--size", "2", COUNT_BROKEN="1")

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert re.search(r"the workload raised KeyError: .*counting\.py:\d+\), with seed \d", done.err)


def test_one_seed_tells_its_story(cli: Cli) -> None:
    """As a timeline, the same every time, and as a page of its own."""
    first, second = (
        cli.quick("sim", "counting", "--seed", "3", "--size", "3", "--report", "story.html")
        for _ in range(2)
    )
    page = (cli.folder / "story.html").read_text()

    assert first.code == 0
    assert first.out == second.out
    assert "request-000001: POST /v1/coins, key coin-0" in first.out
    assert page.startswith("<!doctype html>")
    assert "till-1" in page
    assert "http" not in page.split("<style>")[0].replace("http-equiv", ""), "it fetches nothing"


def test_a_failing_seed_says_what_broke(cli: Cli) -> None:
    """The story ends with it, and so does the command."""
    for seed in range(30):
        done = cli.quick("sim", "counting", "--seed", str(seed), "--size", "4", COUNT_BADLY="1")
        if done.code:
            break

    assert done.code == 1
    assert "VIOLATED: every_coin_is_in_the_till" in done.out


def test_every_crash_point_of_the_path(cli: Cli) -> None:
    """Each is struck once, with nothing lost."""
    done = cli("sim", "counting", "--every-crash-point", "--json")
    facts = done.json()

    assert done.code == 0
    assert facts["seeds"] > 100
    assert facts["crash_points"]["till commit.after"] > 0
    assert facts["violations"] == []


def test_a_safeguard_that_is_off_is_missed(cli: Cli) -> None:
    """Nothing is kept of that: it is no fault of the system."""
    done = cli.quick("sim", "counting", "--seeds", "30", "--without", "send_until_answered")

    assert done.code == 1
    assert int(violated(done)) > 0
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tiny",), "tiny declares no workload: write `@tiny.workload`"),
        (("nothing",), "nothing"),
        (("counting", "--without", "sleep"), "there is no safeguard 'sleep'; there are"),
    ],
)
def test_what_cannot_be_run_is_one_line(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    """And exit 2."""
    done = cli.quick("sim", *arguments)

    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert told in done.err


def test_a_broken_kept_file_is_one_line(cli: Cli) -> None:
    """It names the file."""
    Path(cli.folder / "counting-1.json").write_text("{")
    done = cli.quick("sim", "counting", "--seeds", "1", "--kept", ".")

    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "counting-1.json is no kept run" in done.err
