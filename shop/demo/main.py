"""The course of the demo."""

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from holdfast.runtime.children import free_port
from holdfast.runtime.folder import DataFolder
from holdfast.testing import Client
from shop.demo.audit import audit
from shop.demo.books import Books, Files, read_books, saga_of, settled, unfinished
from shop.demo.children import Child, DidNotStart
from shop.demo.customers import Customers, Placed, Refused, Wish, wishes
from shop.demo.progress import Meter, meter
from shop.demo.story import Outage, remarkable, timeline, told

LIMIT_S = 600.0
SETTLE_S = 300.0
AT_ONCE = 16
HANG_S = 3.0
"""How long a silent card keeps the shop waiting, which gives up after 2 s."""
DIFFERENCES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """The two processes, and where they keep their files."""

    shop: Child
    processor: Child
    data: Path
    ledger: Path


def main(*, orders: int = 500) -> int:
    """Run the demo in `.holdfast/demo`, which is emptied before; return the exit code."""
    folder = Path(".holdfast") / "demo"
    if DataFolder(folder / "shop").is_owned():
        print(f"demo: another demo is running in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        return asyncio.run(_bounded(orders, folder))
    except (DidNotStart, Refused, TimeoutError) as exc:
        print(f"demo: {exc or f'not through after {LIMIT_S:g} s'}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("demo: stopped", file=sys.stderr)
        return 1


async def _bounded(orders: int, folder: Path) -> int:
    """Run the demo within LIMIT_S; SIGTERM ends it as Ctrl-C does, children included."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    stage = _stage(folder)
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _perform(orders, stage)
    finally:
        await stage.shop.kill()
        await stage.processor.kill()


def _stage(folder: Path) -> Stage:
    shop, processor = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    data, ledger = folder / "shop", folder / "processor.db"
    serve_shop = f"-m holdfast.cli run shop --port {_port(shop)} --ops-port 0 --data"
    serve_cards = f"-m shop.processor --port {_port(processor)} --hang-s {HANG_S} --ledger"
    return Stage(
        shop=Child(
            "shop",
            [*serve_shop.split(), str(data)],
            url=shop,
            ready="/health/ready",
            log=folder / "shop.log",
            environ={"PROCESSOR_URL": processor},
        ),
        processor=Child(
            "card processor",
            [*serve_cards.split(), str(ledger)],
            url=processor,
            ready="/health",
            log=folder / "processor.log",
            environ={},
        ),
        data=data,
        ledger=ledger,
    )


def _port(url: str) -> str:
    return url.rpartition(":")[2]


async def _perform(orders: int, stage: Stage) -> int:
    chance = Random(1852)  # noqa: S311  # no secret: every demo places the same orders
    with meter(orders) as show:
        await stage.processor.start()
        await stage.shop.start()
        show.say(f"the shop serves {stage.shop.url}, its data is in {stage.data}")
        client = Client(stage.shop.url)
        try:
            customers = Customers(client, chance)
            await customers.register()
            placed, outage = await _place_all(wishes(orders, chance), customers, stage, show)
            await _settle(orders, stage.data, show)
        finally:
            await client.close()
    code = await stage.shop.stop()
    books = read_books(Files(stage.data), stage.ledger)
    await _tell(placed, books, outage, stage.data)
    return _conclude(placed, books, [] if code == 0 else [f"the shop's exit code is {code}"])


async def _place_all(
    wanted: Sequence[Wish], customers: Customers, stage: Stage, show: Meter
) -> tuple[list[Placed], Outage]:
    """Place all orders, AT_ONCE at a time; when half are placed, kill the shop and start it."""
    placed: list[Placed] = []
    half = asyncio.Event()
    waiting = iter(list(enumerate(wanted)))

    async def insist() -> None:
        for number, wish in waiting:
            placed.append(await customers.place(number, wish))
            show("placed", len(placed))
            if len(placed) >= len(wanted) // 2:
                half.set()

    async def outage() -> Outage:
        await half.wait()
        killed_at = datetime.now(UTC)
        await stage.shop.kill()
        show.say(f"SIGKILL with {len(placed)} orders placed; starting again")
        await stage.shop.start()
        ready_at = datetime.now(UTC)
        show.say(f"back after {(ready_at - killed_at).total_seconds():.1f} s")
        return Outage(killed_at, ready_at)

    try:
        async with asyncio.TaskGroup() as group:
            down = group.create_task(outage())
            for _ in range(AT_ONCE):
                group.create_task(insist())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # one reason is enough
    return placed, down.result()


async def _settle(orders: int, data: Path, show: Meter) -> None:
    """Wait until nothing is under way; what is after SETTLE_S will be found stuck."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SETTLE_S
    while loop.time() < give_up:
        done = settled(Files(data))
        show("settled", done)
        if done >= orders and not unfinished(Files(data)):
            return
        await asyncio.sleep(0.1)


async def _tell(placed: Sequence[Placed], books: Books, outage: Outage, data: Path) -> None:
    """Print one order as a timeline; its saga is what `holdfast sagas show` says of it."""
    chosen = remarkable(placed, books, outage)
    saga = None if chosen is None else saga_of(data, chosen.id)
    if chosen is None or saga is None:
        return  # the audit says why
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *["-m", "holdfast.cli", "sagas", "show", "shop", saga, "--data", str(data), "--json"],
        stdout=asyncio.subprocess.PIPE,
    )
    shown, _ = await process.communicate()
    if process.returncode != 0:
        return
    print(f"\norder {chosen.id}, saga {saga}")
    for line in told(timeline(chosen, books, json.loads(shown), outage)):
        print(f"  {line}")
    print()


def _conclude(placed: Sequence[Placed], books: Books, trouble: list[str]) -> int:
    findings = audit([p.id for p in placed], books)
    states = [order.state for order in books.orders.values()]
    differences = findings.all() + trouble
    for line in differences[:DIFFERENCES_SHOWN_MAX]:
        print(f"  {line}")
    verdict = "money and stock reconcile" if not differences else f"{len(differences)} differences"
    print(
        f"demo: {len(placed)} orders, {states.count('confirmed')} confirmed, "
        f"{states.count('cancelled')} cancelled, {len(findings.stuck)} stuck, "
        f"{len(findings.lost)} lost, {len(findings.double)} double; {verdict}"
    )
    return 1 if differences else 0
