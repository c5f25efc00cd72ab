"""What is stored of the calls that a handler makes outside: each in its place, in any order."""

from random import Random

import pytest

from holdfast.consistency.delivery import NOT_MADE, OtherBytes
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import State
from holdfast.errors import CallError
from tests.consistency.messages import Note, Pay
from tests.consistency.world import Reaching, World, effect


@pytest.mark.parametrize("seed", range(6))
async def test_each_call_is_stored_in_its_place(world: World, seed: int) -> None:
    """Whichever is committed first, and whichever turns out not to have left."""
    drawn, count = Random(seed), 5
    digests = [drawn.randbytes(8) for _ in range(count)]
    order, back = drawn.sample(range(count), count), set(drawn.sample(range(count), 2))
    seen: list[list[bytes]] = []
    refused: list[int] = []
    expected = [NOT_MADE if n in back else digest for n, digest in enumerate(digests)]

    async def pay(command: Pay, tx: Unit, outside: Reaching) -> int:
        delivery = outside.delivery
        seen.append([delivery.made(n) for n in range(count)])
        if len(seen) == 1:
            for number in order:
                assert not await delivery.reach(digests[number], number, 60.0)
            for number in back:
                delivery.not_sent(number)
            raise LookupError("not yet")
        for number in set(range(count)) - back:
            assert await delivery.reach(digests[number], number, 60.0), "an earlier try made it"
            try:
                await delivery.reach(bytes(reversed(digests[number])), number, 60.0)
            except OtherBytes:
                refused.append(number)
        await effect("money", "pay")(command, tx, outside)
        return 5

    world.handlers[Pay] = pay
    await world.start()
    await world.send(Pay())
    await world.pass_time(0.1)
    [row] = await world["money"].rows(State.DUE)
    await world.pass_time(5)

    assert seen == [[NOT_MADE] * count, expected]
    assert row.hash == b"".join(expected)
    assert sorted(refused) == sorted(set(range(count)) - back)
    assert await world["money"].effects() == ["pay"]


@pytest.mark.parametrize("lives", [(60.0, 20.0, 40.0), (20.0, 60.0, 40.0)])
@pytest.mark.parametrize("back", [(), (0,), (0, 1, 2)])
async def test_the_shortest_life_of_a_key_counts(
    world: World, lives: tuple[float, ...], back: tuple[int, ...]
) -> None:
    """Of those that were made; where nothing of any call has left, no key is known to anybody."""

    async def pay(command: Pay, tx: Unit, outside: Reaching) -> int:
        for number, life_s in enumerate(lives):
            await outside.delivery.reach(bytes([number + 1]) * 8, number, life_s)
        for number in back:
            outside.delivery.not_sent(number)
        raise LookupError("not yet")

    world.handlers[Pay] = pay
    await world.start()
    before = world["money"].database.now_ms()
    await world.send(Pay())
    await world.pass_time(0.1)
    [row] = await world["money"].rows(State.DUE)

    assert row.reached
    if len(back) == len(lives):
        assert row.expires_at is None
    else:
        assert row.expires_at is not None and 0 <= row.expires_at - before - 20_000 < 100


async def test_each_try_is_told_from_every_other_one(world: World) -> None:
    """The first by 1; the others by their claims: one that is given back counts as no try."""
    world.broker.fate = lambda to, lane, parcel: (True,)
    raised: list[Exception] = [LookupError("a bug"), CallError("away"), CallError("away")]
    raised += [LookupError("a bug"), CallError("away")]
    claims: list[int] = []

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        claims.append(outside.delivery.claim)
        if len(claims) <= len(raised):
            raise raised[len(claims) - 1]
        await effect("money", "note")(command, tx, outside)

    world.handlers[Note] = note
    await world.start()
    began_at = world["money"].database.now_ms()
    await world.send(Note())
    await world.settle(120)

    assert claims[0] == 1
    assert len(set(claims)) == len(claims) == len(raised) + 1
    assert sorted(claims) == claims and claims[1] > began_at
    assert await world["money"].effects() == ["note"]
