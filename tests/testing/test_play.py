"""A played saga knows its version, as the stored one does."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from holdfast import Command, Event, Model, Saga, Service
from holdfast.testing import play


class Pack(Command[None]):
    """Pack."""


class Check(Command[None]):
    """Check what was packed."""


class Wish(Model):
    """The input."""

    again: bool = False


desk = Service("desk", calls=[Pack, Check])


@desk.saga(version=3)
async def ship(saga: Saga, wish: Wish) -> None:
    """Pack; since version 2 it is checked."""
    await saga.call(Pack())
    if saga.version >= 2:
        await saga.call(Check())
    if wish.again:
        await saga.restart(Wish())


ANSWERS = {Pack: None, Check: None}


class Paid(Event, topic="order"):
    """Money came."""

    order: int


class Cancelled(Event, topic="order"):
    """The order was taken back."""

    order: int


async def chase(saga: Saga, wish: Wish) -> None:
    """Wait for either."""
    came = await saga.wait(Paid, Cancelled, 7, timeout=timedelta(days=1))
    if isinstance(came, Cancelled):
        await saga.call(Check())


@pytest.mark.parametrize(
    ("came", "steps"),
    [
        ({Cancelled: Cancelled(order=7)}, ["Paid|Cancelled", "Check"]),
        ({Paid: Paid(order=7)}, ["Paid|Cancelled"]),
        ({Paid: None, Cancelled: None}, ["Paid|Cancelled"]),
        ({Paid: None, Cancelled: Cancelled(order=7)}, ["Paid|Cancelled", "Check"]),
    ],
)
def test_of_several_events_the_one_that_has_an_answer_comes(
    came: dict[Any, Any], steps: list[str]
) -> None:
    """None of them has to; a story that names none is not told."""
    assert play(chase, Wish(), {Check: None} | came).steps == steps
    with pytest.raises(LookupError, match="no answer for Paid"):
        play(chase, Wish(), {})


def test_a_new_saga_has_the_declared_version() -> None:
    """It is the one that the next saga will begin with."""
    assert play(ship, Wish(), ANSWERS).steps == ["Pack", "Check"]


def test_a_saga_that_began_earlier_keeps_its_steps() -> None:
    """The test of an old version says which; a restart is a new beginning."""
    assert play(ship, Wish(), ANSWERS, version=1).steps == ["Pack"]
    assert play(ship, Wish(again=True), ANSWERS, version=1).steps == ["Pack", "Pack", "Check"]


def test_a_restart_makes_other_ids() -> None:
    """As it does where it runs."""
    made: list[UUID] = []

    async def again(saga: Saga, wish: Wish) -> None:
        made.append(saga.new_id())
        if wish.again:
            await saga.restart(Wish())

    play(again, Wish(again=True), {})

    assert len(set(made)) == 2
