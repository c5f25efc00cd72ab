"""`holdfast trace`: whether the system runs or not, and what is said of what is not there."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Server


@pytest.fixture(params=["running", "stopped", "killed"])
def tiny(request: pytest.FixtureRequest, cli: Cli, serve: Callable[..., Server]) -> Cli:
    """A system with one parcel that is handled, and one that is parked."""
    server = serve("run", "tiny")
    server.post("/v1/parcels", {"note": "heavy", "kg": 40})
    server.post("/v1/parcels", {"note": "locked"})
    while "running" in (states := [row[3] for row in _sagas(cli)]) or len(states) < 2:
        pass  # the test's time-out is the bound
    if request.param == "stopped":
        assert server.stop() == 0
    elif request.param == "killed":
        server.end()
    return cli


def _sagas(cli: Cli) -> list[list[str]]:
    return cli.quick("sagas", "list", "tiny").rows


def _digests(folder: Path) -> dict[str, str]:
    files = sorted((folder / ".holdfast" / "tiny").glob("*.db"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_story_is_told(tiny: Cli) -> None:
    """By a saga's id and by a field; what is written on disk stays as it is."""
    before = _digests(tiny.folder)
    heavy = tiny("trace", "tiny", "--about", "kg=40")
    locked = tiny.quick("trace", "tiny", "--about", "note=locked")
    document = tiny.quick("trace", "tiny", "--about", "note=locked", "--json").json()
    saga = document["open"][0]["saga"]
    by_id = tiny.quick("trace", "tiny", saga)
    drawn = tiny.quick("trace", "tiny", "--about", "kg=40", "--mermaid")

    assert (heavy.code, heavy.err) == (0, "")
    assert "! step 1, Pack.v1 is refused: TooHeavy" in heavy.out
    assert by_id.out == locked.out
    assert f"  holdfast sagas retry tiny {saga} " in locked.out
    assert "RuntimeError: there is no key" in document["open"][0]["why"]
    assert "  shed--xdesk: step 1, Pack.v1 is refused: TooHeavy" in drawn.out.splitlines()
    assert _digests(tiny.folder) == before


def test_what_is_not_known_is_one_line(tiny: Cli) -> None:
    """And exit code 2, as for any name that is not there."""
    done = tiny.quick("trace", "tiny", "nobody")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("holdfast: nothing is known of nobody: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "give an ID, or --about FIELD=VALUE"),
        (["a", "--about", "b=c"], "give an ID, or --about FIELD=VALUE"),
        (["--about", "b"], "--about b: write it as FIELD=VALUE, such as order_id=0199…"),
        (["a", "--json", "--mermaid"], "--mermaid and --json are one each"),
        (["a"], "there is no data folder .holdfast/tiny, and no DATABASE_URL; "),
    ],
)
def test_what_does_not_fit_is_refused(cli: Cli, typed: list[str], said: str) -> None:
    """In one line, with exit code 2; nothing is made."""
    done = cli.quick("trace", "tiny", *typed)

    assert done.code == 2
    assert done.err.startswith(f"holdfast: {said}")
    assert not (cli.folder / ".holdfast").exists()


def test_a_database_that_is_away_is_named(cli: Cli) -> None:
    """What the others do not know it may: it is not said that there is nothing."""
    url = "postgresql://nobody:x@127.0.0.1:9/{service}"
    done = cli.quick("trace", "tiny", "a", DATABASE_URL=url)

    assert done.code == 1
    assert done.err.startswith("holdfast: a is not known, but not all was read: desk: Transaction")
