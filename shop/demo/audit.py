"""The audit: do the customers, the shop and the processor tell the same story?"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from shop.demo.books import Books, ChargeEntry, Notice, OrderEntry
from shop.inventory.tables import CATALOGUE


@dataclass(frozen=True, slots=True)
class Findings:
    """What does not agree; each is one sentence."""

    stuck: list[str]
    lost: list[str]
    double: list[str]
    wrong: list[str]

    def all(self) -> list[str]:
        """Return everything."""
        return [*self.stuck, *self.lost, *self.double, *self.wrong]


def audit(placed: Iterable[UUID], books: Books) -> Findings:
    """Compare what customers were told, what the shop wrote down, and what the processor did."""
    told = set(placed)
    findings = Findings([], [], [], [])
    findings.stuck.extend(books.unfinished)
    kept = set(books.orders)
    findings.lost.extend(f"order {gone} was taken, and is gone" for gone in told - kept)
    findings.double.extend(
        f"order {extra} exists, and no customer was told of it" for extra in kept - told
    )
    charges: dict[UUID, list[ChargeEntry]] = {}
    for charge in books.charges:
        charges.setdefault(charge.order_id, []).append(charge)
    notices: dict[UUID, list[Notice]] = {}
    for notice in books.notices:
        notices.setdefault(notice.order_id, []).append(notice)
    for order in books.orders.values():
        _audit_money(order, charges.pop(order.id, []), books.payments.get(order.id, 0), findings)
        _audit_notices(order, notices.pop(order.id, []), findings)
    findings.wrong.extend(f"{name} was charged for, and is no order" for name in charges)
    findings.wrong.extend(f"a notification is about {name}, which is no order" for name in notices)
    findings.wrong.extend(_audit_stock(books))
    return findings


def _audit_money(
    order: OrderEntry, charges: list[ChargeEntry], paid_cents: int, findings: Findings
) -> None:
    """A confirmed order is charged once and keeps the money; any other one has none of it."""
    if len(charges) > 1:
        findings.double.append(f"order {order.id} was charged {len(charges)} times")
    if order.state == "placed":
        findings.stuck.append(f"order {order.id} is neither confirmed nor cancelled")
        return
    due_cents = order.total_cents if order.state == "confirmed" else 0
    taken_cents = sum(charge.amount_cents - charge.refunded_cents for charge in charges)
    if order.state == "confirmed" and not charges:
        findings.lost.append(f"order {order.id} is confirmed, and was never charged")
    elif taken_cents != due_cents:
        findings.wrong.append(
            f"order {order.id} is {order.state}: the processor holds {taken_cents} cents for it "
            f"instead of {due_cents}"
        )
    if paid_cents != due_cents:
        findings.wrong.append(
            f"order {order.id} is {order.state}: payments knows of {paid_cents} cents instead of "
            f"{due_cents}"
        )


def _audit_notices(order: OrderEntry, notices: list[Notice], findings: Findings) -> None:
    if order.state == "placed":
        return
    if not notices:
        findings.lost.append(f"order {order.id} is {order.state}, and nobody was notified")
    if len(notices) > 1:
        findings.double.append(f"{len(notices)} notifications are about order {order.id}")
    for notice in notices:
        if notice.kind != order.state:
            findings.wrong.append(f"order {order.id} is {order.state}, but told {notice.kind}")


def _audit_stock(books: Books) -> Iterator[str]:
    sold: Counter[str] = Counter()
    for order in books.orders.values():
        if order.state == "confirmed":
            sold.update(order.pieces)
    for row in books.stock:
        sku, received = row["sku"], row["received"]
        if received != CATALOGUE[sku][1]:
            yield f"{sku}: {received} pieces came in instead of {CATALOGUE[sku][1]}"
        if row["available"] + row["reserved"] + row["sold"] != received:
            yield f"{sku}: available, reserved and sold do not make {received} pieces"
        if row["reserved"]:
            yield f"{sku}: {row['reserved']} pieces are still reserved"
        if row["sold"] != sold[sku]:
            yield f"{sku}: {row['sold']} pieces are sold, the confirmed orders have {sold[sku]}"
