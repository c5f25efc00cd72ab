"""A played saga knows its version, as the stored one does."""

from holdfast import Command, Model, Saga, Service
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


def test_a_new_saga_has_the_declared_version() -> None:
    """It is the one that the next saga will begin with."""
    assert play(ship, Wish(), ANSWERS).steps == ["Pack", "Check"]


def test_a_saga_that_began_earlier_keeps_its_steps() -> None:
    """The test of an old version says which; a restart is a new beginning."""
    assert play(ship, Wish(), ANSWERS, version=1).steps == ["Pack"]
    assert play(ship, Wish(again=True), ANSWERS, version=1).steps == ["Pack", "Pack", "Check"]
