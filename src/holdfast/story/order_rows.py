"""What is asked for, and what one service's database holds of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import msgspec

from holdfast.contract.envelope import EdgeRow, Letter, MessageRow, SagaInput, SagaRow, StepRow
from holdfast.dispatch.requests import StoredResponse
from holdfast.errors import Invalid

_TRACE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which order is meant.

    Attributes:
        asked: as it was typed. text: one of these is in a row of it.
        id: of a saga or a letter. field, value: of a body; then nothing else counts.
    """

    asked: str
    text: tuple[bytes, ...]
    id: UUID | None = None
    field: str = ""
    value: str = ""

    def is_in(self, body: object, named: str) -> bool:
        """Whether a body has the field, were it in something inside.

        Args:
            named: what the body is, such as `Order`: its `id` is an `order_id`.
        """
        for name, value in _fields(body):
            own = name == "id" and self.field == f"{named.lower()}_id"
            if (name == self.field or own) and _text(value) == self.value:
                return True
        return False


def wanted(asked: str | None, about: str | None) -> Wanted:
    """Read what was typed. Raises Invalid."""
    if (asked is None) == (about is None):
        raise Invalid("give an ID, or --about FIELD=VALUE")
    if about is not None:
        name, equals, value = about.partition("=")
        if not (name and equals and value):
            raise Invalid(f"--about {about}: write it as FIELD=VALUE, such as order_id=0199…")
        names = (name, "id") if name.endswith("_id") else (name,)
        values = (_quoted(value), value.encode())
        pairs = tuple(_quoted(n) + b":" + v for n in names for v in values)
        return Wanted(about, pairs, None, name, value)
    assert asked is not None
    if not asked:
        raise Invalid("an ID is not empty")
    try:
        id_ = UUID(asked)
    except ValueError:
        return Wanted(asked, (_quoted(asked),))
    text: tuple[bytes, ...] = (_quoted(asked), _quoted(str(id_)))
    trace = asked.lower()
    if _TRACE.fullmatch(trace):
        text = (*text, f"-{trace}-".encode())
    return Wanted(asked, tuple(dict.fromkeys(text)), id_)


def _quoted(text: str) -> bytes:
    return msgspec.json.encode(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _fields(body: object) -> Iterator[tuple[str, object]]:
    todo = [body]
    while todo:
        some = todo.pop()
        if isinstance(some, dict):
            named = cast("dict[str, object]", some)
            yield from named.items()
            todo += named.values()
        elif isinstance(some, list):
            todo += cast("list[object]", some)


@dataclass(slots=True)
class OrderRows:
    """What the database of one service holds of an order.

    Attributes:
        edges: {id: edge}. messages: {(edge, id): row}. trouble: why it could not be read, or "".
        cut: there was more than is shown.
    """

    service: str
    edges: Mapping[int, EdgeRow] = field(default_factory=dict[int, EdgeRow])
    sagas: dict[UUID, SagaRow] = field(default_factory=dict[UUID, SagaRow])
    steps: dict[UUID, list[StepRow]] = field(default_factory=dict[UUID, list[StepRow]])
    messages: dict[tuple[int, UUID], MessageRow] = field(
        default_factory=dict[tuple[int, UUID], MessageRow]
    )
    trouble: str = ""
    cut: bool = False


def letter_of(row: MessageRow) -> Letter | None:
    """Return the letter of a row, while it has one."""
    return msgspec.json.decode(row.body, type=Letter) if row.body[:1] == b"{" else None


def response_of(row: MessageRow) -> StoredResponse:
    """Return what a request was answered."""
    assert row.answer is not None, f"request {row.id} has no answer"
    return msgspec.json.decode(row.answer, type=StoredResponse)


def input_of(row: SagaRow) -> SagaInput:
    """Return what a saga was started with."""
    return msgspec.json.decode(row.input, type=SagaInput)
