# error: parameter 'body': name 'Nothing' is not defined; import what they name, outside of `if
#   TYPE_CHECKING`
# error: its answer: name 'Nothing' is not defined; import what they name
# error: parameter 'settings': name 'Decimal' is not defined; import what they name
# error: Pay: name 'Decimal' is not defined; import what they name
# error: Odd]: name 'Nothing' is not defined; import what they name

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import Command, Model, Service, Settings, System

if TYPE_CHECKING:
    from decimal import Decimal

    from nowhere import Nothing  # type: ignore[import-not-found]  # what is tested


class Odd(Model):
    field: Nothing


class Pay(Command[None]):
    amount: Decimal


class Ask(Command[list[Odd]]): ...


class Late(Command[None]):
    """A name that is defined further down is none that is missing."""

    after: After


class After(Model): ...


class MySettings(Settings):
    limit: Decimal


svc = Service("svc")


@svc.post("/a", public=True)
async def a(body: list[Odd]) -> None: ...


@svc.post("/b", public=True)
async def b(body: After) -> Odd: ...


@svc.get("/c", public=True)
async def c(settings: MySettings) -> int:
    return 1


@svc.handles
async def pay(command: Pay) -> None: ...


@svc.handles
async def ask(command: Ask) -> list[Odd]:
    return []


@svc.handles
async def late(command: Late) -> None: ...


system = System("shop", [svc])
