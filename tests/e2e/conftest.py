"""One running shop for the tests of its doors: real sockets, real SQLite, its own thread."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from holdfast import Rate, System
from holdfast.testing import Running, running
from shop.system import shop

ROOMY = replace(
    shop,
    gateway=replace(
        shop.gateway,
        per_caller=Rate(per_s=10_000, burst=10_000),
        per_address=Rate(per_s=10_000, burst=10_000),
    ),
)


@dataclass(slots=True)
class Reply:
    """An HTTP answer, with header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass
class Server:
    """A system that runs in a thread of its own."""

    system: System
    run: Running | None = None
    token: str = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event | None = None
    _ready: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(300), "the system did not start"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with running(self.system) as run:
            self.run = run
            self._ready.set()
            await self._stop.wait()

    def stop(self) -> None:
        """Stop it."""
        assert self._loop is not None
        assert self._stop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(300)

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine in the system's loop and return its result."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(300)

    @property
    def port(self) -> int:
        """The gateway's port."""
        assert self.run is not None
        return int(self.run.process.url.rpartition(":")[2])

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        json_body: object = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request; `token=""` sends the customer's token, None sends none."""
        sent = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        bearer = self.token if token == "" else token
        if bearer is not None:
            sent.setdefault("Authorization", f"Bearer {bearer}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    def register(self, email: str) -> str:
        """Register a customer and return a token."""
        person = {"email": email, "password": "a long password", "name": "Ada"}
        assert self.request("POST", "/v1/users", json_body=person, token=None).status == 201
        login = {"email": email, "password": "a long password"}
        answer = self.request("POST", "/v1/tokens", json_body=login, token=None)
        token: str = answer.json()["access_token"]
        return token


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The shop with roomy rate limits, and one customer."""
    made = Server(ROOMY)
    made.start()
    made.token = made.register("ada@example.com")
    yield made
    made.stop()
