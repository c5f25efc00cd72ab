"""Which headers cross the gateway, in both directions."""

import pytest

from holdfast.contract.http import HeaderList
from holdfast.gateway.headers import correlation_of, forwarded_headers
from tests.gateway.spoofed import SPOOFED

HARMLESS: HeaderList = [
    (b"host", b"api.example"),
    (b"authorization", b"Bearer x"),
    (b"accept", b"application/json"),
    (b"x-forwarder", b"1"),
]


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ],
)
def test_hop_by_hop_headers_end_here(name: bytes) -> None:
    """They are between the client and this server; those of an answer are the server's to drop."""
    assert forwarded_headers([*HARMLESS, (name, b"close")]) == HARMLESS


def test_headers_that_connection_names_end_here() -> None:
    """Several Connection headers add up; case and spaces do not matter."""
    headers = [
        (b"connection", b"close, X-Trace-Me"),
        *HARMLESS,
        (b"x-trace-me", b"1"),
        (b"x-other", b"1"),
        (b"connection", b" x-other "),
    ]

    assert forwarded_headers(headers) == HARMLESS


@pytest.mark.parametrize(
    "name",
    [b"authorization", b"host", b"content-type", b"content-encoding", b"idempotency-key"],
)
def test_connection_cannot_take_away_what_the_gateway_checked(name: bytes) -> None:
    """Or the service would serve another request than the one that was let in."""
    headers = [(b"connection", name.upper()), (name, b"x")]

    assert forwarded_headers(headers) == [(name, b"x")]


@pytest.mark.parametrize("name", SPOOFED)
def test_what_a_service_might_believe_does_not_come_from_a_client(name: bytes) -> None:
    """Identities, routes, traces, and underscores, which some servers read as dashes."""
    assert forwarded_headers([*HARMLESS, (name, b"root")]) == HARMLESS


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (b"0123abcd", "0123abcd"),
        (b"a.b_c-d0", "a.b_c-d0"),
        (b"short", ""),
        (b"x" * 65, ""),
        (b"two words", ""),
        (b'quote"quote', ""),
        (b"\xff" * 10, ""),
    ],
)
def test_a_correlation_id_is_taken_if_it_is_harmless(value: bytes, taken: str) -> None:
    """It is written into logs and headers, so only plain ones are."""
    assert correlation_of([(b"x-other", b"elsewhere"), (b"x-correlation-id", value)]) == taken
    assert correlation_of([]) == ""
