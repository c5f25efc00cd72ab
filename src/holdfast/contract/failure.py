"""Failures: business refusals, a typed and versioned part of the contract."""

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import msgspec
from pydantic.dataclasses import dataclass
from pydantic_core import SchemaSerializer

from holdfast.contract.model import WIRE

_TAKEN = frozenset({"name", "status", "fields", "args", "add_note", "with_traceback"})
"""What a failure's class itself has: a field of that name would hide it."""


@dataclass_transform(kw_only_default=True, eq_default=False)
class Failure(Exception):
    """A refusal with typed fields: recorded, answered, never retried.

    Raising one in a handler rolls back that handler's writes. Subclasses become pydantic
    dataclasses (`Exception` and `BaseModel` cannot be combined); `status` is the HTTP status
    that a route answers with when the failure reaches it, 400..499. Like every exception it is
    equal to itself alone; compare `fields()`.
    """

    name: ClassVar[str] = "Failure"
    status: ClassVar[int] = 409

    def __init_subclass__(cls, *, status: int | None = None, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if status is not None:
            if not 400 <= status <= 499:
                raise TypeError(
                    f"class {cls.__name__}(status={status}): a refusal is 400..499; "
                    "raise an exception for what is our fault"
                )
            cls.status = status
        for field in sorted(_TAKEN & inspect.get_annotations(cls).keys()):
            raise TypeError(
                f"class {cls.__name__}(Failure): a field cannot be called {field!r}, which every "
                f"failure has already; call it `{cls.__name__.lower()}_{field}`"
            )
        cls.name = cls.__name__
        dataclass(kw_only=True, eq=False, repr=False, config=WIRE)(cls)

    if TYPE_CHECKING:
        __pydantic_serializer__: ClassVar[SchemaSerializer]  # of a subclass, made by pydantic
    else:

        def __init__(self) -> None:  # replaced in subclasses by the generated one
            raise TypeError("raise a failure of your own: `class OutOfStock(Failure)`")

    def fields(self) -> dict[str, Any]:
        """Return {field: value}, as JSON types."""
        body = self.__pydantic_serializer__.to_json(self, round_trip=True)
        return msgspec.json.decode(body, type=dict[str, Any])

    def __str__(self) -> str:
        own = [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]  # type: ignore[arg-type]  # each subclass is one
        return self.name + (f" ({', '.join(f'{k}={v}' for k, v in own)})" if own else "")

    def __repr__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[object, ...]:
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]  # each subclass is one
        return _restore, (type(self), own)


def _restore(cls: type[Failure], fields: dict[str, object]) -> Failure:
    return cls(**fields)


class Cancelled(Failure, status=409):
    """An operator has cancelled the saga; it is raised where the next step would be.

    A saga treats it as any failure: what it undoes, and what it does by `saga.local` then, is done.
    What it leaves is undone for it, and it ends as failed. Any other step raises it again.
    """


class Unanswered(Failure, status=424):
    """A saga's command got no reply in time, or was withdrawn.

    Attributes:
        command: the command's wire name.
        effect: "unknown" (it may have happened: undo it) or "none" (it was withdrawn in time).
    """

    command: str
    effect: str = "unknown"
