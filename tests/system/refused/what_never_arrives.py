# error: Payment, the handler answers CardPayment; write `-> Payment`
# error: LogIn.password is a secret, which would arrive as asterisks; send
# error: WeakKey.key is a secret, which would arrive as asterisks; send
# error: Sort.by: a function does not travel; send what it works on
# error: Sort.into: a class does not travel; send its name
# error: Sort.hidden is required and left out (`exclude=True`), so that nobody
#   could read it; give it a default, or remove exclude
# error: Vault.pin is a secret, which would arrive as asterisks; send
# error: Socket] has no JSON: Unable to generate pydantic-core schema for <class '

from collections.abc import Callable
from typing import Any

from pydantic import SecretBytes, SecretStr, field_serializer

from holdfast import Command, Failure, Field, Model, Query, Saga, Service, System, Tx


class Payment(Model):
    cents: int


class CardPayment(Payment):
    card: str


class WeakKey(Failure):
    key: SecretBytes


class LogIn(Query[None], fails=[WeakKey]):
    login: str
    password: SecretStr


class Sort(Command[None]):
    by: Callable[[Any], int]
    into: type[Model]
    hidden: int = Field(exclude=True)
    left_out: int = Field(0, exclude=True)


class Told(Command[None]):
    """A field with a serializer of its own is its author's to answer for."""

    password: SecretStr

    @field_serializer("password")
    def _shown(self, password: SecretStr) -> str:
        return password.get_secret_value()


class Pay(Query[Payment]): ...


class Vault(Model):
    pin: list[SecretStr]


front = Service("front", calls=[LogIn, Sort, Told, Pay])
back = Service("back")


class Socket: ...


async def open_one(tx: Tx) -> dict[str, Socket]:
    return {}


@front.saga
async def move(saga: Saga, input: Vault) -> None:
    await saga.local(open_one)


@back.handles
async def log_in(query: LogIn) -> None: ...


@back.handles
async def sort(command: Sort) -> None: ...


@back.handles
async def told(command: Told) -> None: ...


@back.handles
async def pay(query: Pay) -> CardPayment:
    return CardPayment(cents=1, card="")


system = System("shop", [front, back])
