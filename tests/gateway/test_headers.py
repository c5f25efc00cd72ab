"""Which headers cross the gateway, and who the client is."""

import pytest

from holdfast.contract.http import HeaderList
from holdfast.gateway.headers import (
    HOP_BY_HOP,
    SPOOFABLE,
    Proxies,
    client_address,
    correlation_of,
    forwarded_headers,
    response_headers,
)

HARMLESS: HeaderList = [
    (b"host", b"api.example"),
    (b"authorization", b"Bearer x"),
    (b"accept", b"application/json"),
    (b"x-forwarder", b"1"),
]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_headers_end_here(name: bytes) -> None:
    """In both directions."""
    headers = [*HARMLESS, (name, b"close")]

    assert forwarded_headers(headers) == HARMLESS
    assert response_headers(headers) == HARMLESS


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


@pytest.mark.parametrize("name", [b"authorization", b"host", b"content-type", b"idempotency-key"])
def test_connection_cannot_take_away_what_the_gateway_checked(name: bytes) -> None:
    """Or the service would serve another request than the one that was let in."""
    headers = [(b"connection", name), (name, b"x")]

    assert forwarded_headers(headers) == [(name, b"x")]


@pytest.mark.parametrize(
    "name",
    [
        *sorted(SPOOFABLE),
        b"x-forwarded-for",
        b"x-forwarded-anything",
        b"holdfast-caller",
        b"x-ssl-client-verify",
        b"x-envoy-peer",
        b"x_user",
        b"content_length",
    ],
)
def test_what_a_service_might_believe_does_not_come_from_a_client(name: bytes) -> None:
    """Identities, routes, traces, and underscores, which some servers read as dashes."""
    assert forwarded_headers([*HARMLESS, (name, b"root")]) == HARMLESS


def test_an_answer_keeps_its_own_headers() -> None:
    """Only what this server writes itself is taken away."""
    headers = [(b"etag", b'"1"'), (b"content-length", b"3"), (b"date", b"x"), (b"server", b"y")]

    assert response_headers(headers) == [(b"etag", b'"1"')]


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
    assert correlation_of([(b"x-correlation-id", value)]) == taken
    assert correlation_of([]) == ""


INSIDE = Proxies(("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", [b"198.51.100.1"], "203.0.113.5"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [b"198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.2.3", [b"198.51.100.1"], "198.51.100.1"),
        ("2001:db8::7", [b"198.51.100.1"], "198.51.100.1"),
        ("192.0.2.2", [b"198.51.100.1"], "192.0.2.2"),
        ("10.1.2.3", [b"1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", [b"1.1.1.1", b"198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        ("10.1.2.3", [b"10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("10.1.2.3", [b"198.51.100.1, not an address"], "not an address"),
        ("", [b"198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_of_ours_has(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    """Read from the right: what stands further left was written by whoever sent it."""
    headers = [(b"x-forwarded-for", value) for value in forwarded]

    assert client_address(peer, headers, INSIDE) == client


def test_without_trusted_proxies_nobody_is_believed() -> None:
    """The default: the peer is the client, whatever it claims."""
    assert client_address("10.1.2.3", [(b"x-forwarded-for", b"1.1.1.1")], Proxies(())) == "10.1.2.3"
