"""The processor's HTTP interface."""

import asyncio
import hashlib
from urllib.parse import parse_qs

from pydantic import BaseModel, Field, ValidationError

from holdfast.contract.http import Request, Response
from shop.processor.cards import CARDS, UNKNOWN, Tries
from shop.processor.ledger import Answer, Entry, Ledger, LedgerUnavailable

LIMIT_MAX = 1_000


class ChargeBody(BaseModel):
    """What a merchant wants to take; `reference` is the merchant's own name for it."""

    amount_cents: int = Field(gt=0, le=10**12)
    card: str = Field(min_length=1, max_length=64)
    reference: str = Field(min_length=1, max_length=64)


class Processor:
    """Serves one ledger.

    Args:
        hang_s: how long a request stays open that gets no answer in time.
    """

    def __init__(self, ledger: Ledger, *, hang_s: float = 30.0) -> None:
        self.ledger = ledger
        self._hang_s = hang_s
        self._tries = Tries()

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        try:
            answer = await self._route(request)
        except ValidationError as exc:
            answer = Answer.of(400, reason="bad_request", errors=exc.error_count())
        except LedgerUnavailable:
            answer = Answer.of(503, reason="unavailable")
        return Response(answer.status, [(b"content-type", b"application/json")], answer.body)

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
        body = ChargeBody.model_validate_json(request.body)
        card = CARDS.get(body.card, UNKNOWN)
        number = 0
        if card.misbehaves:
            number = self._tries.count(_key(request) or body.reference)
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
        key = _key(request)
        if key:
            what = b"\n".join((request.method.encode(), request.path.encode(), request.body))
            entry = self.ledger.once(key, hashlib.sha256(what).digest(), entry)
        return await self.ledger.book(entry)

    def _page(self, query: dict[str, str]) -> Answer:
        limit = query.get("limit", "")
        rows_max = min(int(limit), LIMIT_MAX) if limit.isdecimal() else LIMIT_MAX
        rows = self.ledger.page(_number(query.get("after", "")), rows_max)
        following = rows[-1]["id"] if rows and len(rows) == rows_max else None
        return Answer.of(200, **self.ledger.totals(), rows=rows, next=following)


def _key(request: Request) -> str:
    return (request.header(b"idempotency-key") or b"").decode("latin-1")


def _number(id: str) -> int:
    """Return the number in `ch_17`; 0, which no charge has, for anything else."""
    digits = id.removeprefix("ch_")
    return int(digits) if digits.isdecimal() and len(digits) < 19 else 0
