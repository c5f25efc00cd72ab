"""Before a deployment: what is under way that the new version does not know."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from holdfast.testing import running
from tests.cli.conftest import Cli

TRIPS = """
from datetime import timedelta
from holdfast import Command, Model, Saga, Service, System, Tx

class Wish(Model):
    n: int

desk = Service("desk")

@desk.saga{saga}
async def {travel}(saga: Saga, wish: Wish) -> None:
    await saga.sleep(timedelta(days=1))

@desk.every(timedelta(days=1){job})
async def {sweep}(tx: Tx) -> None: ...

system = System("trips", services=[desk])
"""
OLD = {"saga": "", "travel": "travel", "job": "", "sweep": "sweep"}
NEW = OLD | {"travel": "journey", "sweep": "tidy"}
KNOWING = NEW | {"saga": "(was='travel')", "job": ", was='sweep'"}


def loaded(path: Path) -> Any:
    """Return a module that is kept nowhere: there are several of its name within one second."""
    module = ModuleType("trips_before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)  # generic classes look for theirs
        exec(compile(path.read_text(), str(path), "exec"), vars(module))
    return module


async def run_before(path: Path, data: Path) -> None:
    """Run the version of a file on a data folder, and leave a saga asleep in it."""
    trips = loaded(path)
    async with running(trips.system, data=data), trips.desk.begin() as tx:
        tx.start(trips.travel, trips.Wish(n=1))


def test_what_a_version_would_leave_alone_is_found_before_it_runs(cli: Cli) -> None:
    """Each with its remedy; with the names that it had everything is known, and nothing written."""
    file, data = cli.folder / "trips.py", cli.folder / "data"
    file.write_text(TRIPS.format(**OLD))
    asyncio.run(run_before(file, data))
    same = cli.quick("check", "trips", "--data", str(data))
    file.write_text(TRIPS.format(**NEW))
    alone = cli.quick("check", "trips")
    before = (data / "desk.db").read_bytes()
    renamed = cli.quick("check", "trips", "--data", str(data))
    after = (data / "desk.db").read_bytes()
    file.write_text(TRIPS.format(**KNOWING))
    knowing = cli.quick("check", "trips", "--data", str(data))
    elsewhere = cli.quick("check", "trips", "--data", str(cli.folder / "nothing"))

    assert [done.code for done in (same, alone, renamed, knowing, elsewhere)] == [0, 0, 1, 0, 0]
    assert same.out == "ok: 1 service, 0 edges; looked into 1 database\n"
    assert alone.out == "ok: 1 service, 0 edges\n"
    assert elsewhere.out == "ok: 1 service, 0 edges; looked into 0 databases\n"
    assert renamed.out.splitlines() == [
        "desk: 1 saga travel, which this version does not have; keep the function until they have "
        "ended, or write `@desk.saga(was='travel')` above the one that goes on with them",
        "desk: the job sweep has a tick to come, and this version no such job; write `was='sweep'` "
        "at the job that took its place, or `Service('desk', gone=['sweep'])` if it is gone for "
        "good",
    ]
    assert before == after


def test_a_saga_that_a_version_does_not_know_is_listed_as_parked(cli: Cli) -> None:
    """Not as running; with the name that it had it is running again, and nobody had to retry it."""
    file, data = cli.folder / "trips.py", cli.folder / "data"
    file.write_text(TRIPS.format(**OLD))
    asyncio.run(run_before(file, data))
    parked = ("sagas", "list", "trips", "--state", "parked", "--json", "--data", str(data))
    running_ = ("sagas", "list", "trips", "--state", "running", "--json", "--data", str(data))
    file.write_text(TRIPS.format(**NEW))
    unknown = [cli.quick(*parked).json(), cli.quick(*running_).json()]
    file.write_text(TRIPS.format(**KNOWING))
    known = [cli.quick(*parked).json(), cli.quick(*running_).json()]

    assert [[saga["type"] for saga in found] for found in unknown] == [["travel"], []]
    assert unknown[0][0]["error"].startswith("waits for a version that knows it: saga travel ")
    assert [[saga["type"] for saga in found] for found in known] == [[], ["travel"]]


ORDERS = """
from holdfast import Command, Service, System, Tx

class Charge(Command[None]): ...

shop = Service("shop"{calls})
till = Service("till")

@till.handles
async def charge(command: Charge, tx: Tx) -> None: ...

system = System("orders", services=[shop, till])
"""


async def leave_a_letter(path: Path, data: Path) -> None:
    """Run the version of a file, and leave a command of shop without an answer."""
    orders = loaded(path)
    async with running(orders.system, data=data), orders.shop.begin() as tx:
        tx.send(orders.Charge(), delay=timedelta(days=1))


def test_an_edge_whose_letters_are_not_answered_is_missed(cli: Cli) -> None:
    """Before a version runs that has it no more: nobody would take those letters."""
    file, data = cli.folder / "orders.py", cli.folder / "data"
    file.write_text(ORDERS.format(calls=", calls=[Charge]"))
    asyncio.run(leave_a_letter(file, data))
    same = cli.quick("check", "orders", "--data", str(data))
    file.write_text(ORDERS.format(calls=""))
    without = cli.quick("check", "orders", "--data", str(data))

    assert (same.code, without.code) == (0, 1)
    assert without.out == (
        "shop: 1 letter Charge.v1 to till without an answer, and the graph has no such edge any "
        "more: write `calls=[Charge]` in shop again until they are answered\n"
    )
