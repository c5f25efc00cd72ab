"""What is asked of a system under load: an offer, and the bytes that its requests are."""

import math
from bisect import bisect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pydantic_core import PydanticSerializationError, to_json

from holdfast.contract.tier import Tier

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of request, as one caller sends it again and again.

    Attributes:
        method: GET, POST, PUT, PATCH or DELETE.
        path: with its query, if it has one.
        json: the body; None: there is none.
        token: goes into `Authorization: Bearer`; None: there is none.
        keyed: each request has a fresh Idempotency-Key.
        share: its weight among all offers; any number over 0.
        good: the statuses that count as well answered; none are named: any 2xx.
    """

    method: str
    path: str
    json: object = None
    token: str | None = None
    keyed: bool = False
    share: float = 1.0
    good: Collection[int] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"{self.method!r} is no method; there are {', '.join(METHODS)}")
        if not self.path.startswith("/") or not self.path.isascii() or not self.path.isprintable():
            raise ValueError(f"{self.path!r} is no path; it starts with / and is percent-encoded")
        if " " in self.path:
            raise ValueError(f"{self.path!r} has a blank; write it as %20")
        if not 0 < self.share < math.inf:
            raise ValueError(f"share={self.share} of {self}: raise it over 0")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ValueError(f"the token of {self} cannot be sent in a header")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def http_request(
    method: str,
    path: str,
    *,
    host: str,
    body: bytes | None = None,
    token: str | None = None,
    key: str | None = None,
) -> bytes:
    """Return the bytes of a request of HTTP/1.1; `body` is JSON."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    elif method in ("POST", "PUT", "PATCH"):
        lines.append("content-length: 0")
    if key is not None:
        lines.append(f"idempotency-key: {key}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


@dataclass(frozen=True, slots=True)
class PreparedOffer:
    """The requests of one offer: bytes around the number that makes a key fresh.

    Attributes:
        after: empty where requests have no key; then they are all `before`.
    """

    before: bytes
    after: bytes
    tier: Tier
    good: frozenset[int]

    def numbered(self, number: int) -> bytes:
        """Return one request."""
        return b"%b%d%b" % (self.before, number, self.after) if self.after else self.before

    def is_good(self, status: int) -> bool:
        """Whether a status is what the offer counts as well answered."""
        return status in self.good if self.good else 200 <= status < 300


def prepared(offer: Offer, tier: Tier, *, host: str, keys: str) -> PreparedOffer:
    """Return the bytes of an offer's requests.

    Args:
        keys: what Idempotency-Keys begin with; another for each run.
    Raises:
        ValueError: the body cannot be written as JSON.
    """
    try:
        body = None if offer.json is None else to_json(offer.json)
    except PydanticSerializationError as exc:
        raise ValueError(f"the body of {offer} cannot be written as JSON: {exc}") from exc
    key = f"{keys}-\0" if offer.keyed else None
    whole = http_request(offer.method, offer.path, host=host, body=body, token=offer.token, key=key)
    before, _, after = whole.partition(b"\0") if offer.keyed else (whole, b"", b"")
    return PreparedOffer(before, after, tier, frozenset(offer.good))


class Mix:
    """Offers by their shares: request number n is always of the same one.

    The golden ratio's multiples are spread evenly over [0, 1), in every stretch of them. So a short
    time has the same mix as a long one, without chance.
    """

    def __init__(self, offers: Sequence[PreparedOffer], shares: Sequence[float]) -> None:
        self._offers = offers
        bounds = list(accumulate(shares))
        self._bounds = [bound / bounds[-1] for bound in bounds]
        self._bounds[-1] = 1.0  # whatever rounding makes of it

    def of(self, number: int) -> PreparedOffer:
        """Return of which offer request `number` is."""
        from_0_to_1 = number * _GOLDEN % 1.0
        return self._offers[bisect(self._bounds, from_0_to_1)]

    def request(self, number: int) -> bytes:
        """Return the bytes of request `number`."""
        return self.of(number).numbered(number)

    def is_good(self, number: int, status: int) -> bool:
        """Whether request `number` was answered well."""
        return self.of(number).is_good(status)
