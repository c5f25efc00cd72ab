"""`holdfast load` on a small system, for a few seconds; what is counted, not how fast it was."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.runtime.children import free_port
from holdfast.runtime.folder import DataFolder
from tests.cli.conftest import COMMAND, HERE, Cli, Server

TRAFFIC = """
from holdfast.load import Offer
from till.system import till

@till.traffic
async def shoppers(client):
    assert (await client.post("/v1/sales", json={"item": "tea"})).status == 201
    return [
        Offer("POST", "/v1/sales", json={"item": "tea"}, keyed=True, share=3),
        Offer("GET", "/v1/sales"),
    ]
"""
SELLING = """
from holdfast.load import Offer
from till.system import till

@till.traffic
async def shoppers(client):
    return [Offer("POST", "/v1/sales", json={"item": "tea"}, keyed=True)]
"""
TILL = (HERE.parent / "load" / "till.py").read_text()
TINY = (HERE / "tiny.py").read_text() + "\ntill = tiny\n"
SHORT = ("--seconds", "0.5", "--patience", "60")


def write(cli: Cli, traffic: str, *, system: str = TILL) -> None:
    """Write the package `till`, with its traffic."""
    package = cli.folder / "till"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "system.py").write_text(system)
    (package / "traffic.py").write_text(traffic)


def fates(tier: Any) -> int:
    """Return of how many requests it is known what became of them, but for the good ones."""
    refused: int = tier["refused_429"] + tier["refused_503"]
    return refused + int(tier["late"]) + int(sum(tier["errors"].values()))


def test_each_request_of_each_tier_is_counted(cli: Cli) -> None:
    """The system is started, every level is offered what it says, and nothing is left behind."""
    write(cli, TRAFFIC)

    done = cli("load", "till", "--rate", "100,0.5x", *SHORT, "--json", "--out", "out")

    assert done.code == 0, done.err
    report = done.json()
    assert report["system"] == "till"
    assert len(report["rounds"]) == 3 and all(one["good"] > 0 for one in report["rounds"])
    assert [level["pace"] for level in report["levels"]] == ["100", "0.5x"]
    for level in report["levels"]:
        critical, bulk, whole = level["tiers"]
        assert [critical["tier"], bulk["tier"], whole["tier"]] == ["critical", "bulk", "all"]
        for tier in level["tiers"]:
            good, offered = (
                round(tier[name] * level["seconds"]) for name in ("good_per_s", "offered_per_s")
            )
            assert good + fates(tier) == offered
        assert level["settled_s"] == 0
    critical, bulk, whole = report["levels"][0]["tiers"]
    halves = [round(tier["offered_per_s"] * 0.5) for tier in (critical, bulk, whole)]
    assert halves[2] == 50 and halves[0] in (37, 38) and halves[0] + halves[1] == 50
    assert sorted(os.listdir(cli.folder / "out")) == ["load.json", "load.png", "load.svg"]
    assert json.loads((cli.folder / "out" / "load.json").read_text()) == report
    assert os.listdir(cli.folder / ".holdfast") == []


def test_a_system_that_runs_gets_fresh_keys(cli: Cli, serve: Callable[..., Server]) -> None:
    """Each good answer was a sale of its own: no request was a repetition of another."""
    write(cli, SELLING)
    server = serve("run", "till")

    done = cli(
        *("load", "till", "--url", f"http://{server.address}", "--rate", "40", *SHORT, "--json"),
        *("--connections", "4"),
    )

    assert done.code == 0, done.err
    report = done.json()
    [level] = report["levels"]
    good = round(level["tiers"][-1]["good_per_s"] * level["seconds"])
    assert good + fates(level["tiers"][-1]) == 20
    assert server.get("/v1/sales")["count"] >= good + sum(one["good"] for one in report["rounds"])


def test_a_table_for_programs(cli: Cli, serve: Callable[..., Server]) -> None:
    """In a pipe tabs part its cells and their titles; stderr says what is done, and how long."""
    write(cli, SELLING)
    server = serve("run", "till")

    done = cli("load", "till", "--url", f"http://{server.address}", "--rate", "40", *SHORT)

    assert done.code == 0, done.err
    capacity, titles, level = done.rows
    assert capacity[0] == "capacity" and capacity[1].endswith("/s")
    assert titles[:4] == ["rate", "tier", "offered", "good"] and len(titles) == 13
    assert level[:3] == ["40", "all", "40"] and len(level) == 13
    assert "looking for the capacity of till at http://127.0.0.1" in done.err
    assert (
        "all of it takes at least 8 s\n" in done.err
    )  # 0.25, 3 x 0.5 and 0.5, and quiet five times


def test_nothing_that_is_answered_well_is_no_capacity(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """The first answer is told."""
    write(cli, SELLING.replace("keyed=True", "keyed=True, good=[418]"))
    server = serve("run", "till")

    done = cli.quick("load", "till", "--url", f"http://{server.address}", *SHORT)

    assert (done.code, done.out) == (1, "")
    assert "none was answered well; the first: 201 {" in done.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--rate", "quick"), "--rate: 'quick' is no rate; write 300 for 300 requests a second"),
        (("--url", "http://127.0.0.1:{port}"), "nothing answers at http://127.0.0.1:"),
        (("--url", "till.example"), "--url: an origin is http(s)://host[:port]"),
        (("--url", "http://a", "--on", "nats"), "--on is for the system that is started here"),
        (("--data", "x"), "--data and --ops are about the system of --url"),
        (("--connections", "60000"), "60000 connections need 60100 open files"),
    ],
)
def test_what_is_typed_wrong_is_one_line(
    cli: Cli, arguments: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to write, and nothing is started."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, 4_096))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    write(cli, TRAFFIC)

    done = cli.quick("load", "till", *(a.format(port=free_port()) for a in arguments))

    assert done.code in (1, 2) and done.out == ""
    [said] = done.err.splitlines()
    assert line in said
    assert not (cli.folder / ".holdfast").exists()


def test_a_system_without_traffic_is_told_what_to_write(cli: Cli) -> None:
    """The decorator and the module."""
    write(cli, "")

    done = cli.quick("load", "till")

    assert done.code == 2
    assert "till declares no traffic: write `@till.traffic` above an async function in" in done.err


REFUSED = {
    '[Offer("GET", "/v1/nothing")]': "GET /v1/nothing: there is no route /v1/nothing",
    '[Offer("PUT", "/v1/sales")]': "PUT /v1/sales: /v1/sales does not serve PUT",
    '[Offer("GET", "v1")]': "shoppers raised ValueError: 'v1' is no path",
    "[]": "shoppers offers nothing; return at least one Offer",
    "None": "shoppers returned NoneType: no list of Offer",
    '["GET /"]': "shoppers returned list: no list of Offer",
    "await client.get(1)": "shoppers raised AttributeError: ",
}
"""{what traffic returns: what is said of it}."""


def test_traffic_that_cannot_be_asked_is_refused(cli: Cli, serve: Callable[..., Server]) -> None:
    """Before the clock starts, in one line."""
    write(cli, SELLING)
    server = serve("run", "till")

    for returned, line in REFUSED.items():
        write(cli, SELLING.partition("    return")[0] + f"    return {returned}\n")
        done = cli.quick("load", "till", "--url", f"http://{server.address}")

        assert (done.code, done.out) == (1, "")
        assert line in done.err


def test_a_third_party_is_not_put_under_load(cli: Cli) -> None:
    """Without a stand-in and without a URL of its own nothing is started."""
    write(cli, SELLING, system=TINY)

    done = cli.quick("load", "till")

    assert done.code == 1
    assert "shed reaches fax at http://127.0.0.1:9, which must not get the load" in done.err
    assert not Path(cli.folder / ".holdfast").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_finds_nothing_left(cli: Cli, number: signal.Signals) -> None:
    """The system is stopped too, and its data folder removed."""
    write(cli, SELLING)
    process = subprocess.Popen(
        [*COMMAND, "load", "till", "--rate", "10", "--seconds", "3600"],
        cwd=cli.folder,
        env=cli.environ({}),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "looking for the capacity of till at" in process.stderr.readline()
    [folder] = (cli.folder / ".holdfast").iterdir()
    assert DataFolder(folder / "data").is_owned()

    process.send_signal(number)

    assert process.communicate() == (None, "holdfast: stopped\n")
    assert process.returncode == 130
    assert os.listdir(cli.folder / ".holdfast") == []
    assert not DataFolder(folder / "data").is_owned()
