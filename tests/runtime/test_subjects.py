"""For whom a request was travels with all that it causes, as data: letters, sagas, logs, audit."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast import (
    Caller,
    Command,
    Event,
    Gateway,
    Model,
    Outside,
    Query,
    Read,
    Saga,
    Service,
    System,
    Tokens,
    Tx,
)
from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import Request
from holdfast.contract.spiffe import SIGNER
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.observability import Logger, current
from holdfast.runtime.engines import embedded
from holdfast.runtime.process import Options, Process
from holdfast.runtime.signing import FollowedSigner
from holdfast.security import SigningKey, TokenSigner, public_jwks
from tests.identities import Identities

KEY = SigningKey(bytes(32))
ISSUER = "https://issuer.example"
USERS = TokenSigner(KEY, issuer=ISSUER, audience="api")


class GetKeys(Query[str]):
    """Ask for the public keys."""


class GetFlour(Query[int]):
    """Ask how much flour there is."""


class Grind(Command[int]):
    """Grind flour."""


class Baked(Event):
    """A loaf is there."""


class Loaf(Model):
    """What is baked."""

    name: str


@dataclass
class Bakery:
    """A system of two services, whose work says for whom it is."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def system(self) -> System:
        """Return the system."""
        oven = Service("oven", calls=[Grind, GetFlour], publishes=[Baked])
        mill = Service("mill")
        oven.handles(self.keys)
        oven.post("/v1/open", status_code=202, public=True)(self.open)

        @oven.saga
        async def baking(saga: Saga, loaf: Loaf) -> None:
            """Have flour ground, and bake."""
            await saga.call(Grind())
            await saga.local(self.rise, loaf)

        @oven.post("/v1/loaves", status_code=202)
        async def bake(body: Loaf, caller: Caller, tx: Tx, outside: Outside) -> None:
            """Bake a loaf."""
            await outside.ask(GetFlour())
            self.told["route"] = tx.on_behalf_of
            tx.start(baking, body)

        oven.every(timedelta(days=1))(self.sweep)
        mill.handles(self.flour)
        mill.handles(self.grind)
        mill.handles(self.hear)
        tokens = Tokens(issuer=ISSUER, audience="api", keys=GetKeys)
        return System("bakery", services=[oven, mill], gateway=Gateway(tokens=tokens))

    async def keys(self, query: GetKeys, read: Read) -> str:
        """Bring the keys."""
        return json.dumps(public_jwks([KEY]))

    async def open(self, tx: Tx) -> None:
        """Bake without being asked by anybody."""
        self.told["public route"] = tx.on_behalf_of

    async def flour(self, query: GetFlour, read: Read) -> int:
        """Say how much."""
        self.told["query"] = current.get().subject
        return 1

    async def grind(self, command: Grind, tx: Tx) -> int:
        """Grind."""
        self.told["command"] = tx.on_behalf_of
        return 1

    async def rise(self, tx: Tx, loaf: Loaf) -> None:
        """Tell of it."""
        self.told["local step"] = tx.on_behalf_of
        tx.publish(Baked())

    async def hear(self, event: Baked, tx: Tx) -> None:
        """Hear of it."""
        self.told["event"] = tx.on_behalf_of
        self.done.set()

    async def sweep(self, tx: Tx) -> None:
        """Sweep the floor."""
        self.told["job"] = tx.on_behalf_of


@dataclass
class Run:
    """A running bakery.

    Attributes:
        log: of all its processes.
    """

    gateway: Process
    log: io.BytesIO
    clients: ClientPool

    async def post(self, path: str, subject: str = "") -> int:
        """Send a request; return its status."""
        headers = [(b"content-type", b"application/json")]
        if subject:
            now = MachineClock().now()
            token = USERS.sign(subject, [], now=now, lifetime_s=600, token_id="t")
            headers.append((b"authorization", f"Bearer {token}".encode()))
        # What a client says of itself is dropped at the gateway.
        headers.append((b"holdfast-subject", b'"eve"'))
        request = Request("POST", path, "", headers, b'{"name": "rye"}')
        answer = await self.clients.request(
            Origin.parse(self.gateway.url), request, deadline_s=30.0
        )
        return answer.status

    def lines(self) -> list[dict[str, str]]:
        """Return what was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@asynccontextmanager
async def running(bakery: Bakery, folder: Path, *, apart: bool) -> AsyncIterator[Run]:
    """Run it in one process, or in three that have identities."""
    system, log = bakery.system(), io.BytesIO()
    engines = embedded(lambda name: folder / f"{name}.db", threads=1)
    names = Identities(folder / "identities")
    started: list[Process] = []
    others: dict[str, Origin] = {}

    async def start(name: str, services: tuple[str, ...], *, face: bool) -> Process:
        on = engines
        if apart:
            on = replace(
                engines,
                identity=names.of(name)[0],
                signer=FollowedSigner(names.authority.issue(SIGNER), "bakery", MachineClock()),
                discover=lambda service: [others[service]],
            )
        logger = Logger(log, MachineClock(), "bakery", "debug", form="json")
        options = Options(data=None, port=0, services=services, gateway=face)
        process = Process(system, options, logger, on)
        await process.start()
        started.append(process)
        return process

    try:
        if apart:
            for name in ("mill", "oven"):
                process = await start(name, (name,), face=False)
                others[name] = replace(Origin.parse(process.url), workload=name)
            gateway = await start("gateway", (), face=True)
        else:
            gateway = await start("all", ("oven", "mill"), face=True)
        clients = ClientPool(network=SystemNetwork(), clock=MachineClock())
        yield Run(gateway, log, clients)
        await clients.close()
    finally:
        for process in reversed(started):
            await process.stop()


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "apart"])
async def test_all_work_of_a_request_says_for_whom_it_is(tmp_path: Path, apart: bool) -> None:
    """Route, query, command of a saga, its local step, and who hears of it; a job is nobody's."""
    bakery = Bakery()
    async with running(bakery, tmp_path, apart=apart) as run:
        assert await run.post("/v1/open") == 202
        assert await run.post("/v1/loaves", "ada") == 202
        await bakery.done.wait()

    named = ("route", "query", "command", "local step", "event")
    assert {name: bakery.told[name] for name in named} == dict.fromkeys(named, "ada")
    assert bakery.told["public route"] == ""
    assert bakery.told.get("job", "") == ""


async def test_a_subject_of_any_letters_travels(tmp_path: Path) -> None:
    """One that is longer than OpenID Connect allows does not, and nothing fails for it."""
    for subject, said in (('日本 é "q"', '日本 é "q"'), ("s" * 255, "s" * 255), ("s" * 256, "")):
        bakery = Bakery()
        async with running(bakery, tmp_path, apart=True) as run:
            assert await run.post("/v1/loaves", subject) == 202
            await bakery.done.wait()
        assert bakery.told["query"] == bakery.told["command"] == bakery.told["event"] == said
