"""External: a third party that a service reaches over HTTP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from holdfast.errors import BadAnswer
from holdfast.resilience import EdgePolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class External:
    """A third party. `reaches=[…]` of a service names those that it may call.

    Attributes:
        name: of the edge in the graph, in settings and in metrics; small letters and hyphens.
        url: where it is, `https://host[:port]`; the setting `<NAME>_URL` replaces it.
        key_life_s: how long it remembers an Idempotency-Key, in seconds. After that nothing is
            tried again: the letter becomes dead, with `reached`, and needs attention.
        idempotent: it honours Idempotency-Key; without, an effect gets one try.
        policy: time-out, retries, breaker and bulkhead of this edge.
        local: how `holdfast run` starts a stand-in beside the system when `<NAME>_URL` is not
            set: a command with `{port}` and `{data}`, such as `python -m shop.processor --port
            {port} --ledger {data}/processor.db`, and `{host}` where it takes what it listens on:
            in a container that is every address.
    """

    name: str
    url: str
    key_life_s: float = 86_400
    idempotent: bool = True
    policy: EdgePolicy = field(default_factory=EdgePolicy)
    local: str | None = None


@dataclass(frozen=True, slots=True)
class ExternalAnswer:
    """What an External answered; any status below 500, and 5xx after the last retry raise.

    Attributes:
        status: of HTTP, 200..499.
        headers: {name in small letters: value}.
        body: as it came; `json()` and `parse()` read it.
        external: the name of who answered.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    external: str = ""

    def json(self) -> Any:
        """Return the body as JSON. Raises BadAnswer."""
        try:
            return json.loads(self.body)
        except ValueError as exc:
            raise BadAnswer(f"{self.external}: the answer is not JSON: {exc}") from exc

    def parse(self, shape: type[T]) -> T:
        """Return the body as a Model or another type. Raises BadAnswer."""
        try:
            return TypeAdapter(shape).validate_json(self.body)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise BadAnswer(f"{self.external}: {where}: {first['msg']}") from exc
