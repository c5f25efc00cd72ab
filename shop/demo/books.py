"""The books: what the databases and the processor's ledger say, read from the tables themselves."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Executable, create_engine, func, select, text
from sqlalchemy.pool import NullPool

from shop.inventory.tables import stock_table
from shop.notifications.tables import notification_table
from shop.orders.tables import order_line_table, order_table
from shop.payments.tables import payment_table

SERVICES = ("users", "inventory", "orders", "payments", "notifications")
_OPEN_SAGAS = "SELECT type || ' ' || state AS what FROM holdfast_saga WHERE state <> 'completed'"
_OPEN_LETTERS = (
    "SELECT kind || ' ' || state AS what FROM holdfast_message "
    "WHERE state IN ('due', 'held', 'dead') AND kind NOT IN ('tick', 'request')"
)


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """An order; `pieces` is {sku: quantity}."""

    id: UUID
    state: str
    total_cents: int
    placed_at: datetime
    pieces: Counter[str]


@dataclass(frozen=True, slots=True)
class ChargeEntry:
    """A charge in the processor's ledger."""

    number: int
    order_id: UUID
    amount_cents: int
    refunded_cents: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification."""

    order_id: UUID
    kind: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that an auditor looks at.

    Attributes:
        payments: {order: what the shop believes that it has taken for it}, refunded ones as 0.
        stock: rows of the stock table.
        unfinished: sagas that have not completed, letters without an answer, dead letters.
    """

    orders: dict[UUID, OrderEntry]
    charges: list[ChargeEntry]
    payments: dict[UUID, int]
    stock: list[dict[str, Any]]
    notices: list[Notice]
    unfinished: list[str]


class Source(Protocol):
    """Where the services' databases are read."""

    def rows(self, service: str, statement: Executable) -> list[dict[str, Any]]:
        """Return the rows of a SELECT in one service's database."""
        ...


@dataclass(frozen=True, slots=True)
class Files:
    """The SQLite files of a data folder."""

    data: Path

    def rows(self, service: str, statement: Executable) -> list[dict[str, Any]]:
        """See `Source`. An auditor changes nothing: the file is opened read-only."""
        path = self.data / f"{service}.db"
        engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]


def settled(source: Source) -> int:
    """Return how many orders are confirmed or cancelled."""
    statement = select(func.count().label("n")).where(order_table.c.state != "placed")
    return sum(int(row["n"]) for row in source.rows("orders", statement))


def unfinished(source: Source) -> list[str]:
    """Return what is under way in any service, and what is dead."""
    found: list[str] = []
    for service in SERVICES:
        for statement in (_OPEN_SAGAS, _OPEN_LETTERS):
            found += [f"{service}: {row['what']}" for row in source.rows(service, text(statement))]
    return found


def read_books(source: Source, ledger: Path) -> Books:
    """Read the shop's databases, and the processor's `ledger`."""
    pieces: dict[UUID, Counter[str]] = {}
    for row in source.rows("orders", select(order_line_table)):
        pieces.setdefault(row["order_id"], Counter())[row["sku"]] += row["quantity"]
    orders = [
        OrderEntry(
            row["id"],
            row["state"],
            row["total_cents"],
            row["placed_at"],
            pieces.get(row["id"], Counter()),
        )
        for row in source.rows("orders", select(order_table))
    ]
    payments = {
        row["order_id"]: row["amount_cents"] if row["state"] == "charged" else 0
        for row in source.rows("payments", select(payment_table))
    }
    notices = [
        Notice(row["order_id"], row["kind"], row["text"], row["created_at"])
        for row in source.rows("notifications", select(notification_table))
    ]
    return Books(
        orders={order.id: order for order in orders},
        charges=_charges(ledger),
        payments=payments,
        stock=source.rows("inventory", select(stock_table)),
        notices=notices,
        unfinished=unfinished(source),
    )


def saga_of(data: Path, order: UUID) -> str | None:
    """Return the id of the saga that carries an order out."""
    for key, stored in _query(data / "orders.db", "SELECT id, input FROM holdfast_saga"):
        if json.loads(stored)["body"].get("id") == str(order):
            return str(UUID(bytes=key))
    return None


def _charges(ledger: Path) -> list[ChargeEntry]:
    rows = _query(
        ledger, "SELECT number, reference, amount_cents, refunded_cents, at_ms FROM charge"
    )
    return [
        ChargeEntry(n, UUID(reference), amount, refunded, datetime.fromtimestamp(at_ms / 1000, UTC))
        for n, reference, amount, refunded, at_ms in rows
    ]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)


def _query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(_connect(path)) as connection:
        return connection.execute(statement).fetchall()
