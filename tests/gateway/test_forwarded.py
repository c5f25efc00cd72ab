"""Where a request came from, as proxies of every kind say it."""

import pytest

from holdfast.gateway.forwarded import HOPS_MAX, Forwarded, Proxies, address_of, origin_of

INSIDE = Proxies(("10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "fe80::/10"))
FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        (" 203.0.113.7:1\t", "203.0.113.7"),
        ("2001:DB8:0::0:7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ('"[2001:db8::7]:4711"', "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("[fe80::7%25eth0]:80", "fe80::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:9", "203.0.113.7"),
        ("unknown", ""),
        ("_gazonk", ""),
        ("_gazonk:4711", ""),
        ("", ""),
        ("203.0.113.7:", ""),
        ("203.0.113.7:123456", ""),
        ("203.0.113.999", ""),
        ("010.0.0.1", ""),
        ("[203.0.113.7", ""),
        ("shop.example", ""),
        ('1.2.3.4"}\n{"x":"', ""),
    ],
)
def test_an_address_has_one_spelling(node: str, address: str) -> None:
    """What stands beside it makes no other sender, and what is none is nobody."""
    assert address_of(node) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", [b"198.51.100.1"], "203.0.113.5"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [b"198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", [b"[2001:db9::7]:4711"], "2001:db9::7"),
        ("::ffff:10.1.2.3", [b"198.51.100.1"], "198.51.100.1"),
        ("::ffff:203.0.113.5", [], "203.0.113.5"),
        ("fe80::1%eth0", [b"198.51.100.1"], "198.51.100.1"),
        ("2001:db8::7", [b"198.51.100.1"], "198.51.100.1"),
        ("192.0.2.2", [b"198.51.100.1"], "192.0.2.2"),
        ("10.1.2.3", [b"1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", [b"1.1.1.1, 198.51.100.1, 10.9.9.9:80, ,"], "198.51.100.1"),
        ("10.1.2.3", [b"1.1.1.1", b"198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        ("10.1.2.3", [b"10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("10.1.2.3", [b"198.51.100.1, not an address"], "10.1.2.3"),
        ("10.1.2.3", [b"198.51.100.1, unknown, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", [b"_once-only"], "10.1.2.3"),
        ("10.1.2.3", [b"," * 10_000 + b"198.51.100.1"], "198.51.100.1"),
        ("", [b"198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_of_ours_has(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    """Read from the right: what stands further left was written by whoever sent it."""
    headers = [(FOR, value) for value in forwarded]

    assert origin_of(peer, headers, INSIDE).client == client


@pytest.mark.parametrize(
    ("forwarded", "origin"),
    [
        ([b"for=198.51.100.1"], Forwarded("198.51.100.1")),
        ([b'For="[2001:db9::7]:4711"'], Forwarded("2001:db9::7")),
        ([b"for=[2001:db9::7]:4711"], Forwarded("2001:db9::7")),
        (
            [b"for=198.51.100.1;proto=HTTPS;by=10.1.2.3;host=shop.example"],
            Forwarded("198.51.100.1", "https", "shop.example"),
        ),
        (
            [b'for=198.51.100.1 ; host="shop.example:8443"; proto="https"'],
            Forwarded("198.51.100.1", "https", "shop.example:8443"),
        ),
        (
            [b"for=1.1.1.1, for=198.51.100.1;proto=https", b"for=10.0.0.2;proto=http"],
            Forwarded("198.51.100.1", "https"),
        ),
        ([b'for="198.51.\\100.1"'], Forwarded("198.51.100.1")),
        ([b'for=1.1.1.1;x="a, for=2.2.2.2", for=198.51.100.1'], Forwarded("198.51.100.1")),
        ([b"for=1.1.1.1, , for=198.51.100.1;,"], Forwarded("198.51.100.1")),
        ([b"for=198.51.100.1, for=_hidden;proto=https"], Forwarded("10.1.2.3", "https")),
        ([b"for=198.51.100.1, for=unknown"], Forwarded("10.1.2.3")),
        ([b"proto=https"], Forwarded("10.1.2.3", "https")),
        ([b'for=198.51.100.1;proto=javascript;host="a/b"'], Forwarded("198.51.100.1")),
        ([b"for=198.51.100.1;for=1.1.1.1"], Forwarded("10.1.2.3")),
        ([b'for="198.51.100.1'], Forwarded("10.1.2.3")),
        ([b"for=198.51.100.1 for=1.1.1.1"], Forwarded("10.1.2.3")),
        ([b"198.51.100.1"], Forwarded("10.1.2.3")),
        ([b'for="' + b"\\" * 15_001], Forwarded("10.1.2.3")),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(forwarded: list[bytes], origin: Forwarded) -> None:
    """With quotes, several pairs and elements; one that is malformed says nothing."""
    headers = [(b"forwarded", value) for value in forwarded]

    assert origin_of("10.1.2.3", headers, INSIDE) == origin


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ([(FOR, b"198.51.100.1"), (PROTO, b"https")], Forwarded("198.51.100.1", "https")),
        ([(PROTO, b"https")], Forwarded("10.1.2.3", "https")),
        ([(HOST, b"shop.example")], Forwarded("10.1.2.3", "", "shop.example")),
        (
            [(FOR, b"198.51.100.1, 10.0.0.2"), (PROTO, b"https, http"), (HOST, b"a.example, b")],
            Forwarded("198.51.100.1", "https", "a.example"),
        ),
        (
            [(FOR, b"1.1.1.1, 198.51.100.1"), (PROTO, b"http, https"), (HOST, b"evil, a.example")],
            Forwarded("198.51.100.1", "https", "a.example"),
        ),
        ([(FOR, b"198.51.100.1, 10.0.0.2"), (PROTO, b"https")], Forwarded("198.51.100.1", "https")),
        ([(FOR, b"198.51.100.1"), (PROTO, b"http")], Forwarded("198.51.100.1", "http")),
        ([(FOR, b"198.51.100.1"), (PROTO, b"HTTPS")], Forwarded("198.51.100.1", "https")),
        ([(FOR, b"198.51.100.1"), (PROTO, b" , ,")], Forwarded("198.51.100.1")),
        ([(PROTO, b"ftp"), (HOST, b"a b")], Forwarded("10.1.2.3")),
        (
            [(FOR, b"198.51.100.1"), (b"forwarded", b"for=1.1.1.1;proto=https;host=evil")],
            Forwarded("198.51.100.1"),
        ),
    ],
)
def test_scheme_and_host_are_those_that_the_client_used(
    headers: list[tuple[bytes, bytes]], origin: Forwarded
) -> None:
    """Of the hop that the client spoke to, and in one dialect."""
    assert origin_of("10.1.2.3", headers, INSIDE) == origin


@pytest.mark.parametrize("dialect", [b"x-forwarded-for", b"forwarded"])
@pytest.mark.parametrize(
    ("proxies", "client"), [(HOPS_MAX - 1, "198.51.100.1"), (HOPS_MAX, "10.0.0.1")]
)
def test_so_many_proxies_stand_in_a_row(dialect: bytes, proxies: int, client: str) -> None:
    """What stands further left is not looked at: the last one seen is the client."""
    row = ["198.51.100.1", *(f"10.0.0.{n}" for n in range(1, proxies + 1))]
    if dialect == b"forwarded":
        row = [f"for={address}" for address in row]

    found = origin_of("10.1.2.3", [(dialect, ", ".join(row).encode())], INSIDE)

    assert found == Forwarded(client)


@pytest.mark.parametrize("trusted", [Proxies(()), Proxies(("192.0.2.0/24",))])
def test_who_is_not_trusted_is_not_believed(trusted: Proxies) -> None:
    """The default: the peer is the client, whatever it claims."""
    headers = [
        (FOR, b"1.1.1.1"),
        (PROTO, b"https"),
        (HOST, b"evil"),
        (b"forwarded", b"for=1.1.1.1"),
    ]

    assert origin_of("10.1.2.3", headers, trusted) == Forwarded("10.1.2.3")
