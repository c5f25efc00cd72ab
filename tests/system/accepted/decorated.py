"""Handlers behind decorators, made in loops and closures, and shared helpers."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from holdfast import Command, Event, Failure, Model, Saga, Service, System, Tx

P = ParamSpec("P")
T = TypeVar("T")


class Declined(Failure): ...


class Charge(Command[None]): ...


class Reserve(Command[None], fails=[Declined]): ...


class Paid(Event): ...


class Order(Model): ...


def logged(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return await function(*args, **kwargs)

    return wrapper


payments = Service("payments", publishes=[Paid])
orders = Service("orders", calls=[Charge, Reserve])


@payments.handles
@logged
async def charge(command: Charge, tx: Tx) -> None:
    tx.publish(Paid())


def refuse() -> None:
    raise Declined


@payments.handles
async def reserve(command: Reserve) -> None:
    try:
        refuse_quietly()
        raise ValueError("a bug is no failure")
    except (Declined, ValueError) as error:
        if isinstance(error, Declined):
            raise error


def refuse_quietly() -> None:
    try:
        raise Declined
    except Failure:
        return


def add_listener(service: Service, heard: type[Event]) -> None:
    @service.handles
    async def listen(event: heard, tx: Tx) -> None:  # type: ignore[valid-type]
        tx.send(command())

    command = Charge


add_listener(orders, Paid)


def saga_of(message: type[Charge | Reserve]) -> Callable[[Saga, Order], Awaitable[None]]:
    async def pay(saga: Saga, order: Order) -> None:
        await saga.call(message())

    pay.__name__ = f"pay_{message.__name__.lower()}"
    return pay


for message in (Charge, Reserve):
    orders.saga(saga_of(message))


@orders.saga
async def by_name(saga: Saga, order: Order) -> None:
    step: Any = Charge if order else Reserve
    await saga.call(step())
    await saga.call(command=Charge.model_construct())
    await saga.local(lambda tx: nothing(tx))
    await saga.local(functools.partial(nothing))


async def nothing(tx: Tx) -> None: ...


system = System("shop", [payments, orders])
