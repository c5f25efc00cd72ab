"""A system for the simulator: a till that counts coins, and one that counts them badly."""

import os

from sqlalchemy import Column, Integer, MetaData, Table, func, select

from holdfast import Command, Model, Service, System, Tx
from holdfast.simulation import Client, World


class Drop(Command[None]):
    """Drop a coin."""

    cents: int


class Lift(Command[None]):
    """Take a coin out, which nobody does."""


class Coin(Model):
    """A coin."""

    cents: int


metadata = MetaData()
coin_table = Table(
    "coin", metadata, Column("number", Integer, primary_key=True), Column("cents", Integer)
)
till = Service("till", tables=metadata)
hand = Service("hand", calls=[Drop])
counted: list[int] = []  # not in a transaction, as one would write it in a hurry


@till.handles
async def drop(command: Drop, tx: Tx) -> None:
    """Take a coin."""
    counted.append(command.cents)
    tx.insert(coin_table, cents=command.cents)


@till.handles
async def lift(command: Lift, tx: Tx) -> None:
    """Give a coin back."""


@hand.post("/v1/coins", status_code=202, public=True)
async def give(body: Coin, tx: Tx) -> None:
    """Give a coin."""
    tx.send(Drop(cents=body.cents))


counting = System("counting", services=[till, hand])


@counting.workload
async def coins(client: Client) -> None:
    """Give some coins."""
    counted.clear()
    if "COUNT_BEGUN" in os.environ:
        with open(os.environ["COUNT_BEGUN"], "a") as begun:
            begun.write(".")
    if "COUNT_BROKEN" in os.environ:
        print({}["coins"])
    for number in range(client.size):
        await client.post("/v1/coins", json={"cents": number}, key=f"coin-{number}")


@counting.invariant
def every_coin_is_in_the_till(world: World) -> None:
    """The sum in the table is the sum of what was given."""
    (cents,) = world.rows("till", select(func.sum(coin_table.c.cents)))[0]
    assert cents == sum(range(world.setup.size)), f"{cents} cents are in the till"
    if "COUNT_BADLY" in os.environ:
        assert sum(counted) == cents, f"{sum(counted)} cents were counted, {cents} are there"
