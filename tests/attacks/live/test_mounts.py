"""Mounted apps that misbehave at their start, while they serve, and at the end."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, Uuid

from holdfast import Service, System
from holdfast.runtime.settings import ProcessSettings
from holdfast.testing import running
from tests.attacks.live.processes import stopped_within


class App:
    """A raw ASGI app: it says what its lifespan left, and shuts down as it was told to."""

    def __init__(self, shutdown: str = "well") -> None:
        self.shutdown = shutdown

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["greeting"] = "hello"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if self.shutdown == "hangs":
                await asyncio.Event().wait()
            end = "failed" if self.shutdown == "fails" else "complete"
            await send({"type": f"lifespan.shutdown.{end}"})
            return
        if scope["path"].endswith("/raise"):
            raise ValueError("a bug of the app")
        body = f"{scope.get('state', {}).get('greeting')} {scope['path']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def system(app: App) -> System:
    """Return a system that is nothing but the app."""
    legacy = Service("legacy", tables=MetaData())
    legacy.mount("/legacy", app, public=True)
    return System("mounts", services=[legacy])


NOTES = MetaData()
NOTE = Table("note", NOTES, Column("id", Uuid, primary_key=True), Column("text", String))


class Farewell:
    """An app that works on after its answer, and writes once more when it shuts down."""

    def __init__(self) -> None:
        self.service = Service("farewell", tables=NOTES)
        self.service.mount("/app", self, public=True)
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.write("shut down")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"soon"})
        await self.may_end.wait()
        await self.write("after the answer")

    async def write(self, text: str) -> None:
        """Write one note."""
        async with self.service.begin() as tx:
            tx.insert(NOTE, id=tx.new_id(), text=text)


async def test_an_app_may_finish_what_it_began(tmp_path: Path) -> None:
    """Background tasks are waited for, and the shutdown of the app can still write."""
    app = Farewell()
    async with running(System("farewell", services=[app.service]), data=tmp_path) as run:
        assert (await run.client.get("/app/x")).body == b"soon"
        asyncio.get_running_loop().call_later(0.1, app.may_end.set)

    with sqlite3.connect(tmp_path / "farewell.db") as database:
        texts = [row[0] for row in database.execute("SELECT text FROM note ORDER BY id")]
    database.close()
    assert texts == ["after the answer", "shut down"]


async def test_an_app_gets_what_its_lifespan_left() -> None:
    """Starlette and FastAPI put clients and pools there; without it every request fails."""
    async with running(system(App())) as run:
        assert (await run.client.get("/legacy/x")).body == b"hello /legacy/x"


async def test_an_app_that_raises_is_counted_and_named() -> None:
    """Its 500 has a correlation id, a log line and a place in the metrics, like any other."""
    async with running(system(App())) as run:
        answer = await run.client.get("/legacy/raise")

        assert answer.status == 500
        assert "x-correlation-id" in answer.headers
        assert b"a bug of the app" not in answer.body
        metrics = run.process.metrics.render()
        run.process.logger.flush()
        log = run.log.getvalue()
    assert b"a bug of the app" in log
    assert answer.headers["x-correlation-id"].encode() in log
    assert b"500" in metrics


@pytest.mark.parametrize(
    "path", ["/legacy/../v1/x", "/legacy/%2e%2e/v1", "/legacy/a/..%2F..%2Fv1", "/legacyx"]
)
async def test_a_path_does_not_leave_its_mount(path: str) -> None:
    """Dots are followed before the app is looked for; what is not below the prefix is not found."""
    async with running(system(App())) as run:
        assert (await run.client.get(path)).status == 404


@pytest.mark.parametrize(
    "path", ["/legacy/etc", "/%6cegacy/./etc", "/v1/../legacy/etc", "/legacy/x/%2E./etc"]
)
async def test_an_app_gets_the_path_that_was_authorised(path: str) -> None:
    """One spelling, whatever the client wrote."""
    async with running(system(App())) as run:
        assert (await run.client.get(path)).body == b"hello /legacy/etc"
        assert (await run.client.get("/legacy//etc")).body == b"hello /legacy//etc"


@pytest.mark.parametrize("shutdown", ["hangs", "fails"])
async def test_an_app_that_does_not_shut_down_stops_nobody_else(
    tmp_path: Path, shutdown: str
) -> None:
    """The drain has an end, everything else is closed, and the error is told."""
    process = await stopped_within(
        system(App(shutdown)), tmp_path, ProcessSettings(drain_s=0.3), within_s=60.0
    )
    assert process.unclean
    process.folder.take()  # it was given back
    process.folder.give()
