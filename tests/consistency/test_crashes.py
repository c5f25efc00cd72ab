"""An order survives a crash, an amnesia of the broker and double deliveries at every step.

First an undisturbed run counts the steps that the outside can see (commits, parcels, charges);
then the same order runs once for each of them, and is struck there.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.errors import TransactionLost
from tests.ablations.off import off
from tests.consistency.faults import Plan, drop_all
from tests.consistency.messages import Declined, Pay
from tests.consistency.sagas import checkout
from tests.consistency.world import Reaching, World
from tests.virtual_loop import run_virtual

Effects = dict[str, list[str]]
Story = Callable[[World], None]
ONCE: Effects = {"shop": ["placed", "confirmed"], "stock": ["take"], "money": ["pay"]}
UNDONE: Effects = {
    "shop": ["placed", "cancelled: Declined"],
    "stock": ["take", "give back"],
    "money": [],
}


def goes_well(world: World) -> None:
    """An order as it should be."""
    world.saga(checkout)


def is_declined(world: World) -> None:
    """The till takes the money and the handler refuses it."""
    world.saga(checkout)

    async def decline(command: Pay, tx: object, outside: Reaching) -> int:
        await outside.charge(command.cents)
        raise Declined(why="limit")

    world.handlers[Pay] = decline


async def play(
    folder: Path,
    story: Story,
    strike: Callable[[World], None],
    at: int | None,
    safe: Safeguards = ALL_ON,
) -> tuple[World, Effects, Plan]:
    """Run one order, struck at one step; return what came of it."""
    schedule = Schedule(
        saga_timeout_ms=600_000, resend_ms=2_000, resend_cap_ms=8_000, lease_ms=10_000
    )
    world = World(folder, schedule, safe)
    story(world)
    await world.start()
    strike(world)
    world.plan.at = at
    world.plan.log.clear()
    placed = asyncio.create_task(world.begin(checkout))
    await world.settle(200)
    placed.cancel()
    await asyncio.gather(placed, return_exceptions=True)
    effects = await world.all_effects()
    busy = await world.busy()
    plan = world.plan
    await world.end()
    assert not busy or safe is not ALL_ON, f"step {at}: something still waits"
    return world, effects, plan


def kill(world: World) -> None:
    """Let the process die there."""
    world.plan.strike = world.kill


def amnesia(world: World) -> None:
    """Let the broker lose everything for five seconds from there on."""

    async def forget(where: str) -> None:
        usual, world.broker.fate = world.broker.fate, drop_all
        asyncio.get_running_loop().call_later(5.0, setattr, world.broker, "fate", usual)

    world.plan.strike = forget


def steps_of(folder: Path, story: Story) -> int:
    """Return how many steps an undisturbed order has."""
    seen: list[int] = []

    def nothing(world: World) -> None:
        world.plan.strike = None

    async def main() -> None:
        schedule = Schedule()
        world = World(folder / "plain", schedule)
        (folder / "plain").mkdir()
        story(world)
        await world.start()
        world.plan.log.clear()
        await world.begin(checkout)
        while not world.ended:
            await world.pass_time(0.1)
        seen.append(len(world.plan.log))
        await world.end()

    run_virtual(main())
    return seen[0]


def lose(world: World) -> None:
    """Let the database lose the transaction there; a parcel or a charge is not disturbed."""

    async def fail(where: str) -> None:
        if where.endswith("before commit"):
            raise TransactionLost("struck")

    world.plan.strike = fail


@pytest.mark.parametrize("strike", [kill, amnesia, lose])
@pytest.mark.parametrize(("story", "expected"), [(goes_well, ONCE), (is_declined, UNDONE)])
def test_an_order_survives_at_every_step(
    tmp_path: Path, story: Story, expected: Effects, strike: Callable[[World], None]
) -> None:
    """Wherever it is struck: each effect once, or none if the order was never committed."""
    struck: list[str] = []
    for at in range(steps_of(tmp_path, story) + 4):
        folder = tmp_path / str(at)
        folder.mkdir()
        world, effects, plan = run_virtual(play(folder, story, strike, at))
        never_placed = effects == {"shop": [], "stock": [], "money": []}
        struck.append(plan.log[at] if at < len(plan.log) else "")

        assert effects == expected or (never_placed and struck[-1] == "shop: before commit"), (
            f"struck at step {at} ({struck[-1]}): {effects}"
        )
        assert len(world.till.charges) == (not never_placed)
    assert len(set(struck)) >= 8, "the steps are of many kinds"


def twice(to: str, lane: str, parcel: bytes) -> Sequence[bool]:
    """Deliver every parcel twice, and say nothing of it."""
    return (False, False)


def again(to: str, lane: str, parcel: bytes) -> Sequence[bool]:
    """Deliver every parcel twice, the second time marked."""
    return (False, True)


def only_again(to: str, lane: str, parcel: bytes) -> Sequence[bool]:
    """Deliver every parcel as if it had been delivered before."""
    return (True,)


@pytest.mark.parametrize("fate", [twice, again, only_again])
@pytest.mark.parametrize(("story", "expected"), [(goes_well, ONCE), (is_declined, UNDONE)])
def test_every_parcel_twice_has_one_effect(
    tmp_path: Path,
    story: Story,
    expected: Effects,
    fate: Callable[[str, str, bytes], Sequence[bool]],
) -> None:
    """A repeated letter is answered from its row, a repeated answer finds no row."""

    def repeat(world: World) -> None:
        world.broker.fate = fate

    world, effects, _ = run_virtual(play(tmp_path, story, repeat, None))

    assert effects == expected
    assert len(world.till.charges) == 1


@pytest.mark.parametrize(
    ("switch", "strike", "most"),
    [
        ("send_until_answered", amnesia, 12),
        ("answer_again", amnesia, 12),
        ("record_with_effect", kill, 22),
        ("send_after_commit", lose, 1),
        ("answer_after_commit", lose, 12),
    ],
)
def test_without_a_safeguard_some_step_breaks_the_order(
    tmp_path: Path, switch: str, strike: Callable[[World], None], most: int
) -> None:
    """Switched off: an effect is lost, or there are two of it, or nothing ends."""
    for at in range(most):
        folder = tmp_path / str(at)
        folder.mkdir()
        with off(switch) as safe:
            _, effects, _ = run_virtual(play(folder, goes_well, strike, at, safe))
        if effects not in (ONCE, {"shop": [], "stock": [], "money": []}):
            return
    raise AssertionError(f"{switch} was switched off, and nobody noticed")
