"""The transaction of an HTTP write, and the record that an Idempotency-Key leaves."""

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from holdfast.consistency.ledger import MESSAGE_BYTES_MAX, Ledger, encode
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.unit import Driver, Unit
from holdfast.consistency.writer import Effects, Turn
from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.contract.failure import Failure
from holdfast.contract.http import Request, Response
from holdfast.errors import BadRequest, HoldfastError, Invalid, MessageTooLarge
from holdfast.ports import Transaction

REPLAYED = (b"idempotency-replayed", b"true")


class AlreadyRecorded(HoldfastError):
    """Another request with the same key was committed first; its response is the answer."""

    code = "already_recorded"


class StoredResponse(msgspec.Struct, frozen=True):
    """A recorded response; in JSON its body is base64, since it may be no text."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Key:
    """One Idempotency-Key of one caller at one route.

    Attributes:
        id: of its row: a hash of caller, route and key; anonymous callers' include the body.
        hash: of the request's raw bytes, path and query: other bytes under one key are refused.
    """

    __slots__ = ("hash", "id")

    def __init__(self, request: Request, key: bytes, route: str) -> None:
        if not 1 <= len(key) <= 255 or not key.isascii():
            raise BadRequest("Idempotency-Key is 1..255 ASCII characters, such as a UUID")
        caller = request.caller.subject.encode() if request.caller else b""
        owner = b"c" + caller if request.caller else b"a" + request.body
        parts = (owner, request.method.encode(), route.encode(), key)
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(len(part).to_bytes(4, "big") + part)
        self.id = UUID(bytes=digest.digest())
        text = b"\n".join((request.path.encode(), request.query.encode(), request.body))
        self.hash = hashlib.blake2b(text, digest_size=16).digest()

    def replay(self, row: MessageRow) -> Response:
        """Return the recorded response. Raises Invalid if the request was another one."""
        if row.hash != self.hash:
            raise Invalid(
                "this Idempotency-Key was used with another request; take a new key for each"
            )
        assert row.answer is not None
        stored = msgspec.json.decode(row.answer, type=StoredResponse)
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in stored.headers]
        return Response(stored.status, [*headers, REPLAYED], stored.body)

    def row(self, ledger: Ledger, response: Response, now_ms: int) -> MessageRow:
        """Return the row that remembers a response."""
        stored = StoredResponse(
            response.status,
            [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers],
            response.body,
        )
        return MessageRow(
            ledger.http_edge,
            self.id,
            State.DONE,
            Kind.REQUEST,
            due_at=now_ms + ledger.schedule.request_kept_ms,
            hash=self.hash,
            answer=encode(stored),
        )


class RequestTurn(Turn):
    """The handler's writes, what it sends and starts, and the key's record: all or nothing."""

    def __init__(
        self,
        driver: Driver,
        unit: Unit,
        sagas: Sagas,
        respond: Callable[[Any], Response],
        refuse: Callable[[Failure], Response],
        key: Key | None,
    ) -> None:
        super().__init__()
        self.response: Response | None = None
        self.refused: Failure | None = None
        self._driver = driver
        self._unit = unit
        self._sagas = sagas
        self._respond = respond
        self._refuse = refuse
        self._key = key

    async def run(self, tx: Transaction) -> None:
        """Run the handler to its end. The savepoint that a refusal undoes is the turn's own."""
        self._unit.tx = tx
        try:
            if self.refused is not None:
                raise self.refused
            response = self._respond(await self._driver.to_end())
            if len(response.body) > 4 * MESSAGE_BYTES_MAX:
                raise MessageTooLarge(
                    f"the response is {len(response.body):,} bytes; the maximum is "
                    f"{4 * MESSAGE_BYTES_MAX:,}: page it"
                )
            await self._sagas.settle(self._unit, self.effects)
        except Failure as failure:
            await tx.rollback()
            await tx.savepoint()
            self._unit.discard()
            self.effects = Effects()
            response = self._refuse(failure)
        if self._key is not None and self._unit.ledger.safe.request_with_effect:
            await self._record(tx, self._key, response)
        self.response = response

    async def _record(self, tx: Transaction, key: Key, response: Response) -> None:
        row = key.row(self._unit.ledger, response, tx.now_ms)
        if not await tx.insert_messages([row], sure=True):
            raise AlreadyRecorded("the key was recorded by another request")
