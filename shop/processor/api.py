"""The processor's HTTP interface."""

import asyncio
import hashlib
import json
from typing import NamedTuple
from urllib.parse import parse_qs

from shop.processor.cards import CARDS, UNKNOWN, Tries
from shop.processor.http import Request
from shop.processor.ledger import Answer, Entry, Ledger, LedgerUnavailable

LIMIT_MAX = 1_000
AMOUNT_MAX = 10**12
NAME_MAX = 64


class Charge(NamedTuple):
    """What a merchant wants to take; `reference` is the merchant's own name for it."""

    amount_cents: int
    card: str
    reference: str


class Processor:
    """Serves one ledger.

    Args:
        hang_s: how long a request stays open that gets no answer in time.
    """

    def __init__(self, ledger: Ledger, *, hang_s: float = 30.0) -> None:
        self.ledger = ledger
        self._hang_s = hang_s
        self._tries = Tries()

    async def answer(self, request: Request) -> Answer:
        """Serve one request."""
        try:
            return await self._route(request)
        except ValueError as exc:
            return Answer.of(400, reason="bad_request", error=str(exc))
        except LedgerUnavailable:
            return Answer.of(503, reason="unavailable")

    async def _route(self, request: Request) -> Answer:
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["health"]:
                return Answer.of(200, status="ok")
            case "GET", ["v1", "ledger"]:
                return self._page(query)
            case "GET", ["v1", "charges"]:
                return Answer.of(200, charges=self.ledger.find(query.get("reference", "")))
            case "POST", ["v1", "charges"]:
                return await self._charge(request)
            case "POST", ["v1", "charges", id, "refunds"]:
                number = _number(id)
                return await self._book(request, lambda: self.ledger.refund(number))
            case _:
                return Answer.of(404, reason="no_such_path")

    async def _charge(self, request: Request) -> Answer:
        body = _charge(request.body)
        card = CARDS.get(body.card, UNKNOWN)
        number = 0
        if card.misbehaves:
            number = self._tries.count(request.key or body.reference)
            if number <= card.errors:
                return Answer.of(500, reason="out_of_order")
            if number <= card.silent_before:
                await asyncio.sleep(self._hang_s)
                return Answer.of(504, reason="too_late")

        def charge() -> Answer:
            if card.declined:
                return Answer.of(402, reason=card.declined)
            return self.ledger.charge(
                reference=body.reference, card=body.card, amount_cents=body.amount_cents
            )

        answer = await self._book(request, charge)
        if 0 < number <= card.silent_after:
            await asyncio.sleep(self._hang_s)
        return answer

    async def _book(self, request: Request, entry: Entry) -> Answer:
        if request.key:
            what = b"\n".join((request.method.encode(), request.path.encode(), request.body))
            entry = self.ledger.once(request.key, hashlib.sha256(what).digest(), entry)
        return await self.ledger.book(entry)

    def _page(self, query: dict[str, str]) -> Answer:
        limit = query.get("limit", "")
        rows_max = min(int(limit), LIMIT_MAX) if limit.isdecimal() else LIMIT_MAX
        rows = self.ledger.page(_number(query.get("after", "")), rows_max)
        following = rows[-1]["id"] if rows and len(rows) == rows_max else None
        return Answer.of(200, **self.ledger.totals(), rows=rows, next=following)


def _charge(body: bytes) -> Charge:
    """Return what a body asks for. Raises ValueError."""
    match json.loads(body):
        case {"amount_cents": int(amount), "card": str(card), "reference": str(reference)} if (
            0 < amount <= AMOUNT_MAX
            and not isinstance(amount, bool)
            and 0 < len(card) <= NAME_MAX
            and 0 < len(reference) <= NAME_MAX
        ):
            return Charge(amount, card, reference)
        case _:
            raise ValueError(
                f"a charge has an amount_cents of 1 to {AMOUNT_MAX}, and a card and a reference of "
                f"1 to {NAME_MAX} characters"
            )


def _number(id: str) -> int:
    """Return the number in `ch_17`; 0, which no charge has, for anything else."""
    digits = id.removeprefix("ch_")
    return int(digits) if digits.isdecimal() and len(digits) < 19 else 0
