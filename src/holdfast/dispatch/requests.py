"""The transaction of an HTTP write, and the record that an Idempotency-Key leaves."""

import hashlib
from uuid import UUID

import msgspec

from holdfast.consistency.ledger import MESSAGE_BYTES_MAX, Ledger, encode
from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.contract.http import Request, Response
from holdfast.errors import BadRequest, HoldfastError, Invalid
from holdfast.storage import Transaction

KEY_CHARS_MAX = 255
RESPONSE_BYTES_MAX = 4 * MESSAGE_BYTES_MAX  # of a recorded one
REFUSALS_MAX = 1_000
REFUSAL_BYTES_MAX = 16 * 1024
FROM_RECORD = (b"idempotency-replayed", b"true")


class AlreadyRecorded(HoldfastError):
    """Another request with the same key was committed first; its response is the answer."""

    code = "already_recorded"


class StoredResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded response; in JSON its body is base64, since it may be no text.

    Attributes:
        key, correlation, trace: of the request that it answered, whose route is `what`, such as
            `POST /v1/orders`; by them `holdfast trace` finds it. at: when, in ms since 1970.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    key: str = ""
    what: str = ""
    correlation: str = ""
    trace: str = ""
    at: int = 0


class Key:
    """One Idempotency-Key of one caller at one route.

    Attributes:
        id: of its row: a hash of caller, route and key; anonymous callers' include the body.
        anonymous: nobody was authenticated; such records are kept for a shorter time.
        hash: of the request's raw bytes, path and query: other bytes under one key are refused.
        text, what, correlation, trace: see `StoredResponse`.
    """

    __slots__ = ("anonymous", "correlation", "hash", "id", "text", "trace", "what")

    def __init__(self, request: Request, key: bytes, route: str) -> None:
        if not 1 <= len(key) <= KEY_CHARS_MAX or not key.isascii():
            raise BadRequest(
                f"Idempotency-Key is 1..{KEY_CHARS_MAX} ASCII characters, such as a UUID"
            )
        self.anonymous = request.caller is None
        self.text, self.what = key.decode(), f"{request.method} {route}"
        self.correlation, self.trace = request.correlation_id, request.cause.trace
        caller = request.caller.subject.encode() if request.caller else b""
        owner = b"c" + caller if request.caller else b"a" + request.body
        parts = (owner, request.method.encode(), route.encode(), key)
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(len(part).to_bytes(4, "big") + part)
        self.id = UUID(bytes=digest.digest())
        text = b"\n".join((request.path.encode(), request.query.encode(), request.body))
        self.hash = hashlib.blake2b(text, digest_size=16).digest()

    def recorded_response(self, row: MessageRow) -> Response:
        """Return the recorded response. Raises Invalid if the request was another one."""
        if row.hash != self.hash:
            raise Invalid(
                "this Idempotency-Key was used with another request; take a new key for each"
            )
        assert row.answer is not None
        stored = msgspec.json.decode(row.answer, type=StoredResponse)
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in stored.headers]
        return Response(stored.status, [*headers, FROM_RECORD], stored.body)

    def row(self, ledger: Ledger, response: Response, now_ms: int) -> MessageRow:
        """Return the row that remembers a response. Raises MessageTooLarge."""
        stored = StoredResponse(
            response.status,
            [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers],
            response.body,
            self.text,
            self.what,
            self.correlation,
            self.trace,
            now_ms,
        )
        schedule = ledger.schedule
        kept_ms = schedule.anonymous_kept_ms if self.anonymous else schedule.request_kept_ms
        return MessageRow(
            ledger.http_edge,
            self.id,
            State.DONE,
            Kind.REQUEST,
            due_at=now_ms + kept_ms,
            hash=self.hash,
            answer=encode(stored),
        )

    async def record(self, ledger: Ledger, tx: Transaction, response: Response) -> None:
        """Write a response down with its effect. Raises AlreadyRecorded."""
        if not await tx.insert_messages([self.row(ledger, response, tx.now_ms)], sure=True):
            raise AlreadyRecorded("the key was recorded by another request")


class Refusals:
    """The latest refusals of one route, in memory.

    A refusal leaves nothing behind, so it is not written down either: whoever is refused a
    thousand times, each time with a new key, would fill the table. A client that asks again at
    once gets the same answer; later, or from another process, the request is decided anew.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[UUID, MessageRow] = {}

    def keep(self, row: MessageRow) -> None:
        """Remember a refusal, as the row that a success would have left."""
        if len(row.answer or b"") > REFUSAL_BYTES_MAX:
            return
        self._kept.pop(row.id, None)
        self._kept[row.id] = row
        if len(self._kept) > REFUSALS_MAX:
            del self._kept[next(iter(self._kept))]

    def find(self, key: UUID, now_ms: int) -> MessageRow | None:
        """Return what was refused under a key, if that is not too long ago."""
        row = self._kept.get(key)
        return row if row is not None and (row.due_at or 0) > now_ms else None
