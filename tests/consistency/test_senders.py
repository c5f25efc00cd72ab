"""Who may send a service what: the broker says who sent it, the graph what that one may send."""

import asyncio
from typing import Any

import msgspec
import pytest

from holdfast.consistency.senders import NotTaken
from holdfast.contract.envelope import (
    HTTP,
    EdgeRow,
    Kind,
    Lane,
    Letter,
    LetterAnswer,
    Outcome,
    Parcel,
    State,
)
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.storage import MessageFilter
from tests.consistency.faults import dropping
from tests.consistency.messages import Note, Order, Pay, Shipped, Take
from tests.consistency.sagas import checkout
from tests.consistency.world import World, effect

NOTE = Note.wire_name()


def parcel_of(
    world: World,
    *,
    kind: Kind = Kind.COMMAND,
    type: str = NOTE,
    body: bytes = b"{}",
    sender: str = "shop",
    receiver: str = "money",
    lane: Lane = Lane.WORK,
    **more: Any,
) -> Parcel:
    """Return a parcel with one letter, for `money` by default."""
    id_ = world["money"].ledger.ids.uuid7(int(world["money"].ledger.clock.now() * 1000))
    letter = Letter(id_, kind, type, msgspec.Raw(body), about=id_)
    return Parcel(
        sender, receiver, lane, letters=[msgspec.Raw(msgspec.json.encode(letter))], **more
    )


async def deliver(
    world: World, to: str, parcel: Parcel, sender: str, *, again: bool = False
) -> None:
    """Bring a parcel of somebody's, and let it be worked on."""
    inbox = world[to].inbox
    await inbox.deliver(msgspec.json.encode(parcel), again, sender)
    await asyncio.sleep(3)


def refused(world: World, service: str = "money") -> dict[NotTaken, int]:
    """Return what a service has refused."""
    return dict(world[service].inbox.refused)


async def kept(world: World, service: str = "money") -> list[Any]:
    """Return the rows of others' letters, and what handlers wrote."""
    found = await world[service].database.messages(MessageFilter(limit=100))
    return [row.kind for row in found if row.kind is not Kind.REQUEST] + await world[
        service
    ].effects()


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("on", [True, False])
async def test_a_parcel_is_from_whom_the_broker_says(world: World, on: bool, again: bool) -> None:
    """The stock writes the shop's name on a parcel: nothing is written, and it is not kept."""
    if not on:
        world.switch_off("authenticate_senders")
    await world.start()
    await deliver(world, "money", parcel_of(world), "stock", again=again)
    await world.pass_time(10)

    assert refused(world) == ({NotTaken.SENDER: 1} if on else {})
    assert ("note" in await kept(world)) is not on
    if on:
        assert await kept(world) == []
        event, fields = world.notices[-1]
        assert (event, fields["sender"], fields["says"]) == (
            "letter.refused",
            "stock",
            "shop to money",
        )


