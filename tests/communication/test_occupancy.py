"""One address cannot take all places of a server."""

import asyncio
from random import Random

from holdfast.communication import Occupancy

from .conftest import Serve
from .payloads import GET


async def test_one_address_has_so_many_connections(serve: Serve) -> None:
    """One more is answered, closed and counted; a place is free again when one closes."""
    served = await serve(occupancy=Occupancy(2))
    first, _ = [await served.open() for _ in range(2)]
    await served.until(lambda: served.server.stats().connections == 2)

    third = await served.open()
    answer = await third.answer()
    assert (answer.status, answer.headers["connection"]) == (429, "close")
    assert b"too_many_of_address" in answer.body
    assert await third.rest() == b""
    assert served.server.stats().refused == {"too_many_of_address": 1}

    first.writer.close()
    await served.until(lambda: served.server.stats().connections == 1)
    assert (await served.ask(GET + b"\r\n")).status == 200


async def test_a_lost_connection_counts_until_its_handler_ends(serve: Serve) -> None:
    """Who connects, asks and goes, again and again, takes no more of the server than others."""
    gate, entered = asyncio.Event(), asyncio.Event()

    async def handler(request: object) -> object:
        entered.set()
        await gate.wait()
        raise KeyError

    served = await serve(handler, occupancy=Occupancy(1), on_error=lambda *_: None)
    wire = await served.open()
    wire.send(GET + b"\r\n")
    await entered.wait()
    wire.reset()

    assert (await (await served.open()).answer()).status == 429
    gate.set()
    await served.until(lambda: not served.server.stats().connections)
    wire = await served.open()
    wire.send(GET + b"\r\n")
    assert (await wire.answer()).status == 500


async def test_who_is_not_counted_may_have_more(serve: Serve) -> None:
    """A proxy that is trusted brings everybody's requests."""
    served = await serve(occupancy=Occupancy(1, lambda address: ""))

    assert [(await served.ask(GET + b"\r\n")).status for _ in range(3)] == [200] * 3


def test_whoever_comes_and_goes_leaves_nothing() -> None:
    """Each address has what it has open, and one without any is forgotten."""
    chance = Random(1)
    occupancy = Occupancy(3, lambda address: address if address != "proxy" else "")
    names = ["a", "b", "proxy"]
    inside: list[str] = []
    for _ in range(1_000):
        name = chance.choice(names)
        if chance.random() < 0.5:
            may = name == "proxy" or inside.count(name) < 3
            assert occupancy.try_enter(name) is may
            inside += [name] * may
        elif name in inside:
            occupancy.leave(name)
            inside.remove(name)
    for name in inside:
        occupancy.leave(name)

    assert occupancy.counted == 0
