"""What services say to each other: Command, Undo, Query and Event.

A message's name on the wire is its class name and version, `Charge.v1`.
"""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar, Unpack

from pydantic import ConfigDict

from holdfast.contract.failure import Failure
from holdfast.contract.model import Model

R = TypeVar("R")
C = TypeVar("C", bound="Command[Any]")

_TAKEN = frozenset({"name", "version", "fails", "reply_type", "undoes", "topic"})
"""What a message's class itself has: a field of that name would hide it."""


class Message(Model):
    """The common root. `name` is the wire name without the version; `version` counts from 1."""

    name: ClassVar[str]
    version: ClassVar[int] = 1

    def __init_subclass__(cls, *, version: int = 1, **kwargs: Unpack[ConfigDict]) -> None:
        super().__init_subclass__(**kwargs)
        if version < 1:
            raise TypeError(f"class {cls.__name__}(version={version}): versions count from 1")
        for field, annotation in inspect.get_annotations(cls).items():
            if field in _TAKEN and "ClassVar" not in str(annotation):
                raise TypeError(
                    f"class {cls.__name__}: a field cannot be called {field!r}, which every "
                    f"message has already; call it `{cls.__name__.lower()}_{field}`"
                )
        cls.version = version
        cls.name = cls.__name__

    @classmethod
    def wire_name(cls) -> str:
        """Return the name on the wire, such as `Charge.v1`."""
        return f"{cls.name}.v{cls.version}"


def _argument(cls: type[Message], origin: type[Message]) -> object:
    """Return X of the base `origin[X]` of a message class, or None without one.

    Generic classes between the two, such as `class Cancel(Undo[C], Generic[C])`, are followed.
    """
    bound: dict[object, object] = {}
    for base in cls.__mro__:
        meta = getattr(base, "__pydantic_generic_metadata__", None)
        if not meta or meta["origin"] is None:
            continue
        args = [bound.get(a, a) if isinstance(a, TypeVar) else a for a in meta["args"]]
        if meta["origin"] is origin:
            return args[0]
        bound |= zip(meta["origin"].__pydantic_generic_metadata__["parameters"], args, strict=False)
    return None


class _Asked(Message, Generic[R]):
    """What Command and Query share: a reply type, and the failures that may come instead."""

    fails: ClassVar[tuple[type[Failure], ...]] = ()
    reply_type: ClassVar[object] = None

    def __init_subclass__(
        cls,
        *,
        fails: Sequence[type[Failure]] | None = None,
        version: int = 1,
        **kwargs: Unpack[ConfigDict],
    ) -> None:
        super().__init_subclass__(version=version, **kwargs)
        if fails is not None:
            cls.fails = _refusals(cls, fails)

    def _reply(self) -> R:  # only for inference: the reply's type follows from the message's
        raise NotImplementedError


def _refusals(cls: type[Message], fails: Sequence[object]) -> tuple[type[Failure], ...]:
    """Return `fails` as a tuple; on the wire a failure is known by its name alone."""
    refusals: list[type[Failure]] = []
    for failure in fails:
        if not (isinstance(failure, type) and issubclass(failure, Failure)):
            raise TypeError(
                f"class {cls.__name__}(fails=…): {failure!r} is no failure; "
                "list classes that are declared as `class X(Failure)`"
            )
        refusals.append(failure)
    names = [failure.name for failure in refusals]
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise TypeError(f"class {cls.__name__}(fails=…): two failures are named {name}; rename one")
    return tuple(refusals)


class Command(_Asked[R], Generic[R]):
    """Asks one service to do something; answered with `R` or with one of `fails`, exactly once."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.reply_type = _argument(cls, Command)

    def _itself(self) -> Self:  # only for inference: ties `undo=` to this very command
        return self


class Query(_Asked[R], Generic[R]):
    """Asks another service for something that changes nothing; answered at once or not at all."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.reply_type = _argument(cls, Query)


AnyCommand = Command[Any]
AnyQuery = Query[Any]


class Undo(Message, Generic[C]):
    """Takes back what the command `C` did; repeated until it succeeds, so it has no failures."""

    undoes: ClassVar[type[AnyCommand]]

    def __init_subclass__(cls, *, version: int = 1, **kwargs: Unpack[ConfigDict]) -> None:
        if "fails" in kwargs:
            raise TypeError(
                f"class {cls.__name__}(fails=…): an undo is tried until it succeeds; "
                "remove fails and let the handler raise what is wrong"
            )
        super().__init_subclass__(version=version, **kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        undoes = _argument(cls, Undo)
        if isinstance(undoes, TypeVar) or undoes is Any:  # a generic base, or an annotation
            return
        if not (isinstance(undoes, type) and issubclass(undoes, Command)):
            raise TypeError(
                f"class {cls.__name__}: an undo says which command it takes back; "
                "derive it from Undo[TheCommand]"
            )
        cls.undoes = undoes

    def _undoes(self, command: C) -> C:  # makes C invariant: only an undo of that very command
        return command


def undone_by(message: type[Message]) -> type[AnyCommand] | None:
    """Return the command that an undo takes back; None for every other message."""
    return message.undoes if issubclass(message, Undo) else None


class Event(Message):
    """Says that something happened; every subscriber hears of it once.

    Attributes:
        topic: the field by which a saga may wait for this event, such as `"order_id"`.
    """

    topic: ClassVar[str | None] = None

    def __init_subclass__(
        cls, *, topic: str | None = None, version: int = 1, **kwargs: Unpack[ConfigDict]
    ) -> None:
        super().__init_subclass__(version=version, **kwargs)
        if topic is not None:
            cls.topic = topic

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.topic is not None and cls.topic not in cls.model_fields:
            raise TypeError(
                f"class {cls.__name__}(topic={cls.topic!r}): there is no such field; "
                f"name one of {', '.join(cls.model_fields) or 'the fields to add'}"
            )

    def topic_key(self) -> str | None:
        """Return `Name:value`, by which deliveries and waits meet, or None without a topic.

        Of a later version, which is another event, it is `Name.v2:value`.
        """
        return None if self.topic is None else topic_of(type(self), getattr(self, self.topic))


def topic_of(event: type[Event], value: object) -> str:
    """Return the topic of events of one type whose topic field has this value."""
    return f"{known_as(event)}:{value}"


def known_as(message: type[Message]) -> str:
    """Return the name under which a message is kept and counted: with its version from 2 on."""
    return message.name if message.version == 1 else message.wire_name()
