"""`holdfast sim`: seeds, one seed's story, crash points, and what is kept."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Done


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
    again = cli("sim", "counting", "--seeds", "1", *options[2:], COUNT_BADLY="1")
    mended = cli("sim", "counting", "--seeds", "1", *options[2:])

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


def test_one_seed_tells_its_story(cli: Cli) -> None:
    """As a timeline, the same every time, and as a page of its own."""
    first, second = (
        cli("sim", "counting", "--seed", "3", "--size", "3", "--report", "story.html")
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
        done = cli("sim", "counting", "--seed", str(seed), "--size", "4", COUNT_BADLY="1")
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
    done = cli("sim", "counting", "--seeds", "30", "--without", "send_until_answered")

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
    done = cli("sim", "counting", "--seeds", "1", "--kept", ".")

    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "counting-1.json is no kept run" in done.err
