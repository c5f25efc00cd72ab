"""Clients that leave, handlers that block, functions that never return: all of it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.errors import CallError
from holdfast.runtime.children import free_port
from holdfast.testing import Client, Running, running
from shop.demo.children import Child
from tests.attacks.live.stuck import system

LIMIT = 1 << 20


@pytest.fixture
async def run() -> AsyncIterator[Running]:
    """Yield the running system."""
    async with running(system) as made:
        yield made


async def test_a_function_that_never_returns_does_not_keep_the_process(tmp_path: Path) -> None:
    """The drain gives it its time; then the process ends, with the thread in it."""
    port = free_port()
    child = Child(
        "stuck system",
        [
            *("-m", "holdfast.cli", "run", "tests.attacks.live.stuck", "--port", str(port)),
            *("--ops-port", "0", "--data", str(tmp_path)),
        ],
        url=f"http://127.0.0.1:{port}",
        ready="/health/ready",
        log=tmp_path / "log",
        environ={"HOLDFAST_DRAIN_S": "0.5"},
    )
    client = Client(child.url)
    try:
        await child.start()
        hanging = asyncio.create_task(client.post("/v1/hang"))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(60):
            await child.stop()
        with contextlib.suppress(CallError):
            await hanging
    finally:
        await client.close()
        await child.kill()


async def test_a_client_that_leaves_finds_its_write_done_once(run: Running) -> None:
    """Its handler has written nothing and is stopped; the same key does the write, once."""
    options = {"json": {"text": "a"}, "headers": {"idempotency-key": "k"}}
    with pytest.raises(CallError):
        await run.client.post("/v1/notes", timeout_s=0.05, **options)  # type: ignore[arg-type]
    again = await run.client.post("/v1/notes", **options)  # type: ignore[arg-type]
    while again.status == 409:  # it is still under way
        await asyncio.sleep(0.02)
        again = await run.client.post("/v1/notes", **options)  # type: ignore[arg-type]

    assert again.json() == {"text": "a"}
    assert (await run.client.get("/v1/notes")).json() == ["a"]


async def test_a_handler_that_blocks_delays_and_breaks_nobody(run: Running) -> None:
    """Two seconds of everybody's time, and then all answers."""
    answers = await asyncio.gather(
        run.client.post("/v1/blocks"),
        *(run.client.post("/v1/notes", json={"text": str(n)}) for n in range(8)),
        *(run.client.get("/v1/notes") for _ in range(8)),
    )

    assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
async def test_a_body_of_exactly_the_limit_is_taken(run: Running, size: int, status: int) -> None:
    """One byte more is too much; with a key its row holds the hash, and not the body."""
    body = b'{"text": "' + b"a" * (size - 12) + b'"}'
    answer = await run.client.post(
        "/v1/notes",
        body=body,
        headers={"content-type": "application/json", "idempotency-key": "big"},
    )

    assert answer.status == status