@pytest.mark.parametrize(
    ("parcel", "sender", "why"),
    [
        pytest.param({"receiver": "stock"}, "shop", NotTaken.ADDRESS, id="for another"),
        pytest.param({"sender": "stock"}, "stock", NotTaken.EDGE, id="no edge"),
        pytest.param({"sender": "stock", "lane": Lane.URGENT}, "stock", NotTaken.EDGE, id="urgent"),
        pytest.param({"sender": HTTP}, HTTP, NotTaken.EDGE, id="as the requests' own sender"),
        pytest.param({"sender": HTTP}, "", NotTaken.EDGE, id="so, by a broker that knows nobody"),
        pytest.param({"sender": "money"}, "money", NotTaken.EDGE, id="to oneself"),
        pytest.param(
            {"type": Take.wire_name(), "receiver": "stock"}, "shop", NotTaken.ADDRESS, id="x"
        ),
        pytest.param({"kind": Kind.EVENT}, "shop", NotTaken.MESSAGE, id="a command as an event"),
        pytest.param({"kind": Kind.UNDO}, "shop", NotTaken.MESSAGE, id="a command as an undo"),
        pytest.param({"kind": Kind.TICK}, "shop", NotTaken.MESSAGE, id="a tick"),
        pytest.param({"kind": Kind.TICK, "type": "new"}, "shop", NotTaken.MESSAGE, id="a new tick"),
        pytest.param({"kind": Kind.TIMER, "type": "x"}, "shop", NotTaken.MESSAGE, id="a timer"),
        pytest.param({"kind": Kind.COMMIT, "type": "x"}, "shop", NotTaken.MESSAGE, id="a commit"),
    ],
)
@pytest.mark.parametrize("again", [False, True])
async def test_what_is_along_no_edge_leaves_nothing(
    world: World, parcel: dict[str, Any], sender: str, why: NotTaken, again: bool
) -> None:
    """It is counted by its reason, told, and not kept: neither row, nor floor, nor effect."""
    await world.start()
    floor = world["money"].ledger.ids.uuid7(4_000_000_000_000)  # the year 2096
    more = {} if why is NotTaken.MESSAGE else {"floor": floor}
    await deliver(world, "money", parcel_of(world, **parcel, **more), sender, again=again)

    assert refused(world) == {why: 1}
    assert await kept(world) == []
    assert floor not in {edge.floor for edge in await edges(world)}


async def edges(world: World) -> list[EdgeRow]:
    """Return the edges of `money` as they are stored now."""
    database = SqliteDatabase(world.folder / "money.db", world["money"].ledger.clock)
    found = await database.look()
    await database.close()
    return found


async def test_the_allowed_letters_of_a_parcel_are_taken(world: World) -> None:
    """One of them is along no edge; the other is handled."""
    await world.start()
    good, bad = parcel_of(world), parcel_of(world, kind=Kind.EVENT, type=Pay.wire_name())
    both = Parcel("shop", "money", Lane.WORK, letters=[*bad.letters, *good.letters])
    await deliver(world, "money", both, "shop")

    assert refused(world) == {NotTaken.MESSAGE: 1}
    assert await world["money"].effects() == ["note"]
    assert world.notices[-1][1]["types"] == "event Pay.v1"


@pytest.mark.parametrize("on", [True, False])
async def test_who_may_send_one_thing_may_not_send_anything(world: World, on: bool) -> None:
    """The stock has an edge to the shop, for its event; a command is none of it."""
    if not on:
        world.switch_off("allowed_letters")
    world.handlers[Note] = effect("shop", "note")
    await world.start()
    shop = world["shop"]
    shop.hands[NOTE] = world["money"].hands[NOTE]
    forged = parcel_of(world, sender="stock", receiver="shop")
    known = frozenset({NOTE, Shipped.wire_name()})
    object.__setattr__(shop.duties.senders, "known", known)  # a service that takes both
    await deliver(world, "shop", forged, "stock")

    assert refused(world, "shop") == ({NotTaken.MESSAGE: 1} if on else {})
    assert (await world["shop"].effects() == ["note"]) is not on


@pytest.mark.parametrize(
    ("sender", "outcome", "taken"),
    [
        ("stock", "reply", True),
        ("money", "reply", False),
        ("shop", "reply", False),
        ("shop", "expired", True),
        ("stock", "expired", False),
        ("money", "expired", False),
        ("", "reply", True),
    ],
)
async def test_who_handles_a_letter_answers_it(
    world: World, sender: str, outcome: Outcome, taken: bool
) -> None:
    """Nobody answers for the stock; and that time is over, nobody but the shop says."""
    world.saga(checkout)
    world.broker.fate = dropping("answers")
    await world.start()
    await world.begin(checkout, Order())
    await world.pass_time(1)
    [row] = await world["shop"].out_rows()
    answer = LetterAnswer(row.id, outcome, msgspec.Raw(b'{"shelf": 1}'))
    await deliver(world, "shop", Parcel("shop", "stock", Lane.WORK, answers=[answer]), sender)
    [left] = [r for r in await world["shop"].out_rows() if r.id == row.id] or [None]

    assert refused(world, "shop") == ({} if taken else {NotTaken.SENDER: 1})
    assert (left is None) is (taken and outcome == "reply")


