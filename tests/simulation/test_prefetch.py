"""A process takes from the broker what it can finish: what it cannot, another has done by then."""

from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Uuid, select

from holdfast import Command, Model, Service, System, Tx
from holdfast.resilience import AdaptivePrefetch
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.node import NODE
from holdfast.simulation.run import run

SLOW_S, QUICK_S = 1.0, 0.01
SHEETS = 200


class Print(Command[None]):
    """A sheet to be printed."""

    sheet: UUID


class Sheet(Model):
    """A sheet."""

    id: UUID


_printed = MetaData()
printed = Table("sheet", _printed, Column("id", Integer, primary_key=True), Column("sheet", Uuid))
press = Service("press", tables=_printed)
office = Service("office", tables=MetaData(), calls=[Print])


@press.handles
async def print_sheet(command: Print, tx: Tx) -> None:
    """Print it; one of the presses computes for a second."""
    node = NODE.get()
    assert node is not None
    node.spend(SLOW_S if node.name == "press-1" else QUICK_S)
    tx.insert(printed, sheet=command.sheet)


@office.post("/v1/sheets", status_code=202, public=True)
async def order(body: Sheet, tx: Tx) -> None:
    """Have one printed."""
    tx.send(Print(sheet=body.id))


works = System("works", services=[press, office])


@works.workload
async def clients(client: Client) -> None:
    """Have sheets printed, ten a second."""
    for number in range(client.size):
        body = {"id": str(UUID(int=number))}
        assert (await client.post("/v1/sheets", json=body, key=f"sheet-{number}")).status == 202
        await client.sleep(0.1)


@works.invariant
def each_sheet_is_printed(world: World) -> None:
    """By either press, and once."""
    found = [row.sheet for row in world.rows("press", select(printed))]
    assert sorted(found) == [UUID(int=number) for number in range(world.setup.size)]


def taken(seed: int) -> Counter[str]:
    """Return how many parcels each press took."""
    outcome = run(works, seed, Setup(size=SHEETS, replicas={"press": 2}), [])
    assert not outcome.violations
    parcels = [one for one in outcome.history.of("broker.deliver") if one.fields["lane"] == "work"]
    return Counter(str(one.fields["to"]) for one in parcels)


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_slow_takes_less(seed: int) -> None:
    """So little waits at a slow process until it is sent to the other one as well."""
    count = taken(seed)

    assert count["press-1"] < SHEETS / 4
    assert count.total() < SHEETS * 1.15


def test_without_it_the_slow_one_hoards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the first one can fail: it takes as many as the broker gives."""
    monkeypatch.setattr(AdaptivePrefetch, "allowed", lambda self, under_way: 64)

    count = taken(0)

    assert count["press-1"] > SHEETS / 4
    assert count.total() > SHEETS * 1.15
