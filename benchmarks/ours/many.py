"""A generated system of so many services: each is asked, commands the next one, hears an event."""

import os
import types
from typing import Any

from holdfast import Command, Event, Query, Service, System

SERVICES = int(os.environ.get("BENCH_SERVICES", "100"))


class Happened(Event):
    """What everybody hears."""

    id: int


def _message(name: str, kind: Any) -> Any:
    body = {"__annotations__": {"id": int}, "__module__": __name__, "__doc__": name}
    return types.new_class(name, (kind,), {}, lambda namespace: namespace.update(body))


COMMANDS = [_message(f"Do{n}", Command[None]) for n in range(SERVICES)]
QUERIES = [_message(f"Ask{n}", Query[int]) for n in range(SERVICES)]


def _service(n: int) -> Service:
    after = (n + 1) % SERVICES
    said = [Happened] if n == 0 else []
    service = Service(f"service-{n}", calls=[COMMANDS[after], QUERIES[after]], publishes=said)

    async def do(command: Any) -> None: ...

    async def answer(query: Any) -> int:
        return 0

    async def hear(event: Happened) -> None: ...

    async def look() -> int:
        return 0

    do.__annotations__["command"] = COMMANDS[n]
    answer.__annotations__["query"] = QUERIES[n]
    for handler in (do, answer, hear):
        service.handles(handler)
    service.get(f"/v1/{service.name}", public=True)(look)
    return service


many = System("many", [_service(n) for n in range(SERVICES)])