async def test_answers_for_another_are_not_taken(world: World) -> None:
    """A parcel of answers to the stock's letters has nothing to do in the shop."""
    await world.start()
    answer = LetterAnswer(world["shop"].ledger.ids.uuid7(0), "reply")
    stray = Parcel("stock", "money", Lane.WORK, answers=[answer])
    await deliver(world, "shop", stray, "money")

    assert refused(world, "shop") == {NotTaken.ADDRESS: 1}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("allowed", [True, False])
async def test_a_letter_that_waited_for_its_version_is_held_against_its_graph(
    world: World, allowed: bool, again: bool
) -> None:
    """It came when nobody here knew its type; the version that does asks whether it might come."""
    handler = world.handlers.pop(Note)
    await world.start()
    sender = "shop" if allowed else "stock"
    forged = parcel_of(world, sender="shop")
    await deliver(world, "money", forged, "shop", again=again)
    assert [row.state for row in await world["money"].rows()] == [State.DUE]
    world.handlers[Note] = handler
    world.senders["money"] = sender
    await world.crash()
    await world.pass_time(400)

    dead = await world["money"].rows(State.DEAD)
    assert await world["money"].effects() == (["note"] if allowed else [])
    assert len(dead) == (0 if allowed else 1)
    if not allowed:
        assert "does not let shop send the command Note.v1" in (dead[0].error or "")


async def test_all_that_is_refused_is_told_for_the_audit_log(world: World) -> None:
    """A line for each parcel: who brought it, what is in it, from whom to whom, and why not.

    Of a parcel of many kinds of letters five are named; where nobody can know who brought it, it is
    whom it says it is from.
    """
    await world.start()
    kinds = [parcel_of(world, kind=Kind.TICK, type=f"job {n}").letters[0] for n in range(7)]
    many = Parcel("shop", "money", Lane.WORK, letters=[*kinds, kinds[0]])
    answer = LetterAnswer(world["money"].ledger.ids.uuid7(0), "reply")
    brought: list[tuple[Parcel, str]] = [
        (many, "shop"),
        (parcel_of(world), "stock"),
        (parcel_of(world, sender="stock"), ""),
        (Parcel("nobody", "money", Lane.WORK), "nobody"),
        (Parcel("stock", "money", Lane.WORK, answers=[answer]), "who"),
    ]
    for parcel, sender in brought:
        await deliver(world, "money", parcel, sender)
    for sender in ("who", ""):
        await world["money"].inbox.deliver(b"{", False, sender)

    named = ", ".join(f"tick job {n}" for n in range(5))
    reasons = [why for _, _, why in world.audited]
    assert [(sender, what) for sender, what, _ in world.audited] == [
        ("shop", f"{named}, shop to money"),
        ("stock", "letters, shop to money"),
        ("stock", "letters, stock to money"),
        ("nobody", "letters, nobody to money"),
        ("who", "answers, stock to money"),
        ("who", "a parcel"),
        ("unknown", "a parcel"),
    ]
    assert reasons[:3] == [NotTaken.MESSAGE, NotTaken.SENDER, NotTaken.EDGE]
    assert reasons[3] == NotTaken.EDGE
    assert reasons[5:] == ["it cannot be read"] * 2
    assert refused(world)[NotTaken.MESSAGE] == 8, "letters are counted, not parcels"


async def test_a_withdrawal_goes_where_its_command_goes(world: World) -> None:
    """Who may send a command may take it back, and nobody else."""
    await world.start()
    withdrawal = parcel_of(world, kind=Kind.WITHDRAW, lane=Lane.URGENT)
    await deliver(world, "money", withdrawal, "shop")

    assert refused(world) == {}
    assert [row.state for row in await world["money"].rows()] == [State.REFUSED]
