"""`holdfast demo shop` from its start to its last line; and that its audit would notice."""

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from holdfast.runtime.folder import DataFolder
from shop.demo.audit import audit
from shop.demo.books import Books, ChargeEntry, Notice, OrderEntry
from shop.inventory.tables import CATALOGUE
from tests.cli.conftest import COMMAND, Cli

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOOD, BAD, UNKNOWN = UUID(int=1), UUID(int=2), UUID(int=3)


def test_the_demo_kills_the_shop_and_the_books_agree(cli: Cli) -> None:
    """Sixty orders, one SIGKILL, one timeline, and the promised last line."""
    done = cli("demo", "--orders", "60")

    lines = done.out.splitlines()
    last = re.fullmatch(
        r"demo: 60 orders, (\d+) confirmed, (\d+) cancelled, 0 stuck, 0 lost, 0 double; "
        r"money and stock reconcile",
        lines[-1],
    )
    assert done.code == 0, done.out + done.err
    assert last is not None
    assert int(last[1]) + int(last[2]) == 60
    assert int(last[2]) == 15  # 9 declined cards and 6 orders of what is sold out
    assert any(line.startswith("SIGKILL with") for line in lines)
    assert "placed 60/60" in lines
    assert "settled 60/60" in lines
    told = "\n".join(lines)
    for part in (
        "POST /v1/orders",
        "call Reserve.v1",
        "call Charge.v1",
        "charged ch_",
        "on its way",
    ):
        assert part in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_demo_leaves_no_process_behind(cli: Cli, number: signal.Signals) -> None:
    """However the demo ends, the shop and the processor end with it."""
    with subprocess.Popen(
        [*COMMAND, "demo"], cwd=cli.folder, env=cli.environ({}), stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        first = demo.stdout.readline()
        demo.send_signal(number)
        code = demo.wait(300)
    data = DataFolder(cli.folder / ".holdfast" / "demo" / "shop")
    while data.is_owned():
        pass  # the kernel ends the children of a killed demo soon after it

    assert "the shop serves http://" in first
    assert code == (1 if number is signal.SIGTERM else -number)


def right() -> Books:
    """Return the books of one confirmed order and one that was charged and refunded."""
    sku = "LANTERN"
    orders = [
        OrderEntry(GOOD, "confirmed", 5_500, NOON, Counter({sku: 2})),
        OrderEntry(BAD, "cancelled", 2_750, NOON, Counter({sku: 1})),
    ]
    stock = [
        {"sku": name, "received": pieces, "available": pieces, "reserved": 0, "sold": 0}
        for name, (_, pieces) in CATALOGUE.items()
    ]
    row = next(row for row in stock if row["sku"] == sku)
    row.update(available=99_998, sold=2)
    return Books(
        orders={order.id: order for order in orders},
        charges=[ChargeEntry(1, GOOD, 5_500, 0, NOON), ChargeEntry(2, BAD, 2_750, 2_750, NOON)],
        payments={GOOD: 5_500, BAD: 0},
        stock=stock,
        notices=[Notice(GOOD, "confirmed", "", NOON), Notice(BAD, "cancelled", "", NOON)],
        unfinished=[],
    )


def test_right_books_have_no_findings() -> None:
    """A refunded charge of a cancelled order is as good as none."""
    assert audit([GOOD, BAD], right()).all() == []


def _order(books: Books, **changes: Any) -> Books:
    return replace(books, orders={**books.orders, GOOD: replace(books.orders[GOOD], **changes)})


def _stock(books: Books, **changes: int) -> Books:
    return replace(books, stock=[{**books.stock[0], **changes}, *books.stock[1:]])


DAMAGE: list[tuple[str, Callable[[Books], Books], str]] = [
    ("lost", lambda b: replace(b, orders={GOOD: b.orders[GOOD]}), "was taken, and is gone"),
    ("lost", lambda b: replace(b, notices=b.notices[1:]), "nobody was notified"),
    ("lost", lambda b: replace(b, charges=b.charges[1:]), "was never charged"),
    ("double", lambda b: replace(b, charges=[*b.charges, b.charges[0]]), "was charged 2 times"),
    ("double", lambda b: replace(b, notices=[*b.notices, b.notices[0]]), "2 notifications"),
    (
        "double",
        lambda b: replace(b, orders={**b.orders, UNKNOWN: replace(b.orders[BAD], id=UNKNOWN)}),
        "no customer was told of it",
    ),
    ("stuck", lambda b: _order(b, state="placed"), "neither confirmed nor cancelled"),
    ("stuck", lambda b: replace(b, unfinished=["orders: command dead"]), "command dead"),
    ("wrong", lambda b: _order(b, state="cancelled"), "holds 5500 cents for it instead of 0"),
    ("wrong", lambda b: _order(b, total_cents=5_000), "holds 5500 cents for it instead of 5000"),
    ("wrong", lambda b: replace(b, payments={}), "payments knows of 0 cents instead of 5500"),
    ("wrong", lambda b: _stock(b, reserved=1), "1 pieces are still reserved"),
    ("wrong", lambda b: _stock(b, available=1), "do not make"),
    ("wrong", lambda b: _stock(b, received=1), "1 pieces came in instead of"),
    ("wrong", lambda b: _order(b, pieces=Counter(LANTERN=3)), "the confirmed orders have 3"),
]


@pytest.mark.parametrize(("kind", "damage", "finding"), DAMAGE)
def test_the_audit_notices(kind: str, damage: Callable[[Books], Books], finding: str) -> None:
    """Each way in which the books can be wrong is found, and named for what it is."""
    findings = audit([GOOD, BAD], damage(right()))

    found: list[str] = getattr(findings, kind)
    assert any(finding in line for line in found), findings.all()
