"""The shop as `holdfast run` starts it, on real servers, and who has broken into notifications.

He knows what that process knows: its environment, and the files of its identity.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats

from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.testing import Client

COMMAND = [sys.executable, "-m", "holdfast.cli", "run", "shop"]
PATIENCE_S = 120.0
THIEF = "notifications"


@dataclass
class Shop:
    """A shop that runs.

    Attributes:
        url: of the gateway. doors: {process: where it serves the others}. pids: {process: its id}.
    """

    folder: Path
    url: str
    doors: dict[str, str]
    pids: dict[str, int]

    @property
    def is_proven(self) -> bool:
        """Whether its processes have identities."""
        return self.doors["orders-1"].startswith("https:")

    def environ_of(self, process: str) -> dict[str, str]:
        """Return what a process was told."""
        raw = Path(f"/proc/{self.pids[process]}/environ").read_bytes()
        pairs = (pair.split("=", 1) for pair in raw.decode().split("\0") if "=" in pair)
        return dict(pairs)  # type: ignore[arg-type]  # two of each

    @contextmanager
    def without(self, process: str) -> Iterator[None]:
        """Let a process stand still within a block."""
        os.kill(self.pids[process], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pids[process], signal.SIGCONT)

    @asynccontextmanager
    async def customer(self) -> AsyncIterator["Customer"]:
        """Yield somebody who has logged in."""
        client = Client(self.url)
        login = {"email": f"ada-{time.monotonic_ns()}@example.com", "password": "analytical engine"}
        assert (await client.post("/v1/users", json={**login, "name": "Ada"})).status == 201
        token = (await client.post("/v1/tokens", json=login)).json()["access_token"]
        try:
            yield Customer(client, token)
        finally:
            await client.close()


@dataclass
class Customer:
    """A customer of the shop."""

    client: Client
    token: str

    async def order(self) -> str:
        """Order a lantern; return the order's id."""
        body = {"lines": [{"sku": "LANTERN", "quantity": 1}], "card": "tok_ok"}
        answer = await self.client.post("/v1/orders", json=body, token=self.token)
        assert answer.status == 202, answer
        return str(answer.json()["id"])

    async def ended(self, order: str) -> str:
        """Wait until an order is confirmed or cancelled; return which."""
        while True:
            answer = await self.client.get(f"/v1/orders/{order}", token=self.token)
            if answer.status == 200 and answer.json()["state"] in ("confirmed", "cancelled"):
                return str(answer.json()["state"])
            await asyncio.sleep(0.1)

    async def lanterns(self) -> int:
        """Return how many are left."""
        items = (await self.client.get("/v1/stock")).json()["items"]
        return next(int(item["available"]) for item in items if item["sku"] == "LANTERN")


class Thief:
    """Whoever has all that the process of notifications has."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.environ = shop.environ_of(f"{THIEF}-1")

    def tls(self) -> ssl.SSLContext | None:
        """Return what shows the stolen certificate, and believes any; None: there is none."""
        if not self.shop.is_proven:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        cert, key = self.environ["HOLDFAST_CERT"], self.environ["HOLDFAST_KEY"]
        context.load_cert_chain(cert, key)
        return context

    async def knock(
        self, process: str, method: str, path: str, *headers: tuple[bytes, bytes], body: bytes = b""
    ) -> Response:
        """Come to the door of another process."""
        told: HeaderList = [(b"holdfast-deadline-ms", b"60000"), *headers]
        pool = ClientPool(network=SystemNetwork(), clock=MachineClock(), tls=self.tls())
        try:
            origin = Origin.parse(self.shop.doors[process])
            request = Request(method, path, "", told, body)
            return await pool.request(origin, request, deadline_s=PATIENCE_S)
        finally:
            await pool.close()

    @asynccontextmanager
    async def at_nats(self) -> AsyncIterator["AtNats"]:
        """Connect to NATS by the vendor's client."""
        refused: list[str] = []

        async def told(error: Exception) -> None:
            refused.append(str(error))

        tls: dict[str, Any] = {}
        if self.shop.is_proven:
            tls = {"tls": self.tls(), "tls_handshake_first": True}
        client: Any = await nats.connect(
            self.environ["BROKER_URL"],
            error_cb=told,
            allow_reconnect=False,
            connect_timeout=30,
            inbox_prefix=f"_INBOX_shop_{THIEF}".encode(),
            **tls,
        )
        try:
            yield AtNats(client, refused)
        finally:
            await client.close()


class AtNats:
    """A thief's connection to NATS, and what he was refused there."""

    def __init__(self, client: Any, refused: list[str]) -> None:
        self.client, self._refused = client, refused

    async def refusals(self) -> list[str]:
        """Return what the server has refused until now."""
        await self.client.flush()
        await self.client.flush()  # an error comes before the second answer
        return self._refused

    async def ask(self, *subjects: str) -> Any:
        """Ask JetStream for several things; return where its answers come."""
        answers = await self.client.subscribe(f"{self.client._inbox_prefix.decode()}.mine")
        for subject in subjects:
            await self.client.publish(subject, b"{}", reply=answers.subject)
        await self.client.flush()
        return answers


@contextmanager
def running_shop(folder: Path, *options: str) -> Iterator[Shop]:
    """Run `holdfast run shop --on postgres,nats,redis --split` until the block ends."""
    words = [*COMMAND, "--on", "postgres,nats,redis", "--split", "--port", "0", "--ops-port", "0"]
    with (folder / "log.json").open("wb") as log:
        process = subprocess.Popen(
            [*words, "--data", str(folder / "data"), *options],
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line.rstrip())
        if line.startswith("  data"):
            break
    try:
        lines = [line.split() for line in said if line.startswith("  ")]
        doors = {words[0]: words[1] for words in lines if words[2:3] == ["process"]}
        pids = {words[0]: int(words[3]) for words in lines if words[2:3] == ["process"]}
        assert doors, said[-5:]
        yield Shop(folder, doors["gateway"], doors, pids)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        process.stderr.close()
