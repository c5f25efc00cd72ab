"""Offers: how they are written as requests, in which mix, and what is refused."""

import math

import pytest

from holdfast import System
from holdfast.contract.tier import Tier
from holdfast.load import Offer
from holdfast.load.offer import Mix, prepared


def written(offer: Offer, number: int = 3) -> bytes:
    """Return the bytes of one request of an offer."""
    return prepared(offer, Tier.NORMAL, host="here:80", keys="run").numbered(number)


def test_an_offer_is_a_request() -> None:
    """Method, path, token, key and body stand where HTTP wants them."""
    offer = Offer("POST", "/v1/a?b=c", json={"x": 1}, token="t0", keyed=True)

    assert written(offer) == (
        b"POST /v1/a?b=c HTTP/1.1\r\nhost: here:80\r\nauthorization: Bearer t0\r\n"
        b"content-type: application/json\r\ncontent-length: 7\r\nidempotency-key: run-3\r\n\r\n"
        b'{"x":1}'
    )
    assert written(Offer("GET", "/")) == b"GET / HTTP/1.1\r\nhost: here:80\r\n\r\n"
    assert b"content-length: 0\r\n" in written(Offer("POST", "/"))
    assert written(Offer("GET", "/"), 3) == written(Offer("GET", "/"), 4)
    assert written(offer, 3) != written(offer, 4)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"method": "HEAD"}, "'HEAD' is no method; there are GET, POST"),
        ({"path": "v1"}, "'v1' is no path"),
        ({"path": "/a b"}, "write it as %20"),
        ({"path": "/ä"}, "percent-encoded"),
        ({"path": "/a\r\nx: y"}, "is no path"),
        ({"share": 0}, "raise it over 0"),
        ({"share": math.nan}, "raise it over 0"),
        ({"share": math.inf}, "raise it over 0"),
        ({"token": "a\r\nb: c"}, "cannot be sent in a header"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict[str, object], line: str) -> None:
    """At once, with what to write instead."""
    with pytest.raises(ValueError, match=line):
        Offer(**{"method": "GET", "path": "/", **fields})  # type: ignore[arg-type]


def test_a_body_that_is_no_json_is_refused() -> None:
    """With the offer that has it."""
    with pytest.raises(ValueError, match="the body of POST / cannot be written as JSON"):
        written(Offer("POST", "/", json=object()))


def test_statuses_that_are_good() -> None:
    """Any 2xx, or those that are named and no others."""
    any_, named = (
        prepared(Offer("GET", "/", good=good), Tier.NORMAL, host="h", keys="k")
        for good in ((), (404,))
    )

    assert [any_.is_good(status) for status in (199, 200, 299, 300, 404)] == [
        *(False, True, True, False, False),
    ]
    assert [named.is_good(status) for status in (200, 404)] == [False, True]


@pytest.mark.parametrize("first", [0, 1_000_000])
def test_a_mix_has_its_shares_in_every_stretch(first: int) -> None:
    """A hundred requests have the same mix as a million, wherever they begin."""
    shares = (0.6, 0.3, 0.1)
    offers = [
        prepared(Offer("GET", f"/{n}"), Tier.NORMAL, host="h", keys="k") for n in range(len(shares))
    ]
    mix = Mix(offers, shares)

    counts = [0, 0, 0]
    for number in range(first, first + 100):
        counts[offers.index(mix.of(number))] += 1
    assert all(abs(count - 100 * share) <= 2 for count, share in zip(counts, shares, strict=True))


def test_a_system_has_its_traffic_once() -> None:
    """A second declaration is refused, with the system."""
    system = System("twice", services=[])

    @system.traffic(environ={"A": "b"})
    async def first(client: object) -> list[Offer]:
        return []

    assert system.offered.offers is first
    assert system.offered.environ == {"A": "b"}
    with pytest.raises(Exception, match="'twice' has its traffic already"):
        system.traffic(first)
