"""A client of the simulated system: one of those who use its HTTP interface."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from pydantic_core import to_json

from holdfast.communication import PORT, ClientPool, Origin
from holdfast.contract.http import Request, Response
from holdfast.errors import CallError
from holdfast.ports import Clock, Network

GATEWAY = Origin.parse(f"http://gateway:{PORT}")
PAUSE_S = 0.5  # the first pause before an unanswered request is sent again
PATIENCE_S = 600.0  # virtual; a client that insists gives up after it


class Record(Protocol):
    """Takes down what happened."""

    def __call__(self, kind: str, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway answered.

    Attributes:
        status: of HTTP.
        body: as it came; `json()` reads it.
        correlation: the correlation id that the request carried.
    """

    status: int
    body: bytes
    correlation: str = ""

    def json(self) -> Any:
        """Return the body as JSON."""
        return msgspec.json.decode(self.body)


class Client:
    """Sends requests to the gateway, as customers do.

    Attributes:
        chance: for what customers decide; drawn from the seed.
        size: how much they are asked to do, such as the number of orders.
        asking: requests that have no final answer yet.
    """

    def __init__(
        self,
        network: Network,
        clock: Clock,
        chance: random.Random,
        size: int,
        record: Record,
        pass_: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.chance = chance
        self.size = size
        self._clock = clock
        self._record = record
        self._pass = pass_
        self._pool = ClientPool(network=network, clock=clock)
        self._count = 0
        self.asking = 0

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass; days pass at once while there is nothing to do.

        It counts to the workload's horizon.
        """
        await self._pass(seconds)

    async def get(self, path: str, *, token: str | None = None) -> Answer:
        """Send a GET until it is answered. See `post`."""
        return await self._insist("GET", path, None, token, None)

    async def post(
        self, path: str, *, json: object, token: str | None = None, key: str | None = None
    ) -> Answer:
        """Send a POST.

        With an Idempotency-Key (`key`) it is sent again until there is an answer that is final:
        neither 429 nor 5xx, nor a 409 that says when to come again (Retry-After), as a request
        does whose key is under way. Any other 409 is the system's own word. Without a key it is
        sent once.

        Raises:
            CallError: nobody knows what came of it; with a key after 10 virtual minutes.
        """
        return await self._insist("POST", path, to_json(json), token, key)

    async def put(
        self, path: str, *, json: object, token: str | None = None, key: str | None = None
    ) -> Answer:
        """Send a PUT. See `post`."""
        return await self._insist("PUT", path, to_json(json), token, key)

    async def patch(
        self, path: str, *, json: object, token: str | None = None, key: str | None = None
    ) -> Answer:
        """Send a PATCH. See `post`."""
        return await self._insist("PATCH", path, to_json(json), token, key)

    async def delete(
        self, path: str, *, token: str | None = None, key: str | None = None
    ) -> Answer:
        """Send a DELETE. See `post`."""
        return await self._insist("DELETE", path, None, token, key)

    async def once(self, method: str, path: str) -> Answer:
        """Send a request without a body, once. Raises CallError."""
        return await self._insist(method, path, None, None, None, patience_s=0.0)

    async def _insist(
        self,
        method: str,
        path: str,
        body: bytes | None,
        token: str | None,
        key: str | None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        self.asking += 1
        try:
            return await self._ask(method, path, body, token, key, patience_s)
        finally:
            self.asking -= 1

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        token: str | None,
        key: str | None,
        patience_s: float,
    ) -> Answer:
        self._count += 1
        correlation = f"request-{self._count:06d}"
        headers = [(b"x-correlation-id", correlation.encode())]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        if token is not None:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        if key is not None:
            headers.append((b"idempotency-key", key.encode()))
        where, _, query = path.partition("?")
        repeatable = key is not None or method == "GET"
        give_up, pause_s = self._clock.monotonic() + patience_s, PAUSE_S
        while True:
            self._record("request", id=correlation, method=method, path=path, key=key or "")
            request = Request(method, where, query, list(headers), body or b"")
            late = self._clock.monotonic() + pause_s > give_up
            try:
                response = await self._pool.request(GATEWAY, request, deadline_s=30.0)
            except CallError as exc:
                self._record("unanswered", id=correlation, error=exc.code)
                if not repeatable or late:
                    raise
            else:
                code = response.status
                self._record("answer", id=correlation, method=method, status=code, key=key or "")
                if not repeatable or late or _is_final(response):
                    return Answer(code, response.body, correlation)
            await asyncio.sleep(pause_s)
            pause_s = min(10.0, pause_s * 2)


def _is_final(response: Response) -> bool:
    """Whether an answer says what came of a request, and not to come again."""
    if response.status == 409:
        return response.header(b"retry-after") is None
    return response.status < 500 and response.status != 429
