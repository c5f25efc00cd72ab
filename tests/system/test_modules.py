"""Modules of messages: who imports one must not get a whole service with it."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast import System
from holdfast.errors import DeclarationError
from tests.system.loading import system_of

MESSAGES = """
from holdfast import Command
class Charge(Command[None]): ...
"""
SERVICE = """
from holdfast import Service
from {messages} import Charge
payments = Service("payments")
@payments.handles
async def charge(command: Charge) -> None: ...
"""
SYSTEM = """
from holdfast import Model, Saga, Service, System
from {messages} import Charge
from {service} import payments
class Order(Model): ...
orders = Service("orders", calls=[Charge])
@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    await saga.call(Charge())
system = System("shop", [payments, orders])
"""

Write = Callable[..., System]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a project {module of `declared`: text}, load its system, and forget it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "declared"
    folder.mkdir()

    def write_(**modules: str) -> System:
        names = {"messages": "declared.messages", "service": "declared.service"}
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        for name, text in {"service": SERVICE, "system": SYSTEM}.items():
            (folder / f"{name}.py").write_text(modules.get(name, text).format(**names))
        return system_of(folder / "system.py")

    yield write_
    for name in set(sys.modules) - before:
        if name.startswith("declared"):
            del sys.modules[name]


def problems_of(system: System) -> tuple[str, ...]:
    """Return what the check of a system says."""
    with pytest.raises(DeclarationError) as refused:
        system.check()
    return refused.value.problems


def test_a_module_may_import_messages_models_and_the_standard_library(write: Write) -> None:
    """What a message is made of may live elsewhere, also under relative names and aliases."""
    system = write(
        money="from pydantic import BaseModel\nclass Money(BaseModel): ...",
        other=MESSAGES.replace("Charge", "Other"),
        messages="""
        import datetime, typing
        from uuid import UUID
        import declared.other as elsewhere
        from . import money as coins
        from .money import Money
        if typing.TYPE_CHECKING:
            from sqlalchemy import Table
        def late() -> None:
            import sqlalchemy
        """
        + textwrap.indent(MESSAGES, "        "),
    )

    system.check()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("import sqlalchemy", "declared.messages imports sqlalchemy in line 2; a module of messag"),
        ("from . import tables", "imports sqlalchemy (through declared.tables) in line 2"),
        (
            "import declared.middle",
            "imports sqlalchemy (through declared.middle → declared.tables)",
        ),
        (
            "try:\n    import rich\nexcept ImportError: ...",
            "declared.messages imports rich in line 3",
        ),
    ],
)
def test_a_module_that_drags_in_more_is_refused(write: Write, extra: str, said: str) -> None:
    """The line names what is imported, and by which way."""
    system = write(
        tables="import sqlalchemy",
        middle="import declared.tables",
        messages=f"\n{extra}\n{MESSAGES}",
    )

    (problem,) = problems_of(system)
    assert said in problem


def test_a_module_that_imports_a_service_is_refused(write: Write) -> None:
    """A service is more than messages, even if it imports nothing heavy."""
    system = write(
        audit="""
        from holdfast import Command, Service
        class Note(Command[None]): ...
        audit = Service("audit")
        @audit.handles
        async def note(command: Note) -> None: ...
        """,
        messages=f"from .audit import Note\n{MESSAGES}",
        system=SYSTEM.replace("[payments, orders]", "[payments, orders, audit]").replace(
            "class Order", "from declared.audit import audit\nclass Order"
        ),
    )

    assert problems_of(system) == (
        "declared.messages imports declared.audit in line 1; a module of messages imports "
        "messages and models alone, so that others can import it: move the rest",
    )


def test_messages_beside_their_handlers_are_refused_when_others_send_them(write: Write) -> None:
    """The sender would import the handlers, and their tables, with the message."""
    beside = MESSAGES + SERVICE.replace("from {messages} import Charge", "")
    system = write(
        service=beside,
        system=SYSTEM.replace("{messages}", "{service}"),
    )

    assert problems_of(system) == (
        "declared.service holds messages beside the functions of payments, and orders imports "
        "it; move the messages to a module of their own, such as messages.py",
    )
