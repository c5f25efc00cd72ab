"""One order from the customer's request to the last notification, as everybody recorded it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shop.demo.books import Books, OrderEntry
from shop.demo.customers import Placed


@dataclass(frozen=True, slots=True)
class Outage:
    """When the shop was killed, and when it took requests again."""

    killed_at: datetime
    ready_at: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline."""

    at: datetime
    who: str
    what: str


def remarkable(placed: Sequence[Placed], books: Books, outage: Outage) -> Placed | None:
    """Return the order that is worth telling: confirmed, and under way when the shop was killed."""
    notified_at = {notice.order_id: notice.at for notice in books.notices}
    orders = [(p, books.orders[p.id]) for p in placed if p.id in books.orders]
    confirmed = [(p, order) for p, order in orders if order.state == "confirmed"]
    across = [
        (p, order)
        for p, order in confirmed
        if order.placed_at < outage.killed_at < notified_at.get(p.id, outage.killed_at)
    ]
    return next((p for p, _ in [*across, *confirmed, *orders]), None)


def timeline(placed: Placed, books: Books, saga: Mapping[str, Any], outage: Outage) -> list[Moment]:
    """Return the moments of one order, in order of time.

    Args:
        saga: its saga, as `holdfast sagas show --json` prints it.
    """
    order = books.orders[placed.id]
    again = "" if placed.tries == 1 else f", try {placed.tries} with the same Idempotency-Key"
    moments = [
        Moment(placed.sent_at, "customer", f"POST /v1/orders, card {placed.wish.card}"),
        Moment(order.placed_at, "orders", f"placed: {_pieces(order)}, {_euros(order.total_cents)}"),
        Moment(placed.answered_at, "customer", f"202 Accepted{again}"),
    ]
    for step in saga["steps"]:
        name = step.get("failure", step["outcome"])
        at = datetime.fromisoformat(step["ended_at"])
        moments.append(Moment(at, "orders", f"saga step {step['path']} {step['kind']}: {name}"))
    for charge in books.charges:
        if charge.order_id == order.id:
            text = f"charged ch_{charge.number}, {_euros(charge.amount_cents)}"
            moments.append(Moment(charge.at, "processor", text))
    for notice in books.notices:
        if notice.order_id == order.id:
            moments.append(Moment(notice.at, "notifications", notice.text))
    if moments[0].at < outage.ready_at and outage.killed_at < max(m.at for m in moments):
        moments.append(Moment(outage.killed_at, "", "— SIGKILL —"))
        moments.append(Moment(outage.ready_at, "", "— the shop is back —"))
    return sorted(moments, key=lambda moment: moment.at)


def told(moments: Sequence[Moment]) -> list[str]:
    """Return the timeline as lines, each with the milliseconds since the first."""
    start = moments[0].at
    return [
        f"{m.at:%H:%M:%S}.{m.at.microsecond // 1000:03} "
        f"{(m.at - start).total_seconds() * 1000:+8.0f} ms  {m.who:<13}  {m.what}"
        for m in moments
    ]


def _pieces(order: OrderEntry) -> str:
    return ", ".join(f"{quantity} × {sku}" for sku, quantity in order.pieces.items())


def _euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02} EUR"
