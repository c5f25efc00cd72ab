"""Which of Read, Tx and Outside may be taken together: each row of the guide's tables is tried."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, select

from holdfast import (
    Command,
    Event,
    External,
    Model,
    Outside,
    Query,
    Read,
    Saga,
    Service,
    System,
    Tx,
    Undo,
)
from holdfast.errors import DeclarationError, OutsideShut, ReadShut
from holdfast.testing import running
from tests.docs.snippets import ROOT, section

TEXT = section(ROOT / "docs" / "guide.md", "### What may be taken together")
KINDS = re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$", TEXT, re.M)
ORDERS = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (fine|`\w+`) \|$", TEXT, re.M)
WORDS = {"fine": None, "`ReadShut`": ReadShut, "`OutsideShut`": OutsideShut}

bank = External("bank", url="https://bank.example")
Declare = Callable[[Service, Any], Any]


class Do(Command[None]): ...


class Done(Undo[Do]): ...


class Look(Query[None]): ...


class Happened(Event): ...


class Made:
    """What a provider makes."""


def _route(method: str) -> Declare:
    return lambda service, function: getattr(service, method)("/v1/x", public=True)(function)


def _handles(service: Service, function: Any) -> Any:
    return service.handles(function)


DECLARED: dict[str, tuple[Declare, str, str]] = {
    "`get`": (_route("get"), "", "None"),
    "`post`, `put`, `patch`, `delete`": (_route("post"), "", "None"),
    "handler of a query": (_handles, "message: Look", "None"),
    "handler of a command": (_handles, "message: Do", "None"),
    "handler of an undo": (_handles, "message: Done", "None"),
    "handler of an event": (_handles, "message: Happened", "None"),
    "`every`": (lambda service, f: service.every(timedelta(hours=1))(f), "", "None"),
    "`provides`": (lambda service, f: service.provides(f), "", "Made"),
    "`saga`": (
        lambda service, f: service.saga(f),
        "saga: Saga, input: Model",
        "None",
    ),
}
"""{row: (how it is declared, the parameters that it has anyway, what it returns)}."""


@pytest.mark.parametrize("column", range(4), ids=["Tx", "Read", "Outside", "effect"])
@pytest.mark.parametrize("row", KINDS, ids=lambda row: row[0])
def test_check_lets_a_function_have_what_the_table_says(
    row: tuple[str, ...], column: int, tmp_path: Path
) -> None:
    """The declaration passes without it, and with it passes or is refused."""
    taken = ("it: Tx", "it: Read", "it: Outside", "it: Outside")[column]
    body = 'await it.post(bank, "/x")' if column == 3 else "..."

    assert passes(row[0], "", "...", tmp_path / "without.py")
    assert passes(row[0], taken, body, tmp_path / "with.py") == (row[1 + column] == "yes")


def passes(kind: str, parameter: str, body: str, file: Path) -> bool:
    """Whether `holdfast check` takes a function of this kind with one more parameter."""
    declare, first, returns = DECLARED[kind]
    parameters = ", ".join(part for part in (first, parameter) if part)
    source = f"async def function({parameters}) -> {returns}:\n    {body}\n"
    file.write_text(source)  # the check reads it there
    scope = globals() | {"Saga": Saga, "Model": Model}
    exec(compile(source, str(file), "exec"), scope)
    service = Service("own", reaches=[bank], publishes=[Happened])
    service.get("/v1/idle", public=True)(idle)
    declare(service, scope["function"])
    if "undo" in kind:
        service.handles(do_nothing)
    try:
        System("case", services=[service]).check()
    except DeclarationError:
        return False
    return True


async def idle() -> None:
    """So that this module declares more than messages."""


async def do_nothing(message: Do) -> None: ...


def test_every_kind_of_function_has_its_row() -> None:
    """The table is whole."""
    assert [row[0] for row in KINDS] == list(DECLARED)
    assert len(ORDERS) == 9


things = Table("thing", MetaData(), Column("id", Integer, primary_key=True))


async def use(order: list[str], read: Read, outside: Outside, tx: Tx) -> None:
    """Use each of them in this order."""
    tx.new_id()
    assert tx.now
    for number, word in enumerate(order):
        if word == "read":
            await read.execute(select(things))
        elif word == "outside":
            await outside.run(int)
        elif number % 2:
            tx.insert(things, id=number)
        else:
            await tx.execute(select(things))


@pytest.mark.parametrize(("words", "told"), ORDERS)
async def test_an_order_is_what_the_table_says(words: str, told: str) -> None:
    """In a route and in the handler of a command alike."""
    order, errors = re.findall(r"\w+", words), list[type[BaseException] | None]()
    service = Service("own", tables=things.metadata)

    async def watched(read: Read, outside: Outside, tx: Tx) -> None:
        try:
            await use(order, read, outside, tx)
        except (ReadShut, OutsideShut) as exc:
            errors.append(type(exc))
        else:
            errors.append(None)

    @service.post("/v1/use", public=True)
    async def by_route(read: Read, outside: Outside, tx: Tx) -> None:
        await watched(read, outside, tx)

    @service.handles
    async def by_command(command: Do, read: Read, outside: Outside, tx: Tx) -> None:
        await watched(read, outside, tx)

    async with running(System("case", services=[service])) as system:
        await system.client.post("/v1/use")
        async with service.begin() as tx:
            await tx.execute(things.delete())
        await system.send(Do())
        await system.settled()

    assert errors == [WORDS[told]] * 2


@pytest.mark.parametrize("beside", ["nothing", "tx"])
async def test_what_read_sees(beside: str) -> None:
    """Alone it is one moment; beside a Tx each statement has its own."""
    service = Service("own", tables=things.metadata)
    seen: list[int] = []

    async def look(read: Read) -> None:
        count = select(func.count()).select_from(things)
        seen.append((await read.execute(count)).scalar_one())
        async with service.begin() as other:
            other.insert(things, id=1)
        seen.append((await read.execute(count)).scalar_one())

    @service.post("/v1/nothing", public=True)
    async def alone(read: Read) -> None:
        await look(read)

    @service.post("/v1/tx", public=True)
    async def together(read: Read, tx: Tx) -> None:
        await look(read)

    async with running(System("case", services=[service])) as system:
        await system.client.post(f"/v1/{beside}")

    assert seen == ([0, 0] if beside == "nothing" else [0, 1])
