"""The shop and the card processor that it pays with, in processes of their own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast.runtime.children import free_port
from holdfast.testing import Client
from shop.demo.children import Child


def card_processor(folder: Path, *, hang_s: float) -> Child:
    """Return a processor that is still to start. Its ledger is `processor.db`.

    Args:
        hang_s: how long it is silent, when a card makes it so.
    """
    port = free_port()
    return Child(
        "card processor",
        [
            *("-m", "shop.processor", "--port", str(port), "--hang-s", str(hang_s)),
            *("--ledger", str(folder / "processor.db")),
        ],
        url=f"http://127.0.0.1:{port}",
        ready="/health",
        log=folder / "processor.log",
        environ={},
    )


@asynccontextmanager
async def shop_in(
    folder: Path, *, hang_s: float, environ: Mapping[str, str]
) -> AsyncIterator[tuple[Child, Client]]:
    """Run the shop beside a processor, on SQLite in `data`; it may be killed and started again."""
    port, processor = free_port(), card_processor(folder, hang_s=hang_s)
    shop = Child(
        "shop",
        [
            *("-m", "holdfast.cli", "run", "shop", "--port", str(port)),
            *("--ops-port", "0", "--data", str(folder / "data")),
        ],
        url=f"http://127.0.0.1:{port}",
        ready="/health/ready",
        log=folder / "shop.log",
        environ={"PROCESSOR_URL": processor.url, **environ},
    )
    client = Client(shop.url)
    try:
        await processor.start()
        await shop.start()
        yield shop, client
    finally:
        await client.close()
        await shop.kill()
        await processor.kill()
