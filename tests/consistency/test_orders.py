"""Whole orders through three services: the way that all goes well, and refusals."""

from holdfast.consistency.unit import Unit
from tests.consistency.messages import Declined, Pay
from tests.consistency.sagas import checkout
from tests.consistency.world import Reaching, World, effect

DONE = {"shop": ["placed", "confirmed"], "stock": ["take"], "money": ["pay"]}


async def test_an_order_goes_through_two_services(world: World) -> None:
    """Both commands have their effect, the saga completes, and nothing is left to send."""
    world.saga(checkout)
    await world.start()
    await world.begin(checkout)
    await world.settle()

    assert world.ended == [("checkout", "completed")]
    assert await world.all_effects() == DONE
    assert [await core.out_rows() for core in world.cores.values()] == [[], [], []]


async def test_a_declined_card_gives_the_goods_back(world: World) -> None:
    """A refusal is an answer: what was done before is undone, and the refused step is not."""

    async def decline(command: Pay, tx: Unit, outside: Reaching) -> int:
        await effect("money", "rolled back")(command, tx, outside)
        raise Declined(why="limit")

    world.handlers[Pay] = decline
    world.saga(checkout)
    await world.start()
    await world.begin(checkout)
    await world.settle()

    assert world.ended == [("checkout", "completed")]
    assert await world.all_effects() == {
        "shop": ["placed", "cancelled: Declined"],
        "stock": ["take", "give back"],
        "money": [],
    }
